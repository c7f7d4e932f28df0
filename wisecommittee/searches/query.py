"""The query of a search. A new search option is a field of `Query`: its default, its check, its meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from wisecommittee.errors import UsageError, option
from wisecommittee.option_checks import amount, amounts, flag, one_of, percentile, text, texts, whole
from wisecommittee.options import check_fields, described
from wisecommittee.searches.percentile import named, percent_of
from wisecommittee.searches.statements.parsing import parse_guarantee
from wisecommittee.searches.statements.statement import Guarantee

AXES = ("average", "worst", "p99")  # and any other percentile, such as p99.9
REPLICAS = ("canonical", "all")
MOST_LEVELS = 4096


def _axis(name: str, value: Any) -> str:
    """average, worst or a percentile, in its shortest form."""
    percent = percent_of(value) if isinstance(value, str) else None
    if percent is None and isinstance(value, str) and re.fullmatch(r"p-?[\d.]+", value):
        raise UsageError(f"{option(name, value)}; expected a percentile above p0 and up to p100, such as p99.9")
    return one_of(*AXES)(name, value) if percent is None else named(percent)


def _limits(name: str, value: Any) -> tuple[str, ...] | None:
    """Statements about costs, as they are written in the query."""
    statements = [parse_guarantee(each) for each in texts(name, value)]
    for each in statements:
        if not each.of_cost:
            raise UsageError(
                f"{option(name, str(each))} is no limit on a cost, as 'P(latency_ms > 800) <= 0.05' is; a statement "
                f"about answers can be a {option('guarantee', placeholder='STATEMENT')}"
            )
        if each.model is not None:
            raise UsageError(
                f"{option(name, str(each))}: a limit is a number in units of the cost, not a model's cost; compare "
                f"with a model in a {option('guarantee', placeholder='STATEMENT')}"
            )
    return tuple(map(str, statements)) or None


@dataclass(frozen=True, slots=True)
class Query:
    """Every option that decides what a search finds.

    Frozen: `dataclasses.replace` makes another one. A frontier carries the query that found it with every default
    filled in; its `models` are then names as they stand, no globs.

    Raises
    ------
    UsageError
        A value that is invalid whatever the store holds.
    """

    split: str = described("val", "Split that chooses; test is refused, it reports.", check=text)
    models: tuple[str, ...] | None = described(
        None,
        "Only models that match one of these globs, or with ! before it all others: 'b*,!b7'.",
        shown="all",
        check=texts,
    )
    labels_from: str | None = described(
        None,
        "Take the predictions of this model for the labels: quality is agreement with it, and no labels are needed.",
        shown="the labels of the split",
        check=text,
    )
    max_models: int | None = described(
        None,
        "Most members of a committee. One stage of a cascade may add several members of a group, such as the next "
        "leaves of an HNE; that counts once.",
        shown="4; halting: the whole group",
        check=whole(1),
    )
    levels: int = described(100, "Percentile thresholds per stage, never-exit included.", check=whole(2, MOST_LEVELS))
    method: str = described(
        "auto",
        "exhaustive: every combination and level; exact: proved over all real thresholds, up to 4 members; beam or "
        "greedy: large pools, not proved; auto: exhaustive where that is feasible, else beam.",
        check=text,
        json=False,
    )
    exact: bool = described(False, "The same as method exact.", check=flag, json=False)
    shared_threshold: bool = described(
        False, "One threshold for all stages, over all its real values, instead of one for each.", check=flag
    )
    policy: str = described(
        "thresholds",
        "What decides when a unit exits. thresholds: one for each stage; agreement: votes of the members; window: "
        "both sides of the probability of one of two classes; labels: thresholds, and the next member, by predicted "
        "label; router: which cascade runs, by features; deferral: the estimated gain of the next stage; adaptive: "
        "members, stops and answers by a posterior for every set of members; auto: all that fit, the one that is "
        "expected to do best on new data.",
        check=text,
    )
    router_cost: float = described(
        0.0,
        "What a router itself costs for each unit, in units of the cost; charged to committees with a router.",
        check=amount,
    )
    family: str = described(
        "cascade",
        "cascade (finds ensembles and tiers too); ensemble; anytime: the first 1, 2, 4, .. members of a group (HNE), "
        "without thresholds; halting: the members of a group in order (IRENE), by their stored score; self_cascade: "
        "one checkpoint at rising input sizes.",
        check=text,
    )
    replicas: str = described(
        "canonical",
        "canonical: an architecture used r times uses its first r replicas, a group its first 1, 2, 3, 4, 6, 8, 12, .. "
        "or all members; all: any replicas, any number of members.",
        check=one_of(*REPLICAS),
    )
    combine: str | None = described(
        None,
        "mean_logits (= geometric_mean), mean_probs or last.",
        shown="mean_logits; of answers: last",
        check=text,
    )
    confidence: str | None = described(
        None,
        "max_prob, prob_gap, logit_gap, neg_entropy, or a stored score.",
        shown="max_prob; of answers: confidence",
        check=text,
    )
    cost: str | None = described(
        None,
        "What to count: flops (multiply-adds) or a cost on the cards, such as usd or latency_ms.",
        shown="flops, or the only cost there is",
        check=text,
    )
    axis: str = described(
        "average",
        "Figure of the cost that the frontier is over and a target cost limits: average, worst (all members together) "
        "or a percentile, such as p99 or p99.9: what 99 or 99.9 % of the units do not exceed.",
        check=_axis,
    )
    parallel: tuple[str, ...] | None = described(
        None,
        "Cost of which a stage takes that of its dearest member, because the members of a stage run at the same time, "
        "such as latency_ms; other costs add up. May be repeated.",
        shown="none: all costs add up",
        check=texts,
    )
    calibrated: bool = described(False, "Use the models with their calibrations; see `calibrate`.", check=flag)
    max_worst_flops: float | None = described(
        None, "Most FLOPs any unit may cost: all members together.", shown="no limit", check=amount, json=False
    )
    max_worst_cost: float | None = described(None, "The same in the unit of the cost.", shown="no limit", check=amount)
    max_percentile_cost: tuple[float, float] | None = described(
        None,
        "(percent, limit): at least so many percent of the units cost no more than the limit.",
        shown="no limit",
        check=percentile,
    )
    max_average: Mapping[str, float] | None = described(
        None, "{name: limit} on the averages of further costs, such as latency_ms.", shown="no limit", check=amounts
    )

    limit: tuple[str, ...] | None = described(
        None,
        "Statement about the costs of the units of the split that a committee must keep: 'P(latency_ms > 800) <= "
        "0.05', 'P(cost > 0.01) <= 0.01' (cost: the one that is counted), 'average_usd <= 0.002'. A guarantee tests "
        "it for new units. May be repeated.",
        shown="none",
        check=_limits,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.exact and self.method not in ("auto", "exact"):
            raise UsageError(f"{option('exact', True)} with {option('method', self.method)}; choose one")
        if self.calibrated and self.labels_from is not None:
            raise UsageError(
                f"{option('calibrated', True)} with {option('labels_from', self.labels_from)}: calibrations are fitted "
                f"to the labels of the split, and these are the predictions of {self.labels_from}; leave one of them "
                f"out"
            )
        if self.max_worst_flops is not None and self.cost not in (None, "flops"):
            raise flops_limit_error(self.cost)

    @property
    def worst_limit(self) -> float | None:
        """The limit on the cost of all members together, in the unit of the cost."""
        return self.max_worst_cost if self.max_worst_flops is None else self.max_worst_flops

    @property
    def good(self) -> str:
        """The adjective of a high quality, for sentences: 'accurate' by labels, 'good' in agreement with a model."""
        return "accurate" if self.labels_from is None else "good"

    def limits(self) -> tuple[Guarantee, ...]:
        """The statements about costs that a committee must keep."""
        return tuple(map(parse_guarantee, self.limit or ()))

    def averages(self, cost: str) -> tuple[str, ...]:
        """The costs whose average is limited. cost : the one that is searched."""
        stated = [each.about(cost) for each in self.limits() if each.figure == "average"]
        return tuple(dict.fromkeys((*(self.max_average or {}), *stated)))

    def to_json(self) -> dict[str, Any]:
        """The options that decided the result, as `search --json` prints them; for a query whose defaults are filled
        in."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.metadata["json"]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Query:
        """The query that `to_json` wrote; unknown names are ignored, absent ones get their defaults."""
        known = [each.name for each in fields(cls) if each.metadata["json"] and each.name in value]
        return cls(**{name: value[name] for name in known})


def flops_limit_error(cost: str | None) -> UsageError:
    return UsageError(f"a limit in FLOPs and costs in {cost}; use {option('max_worst_cost')}")
