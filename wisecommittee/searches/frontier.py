"""The result of one search: committees by rising cost and quality, and methods that choose among them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import InfeasibleError, StoreError, UsageError
from wisecommittee.reading import FRONTIER
from wisecommittee.searches.evaluation import FIGURES, Evaluation, figure_on, words_on
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.expected_columns import expected_columns
from wisecommittee.searches.frontier_file import read_frontier
from wisecommittee.searches.hull import mixed
from wisecommittee.searches.provenance import Record, record_of_search, recorded, recorded_costs
from wisecommittee.searches.query import AXES, Query
from wisecommittee.store import LogitStore
from wisecommittee.store.parquet.tables import write_parquet

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Frontier:
    """The cost / quality frontier of one search.

    A worst-case limit has to be given to the search: committees that keep it may lack on a frontier searched without
    it.

    Parameters
    ----------
    evaluations : tuple of Evaluation
        Committees on the split that chose them, by strictly rising cost and quality. Cost is the figure that the
        query's `axis` names.
    singles : tuple of Evaluation
        Every model of the pool as a committee of one, by cost.
    query : Query
        The query of the search, with every default filled in; its models are names.
    searched : {name: value}
        Counts and properties of the search: "combinations", "threshold_vectors", "method", "complete", "exact",
        "seconds".
    store : str
        The URI of the store that holds the models.
    quality : str
        The name of the task's quality.
    expected : tuple of Expected
        For each committee, the figures that the search without each fold gives at its cost; empty if they were not
        estimated.
    record : {"versions", "store", "query", "searched"} or None
        The provenance of its committees (provenance.py), with the outputs of all models.

    Examples
    --------
    >>> frontier = search(store, max_models=3)                                  # doctest: +SKIP
    >>> frontier.within(average_flops=4e9).committee.save("committee.json")     # doctest: +SKIP
    """

    evaluations: tuple[Evaluation, ...]
    singles: tuple[Evaluation, ...]
    query: Query = field(default_factory=Query)
    searched: Mapping[str, Any] = field(default_factory=dict)
    store: str = ""
    quality: str = ""
    expected: tuple[Expected, ...] = ()
    record: Record | None = None

    def __post_init__(self) -> None:
        if len(self.expected) not in (0, len(self.evaluations)):
            raise UsageError(
                f"expected figures of {len(self.expected)} committees and a frontier of {len(self.evaluations)}; "
                "expected one for each committee, or none"
            )

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
        """Name of the cost that the committees are charged in, such as 'flops'."""
        return self.evaluations[0].committee.cost

    @property
    def axis(self) -> str:
        """The figure of the cost that rises along the frontier: 'average', 'worst' or a percentile, as 'p99'."""
        return self.query.axis

    def asked(self) -> dict[str, Any]:
        """The query as JSON, with the URI of the store and the name of the quality."""
        return {"store": self.store, **self.query.to_json(), "quality": self.quality}

    def recorded(self, store: LogitStore, cards: Sequence[StoredCard]) -> Frontier:
        """The frontier whose committees record what they were chosen with, and what their members cost.

        cards : of all models that were searched, in the store.
        """
        record = record_of_search(store, cards, self.asked(), self.searched)
        members = {model for e in (*self.evaluations, *self.singles) for model in e.committee.models}
        used = [card for card in cards if card.model in members]
        costs = recorded_costs(store, self.query.split, used, self.cost)

        def of(e: Evaluation) -> Evaluation:
            return replace(e, committee=recorded(replace(e.committee, **costs), record))

        return replace(
            self, evaluations=tuple(map(of, self.evaluations)), singles=tuple(map(of, self.singles)), record=record
        )

    def x(self, evaluation: Evaluation) -> float:
        """The cost of an evaluation along the frontier: its figure named `axis`, in units of the cost."""
        return evaluation.on(self.axis)

    def within(
        self,
        average_flops: float | None = None,
        *,
        average_cost: float | None = None,
        worst_case_cost: float | None = None,
        p99_cost: float | None = None,
        cost: float | None = None,
        mix: bool = False,
        seed: int = 0,
    ) -> Evaluation:
        """The most accurate committee whose cost does not exceed a limit.

        Parameters
        ----------
        average_flops, average_cost, worst_case_cost, p99_cost, cost : float
            Exactly one of them: the largest cost, for the figure that the frontier is over; `cost` stands for it,
            whichever it is.
        mix : bool
            Also mixtures of two committees, which meet an average cost in expectation; they are evaluated on the
            frontier's store.
        seed : int
            Of the draw of a mixture.

        Returns
        -------
        Evaluation

        Raises
        ------
        UsageError
            Not exactly one limit is given, or it is for another figure or cost than the frontier's.
        InfeasibleError
            No committee is that cheap; the message names the cheapest.
        """
        figure = figure_on(self.axis).of()
        given = {"average_cost": average_cost, "worst_case_cost": worst_case_cost, "p99_cost": p99_cost}
        if cost is not None:
            given[figure] = cost
        if average_flops is not None:
            if self.cost != "flops":
                raise UsageError(f"this frontier is in {self.cost}, not FLOPs; use within({figure}=..)")
            given["average_flops"] = average_flops
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise UsageError(f"within: name one target, {figure}=..")
        if (other := named[0].replace("flops", "cost")) != figure:
            raise UsageError(
                f"this frontier is over {figure}; use within({figure}=..), or search with axis="
                f"{next(axis for axis in AXES if figure_on(axis).of() == other)!r}"
            )
        limit = _target(given[named[0]], "target cost")
        fitting = [e for e in self.evaluations if Fraction(self.x(e)) <= Fraction(limit)]
        if not fitting:
            least = self.evaluations[0]
            raise InfeasibleError(
                f"no committee costs at most {limit:,.12g} {self.cost} {words_on(self.axis)}; "
                f"the cheapest is {least.committee.label()} at {self.x(least):,.12g}"
            )
        if not mix:
            return fitting[-1]
        if self.axis != "average":
            raise UsageError(f"a mixture meets an average cost, and this frontier is over {figure}")
        from wisecommittee.searches.evaluate import evaluate

        mixture = recorded(mixed(self.evaluations, float(limit), seed), self.record)
        return evaluate(mixture, self.store, self.query.split)

    def skyline(self, x: str) -> tuple[Evaluation, ...]:
        """The committees of this frontier that no other of them beats over another cost, by rising cost and quality.

        The best committees over that cost may not be on this frontier. `search` finds them with cost= and axis=.

        Parameters
        ----------
        x : str
            A figure of a cost, such as 'average_latency_ms' or 'worst_case_cost'.

        Returns
        -------
        tuple of Evaluation

        Raises
        ------
        UnknownNameError
            The committees have no such cost.
        """
        return skyline(self.evaluations, x)

    def matching(self, quality: float) -> Evaluation:
        """The cheapest committee of at least this quality.

        Parameters
        ----------
        quality : float
            In [0, 1].

        Returns
        -------
        Evaluation

        Raises
        ------
        UsageError
            The quality is not a number in [0, 1].
        InfeasibleError
            No committee is that good; the message names the best.
        """
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
        """The most accurate committee of the frontier."""
        return self.evaluations[-1]

    def best_single(self) -> Evaluation:
        """The most accurate single model; the cheapest of several that are equally accurate."""
        return max(self.singles, key=lambda e: (e.quality, -e.average_cost))

    def cheapest_single_matching(self, quality: float) -> Evaluation | None:
        """The cheapest single model of at least this quality in [0, 1], or None."""
        as_good = [e for e in self.singles if e.quality >= quality]
        return min(as_good, key=lambda e: (self.x(e), -e.quality), default=None)

    def speedup(self, evaluation: Evaluation, quality: float | None = None) -> float | None:
        """How many times less a committee costs than the cheapest single model that is as accurate.

        Parameters
        ----------
        evaluation : Evaluation
        quality : float, optional
            The committee's quality in [0, 1], such as the one to expect on new units; by default the evaluation's.

        Returns
        -------
        float or None
            None if no single model is as accurate, or if the committee costs nothing.
        """
        single = self.cheapest_single_matching(evaluation.quality if quality is None else quality)
        cost = self.x(evaluation)
        return None if single is None or not cost else self.x(single) / cost

    def to_frame(self) -> pd.DataFrame:
        """The frontier and the single models as a table.

        Returns
        -------
        DataFrame
            One row per committee: figures, stages and thresholds. The column `kind` is 'frontier', or 'single' for a
            single model. Quality is in [0, 1], costs are in their own units. `answered` is the number of units with an
            answer, where committees abstain. `distributions` is the JSON of percentiles and shares of units, where
            there are any. `expected_quality` and its neighbours are
            there if they were estimated.
        """
        import pandas as pd

        rows, partly = [], any(e.answered is not None for e in self.evaluations)
        distributed = any(e.distributions for e in (*self.evaluations, *self.singles))
        for kind, evaluations in (("frontier", self.evaluations), ("single", self.singles)):
            for index, e in enumerate(evaluations):
                expected = self.expected[index : index + 1] if kind == "frontier" else ()
                (low, high), committee = e.interval, replace(e.committee, provenance=None).to_json()
                rows.append(
                    {
                        "kind": kind,
                        "committee": e.committee.label(),
                        "shape": e.committee.shape,
                        "policy": e.committee.policy.kind,
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
                        "thresholds": committee["thresholds"],
                        "exit_ratios": list(e.exit_ratios),
                        **({"answered": None if e.answered is None else float(e.answered)} if partly else {}),
                        **({"distributions": _distributions(e)} if distributed else {}),
                        **(expected_columns(expected[0]) if expected else {}),
                        "graded": e.graded_interval is not None,
                        "measure": e.measure,
                        "json": json.dumps(committee),
                    }
                )
        return pd.DataFrame(rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet file: the table of `to_frame`, with query and searched in the file's metadata."""
        further = list(self.evaluations[0].further)
        about = json.dumps(
            {"query": self.asked(), "searched": dict(self.searched), "further": further, "record": self.record}
        )
        write_parquet(path, self.to_frame(), {FRONTIER: about.encode()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Frontier:
        """Read a file that `save` wrote.

        Raises
        ------
        StoreError
            The file is not a saved frontier.
        """
        contents = read_frontier(path)
        frontier = cls(
            contents.evaluations,
            contents.singles,
            contents.query,
            contents.searched,
            contents.store,
            contents.quality,
            contents.expected,
            contents.record,
        )
        if any(a.quality >= b.quality or frontier.x(a) >= frontier.x(b) for a, b in pairwise(frontier.evaluations)):
            raise StoreError(f"{os.fspath(path)!r}: its committees do not rise in cost and quality; write it again")
        if len({e.committee.cost for e in frontier.evaluations + frontier.singles}) > 1:
            raise StoreError(f"{os.fspath(path)!r}: committees with different costs; write it again")
        return frontier


def skyline(evaluations: Iterable[Evaluation], cost: str = "average_cost") -> tuple[Evaluation, ...]:
    """The evaluations by rising cost that are better than all cheaper ones; `cost` as of `cost_named`."""
    kept: list[Evaluation] = []
    for point in sorted(evaluations, key=lambda e: (e.cost_named(cost), -e.quality, e.average_cost)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return tuple(kept)


def _distributions(e: Evaluation) -> str:
    return json.dumps({name: each.to_json() for name, each in e.distributions.items()})


def _target(value: float | None, noun: str) -> float:
    if value is None:
        raise UsageError(f"{noun}: name a number")
    number = float(value)
    if not number >= 0 or number == float("inf"):
        raise UsageError(f"{noun} {value!r}; expected a finite number from 0")
    return number
