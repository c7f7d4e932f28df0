"""wisecommittee audit: a policy that another tool chose, with every model that ran charged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import Unit, out, percent, print_json, shares, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from wisecommittee.operations.audit import Audited, Claim


def audit(
    policy: Annotated[Path, typer.Option(help="JSON of the policy, and of what its tool claims.")],
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split on which the policy was not chosen.")] = "test",
    cost: Annotated[
        str | None,
        typer.Option("--cost", help="Cost to charge.", show_default="the claimed, or the only one, or flops"),
    ] = None,
    labels_from: options.LabelsFrom = None,
    force: Annotated[
        bool, typer.Option("--force", help="Of a committee.json: even if the members' weights or FLOPs differ.")
    ] = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Charge a policy that another tool chose with every model that ran on your outputs, beside what the tool claims.

    The file: `{"models": ["small", "large"], "thresholds": [0.9], "claimed": {"accuracy": 0.95, "average_cost": 0.002,
    "cost": "usd"}}`. "models" run in this order; "stages": [["small"], ["mid", "large"]] lists several for a stage. A
    unit exits if its confidence is at least the threshold, one for each stage but the last; "comparison": ">" if it
    must be above. "confidence" (or "rule") is max_prob, prob_gap, logit_gap, neg_entropy or a stored score. "combine"
    is last (the default: the newest model answers alone), mean_logits or mean_probs. A committee.json is taken too.

    **Examples**

    `wisecommittee audit --policy policy.json --split test`

    `wisecommittee audit --policy policy.json --cost usd --json`
    """
    from wisecommittee.operations.audit import audit as audited
    from wisecommittee.store import LogitStore

    done = audited(
        policy, LogitStore(store).with_labels_from(labels_from), split, cost=cost, force=force, threads=threads
    )
    if as_json:
        print_json(done.to_json())
    else:
        _show(done)


def _show(done: Audited) -> None:
    e = done.evaluation
    unit = Unit(e.committee.cost, [e.average_cost, done.answering_cost])
    rows = [
        _row(f"{e.measure} %", done.quality, e.quality, e.interval, percent),
        _row("average cost", done.average_cost, e.average_cost, done.cost_interval, unit),
        _row("answering alone", None, done.answering_cost, done.answering_interval, unit),
    ]
    columns = [("figure", "left"), ("claimed", "right"), (f"{e.split} [95 %]", "right"), ("claim", "left")]
    caption = (
        f"n = {e.n:,}; exits {shares(e.exit_ratios)} %. Average cost: every model that ran is charged. Answering "
        f"alone: only the stage that answers is charged, which is too low."
    )
    if e.split == e.committee.chosen_on:
        caption += f" {e.split} chose this committee, so its figures are optimistic."
    table(f"{e.committee.label()}   (costs in {unit.name})", columns, rows, caption)
    for condition, stage in zip(e.committee.conditions(), e.committee.stages, strict=False):
        out.print(f"  after {' + '.join(stage)}: answer if {condition}, else go on", markup=False)
    if done.forgets_models:
        times = e.average_cost / done.answering_cost
        out.print(
            f"the claimed cost is that of the answering model alone: models that ran before it are not charged. The "
            f"policy costs {times:.2f}x as much.",
            style="bold",
        )
    elif done.may_forget_models:
        out.print(
            "the claimed cost fits the answering model alone, not every model that ran: does the tool charge the "
            "models that ran before it?"
        )


def _row(
    name: str, claim: Claim | None, measured: float, interval: tuple[float, float], shown: Callable[[float], str]
) -> list[str]:
    around = f"{shown(measured)} [{', '.join(map(shown, interval))}]"
    if claim is None:
        return [name, "-", around, ""]
    side = "too low" if claim.claimed < claim.interval[0] else "too high"
    return [name, shown(claim.claimed), around, "within the interval" if claim.within else side]
