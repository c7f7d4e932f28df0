"""Do figures to expect hold where units come in copies? With `--group-by` and without.

`python -m benchmarks.groups --groups 120 --copies 3 --draws 100` draws so many stores of synthetic logits in which each
unit stands several times, nearly the same, searches each, and measures the committee on 30,000 other units.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np

CLASSES, OTHERS, NOISE = 8, 30_000, 0.05  # NOISE : standard deviation of a logit between copies
MODELS = {"a": (1.2, 10), "b": (1.6, 30), "c": (2.2, 90)}  # sharpness and cost
BUDGET = 45.0


def fill(folder: Path, rng: np.random.Generator, units: int, copies: int) -> object:
    """A store of units that stand in it several times, with the column `origin` that says which belong together."""
    from wisecommittee import LogitStore, ModelCard
    from wisecommittee.store.groups import write_groups

    store, labels, origin = LogitStore(folder), rng.integers(0, CLASSES, units), np.repeat(np.arange(units), copies)
    for name, (sharp, cost) in MODELS.items():
        logits = rng.normal(size=(units, CLASSES)) + sharp * np.eye(CLASSES)[labels]
        copied = logits[origin] + NOISE * rng.normal(size=(len(origin), CLASSES))
        card = ModelCard(name, blocks={name: cost})
        store.add(card, "val", labels=labels[origin], outputs=copied.astype(np.float32))
    write_groups(store, "val", store.unit_ids("val"), {"origin": [str(number) for number in origin]})
    return store


def measured(store: object, others: object, group_by: str | None) -> list[float]:
    """Error of the expected quality, and whether the intervals of quality, cost and difference hold on other units."""
    import wisecommittee as wc

    query, selection = wc.Query(levels=20, max_models=2), wc.Selection(group_by=group_by, folds=5)
    choice = wc.search_and_choose(store, query, wc.Target("target_cost", BUDGET), None, selection)
    committee, expected, compared = choice.val.committee, choice.evidence.expected, choice.evidence.comparison
    truth, reference = (
        wc.evaluate(each, others, "val") for each in (committee, wc.Committee(((compared.reference,),)))
    )
    inside = (
        (expected.interval, truth.quality),
        (expected.cost_interval, truth.average_cost),
        (compared.difference.interval, truth.quality - reference.quality),
    )
    return [expected.quality - truth.quality, *(low <= value <= high for (low, high), value in inside)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("groups", 120), ("copies", 3), ("draws", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"{asked.groups} units, each {asked.copies} times; {asked.draws} draws; share of draws that an interval holds"
    )
    with tempfile.TemporaryDirectory() as folder:
        others = fill(Path(folder) / "others", np.random.default_rng(999), OTHERS, 1)
        rows: dict[str | None, list[list[float]]] = {None: [], "origin": []}
        for draw in range(asked.draws):
            store = fill(Path(folder) / str(draw), np.random.default_rng(draw), asked.groups, asked.copies)
            for group_by, found in rows.items():
                found.append(measured(store, others, group_by))
    for group_by, found in rows.items():
        bias, *held = np.mean(found, axis=0)
        shares = ", ".join(
            f"{name} {share:.2f}" for name, share in zip(("quality", "cost", "difference"), held, strict=True)
        )
        how = "without groups" if group_by is None else f"--group-by {group_by}"
        print(f"{how}: expected less truth {100 * bias:+.2f} points; {shares}")


if __name__ == "__main__":
    main()
