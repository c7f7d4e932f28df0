"""The outcome of a test of statements about a committee."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from wisecommittee.errors import counted
from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.statements.statement import Guarantee


@dataclass(frozen=True, slots=True)
class CheckedStatement:
    """A statement about a committee, tested on units that did not choose it.

    Parameters
    ----------
    statement : Guarantee
    delta : float
        The most probability, over the draw of the units, that a committee is returned for which a statement is false.
    n : int
        Number of units that the test counts: of a precision, those predicted as the class; of a recall, those labelled
        as it.
    method : str
    p : float
        p-value of the hypothesis that the statement is false.
    holds : bool
        Whether all statements about the committee are shown together.
    smallest_margin : float
        The least margin with which the statement is shown at delta for this committee (Guarantee.at_margin); at most
        the margin of the statement, which is 0 unless it names one, if it is shown. It is read off the units of the
        test: to rely on it, test it on new units.
    calibration_hash : str
        Of the units of the test: their ids, labels and outputs.
    """

    statement: Guarantee
    delta: float
    n: int
    method: str
    p: float
    holds: bool
    smallest_margin: float
    calibration_hash: str

    @property
    def strongest(self) -> Guarantee:
        """The statement with its smallest margin, rounded to four digits to the weaker side."""
        number = self.statement.at_margin(self.smallest_margin).number
        size = 10.0 ** (math.floor(math.log10(abs(number))) - 3) if number else 1.0
        weaker = math.ceil if self.statement.of_cost else math.floor
        return self.statement.with_number(weaker(number / size) * size)

    def to_json(self) -> dict[str, Any]:
        return {
            "statement": str(self.statement),
            "delta": self.delta,
            "n": self.n,
            "method": self.method,
            "p": self.p,
            "holds": self.holds,
            "smallest_margin": self.smallest_margin,
            "calibration_hash": self.calibration_hash,
        }


@dataclass(frozen=True, slots=True)
class Certificate:
    """The tests of a path of committees, up to the first failure.

    Parameters
    ----------
    statements : tuple of CheckedStatement
        Of the committee that is returned: the last that passed, or the first of the path if none did.
    figures : Evaluation
        Of that committee on the units of the test.
    labelled : bool
        Whether these units have labels; without, the figures have no quality.
    asked : GuaranteeOptions
    path, passed : int
        Number of committees on the path, and of those that passed.
    failed : (Evaluation, tuple of CheckedStatement) or None
        The committee at which the tests stopped, on the units that chose; None if all passed.
    """

    statements: tuple[CheckedStatement, ...]
    figures: Evaluation
    labelled: bool
    asked: GuaranteeOptions
    path: int
    passed: int
    failed: tuple[Evaluation, tuple[CheckedStatement, ...]] | None

    @property
    def holds(self) -> bool:
        return self.passed > 0

    def of_groups(self, group_by: str) -> Certificate:
        """The same tests, whose units are one of each group by a column, as their method then says."""

        def said(statements: tuple[CheckedStatement, ...]) -> tuple[CheckedStatement, ...]:
            how = f"one unit of each group by {group_by}"
            return tuple(replace(each, method=f"{each.method}, {how}") for each in statements)

        failed = None if self.failed is None else (self.failed[0], said(self.failed[1]))
        return replace(self, statements=said(self.statements), failed=failed)

    def failure(self) -> str:
        """Why nothing is shown, in a line that says what could be."""
        assert self.failed is not None
        evaluation, statements = self.failed
        weak = [each for each in statements if each.p > each.delta]
        stated = " and ".join(repr(str(each.statement)) for each in weak)
        could = " and ".join(repr(str(each.strongest)) for each in weak)
        return (
            f"{stated}: not shown at delta {self.asked.delta:g} for the surest committee, "
            f"{evaluation.committee.label()}; {counted(weak[0].n, 'unit')} would show {could}; test with more units, "
            f"or test a weaker statement on new ones"
        )

    def to_json(self) -> dict[str, Any]:
        """The keys that `search --json` has with guarantees."""
        figures, failed = self.figures.figures(), None
        if not self.labelled:
            figures |= dict.fromkeys(("correct", "quality", "interval"))
        if self.failed is not None:
            chosen, statements = self.failed
            failed = {"committee": chosen.committee.to_json(), "guarantee": [each.to_json() for each in statements]}
        return {
            "guarantee": [each.to_json() for each in self.statements],
            "calibration": {
                "split": self.figures.split,
                **figures,
                "path": self.path,
                "passed": self.passed,
                "stopped_at": failed,
            },
        }
