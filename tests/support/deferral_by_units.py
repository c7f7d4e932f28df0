"""Deferral by its definition: one unit after the other, with the numbers of committee.json."""

from __future__ import annotations

import itertools
import math


def rank(source: dict, confidence: float) -> float:
    """Where a confidence lies between the knots, 0 at the first and 1 at the last."""
    knots = source["knots"]
    if confidence <= knots[0] or len(knots) == 1:
        return 0.0
    if confidence >= knots[-1]:
        return 1.0
    k = max(i for i, knot in enumerate(knots) if knot <= confidence)
    return (k + (confidence - knots[k]) / (knots[k + 1] - knots[k])) / (len(knots) - 1)


def columns(source: dict, label, confidence: float) -> list[float]:
    """Hat functions of the rank at every knot; for every label 1 if it is given; the same times the rank."""
    r, steps = rank(source, confidence), len(source["knots"]) - 1
    hats = [max(0.0, 1 - abs(r * steps - k)) for k in range(steps + 1)]
    given = [float(label == known) for known in source["labels"]]
    return hats + given + [r * one for one in given]


def evidence(sources: list[dict], outputs: list[tuple]) -> list[float]:
    """outputs : (label, confidence) of every member."""
    out = [x for source, output in zip(sources, outputs, strict=True) for x in columns(source, *output)]
    for (s, (a, p)), (t, (b, q)) in itertools.combinations(list(zip(sources, outputs, strict=True)), 2):
        out += [1.0, rank(s, p), rank(t, q)] if a == b else [0.0, 0.0, 0.0]
    return out


def dot(coefficients, values) -> float:
    assert len(coefficients) == 1 + len(values)
    return coefficients[0] + math.fsum(c * v for c, v in zip(coefficients[1:], values, strict=True))


def answer(policy: dict, stage: int, seen: list[float], rule: tuple, rows: list[list[float]]) -> tuple:
    """(label, confidence) after a stage. rule : of the combining rule; rows : log-probabilities of each member."""
    answering = policy["answering"]
    if answering["kind"] == "rule":
        return rule
    if answering["kind"] == "posterior":
        matrix = answering["coefficients"][stage]
        values = [dot([row[c] for row in matrix], seen) for c in range(len(answering["classes"]))]
        best = max(range(len(values)), key=lambda c: values[c])
        return answering["classes"][best], values[best]
    weights = answering["weights"][stage]
    change = (lambda x: x) if answering["mean"] == "logits" else math.exp
    sums = [sum(w * change(row[c]) for w, row in zip(weights, rows, strict=True)) for c in range(len(rows[0]))]
    means = [s / sum(weights) for s in sums]
    logits = means if answering["mean"] == "logits" else [math.log(m) for m in means]
    best = max(range(len(logits)), key=lambda c: logits[c])
    rest = sum(math.exp(x - logits[best]) for c, x in enumerate(logits) if c != best)
    return best, math.inf if rest == 0 else -math.log(rest)


def unit(policy: dict, members: list[tuple], rules: list[tuple], rows: list[list[float]]) -> tuple[int, object]:
    """(stage at which a unit exits, its answer). members : (label, confidence) of each, in the order in which they run;
    rules : (label, confidence) of the combining rule after each stage; rows : log-probabilities of each member."""
    for stage, size in enumerate(policy["sizes"]):
        seen = evidence(policy["members"][:size], members[:size])
        label, confidence = answer(policy, stage, seen, rules[stage], rows[:size])
        if stage == len(policy["sizes"]) - 1:
            return stage, label
        if policy["answered"]:
            seen = seen + columns(policy["answered"][stage], label, confidence)
        if -dot(policy["gains"][stage], seen) >= policy["thresholds"][stage]:
            return stage, label
    raise AssertionError("the last stage exits")
