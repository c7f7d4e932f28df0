"""Committees by measured time: latency (Wang et al. 2022, Tables 1 and 8), throughput (Tables 2, 9 and 14)."""

from __future__ import annotations

from collections.abc import Callable

from wisecommittee.analyses.match import speedup
from wisecommittee.analyses.measured import measured
from wisecommittee.analyses.study import Study
from wisecommittee.report import published
from wisecommittee.report.table import Column, Table, Value, extended
from wisecommittee.report.table_match import chosen
from wisecommittee.searches.evaluation import Evaluation


def latency(study: Study) -> Table:
    """One unit at a time, from the cards' latency_ms."""
    table = _fill(study, "latency_ms", Column("latency_ms", "latency (ms)", "number"), lambda ms: ms)
    if not study.published:
        return table
    return _published(table, "wisdom_table8", "latency_ms")


def throughput(study: Study) -> Table:
    """In batches, from the cards' batch_ms: milliseconds per unit."""
    column = Column("throughput", "throughput (units/s)", "number")
    table = _fill(study, "batch_ms", column, lambda ms: 1000 / ms)
    if not study.published:
        return table
    table = _published(table, "wisdom_table9", "throughput_images_per_s")
    printed: list[tuple[Value, ...]] = []
    for r in published.rows("wisdom_table14"):
        names = ("single_throughput_images_per_s", "similar_accuracy_throughput_images_per_s")
        single, cascade = (r[name] for name in names)
        printed.append((r["model"], "-", r["model"], "test", r["single_top1"], single, None, None, None))
        printed.append(
            (r["model"], "batch_ms", "cascade", "test", r["similar_accuracy_top1"], cascade, r["speedup"], None, None)
        )
    return extended(table, printed, published.source("wisdom_table14", "ImageNet, RTX 3090"))


def _fill(study: Study, cost: str, time: Column, shown_as: Callable[[float], float]) -> Table:
    comparisons = measured(study, cost)
    columns = (
        Column("model", "as accurate as"),
        Column("chosen_by", "chosen by"),
        Column("committee", "committee"),
        Column("split", "split"),
        Column("quality", study.over(cost).quality, "percent"),
        time,
        Column("speedup", "speed-up", "times"),
        Column("flops_speedup", "in FLOPs", "times"),
        Column("realised", "realised", "percent"),
    )
    rows: list[tuple[Value, ...]] = []
    for m in comparisons:
        name = m.single.val.committee.label()
        rows += [_row(name, "-", e, None, None, shown_as) for e in m.single.on()]
        if m.by_flops is not None and m.flops is not None:
            for single, e, *flops in zip(m.single.on(), m.by_flops.on(), *(s.on() for s in m.flops), strict=True):
                rows.append(_row(name, "FLOPs", e, single, speedup(*flops), shown_as))
        rows += [
            _row(name, cost, e, single, None, shown_as) for single, e in zip(m.single.on(), m.by_cost.on(), strict=True)
        ]
    notes = (
        chosen(comparisons[0].single),
        f"From {cost} on the cards, added over the members that run. Realised: the part of the speed-up in FLOPs that "
        "is left in time.",
    )
    title = "Latency of committees" if cost == "latency_ms" else "Throughput of committees"
    return Table(title, columns, tuple(rows), notes, cost, grouped=True)


def _row(
    name: str,
    by: str,
    e: Evaluation,
    single: Evaluation | None,
    in_flops: float | None,
    shown_as: Callable[[float], float],
) -> tuple[Value, ...]:
    ratio = None if single is None else speedup(single, e)
    realised = None if ratio is None or in_flops is None else ratio / in_flops
    return (name, by, e.committee.label(), e.split, e.quality, shown_as(e.average_cost), ratio, in_flops, realised)


def _published(table: Table, name: str, figure: str) -> Table:
    """Tables 8 and 9 hold the rows of Tables 1 and 2."""
    printed: list[tuple[Value, ...]] = []
    for r in published.rows(name):
        kind = "-" if r["model"] == r["matches"] else "FLOPs"
        printed.append((r["matches"], kind, r["model"], "test", r["top1"], r[figure], r["speedup"], None, None))
    return extended(table, printed, published.source(name, "ImageNet, TPUv3"))
