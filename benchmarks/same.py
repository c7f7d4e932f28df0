"""Do searches still say what they said? For changes that must not change a single result.

`python -m benchmarks.same write FOLDER` builds small stores there (if it has none) and keeps what some 230 commands
print; `python -m benchmarks.same compare FOLDER` runs them again, on the same stores, and lists what differs.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SAID = "said.json.gz"
SIZES = {"val": 400, "test": 300}


def draw(rng: np.random.Generator, labels: np.ndarray, sharp: float, classes: int, coarse: bool) -> np.ndarray:
    """float32 [N, classes] logits of a model that is right the more often the sharper it is; coarse ones tie."""
    logits = rng.normal(size=(len(labels), classes)) + sharp * np.eye(classes)[labels]
    return (np.round(logits * 2) / 2 if coarse else logits).astype(np.float32)


def build(folder: Path) -> None:
    """Stores of every kind that a search knows, each with val and test."""
    from wisecommittee import LogitStore, ModelCard
    from wisecommittee.committees.combine import softmax

    rng = np.random.default_rng(20260)
    labels = {split: rng.integers(0, 8, n) for split, n in SIZES.items()}
    plain = (("a/0", 1.2, 10), ("a/1", 1.1, 10), ("a/2", 1.3, 10), ("b/0", 2.1, 35), ("b/1", 1.9, 35), ("c", 2.9, 90))

    def fill(store: str, models: Any, *, kind: str = "logits", coarse: bool = False) -> None:
        for split, known in labels.items():
            for name, sharp, cost in models:
                outputs = draw(rng, known, sharp, 8, coarse)
                card = ModelCard(name, blocks={name: cost}, kind=kind, costs={"latency_ms": cost**0.5, "usd": cost / 7})
                given = softmax(outputs) if kind == "probabilities" else outputs
                LogitStore(folder / store).add(card, split, labels=known, outputs=given)

    fill("logits", plain)
    fill("ties", plain, coarse=True)
    fill("probabilities", plain[2:], kind="probabilities")
    fill("large", [(f"m{i:02d}/{r}", 0.4 + 0.1 * i, 3 + i * i) for i in range(8) for r in range(2)])
    fill("sizes", [])
    for split, known in labels.items():
        for size, sharp in ((96, 1.0), (128, 1.6), (160, 2.2), (224, 2.6)):
            for replica in range(2):
                name = f"n@{size}/{replica}"
                card = ModelCard(name, blocks={name: size * size}, input_size=(3, size, size))
                LogitStore(folder / "sizes").add(card, split, labels=known, outputs=draw(rng, known, sharp, 8, False))
        joint = LogitStore(folder / "joint")
        for position in range(4):
            blocks = {"net:trunk": 20, f"net:{position // 2}": 10, f"net:leaf{position}": 5}
            card = ModelCard(f"leaf/{position}", blocks=blocks, group="leaf", position=position)
            joint.add(card, split, labels=known, outputs=draw(rng, known, 1.0 + 0.3 * position, 8, False))
            halting = rng.normal(size=len(known)).astype(np.float32)
            card = ModelCard(f"step/{position}", blocks={f"step:{position}": 9}, group="step", position=position)
            outputs = draw(rng, known, 1.0 + 0.2 * position, 8, False)
            joint.add(card, split, labels=known, outputs=outputs, scores={"halting": halting})
        apis, graded = LogitStore(folder / "answers"), LogitStore(folder / "graded")
        for name, share, price in (
            ("small", 0.6, 1.0),
            ("medium", 0.75, 5.0),
            ("large", 0.85, 20.0),
            ("huge", 0.9, 60),
        ):
            right = rng.random(len(known)) < share
            said = [str(label if hit else (label + 1) % 8) for label, hit in zip(known, right, strict=True)]
            sure = {"confidence": np.round(np.clip(0.5 * right + rng.random(len(known)) / 2, 0, 1), 2)}
            paid = {"usd": np.round(price * (0.5 + rng.random(len(known))), 3)}
            text = [str(label) for label in known]
            card = ModelCard(name, kind="answers")
            apis.add(card, split, labels=text, answers=said, scores=sure, unit_costs=paid)
            grades = np.round(np.where(right, 0.5 + rng.random(len(known)) / 2, rng.random(len(known)) / 2), 3)
            graded.add(card, split, labels=text, answers=said, quality=grades, scores=sure, unit_costs=paid)
    build_segmentation(folder, rng)
    run(folder, ["calibrate", "--store", "logits", "--model", "a/*", "--method", "temperature", "--force"])
    run(folder, ["calibrate", "--store", "logits", "--model", "b/*", "--method", "isotonic", "--force"])
    run(folder, ["calibrate", "--store", "logits", "--model", "c", "--method", "platt", "--force"])


def build_segmentation(folder: Path, rng: np.random.Generator) -> None:
    (folder / "raw").mkdir(exist_ok=True)
    lines = ["model,flops", *(f"{name},{cost}" for name, cost in (("p", 3), ("q", 8), ("r", 30)))]
    (folder / "raw/costs.csv").write_text("\n".join(lines) + "\n")
    for split, images in (("val", 12), ("test", 9)):
        labels = rng.integers(0, 3, (images, 4, 4)).repeat(4, axis=1).repeat(4, axis=2)
        np.save(folder / f"raw/{split}.npy", labels)
        files = []
        for name, sharp in (("p", 0.8), ("q", 1.3), ("r", 2.0)):
            outputs = rng.normal(size=(images, 16, 16, 3)) + sharp * np.eye(3)[labels]
            np.save(folder / f"raw/{name}-{split}.npy", outputs.astype(np.float32))
            files += ["--logits", f"{name}=raw/{name}-{split}.npy"]
        given = ["--labels", f"raw/{split}.npy", "--costs", "raw/costs.csv", "--cell", "8"]
        run(folder, ["import", "--store", "pixels", "--split", split, *given, *files])


def commands() -> Iterator[list[str]]:
    """What is asked: each option alone and crossed with those it meets on its way through the search."""
    small, n3 = ["--levels", "12", "--max-models", "3"], ["--max-models", "3"]
    rules = ("mean_logits", "mean_probs", "last")
    scores = ("max_prob", "prob_gap", "logit_gap", "neg_entropy")
    for store in ("logits", "ties", "probabilities"):
        for rule, score in itertools.product(rules, scores):
            yield ["search", "--store", store, "--combine", rule, "--confidence", score, *small]
        for score in scores:
            yield ["search", "--store", store, "--confidence", score, "--exact", *n3]
            yield ["search", "--store", store, "--confidence", score, "--shared-threshold", *n3]
        for axis in ("worst", "p99"):
            for replicas in ("canonical", "all"):
                yield ["search", "--store", store, "--axis", axis, "--replicas", replicas, *small]
            yield ["search", "--store", store, "--axis", axis, "--exact", *n3]
        for rule in rules[:2]:
            yield ["search", "--store", store, "--family", "ensemble", "--combine", rule, "--replicas", "all"]
        for limit in (
            ["--max-worst-flops", "100"],
            ["--max-percentile-cost", "90"],
            ["--percentile", "80", "--max-percentile-cost", "60"],
            ["--max-average", "latency_ms=7"],
            ["--max-average", "usd=8", "--max-worst-flops", "130"],
        ):
            yield ["search", "--store", store, *limit, *small]
            yield ["search", "--store", store, *limit, "--exact", *n3]
            yield ["search", "--store", store, *limit, "--shared-threshold", *n3]
        for target in (
            ["--target-flops", "30"],
            ["--target-accuracy", "0.75"],
            ["--match", "c"],
            ["--match-ensemble", "b/0", "--match-ensemble", "c"],
            ["--cost", "usd", "--target-cost", "5"],
            ["--cost", "latency_ms", "--target-cost", "6", "--exact"],
            ["--axis", "worst", "--target-flops", "60"],
        ):
            yield ["search", "--store", store, *target, *small]
        yield ["search", "--store", store, "--max-models", "4", "--levels", "9", "--replicas", "all"]
        yield ["search", "--store", store, "--max-models", "1"]
        for method in ("beam", "greedy", "exhaustive", "exact"):
            yield ["search", "--store", store, "--method", method, *small]
            yield ["search", "--store", store, "--method", method, "--models", "b*", "--models", "c", *small]
        yield ["search", "--store", store, "--target-flops", "1"]  # nobody
    for options in ([], ["--exact"], ["--shared-threshold"], ["--axis", "worst"], ["--family", "ensemble"]):
        yield ["search", "--store", "logits", "--calibrated", *options, *small]
    for rule, score in itertools.product(rules, scores):
        yield ["search", "--store", "logits", "--calibrated", "--combine", rule, "--confidence", score, *small]
    for method in ("beam", "greedy", "auto"):
        for rule in rules:
            yield ["search", "--store", "large", "--method", method, "--combine", rule, *small]
        yield ["search", "--store", "large", "--method", method, "--max-worst-flops", "70", "--replicas", "all", *small]
    yield ["search", "--store", "large", "--method", "beam", "--max-models", "5", "--levels", "20"]
    for options in ([], ["--exact"], ["--shared-threshold"], ["--replicas", "all"], ["--axis", "p99"]):
        yield ["search", "--store", "sizes", "--family", "self_cascade", *options, *small]
        yield ["search", "--store", "joint", "--family", "halting", "--models", "step/*", *options]
        yield ["search", "--store", "joint", "--models", "leaf/*", *options, *small]
    yield ["search", "--store", "joint", "--family", "anytime"]
    yield ["search", "--store", "joint", "--family", "ensemble"]
    yield ["search", "--store", "joint", "--method", "beam", "--models", "leaf/*", *small]
    for store in ("answers", "graded"):
        for options in (
            [],
            ["--exact"],
            ["--shared-threshold"],
            ["--axis", "worst"],
            ["--max-worst-cost", "70"],
            ["--max-percentile-cost", "60"],
            ["--target-cost", "12"],
            ["--match", "large"],
            ["--method", "beam"],
            ["--method", "greedy"],
            ["--max-models", "2"],
        ):
            yield ["search", "--store", store, "--cost", "usd", "--levels", "15", *options]
    for options in ([], ["--max-models", "2"], ["--target-accuracy", "0.5"], ["--max-worst-flops", "20"]):
        yield ["search", "--store", "pixels", "--levels", "8", *options]
    yield ["search", "--store", "pixels", "--exact"]
    for store in ("logits", "probabilities", "joint", "answers", "graded", "pixels"):
        yield ["models", "--store", store]


BEST_ON_VAL = ["--choose", "best", "--folds", "0"]


def run(folder: Path, arguments: list[str]) -> dict[str, Any]:
    """The exit status of a command and the object it prints, without what is another one at each run."""
    from wisecommittee import cli

    out, kept, here = io.StringIO(), sys.argv, Path.cwd()
    chosen = BEST_ON_VAL if arguments[0] == "search" else []
    sys.argv = ["wisecommittee", *arguments, *chosen, *(["--json"] if arguments[0] != "import" else [])]
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                cli.main()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
    finally:
        sys.argv = kept
        os.chdir(here)
    printed = json.loads(out.getvalue()) if status == 0 and arguments[0] != "import" else None
    if isinstance(printed, dict):
        printed.get("searched", {}).pop("seconds", None)
        printed.get("query", {}).pop("store", None)
    return {"status": status, "printed": printed}


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Every place at which two JSON values differ, but for names that have been added."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before:
            if name not in after:
                yield f"{where}.{name}: gone"
            else:
                yield from differences(before[name], after[name], f"{where}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{where}[{place}]")
    elif before != after:
        yield f"{where}: {str(before)[:70]} -> {str(after)[:70]}"


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "compare"):
        sys.exit("usage: python -m benchmarks.same write|compare FOLDER")
    folder = Path(sys.argv[2])
    if not (folder / "logits").exists():
        folder.mkdir(parents=True, exist_ok=True)
        build(folder)
    said = {" ".join(command): run(folder, command) for command in commands()}
    failed = sum(one["status"] != 0 for one in said.values())
    print(f"{len(said)} commands, {failed} of them end with a status that is not 0")
    if sys.argv[1] == "write":
        (folder / SAID).write_bytes(gzip.compress(json.dumps(said).encode()))
        return
    before = json.loads(gzip.decompress((folder / SAID).read_bytes()))
    changed = 0
    for command, one in said.items():
        lines = list(differences(before.get(command), one))
        changed += bool(lines)
        for line in lines[:4]:
            print(f"{command}\n    {line}")
    print(f"{changed} differ")
    sys.exit(changed > 0)


if __name__ == "__main__":
    main()
