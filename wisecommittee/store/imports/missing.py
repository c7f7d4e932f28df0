"""Units that a model did not answer: what is stored for them.

The answer is the empty text, which is never right. Its stored scores are the least or the largest float32, so that the
unit goes on to the next stage, or exits at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.scale import LARGEST, LEAST
from wisecommittee.errors import ContentError, UnknownNameError, counted, option
from wisecommittee.store.rows import ModelRows

Number = TypeVar("Number", np.float32, np.float64)
ESCALATE, WRONG, SKIP = "escalate", "wrong", "skip"
MISSING = {
    ESCALATE: "units without an answer run the next stage; after the last they count as wrong",
    WRONG: "units without an answer exit and count as wrong",
    SKIP: "units that not every model answered are left out",
}


def check_option(missing: str | None) -> None:
    """UnknownNameError for anything but a name in MISSING or None."""
    if missing is not None and missing not in MISSING:
        raise UnknownNameError(f"value of {option('missing')}", missing, MISSING)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """How many units lack an answer.

    Attributes
    ----------
    by_model : {model: int}
        Models that answered every unit are left out.
    units : int
        Number of units that at least one model did not answer.
    of : int
        Number of all units.
    example : str
        A unit that a model did not answer, and where, for messages.
    """

    by_model: Mapping[str, int]
    units: int
    of: int
    example: str = ""

    def refuse(self) -> None:
        """ContentError that says what is missing and how to go on."""
        shown = ", ".join(f"{model} {n:,}" for model, n in list(self.by_model.items())[:6])
        more = f" and {counted(len(self.by_model) - 6, 'more model')}" if len(self.by_model) > 6 else ""
        raise ContentError(
            f"{counted(self.units, 'unit')} of {self.of:,} without an answer of every model ({shown}{more}), such as "
            f"{self.example}; say what becomes of them with {option('missing', placeholder='escalate')}, wrong or skip"
        )


def filled(rows: ModelRows, unanswered: NDArray[np.bool_], missing: str) -> tuple[ModelRows, dict[str, float]]:
    """Rows with the values that are stored for units without an answer, and {cost: value} of costs that were filled.

    A grade is 0. A cost that is not known (NaN) is the mean over the units that were answered, where there is one.

    Parameters
    ----------
    rows : ModelRows
        With '' as the answer of these units.
    unanswered : bool [n]
    missing : str
        'escalate' or 'wrong'.
    """
    if not unanswered.any():
        return rows, {}
    score = np.float32(LEAST if missing == ESCALATE else LARGEST)
    costs, used = {}, {}
    for name, column in rows.unit_costs.items():
        unknown = unanswered & np.isnan(column)
        if unknown.any() and not unanswered.all():
            used[name] = float(column[~unanswered].mean())
            column = np.where(unknown, used[name], column)
        costs[name] = column
    done = replace(
        rows,
        quality=None if rows.quality is None else np.where(unanswered, np.float32(0), rows.quality),
        scores={name: np.where(unanswered, score, column) for name, column in rows.scores.items()},
        unit_costs=costs,
    )
    return done, used


def on_all_units(rows: ModelRows, units: Sequence[str]) -> tuple[ModelRows, NDArray[np.bool_]]:
    """The rows of a model on these N units, '' and NaN where it has none; and whether it did not answer, bool [N]."""
    place = {unit: row for row, unit in enumerate(rows.unit_ids)}
    at = np.fromiter((place.get(unit, -1) for unit in units), np.int64, len(units))

    def spread(column: NDArray[Number]) -> NDArray[Number]:
        return np.where(at < 0, column.dtype.type(np.nan), column[at])

    answers = rows.answers or []
    said = [answers[row] if row >= 0 else "" for row in at.tolist()]
    wide = ModelRows(
        list(units),
        answers=said,
        quality=None if rows.quality is None else spread(rows.quality),
        scores={name: spread(column) for name, column in rows.scores.items()},
        unit_costs={name: spread(column) for name, column in rows.unit_costs.items()},
    )
    return wide, np.array([not text for text in said])


def answered_by_all(models: Sequence[ModelRows], units: Sequence[str]) -> list[str]:
    """The units that every model answered; ContentError if there is none."""
    counts = Counter(
        unit for rows in models for unit, text in zip(rows.unit_ids, rows.answers or (), strict=True) if text
    )
    kept = [unit for unit in units if counts[unit] == len(models)]
    if not kept:
        raise ContentError("no unit has an answer of every model; leave a model out")
    return kept


def said_of(model: str, used: Mapping[str, float], units: int) -> str:
    """What is said of costs that `filled` filled."""
    shown = ", ".join(f"{cost} {value:.4g}" for cost, value in used.items())
    return (
        f"{model}: {counted(units, 'unit')} without an answer cost what its other units cost on average where the log "
        f"has no cost, {shown}"
    )


def recorded(card: ModelCard, unanswered: int, missing: str | None) -> ModelCard:
    """The card with the number of units that have no answer, and the option by which they were stored."""
    if not unanswered:
        return card
    return replace(card, meta={**card.meta, "unanswered": unanswered, "missing": missing})
