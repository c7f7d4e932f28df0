"""What `wisecommittee import` prints: models with their quality and costs, features, and what logs lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wisecommittee.errors import counted

from .console import human, percent, print_json, say, table

if TYPE_CHECKING:
    from wisecommittee.committees.cards import StoredCard
    from wisecommittee.store import LogitStore
    from wisecommittee.store.logs.importing import ImportedLog
    from wisecommittee.store.logs.spec import LogSpec


def show_models(
    store: LogitStore, split: str, done: Mapping[str, str], features: Mapping[str, str], measure: str, as_json: bool
) -> None:
    """What was done with each model ({model: 'added', ..}), its quality and its costs; then the features."""
    from wisecommittee.searches.stages.split_model import model_quality

    cards = {card.model: card for card in store.cards(split)}
    units = len(store.unit_ids(split))
    quality = {model: model_quality(store, split, cards[model]) for model in done if model in cards}
    if as_json:
        facts = {"models": done, "units": units, "quality": quality, **features_json(store, split, features)}
        print_json({"store": store.files.uri, "split": split, **facts})
        return
    costs = {model: _costs(store, split, cards[model]) for model in done if model in cards}
    lacking = {model: cards[model].meta.get("unanswered", 0) for model in done if model in cards}
    names = list(dict.fromkeys(name for shown in costs.values() for name in shown))
    columns = [
        ("model", "left"),
        ("", "left"),
        ("units", "right"),
        *([("no answer", "right")] if any(lacking.values()) else []),
    ]
    columns += [(measure, "right"), *((name, "right") for name in names)]
    rows = [
        [
            model,
            status,
            f"{units:,}",
            *([f"{lacking.get(model, 0):,}"] if any(lacking.values()) else []),
            "-" if (share := quality.get(model)) is None else percent(share),
            *(costs.get(model, {}).get(name, "-") for name in names),
        ]
        for model, status in done.items()
    ]
    table(f"{store.files.uri}, split {split}", columns, rows)
    show_features(store, split, features)


def _costs(store: LogitStore, split: str, card: StoredCard) -> dict[str, str]:
    """{name: cost as it is shown} of a model; of costs that differ between units their mean."""
    shown = {"MACs": human(sum(card.blocks.values()))} if card.blocks else {}
    shown |= {name: f"{value:.4g}" for name, value in card.costs.items()}
    varying = card.contents.unit_costs
    return shown | {f"mean {name}": f"{store.unit_costs(card.model, split, name).mean():.4g}" for name in varying}


def features_json(store: LogitStore, split: str, columns: Mapping[str, str]) -> dict[str, object]:
    """{"features": {column: what was done, and what the column is}}; empty without features."""
    from wisecommittee.store.feature_table import described

    if not columns:
        return {}
    known = described(store.features(split))
    return {"features": {name: {"status": status, **known[name]} for name, status in columns.items()}}


def show_features(store: LogitStore, split: str, columns: Mapping[str, str]) -> None:
    """What was done with each feature ({column: 'added', ..})."""
    from wisecommittee.store.feature_table import described

    if columns:
        known = described(store.features(split))
        rows = [[name, status, _taken_as(known[name])] for name, status in columns.items()]
        table(f"{store.files.uri}, split {split}", [("feature", "left"), ("", "left"), ("taken as", "left")], rows)


def _taken_as(described: Mapping[str, Any]) -> str:
    values = described.get("values")
    return described["kind"] if values is None else f"{values:,} {described['kind']}"


def log_json(store: LogitStore, split: str, logs: Sequence[LogSpec], done: ImportedLog) -> dict[str, Any]:
    """An import of logs as JSON; keys of other imports have the same meaning."""
    lacking = done.unanswered
    return {
        "store": store.files.uri,
        "split": split,
        "logs": [{"format": log.format.name, "path": str(log.path), "recognised": log.recognised} for log in logs],
        "models": done.models,
        "units": done.units,
        "records": {model: summary.records for model, summary in done.summaries.items()},
        "quality": {model: summary.quality for model, summary in done.summaries.items()},
        "costs": {model: summary.costs for model, summary in done.summaries.items()},
        "confidences": {model: summary.scores for model, summary in done.summaries.items()},
        "missing": {"option": done.missing, "units": lacking.units, "of": lacking.of, "models": lacking.by_model},
        "features": done.features,
        "notes": done.notes,
    }


def show_log(store: LogitStore, split: str, done: ImportedLog, *, dry_run: bool) -> None:
    """The models of logs, how many units they did not answer, the features, and on stderr what was left out."""
    lacking, every = done.unanswered.by_model, done.summaries.values()
    costs = list(dict.fromkeys(name for summary in every for name in summary.costs))
    columns = [("model", "left"), ("", "left"), ("records", "right")]
    columns += [("no answer", "right")] * bool(lacking) + [("quality %", "right")]
    columns += [("confidences", "left")] * any(summary.scores for summary in every)
    columns += [(f"mean {name}", "right") for name in costs]
    rows = []
    for model, summary in done.summaries.items():
        row = [model, done.models[model], f"{summary.records:,}"]
        row += [f"{lacking.get(model, 0):,}"] * bool(lacking)
        row.append("-" if summary.quality is None else percent(summary.quality))
        row += [", ".join(summary.scores) or "-"] * any(each.scores for each in every)
        rows.append(row + [f"{summary.costs[n]:.4g}" if n in summary.costs else "-" for n in costs])
    table(f"{store.files.uri}, split {split}{', a dry run: nothing is written' if dry_run else ''}", columns, rows)
    if done.features:
        rows = [[name, _taken_as(column)] for name, column in done.features.items()]
        table("", [("feature", "left"), ("taken as", "left")], rows)
    for note in [*_of_missing(done), *done.notes]:
        say(note)


def _of_missing(done: ImportedLog) -> list[str]:
    from wisecommittee.store.imports.missing import MISSING

    lacking = done.unanswered
    if not lacking.units:
        return []
    fate = MISSING[done.missing] if done.missing else "say what becomes of them with --missing escalate, wrong or skip"
    return [
        f"{counted(lacking.units, 'unit')} of {lacking.of:,} without an answer of every model, such as "
        f"{lacking.example}: {fate}"
    ]
