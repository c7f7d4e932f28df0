"""How a committee is chosen among those a search finds, and how it is judged. A new option of the choice is a field of
`Selection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wisecommittee.errors import UsageError, option
from wisecommittee.option_checks import amount, flag, one_of, share, text, whole
from wisecommittee.options import check_fields, described

FOLDS, FITTED_FOLDS = 10, 5  # by default: of thresholds, and of policies that are fitted anew for each fold
MOST_FOLDS = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """The options of the choice that follows a search.

    Raises
    ------
    UsageError
        A value that is invalid whatever the store holds.
    """

    choose: str | None = described(
        None,
        "robust: the committee whose figures are expected to hold on new data; best: the best on the split that "
        "chooses, which flatters it.",
        shown="robust; with exact: best",
        check=one_of("robust", "best"),
    )
    folds: int | None = described(
        None,
        "Parts of the units, each of which one search does without and measures what it finds: the expected figures. "
        "0: none.",
        shown=f"{FOLDS}, with other policies than thresholds {FITTED_FOLDS}, where the search is small enough to be "
        "repeated so often",
        check=whole(0, MOST_FOLDS),
    )
    mix: bool = described(
        False,
        "Run one of two neighbouring committees of the frontier, drawn for each unit, so that the average cost is the "
        "target cost in expectation.",
        check=flag,
    )
    abstain_cost: float | None = described(
        None,
        "Give no answer where that is expected to cost less: an error costs 1, no answer costs this, 0 to 1.",
        check=share,
    )
    answered_accuracy: float | None = described(
        None,
        "Give no answer where the confidence is too low: the most answers of which this share, 0 to 1, is expected to "
        "be right on new data.",
        check=share,
    )
    group_by: str | None = described(
        None,
        "Column of the labels file in which units that belong together are equal (copies, crops of an image, turns of "
        "a conversation): groups stay whole in folds and in the units that a guarantee sets aside, and intervals rest "
        "on the number of groups.",
        shown="each unit by itself",
        check=text,
    )
    repeats: int = described(1, "How often the units are divided into folds anew.", check=whole(1, 100))
    seed: int = described(
        0, "Seed of the division into folds, and of the units that a guarantee sets aside.", check=whole(0)
    )
    reference: str | None = described(
        None,
        "The model that the committee is compared with.",
        shown="the model to match, else the best single model",
        check=text,
    )
    margin: float = described(
        0.005, "Loss of accuracy against the reference, 0 to 1, that is as good as none to the verdict.", check=share
    )
    min_speedup: float = described(
        1.0, "How many times cheaper than the reference the committee has to be for the verdict.", check=amount
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.folds == 1:
            raise UsageError(f"{option('folds', 1)}; expected 0 for none, or at least 2 parts of the units")
        if self.abstain_cost is not None and self.answered_accuracy is not None:
            raise UsageError(
                f"{option('abstain_cost', self.abstain_cost)} and "
                f"{option('answered_accuracy', self.answered_accuracy)} each say which units get no answer; leave one "
                f"of them out"
            )

    @property
    def abstains(self) -> bool:
        """Whether units may get no answer."""
        return self.abstain_cost is not None or self.answered_accuracy is not None

    def to_json(self) -> dict[str, Any]:
        """The options as `search --json` prints them in its query."""
        judged = ("folds", "group_by", "repeats", "seed", "reference", "margin", "min_speedup")
        names = ("choose", "mix", "abstain_cost", "answered_accuracy", *judged)
        return {name: getattr(self, name) for name in names}
