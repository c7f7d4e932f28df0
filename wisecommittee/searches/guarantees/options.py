"""The options of a search with guarantees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wisecommittee.errors import UsageError, option
from wisecommittee.option_checks import text, texts
from wisecommittee.options import check_fields, described
from wisecommittee.searches.statements.parsing import parse_guarantee
from wisecommittee.searches.statements.statement import Guarantee


def _between_0_and_1(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise UsageError(f"{option(name, value)}; expected a number above 0 and below 1, such as 0.05")
    return float(value)


def _statements(name: str, value: Any) -> Sequence[str]:
    return [str(parse_guarantee(each)) for each in texts(name, value)]


@dataclass(frozen=True, slots=True)
class GuaranteeOptions:
    """What a search must guarantee, and which units test it."""

    guarantee: tuple[str, ...] | None = described(
        None,
        "Statement about new units that must hold with probability 1 - delta: 'accuracy >= best_single - 0.01' (or >= "
        "MODEL - 0.01, or >= 0.97 * best_single, or >= 0.95), 'agreement with MODEL >= 0.98', 'average_flops <= 4e9', "
        "'average_usd <= 0.4 * best_single', 'P(cost > 4e9) <= 0.05', "
        "'precision of CLASS >= 0.9', 'recall of CLASS >= 0.9'. May be repeated: then all hold together.",
        shown="none",
        check=lambda name, value: tuple(_statements(name, value)),
    )
    delta: float = described(
        0.05,
        "Most probability, over the draw of the units that test, that a statement is false.",
        check=_between_0_and_1,
    )
    guarantee_share: float | None = described(
        None,
        "Share of the units of the split that is set aside at random (--seed) to test the statements; the search does "
        "not see them. Another seed is a new test: do not try seeds until one succeeds.",
        shown="0.5, without --guarantee-split",
        check=_between_0_and_1,
    )
    guarantee_split: str | None = described(
        None, "Split whose units test the statements, instead of a share.", shown="none", check=text
    )

    def __post_init__(self) -> None:
        check_fields(self)
        given = [name for name in ("guarantee_share", "guarantee_split") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(map(option, given))}: choose one; units that test are of one split")
        if given and not self.guarantee:
            example = option("guarantee", "accuracy >= best_single - 0.01")
            raise UsageError(f"{option(given[0], getattr(self, given[0]))} sets units aside for a test; add {example}")

    @property
    def statements(self) -> tuple[Guarantee, ...]:
        return tuple(map(parse_guarantee, self.guarantee or ()))

    @property
    def share(self) -> float:
        return 0.5 if self.guarantee_share is None else self.guarantee_share

    def to_json(self) -> dict[str, Any]:
        """The options that decide the result, as they stand in the query of `search --json`."""
        out: dict[str, Any] = {"guarantee": list(self.guarantee or ()), "delta": self.delta}
        if self.guarantee_split is None:
            return out | {"guarantee_share": self.share}
        return out | {"guarantee_split": self.guarantee_split}
