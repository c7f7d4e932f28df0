"""The adaptive policy of one unit, from the JSON of a committee alone: loops over definitions, Python floats."""

from __future__ import annotations

import math

CENTRES, TOPS = (0.2, 0.4, 0.6, 0.8), (0.4, 0.55, 0.7, 0.85)


def rank(score, knots, ranks):
    """Linear between knots, constant beyond the first and the last."""
    if not knots:
        return 0.5
    if score <= knots[0]:
        return ranks[0]
    for left, right, low, high in zip(knots, knots[1:], ranks, ranks[1:], strict=False):
        if score <= right:
            return low + (high - low) * (score - left) / (right - left)
    return ranks[-1]


def terms(u):
    inside = min(max(u, 0.01), 0.99)
    hats = [max(0.0, 1 - abs(u - centre) / 0.2) for centre in CENTRES]
    return [1.0, u - 0.5, math.log(inside / (1 - inside)) / 3, *hats]


def numbered(said, policy):
    """(number of each answer, number of answers, of classes, classes that are possible)."""
    names = policy["labels"] + policy["others"]
    if policy["labels"]:
        numbers = [names.index(label) if label in names else len(names) for label in said]
        return numbers, len(names), len(policy["labels"]), set(range(len(policy["labels"])))
    numbers = [said.index(label) for label in said]
    return numbers, len(said), len(said) + 1, {*numbers, len(said)}


def posterior(state, numbers, each_terms, classes, possible, logs):
    logits = []
    for c in range(classes):
        z = state["bias"][c]
        for m, (number, t) in enumerate(zip(numbers, each_terms, strict=True)):
            if number == c:
                z += sum(w * x for w, x in zip(state["votes"][m], t, strict=True))
            if state.get("corrections") and number < len(state["corrections"][m]):
                z += sum(row[c] * x for row, x in zip(state["corrections"][m][number], t, strict=True))
            if state.get("weights"):
                z += state["weights"][m] * logs[m][c]
        logits.append(z if c in possible else -math.inf)
    top = max(logits)
    exps = [math.exp(z - top) for z in logits]
    return [e / sum(exps) for e in exps]


def features(p, numbers, answers, each_terms, by_answer):
    top, second = sorted(p)[-1], sorted(p)[-2]
    entropy = -sum(x * math.log(max(x, 1e-9)) for x in p)
    hats = [max(0.0, 1 - abs(top - centre) / 0.15) for centre in TOPS]
    agree = sum(number == p.index(top) for number in numbers) / len(numbers)
    plain = [1.0, top, second, entropy, *hats, agree]
    if not by_answer:
        return plain, plain + [x for t in each_terms for x in t[1:3]]
    said = [
        x if number == a else 0.0
        for number, t in zip(numbers, each_terms, strict=True)
        for a in range(answers)
        for x in t[:3]
    ]
    return plain, plain + p + said


def run(policy, said, scores, logs=None):
    """(stages that run, ascending; answer) of a unit.

    said, scores, logs : of every stage, its member's answer, confidence as it is carried, and log-probabilities.
    """
    states = {tuple(state["stages"]): state for state in policy["states"]}
    (first,) = (route for route in states if len(route) == 1)
    route = first
    while True:
        state = states[route]
        numbers, answers, classes, possible = numbered([said[k] for k in route], policy)
        each = [terms(rank(scores[k], policy["ranks"][k]["score"], policy["ranks"][k]["rank"])) for k in route]
        rows = [logs[k] for k in route] if logs else None
        p = posterior(state, numbers, each, classes, possible, rows)
        plain, every = features(p, numbers, answers, each, policy["by_answer"])
        answerable = p if policy["labels"] else p[: len(route)]
        best = max(answerable)
        likeliest = answerable.index(best)
        best += sum(w * x for w, x in zip(state["stopping"], plain, strict=True))
        going = None
        for ahead in state["next"]:
            value = sum(w * x for w, x in zip(ahead["value"], every, strict=True))
            if value > best:
                best, going = value, ahead["stage"]
        if going is None:
            return route, policy["labels"][likeliest] if policy["labels"] else said[route[likeliest]]
        route = tuple(sorted((*route, going)))
