"""How a committee with guarantees looks on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from wisecommittee.errors import counted

from .console import out, table

if TYPE_CHECKING:
    from wisecommittee.searches.evaluation import Evaluation
    from wisecommittee.searches.guarantees.certificate import Certificate, CheckedStatement


def show_headline(certificate: Certificate) -> None:
    """Whether the statements hold, on top of the answer."""
    words = Text("GUARANTEED: ", style="bold green") if certificate.holds else Text("NOT SHOWN: ", style="bold yellow")
    stated = " and ".join(str(each.statement) for each in certificate.statements)
    out.print(words + Text(f"{stated} (delta {certificate.asked.delta:g}).", style="not bold default"), highlight=False)


def with_tested(val: Evaluation, certificate: Certificate) -> list[Evaluation]:
    """The figures on the units that chose, and those on the units that tested, where these have labels."""
    tested = certificate.figures
    if certificate.asked.guarantee_split is None:
        tested = replace(tested, split=f"{tested.split}, set aside")
    return [val, *([tested] if certificate.labelled else [])]


def show_statements(certificate: Certificate, seed: int, group_by: str | None = None) -> None:
    """The statements, on which units they were tested, and where the tests stopped."""
    asked = certificate.asked
    units = counted(certificate.figures.n, "unit")
    where = f"{units} of {certificate.figures.split}"
    if asked.guarantee_split is None:
        where += f", set aside with seed {seed}: another seed is a new test"
    title = "shown to hold on new units" if certificate.holds else "NOT shown to hold on new units"
    methods = ", ".join(dict.fromkeys(each.method for each in certificate.statements))
    of_groups = "" if group_by is None else " of a random unit of a new group"
    caption = (
        f"Tested ({methods}) on {where}. With probability {1 - asked.delta:g} no statement that is said to hold is "
        f"false{of_groups}. What these units would show is read off them; to rely on it, test it on new ones."
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
