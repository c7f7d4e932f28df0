"""A chosen committee: its figures, the single models beside it, and the evidence for it, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wisecommittee.searches.evaluation import Evaluation
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.provenance import recorded, recorded_costs
from wisecommittee.searches.resampling.evidence import Evidence
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.small_networks import small_networks
from wisecommittee.searches.target import Target
from wisecommittee.store import LogitStore

if TYPE_CHECKING:
    from wisecommittee.searches.guarantees.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Choice:
    """A committee of a frontier on the split that chose it and on test, and the single models it is compared with.

    Parameters
    ----------
    val, test
        The committee on the split that chose it and on the test split; None where the store has no such split.
    target
        What the committee was chosen for; None: the most accurate of the frontier.
    matched
        The model or the ensemble that the target names, on val; None with another target.
    lacking
        Members that the test split does not have, so that the committee has no figures there.
    left_out
        By split, the number of units that the model from which labels are taken does not answer; None without one.
    alone_on_test
        The single models above and the ensemble to match on the test split, by their members; without those that it
        lacks.
    speedup
        Cost of the cheapest single model as accurate over the committee's cost, both on val.
    evidence
        Expected figures, the comparison with a reference and the verdict.
    selection
        How the committee was chosen, with every default filled in.
    best_on_val
        The committee of the best figures on the split that chooses, beside a robust choice.
    certificate
        The tests of the statements that the committee was to satisfy; None where there are none.
    """

    frontier: Frontier
    target: Target | None
    val: Evaluation
    test: Evaluation | None
    best_single: Evaluation
    cheapest_single: Evaluation | None
    speedup: float | None
    matched: Evaluation | None = None
    lacking: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    selection: Selection = field(default_factory=lambda: Selection(choose="best", folds=0))
    best_on_val: Evaluation | None = None
    certificate: Certificate | None = None
    left_out: Mapping[str, int] | None = None
    alone_on_test: Mapping[tuple[str, ...], Evaluation] = field(default_factory=dict)

    def on_test(self, reference: Evaluation) -> Evaluation | None:
        """A single model of this choice, or the ensemble to match, on the test split."""
        return self.alone_on_test.get(reference.committee.models)

    def figures(self, evaluation: Evaluation) -> dict[str, Any]:
        """The figures of an evaluation, with the percentile and the further averages that the query limits."""
        out, query = evaluation.figures(), self.frontier.query
        if query.max_percentile_cost is not None:
            percent = query.max_percentile_cost[0]
            out["percentile_cost"] = {"percent": percent, "cost": evaluation.percentile(float(percent))}
        if query.max_average:
            out["averages"] = {name: evaluation.costs[name].average for name in query.max_average}
        return out

    def asked(self) -> dict[str, Any]:
        """The whole query as JSON: of the search, of the choice, and of the guarantee."""
        target = {} if self.target is None else self.target.to_json()
        guarantee = {} if self.certificate is None else self.certificate.asked.to_json()
        return {**self.frontier.asked(), **target, **self.selection.to_json(), **guarantee}

    def recorded(self, store: LogitStore) -> Choice:
        """The choice whose committee says what it was chosen with, in the store that was searched."""
        if self.frontier.record is None:
            return self
        committee, split = self.val.committee, self.val.split
        cards = [store.card(model, split) for model in committee.models]
        committee = replace(committee, **recorded_costs(store, split, cards, committee.cost))
        committee = recorded(committee, {**self.frontier.record, "query": self.asked()})
        test = None if self.test is None else replace(self.test, committee=committee)
        return replace(self, val=replace(self.val, committee=committee), test=test)

    @property
    def small_networks(self) -> str | None:
        """A sentence if a saving in multiply-adds may not be one of time: of the committee, or without a target of any
        on the frontier."""
        return small_networks([self.val, *(self.frontier if self.target is None else ())])

    def to_json(self) -> dict[str, Any]:
        """The object `search --json` prints; without a target it also lists the frontier."""
        out: dict[str, Any] = {
            "query": self.asked(),
            "searched": dict(self.frontier.searched),
            "committee": self.val.committee.to_json(),
            "val": self.figures(self.val),
            "test": None if self.test is None else self.figures(self.test),
            "test_lacks": list(self.lacking),
            "references": {
                "best_single": self._reference(self.best_single),
                "cheapest_single_as_accurate": self._reference(self.cheapest_single),
                "matched": self._reference(self.matched),
            },
            "speedup": self.speedup,
            "small_networks": self.small_networks,
            **self.evidence.to_json(self.selection.margin),
            "best_on_val": None
            if self.best_on_val is None
            else {"committee": self.best_on_val.committee.to_json(), **self.figures(self.best_on_val)},
        }
        if self.left_out is not None:
            out["left_out"] = dict(self.left_out)
        if self.certificate is not None:
            out |= self.certificate.to_json()
        if self.target is None:
            expected = self.frontier.expected or (None,) * len(self.frontier)
            out["frontier"] = [
                {
                    "committee": replace(e.committee, provenance=None).to_json(),
                    "val": self.figures(e),
                    "expected": None if figures is None else figures.to_json(),
                }
                for e, figures in zip(self.frontier, expected, strict=True)
            ]
        return out

    def _reference(self, e: Evaluation | None) -> dict[str, Any] | None:
        """The JSON of a model by itself, or of an ensemble, whose members are its `models`; and on the test split."""
        if e is None:
            return None
        models, test = e.committee.models, self.on_test(e)
        out: dict[str, Any] = {"models": list(models)} if len(models) > 1 else {"model": models[0]}
        out |= {"quality": e.quality, "cost": e.average_cost}
        if e.committee.cost == "flops":
            out["flops"] = e.average_cost
        return out | {
            "test": None if test is None else {"quality": test.quality, "cost": test.average_cost, "n": test.n}
        }
