"""RouterBench: a wide table with a score, a response and a cost of each model for each prompt.

Verified against `convertors/common.py` of github.com/withmartian/routerbench. The published files are pickles, which
are refused: one line of pandas turns them into Parquet.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wisecommittee.errors import ContentError
from wisecommittee.store.logs.opening import files_of, first_files
from wisecommittee.store.logs.records import LogFormat, LogOptions, Records
from wisecommittee.store.logs.tabular import TABLES, Block, blocks, headings, refuse_pickle, seen_headings

RESPONSE, COST = "|model_response", "|total_cost"
MOST_LITERAL = 4 << 20  # characters of a response that is read as a Python list
_ONE_TEXT = re.compile(r"""\['([^'\\]*)'\]|\["([^"\\]*)"\]""")
_TEXT = r"""(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")"""
_TEXTS = re.compile(rf"\[(?:{_TEXT}(?:,\s*{_TEXT})*)?\]", re.DOTALL)


def models_of(names: Sequence[str]) -> list[str]:
    """The models of a table with these headings: 'm' where there are 'm', 'm|model_response' and 'm|total_cost'."""
    known = set(names)
    return [name for name in names if name + RESPONSE in known or name + COST in known]


def matches(path: Path) -> bool:
    for file in first_files(path, *TABLES, "*routerbench*.pkl"):
        if file.suffix == ".pkl" and "routerbench" in file.name.casefold():
            return True
        names = seen_headings(file)
        if "sample_id" in names and models_of(names):
            return True
    return False


def read(path: Path, options: LogOptions) -> Iterator[Records]:
    """Records in blocks; the grade of an answer is its score, and its cost `usd`."""
    options.only("RouterBench", "tasks")
    for file in files_of(path, *TABLES, "*.pkl"):
        refuse_pickle(file)
        names = headings(file)
        models = models_of(names)
        if not models or "sample_id" not in names:
            raise ContentError(
                f"{file}: no column sample_id, or no model with columns NAME, NAME{RESPONSE} and NAME{COST}; expected "
                f"a table of RouterBench as .parquet or .csv"
            )
        for model in models:
            for part in ("", RESPONSE, COST):
                if model + part not in names:
                    raise ContentError(f"{file}: no column {model + part!r} of model {model!r}; expected all three")
        wanted = {"sample_id", "eval_name", "prompt", *(m + part for m in models for part in ("", RESPONSE, COST))}
        for block in blocks(file, wanted):
            yield from _of_block(block, models, options)


def _of_block(block: Block, models: Sequence[str], options: LogOptions) -> Iterator[Records]:
    samples = block.texts("sample_id")
    tasks = block.texts("eval_name") if "eval_name" in block.cells else [None] * len(block)
    rows = [row for row, task in enumerate(tasks) if options.takes(task or "")]
    for row in rows:
        if samples[row] is None:
            raise ContentError(f"{block.where(row)}: sample_id is empty; expected one in each row")
    if not rows:
        return
    units = [f"{tasks[row]}/{samples[row]}" if tasks[row] else str(samples[row]) for row in rows]
    features: dict[str, Sequence[str] | np.ndarray] = {}
    if "eval_name" in block.cells:
        features["task"] = [tasks[row] or "" for row in rows]
    if "prompt" in block.cells:
        prompts = [response(text) or "" for text in block.texts("prompt")]
        features["prompt_characters"] = np.array([float(len(prompts[row])) for row in rows])
    for model in models:
        answers = block.texts(model + RESPONSE)
        grades, costs = block.numbers(model, 0, 1), block.numbers(model + COST, 0)
        yield Records(
            model,
            block.file,
            block.lines[rows],
            units,
            answers=[response(answers[row]) for row in rows],
            grades=grades[rows],
            unit_costs={"usd": costs[rows]},
            features=features,
        )


def response(text: str | None) -> str | None:
    """The text of a cell: of a list of texts as Python writes it, "['B']", the texts in lines. None if it is empty."""
    if text is None or not (text.startswith("[") and text.endswith("]")):
        return text
    if (one := _ONE_TEXT.fullmatch(text)) is not None:
        return one[1] or one[2] or None
    if len(text) > MOST_LITERAL or not _TEXTS.fullmatch(text):
        return text  # an answer in brackets
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
            return "\n".join(ast.literal_eval(text)) or None
    except (ValueError, SyntaxError):
        return text


ROUTERBENCH = LogFormat(
    "routerbench",
    "RouterBench tables (.parquet or .csv): NAME, NAME|model_response, NAME|total_cost",
    matches,
    read,
    free_text=True,
)
