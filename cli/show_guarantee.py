"""How a committee with guarantees looks on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wisecommittee.errors import counted

from .console import out, table

if TYPE_CHECKING:
    from wisecommittee.searches.choice import Choice
    from wisecommittee.searches.guarantees.certificate import Certificate, CheckedStatement


def show_guaranteed(choice: Choice, certificate: Certificate) -> None:
    """The committee on the units that chose it and on those that tested it, and the statements."""
    from .show import limited_figures, show_evaluations, show_references, show_thresholds

    asked, tested = certificate.asked, certificate.figures
    if asked.guarantee_split is None:
        tested = replace(tested, split=f"{tested.split}, set aside")
    evaluations = [
        choice.val,
        *([tested] if certificate.labelled else []),
        *([choice.test] if choice.test else []),
    ]
    show_evaluations(evaluations, [limited_figures(choice, e) for e in evaluations], choice.lacking)
    show_thresholds(choice.val)
    show_references(choice)
    _show_statements(certificate, choice.selection.seed)


def _show_statements(certificate: Certificate, seed: int) -> None:
    asked = certificate.asked
    units = counted(certificate.figures.n, "unit")
    where = f"{units} of {certificate.figures.split}"
    if asked.guarantee_split is None:
        where += f", set aside with seed {seed}: another seed is a new test"
    title = "guaranteed of new units" if certificate.holds else "NOT guaranteed of new units"
    methods = ", ".join(dict.fromkeys(each.method for each in certificate.statements))
    caption = (
        f"Tested on {where} ({methods}). With probability {1 - asked.delta:g} no statement that is said to hold is "
        f"false. What these units would show is read off them; to rely on it, test it on new ones."
    )
    table(title, COLUMNS, [_row(each) for each in certificate.statements], caption)
    out.print(f"  {certificate.passed} of {counted(certificate.path, 'committee')} on the way passed, surest first")
    if certificate.failed is not None:
        evaluation, statements = certificate.failed
        out.print(f"  the first that did not: {evaluation.committee.label()}; {_short_of(statements)}")


COLUMNS = [("statement", "left"), ("holds", "left"), ("units", "right"), ("these units would show", "left")]


def _row(each: CheckedStatement) -> list[str]:
    return [str(each.statement), "yes" if each.holds else "no", f"{each.n:,}", str(each.strongest)]


def _short_of(statements: Sequence[CheckedStatement]) -> str:
    return "it would show " + " and ".join(str(each.strongest) for each in statements if each.p > each.delta)
