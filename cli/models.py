"""wisecommittee models and verify: what is in the store, and whether it is sound."""

from __future__ import annotations

from typing import Annotated

import typer

from wisecommittee.errors import counted

from . import options
from .console import human, out, percent, print_json, table, warn_of


def models(
    store: options.Store = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    labels_from: options.LabelsFrom = None,
    as_json: options.Json = False,
) -> None:
    """List the models of the store with their accuracy and cost.

    **Example**  `wisecommittee models --store logits`
    """
    from wisecommittee.committees.replicas import resolve_replicas
    from wisecommittee.searches.stages.split_model import model_quality
    from wisecommittee.store import LogitStore
    from wisecommittee.tasks.task import agreement_with

    source = LogitStore(store).with_labels_from(labels_from)
    if split is not None or not source.splits():
        source.require_split(split or "val")
    listed = []
    for name in [split] if split else source.splits():
        for card in resolve_replicas(source.cards(name)):
            entry = {"split": name, **card.to_json(), "quality": model_quality(source, name, card)}
            entry["flops"] = sum(card.blocks.values()) or None
            listed.append(entry)
    if as_json:
        trusted = {} if labels_from is None else {"labels_from": labels_from}
        print_json({"store": source.files.uri, **trusted, "models": listed})
        return
    calibrated = any("calibration" in entry["contents"] for entry in listed)
    costs = sorted({cost for entry in listed for cost in entry.get("costs", {})})
    measure = "mIoU" if any(e["kind"] == "cell_counts" for e in listed) else "accuracy"
    if labels_from is not None:
        measure = agreement_with(labels_from)
    columns = [
        ("split", "left"),
        ("model", "left"),
        ("kind", "left"),
        ("units", "right"),
        ("classes", "right"),
        (f"{measure} %", "right"),
        ("MACs", "right"),
    ]
    rows = [
        [
            e["split"],
            e["model"],
            e["kind"],
            f"{e['contents']['rows']:,}",
            str((e["contents"]["classes"] or 0) // (3 if e["kind"] == "cell_counts" else 1) or "-"),
            "-" if e["quality"] is None else percent(e["quality"]),
            human(e["flops"]) if e["flops"] else "-",
            *(f"{e['costs'][c]:.4g}" if c in e.get("costs", {}) else "-" for c in costs),
            ", ".join(e["contents"]["unit_costs"]) or "-",
            *([e["contents"].get("calibration", {}).get("method", "-")] if calibrated else []),
        ]
        for e in listed
    ]
    columns += [*((c, "right") for c in costs), ("per-unit costs", "left")]
    table(source.files.uri, columns + ([("calibration", "left")] if calibrated else []), rows)


def verify(store: options.Store = None, as_json: options.Json = False) -> None:
    """Run every check of the store over every byte, changing nothing. Exit code 1 if anything is wrong; what is sound
    and still probably not what it is taken for (labels that are numbered otherwise, a test split that is a copy of val,
    costs in different units) is a warning.

    **Example**  `wisecommittee verify --store logits`
    """
    from wisecommittee.searches.doctor import examine
    from wisecommittee.store import LogitStore

    source = LogitStore(store)
    source.require()
    problems = source.verify()
    doubts = () if problems else examine(source)
    warn_of(doubts)
    if as_json:
        print_json({"store": source.files.uri, "problems": problems, "warnings": [doubt.text for doubt in doubts]})
    else:
        for problem in problems:
            out.print(f"- {problem}", markup=False)
        count = sum(len(source.models(split)) for split in source.splits())
        out.print(
            f"{source.files.uri}: {counted(len(problems), 'problem')}"
            if problems
            else f"{source.files.uri}: sound ({count} model outputs checked)",
            markup=False,
        )
    if problems:
        raise typer.Exit(1)
