"""Which options of a study a table or a plot can show. It refuses all others instead of ignoring them."""

from __future__ import annotations

from dataclasses import dataclass

from wisecommittee.analyses.study import Study
from wisecommittee.errors import UsageError, option

MANY = 1000


@dataclass(frozen=True, slots=True)
class Uses:
    """The options of a study that a table or a plot can show.

    Parameters
    ----------
    committees : int
        Largest number of committees that may be given with --committee.
    published : str
        Unit of the papers' rows or points: 'flops', 'own' (a cost of the papers), or '' if there are no such rows.
    curves : bool
        Whether it draws learning curves.
    mixed : bool
        Whether the committees may differ in the cost that they count.
    """

    committees: int = 0
    published: str = ""
    curves: bool = False
    mixed: bool = False

    def check(self, what: str, study: Study) -> None:
        """UsageError if the study has an option that cannot be shown.

        Parameters
        ----------
        what : str
            Name of the table or plot in messages, such as 'table match'.
        study : Study
        """
        given = len(study.committees)
        if given and not self.committees:
            raise UsageError(
                f"{what} is not about given committees; leave {option('committees', flag='committee')} out"
            )
        if given > self.committees:
            raise UsageError(f"{what} shows {_number(self.committees)}, and {given} were given; name one at a time")
        if not self.mixed and len(costs := {committee.cost for committee in study.committees}) > 1:
            raise UsageError(f"{what}: committees that count {' and '.join(sorted(costs))} share no axis and no column")
        if study.published and not self.published:
            raise UsageError(f"{what}: the papers print nothing in this layout; leave {option('published', True)} out")
        if study.published and given:
            raise UsageError(
                f"{what}: the papers' rows stand beside a whole pool; leave {option('committees', flag='committee')} "
                f"or {option('published', True)} out"
            )
        if study.published and self.published == "flops" and study.cost != "flops":
            raise UsageError(
                f"{what}: the papers' figures are in FLOPs, not {study.cost}; leave {option('published', True)} out"
            )
        if study.curves and not self.curves:
            raise UsageError(f"{what} draws no learning curves; leave {option('curves')} out")


NOTHING = Uses()


def _number(most: int) -> str:
    return "one committee" if most == 1 else f"{most} committees at most"
