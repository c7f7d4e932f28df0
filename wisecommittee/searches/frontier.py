"""The result of one search: its committees by rising cost and rising quality, and the questions it answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from wisecommittee.errors import InfeasibleError, StoreError, UsageError
from wisecommittee.reading import FRONTIER
from wisecommittee.searches.evaluation import FIGURES, Evaluation
from wisecommittee.searches.frontier_file import read_frontier
from wisecommittee.searches.query import AXES, Query
from wisecommittee.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd

COSTS = {axis: FIGURES[axis].of() for axis in AXES}  # axis of a search -> figure, average_cost
HOW = {"average": "on average", "worst": "in the worst case", "p99": "for 99 % of the units"}  # .. in words


@dataclass(frozen=True, slots=True)
class Frontier:
    """The exact cost / quality frontier of one search; cost is the average unless the search says otherwise (`axis`).

    evaluations : by strictly rising cost and quality, on the split that chose them; singles : every model of
    the pool by itself, by cost. query : what was asked, defaults filled in, models as names. searched :
    {"combinations", "threshold_vectors", "exact", "seconds"}. store : where the models are; quality : name of the
    task's quality. A worst-case limit is part of the search: filtering a frontier afterwards would lose committees.
    """

    evaluations: tuple[Evaluation, ...]
    singles: tuple[Evaluation, ...]
    query: Query = field(default_factory=Query)
    searched: Mapping[str, Any] = field(default_factory=dict)
    store: str = ""
    quality: str = ""

    def __len__(self) -> int:
        return len(self.evaluations)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.evaluations)

    def __repr__(self) -> str:
        first, last = self.evaluations[0], self.evaluations[-1]
        return (
            f"Frontier({len(self)} committees on {first.split}, quality {first.quality:.4f}..{last.quality:.4f}, "
            f"average {first.committee.cost} {first.average_cost:.4g}..{last.average_cost:.4g})"
        )

    @property
    def cost(self) -> str:
        return self.evaluations[0].committee.cost

    @property
    def axis(self) -> str:
        """What the frontier is over: 'average', 'worst' or 'p99' of its cost."""
        return self.query.axis

    def asked(self) -> dict[str, Any]:
        """The query as JSON, with the store and the quality that it was asked of."""
        return {"store": self.store, **self.query.to_json(), "quality": self.quality}

    def x(self, evaluation: Evaluation) -> float:
        """The cost that the frontier is over."""
        return float(getattr(evaluation.cost, self.axis))

    def within(
        self,
        average_flops: float | None = None,
        *,
        average_cost: float | None = None,
        worst_case_cost: float | None = None,
        p99_cost: float | None = None,
    ) -> Evaluation:
        """The most accurate committee whose cost, the one the frontier is over, does not exceed the target;
        InfeasibleError names the nearest."""
        given = {"average_cost": average_cost, "worst_case_cost": worst_case_cost, "p99_cost": p99_cost}
        if average_flops is not None:
            if self.cost != "flops":
                raise UsageError(f"this frontier is in {self.cost}, not FLOPs; use within({COSTS[self.axis]}=..)")
            given["average_flops"] = average_flops
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise UsageError(f"within: name one target, {COSTS[self.axis]}=..")
        if named[0].replace("flops", "cost") != COSTS[self.axis]:
            raise UsageError(
                f"this frontier is over {COSTS[self.axis]}; use within({COSTS[self.axis]}=..), or search with axis="
                f"{next(axis for axis, name in COSTS.items() if name == named[0].replace('flops', 'cost'))!r}"
            )
        limit = _target(given[named[0]], "target cost")
        fitting = [e for e in self.evaluations if Fraction(self.x(e)) <= Fraction(limit)]
        if not fitting:
            least = self.evaluations[0]
            raise InfeasibleError(
                f"no committee costs at most {limit:,.12g} {self.cost} {HOW[self.axis]}; "
                f"the cheapest is {least.committee.label()} at {self.x(least):,.12g}"
            )
        return fitting[-1]

    def skyline(self, x: str) -> tuple[Evaluation, ...]:
        """These committees over another cost, such as average_latency_ms or worst_case_cost: those of them that none
        beats, by rising cost and quality.

        A view on what was found: the best committees over that cost may not be on this frontier. `search` finds them
        with cost= and axis=.
        """
        return skyline(self.evaluations, x)

    def matching(self, quality: float) -> Evaluation:
        """The cheapest committee of at least this quality, in [0, 1]; InfeasibleError names the nearest."""
        wanted = _target(quality, "target accuracy")
        if wanted > 1:
            raise UsageError(f"target accuracy {wanted:g}; expected a share from 0 to 1, for example {wanted / 100:g}")
        for evaluation in self.evaluations:
            if evaluation.quality >= wanted:
                return evaluation
        best = self.best()
        raise InfeasibleError(
            f"no committee reaches {wanted:.6g} on {best.split}; "
            f"the best is {best.committee.label()} with {best.quality:.6g}"
        )

    def best(self) -> Evaluation:
        """The most accurate committee, at whatever cost the search allowed."""
        return self.evaluations[-1]

    def best_single(self) -> Evaluation:
        """The most accurate model by itself; of equals the cheapest."""
        return max(self.singles, key=lambda e: (e.quality, -e.average_cost))

    def cheapest_single_matching(self, quality: float) -> Evaluation | None:
        """The cheapest model that alone is at least this good, or None."""
        as_good = [e for e in self.singles if e.quality >= quality]
        return min(as_good, key=lambda e: (self.x(e), -e.quality), default=None)

    def speedup(self, evaluation: Evaluation) -> float | None:
        """Cost of the cheapest single model as accurate over the committee's; None if there is none, or if the
        committee costs nothing."""
        single, cost = self.cheapest_single_matching(evaluation.quality), self.x(evaluation)
        return None if single is None or not cost else self.x(single) / cost

    def to_frame(self) -> pd.DataFrame:
        """One row per committee: figures, stages, thresholds; `kind` is 'frontier' or 'single' (the models by
        themselves)."""
        import pandas as pd

        rows = []
        for kind, some in (("frontier", self.evaluations), ("single", self.singles)):
            for e in some:
                low, high = e.interval
                rows.append(
                    {
                        "kind": kind,
                        "committee": e.committee.label(),
                        "shape": e.committee.shape,
                        "members": len(e.committee.models),
                        "split": e.split,
                        "n": e.n,
                        "correct": float(e.correct),
                        "quality": e.quality,
                        "low": low,
                        "high": high,
                        **e.own_figures(),
                        **{
                            FIGURES[field].of(name): value
                            for name, cost in e.further.items()
                            for field, value in cost._asdict().items()
                        },
                        "thresholds": list(e.committee.thresholds),
                        "exit_ratios": list(e.exit_ratios),
                        "graded": e.graded_interval is not None,
                        "measure": e.measure,
                        "json": json.dumps(e.committee.to_json()),
                    }
                )
        return pd.DataFrame(rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as Parquet: `to_frame` with query and searched in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self.to_frame(), preserve_index=False)
        further = list(self.evaluations[0].further)
        about = json.dumps({"query": self.asked(), "searched": dict(self.searched), "further": further})
        with written_whole(path, StoreError) as file:
            pq.write_table(table.replace_schema_metadata({FRONTIER: about.encode()}), file, write_page_checksum=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Frontier:
        """Read what `save` wrote; StoreError for anything else."""
        found = read_frontier(path)
        made = cls(found.evaluations, found.singles, found.query, found.searched, found.store, found.quality)
        if any(a.quality >= b.quality or made.x(a) >= made.x(b) for a, b in pairwise(made.evaluations)):
            raise StoreError(f"{os.fspath(path)!r}: its committees do not rise in cost and quality; write it again")
        if len({e.committee.cost for e in made.evaluations + made.singles}) > 1:
            raise StoreError(f"{os.fspath(path)!r}: committees with different costs; write it again")
        return made


def skyline(evaluations: Iterable[Evaluation], cost: str = "average_cost") -> tuple[Evaluation, ...]:
    """By rising cost of that name, keeping only rising quality."""
    kept: list[Evaluation] = []
    for point in sorted(evaluations, key=lambda e: (e.cost_named(cost), -e.quality, e.average_cost)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return tuple(kept)


def _target(value: float | None, noun: str) -> float:
    if value is None:
        raise UsageError(f"{noun}: name a number")
    number = float(value)
    if not number >= 0 or number == float("inf"):
        raise UsageError(f"{noun} {value!r}; expected a finite number from 0")
    return number
