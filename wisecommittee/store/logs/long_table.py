"""Long tables, a row for each unit and model: which column is what, and its rows as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.logprobs import scores_of_cells
from wisecommittee.store.logs.records import LogOptions, Records
from wisecommittee.store.logs.tabular import Block


@dataclass(frozen=True, slots=True)
class Roles:
    """The headings of a long table; None where it has no such column.

    unit, model : the unit's id and the model's name. answer : its answer; outputs : in place of it a list with a number
    for each class, of this `kind`. label, grade, task, prompt : the true answer, the quality of the answer in [0, 1],
    the task, the prompt. tokens, tops : log-probabilities of the tokens of the answer and of their alternatives.
    scores, costs : {heading: name in the store}. classes : {heading: names of the classes that its numbers stand for}.
    """

    unit: str
    model: str
    answer: str | None
    outputs: str | None = None
    kind: str = "answers"
    label: str | None = None
    grade: str | None = None
    task: str | None = None
    prompt: str | None = None
    tokens: str | None = None
    tops: str | None = None
    scores: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def long_records(block: Block, roles: Roles, options: LogOptions) -> Iterator[Records]:
    """The rows of a block as records, those of each model together."""
    units, models = block.texts(roles.unit), block.texts(roles.model)
    tasks = block.texts(roles.task) if roles.task else [None] * len(block)
    rows_of: dict[str, list[int]] = {}
    for row, (unit, model, task) in enumerate(zip(units, models, tasks, strict=True)):
        if unit is None or model is None:
            empty = roles.unit if unit is None else roles.model
            raise ContentError(f"{block.where(row)}: {empty} is empty; expected one in each row")
        if options.takes(task or ""):
            rows_of.setdefault(model, []).append(row)
    answers = _named(block, roles.answer, roles.classes) if roles.answer else None
    labels = _named(block, roles.label, roles.classes) if roles.label else None
    grades = block.numbers(roles.grade, 0, 1) if roles.grade else None
    outputs = _outputs(block, roles.outputs) if roles.outputs else None
    scores = {name: block.numbers(heading) for heading, name in roles.scores.items()}
    if roles.tokens:
        tops = block.cells[roles.tops] if roles.tops else None
        scores |= scores_of_cells(block.cells[roles.tokens], tops, roles.tokens, block.where)
    costs = {name: block.numbers(heading, 0) for heading, name in roles.costs.items()}
    lengths = [float(len(text or "")) for text in block.texts(roles.prompt)] if roles.prompt else None
    for model, rows in rows_of.items():
        kept = [row for row in rows if outputs is None or outputs[row] is not None]
        features: dict[str, Sequence[str] | NDArray[np.float64]] = {}
        if roles.task:
            features["task"] = [tasks[row] or "" for row in kept]
        if lengths is not None:
            features["prompt_characters"] = np.array([lengths[row] for row in kept])
        yield Records(
            model,
            block.file,
            block.lines[kept],
            [f"{tasks[row]}/{units[row]}" if tasks[row] else str(units[row]) for row in kept],
            answers=None if answers is None else [answers[row] for row in kept],
            outputs=None if outputs is None else [each for row in kept if (each := outputs[row]) is not None],
            kind=roles.kind,
            class_names=roles.classes.get(roles.outputs or ""),
            labels=None if labels is None else [labels[row] for row in kept],
            grades=None if grades is None else grades[kept],
            scores={name: values[kept] for name, values in scores.items()},
            unit_costs={name: values[kept] for name, values in costs.items()},
            features=features,
        )


def _named(block: Block, heading: str, classes: Mapping[str, tuple[str, ...]]) -> list[str | None]:
    """A column as text, numbers of classes as their names; -1 stands for no class."""
    texts = block.texts(heading)
    names = classes.get(heading)
    if names is None:
        return texts
    known: dict[str | None, str | None] = {None: None, "-1": None}
    known.update({name: name for name in names})
    known.update({str(number): name for number, name in enumerate(names)})
    for row, text in enumerate(texts):
        if text not in known:
            raise ContentError(
                f"{block.where(row)}: {heading} {str(text)[:40]!r}; expected a class from 0 to {len(names) - 1}"
            )
    return [known[text] for text in texts]


def _outputs(block: Block, heading: str) -> list[NDArray[np.float64] | None]:
    found: list[NDArray[np.float64] | None] = []
    for row, cell in enumerate(block.cells[heading]):
        try:
            values = None if cell is None else np.asarray(cell, np.float64)
        except (ValueError, TypeError):
            values = np.full(1, np.nan)
        if values is not None and not (values.ndim == 1 and len(values) > 1 and np.isfinite(values).all()):
            raise ContentError(f"{block.where(row)}: {heading} {str(cell)[:40]!r}; expected a number for each class")
        found.append(values)
    return found
