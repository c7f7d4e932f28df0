"""The oracle: what an ensemble or cascade search means, written as loops over the definitions.

Nothing here is fast and nothing is shared with the package. Array letters: N units, C classes, K stages, P grid levels.
Counts and costs are Python ints. What the semantics call float32 is numpy float32; everything between two float32
values is computed in float64 (Python floats) and rounded once.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

LOGIT_MEANS = ("mean_logits", "geometric_mean")  # two names of one rule
COMBINES = (*LOGIT_MEANS, "mean_probs", "last")
CONFIDENCES = ("max_prob", "prob_gap", "logit_gap", "neg_entropy")  # any other name is a stored score
FLOOR = 1e-38  # probabilities are raised to this before a logarithm


@dataclass(frozen=True, eq=False)
class Model:
    """One model and its cached outputs; two models are the same only if they are the same object."""

    name: str
    architecture: str
    replica: int
    blocks: dict[str, int]  # block id -> integer cost; a set of members pays each block once
    outputs: np.ndarray | None = None  # float32 [N, C]
    kind: str = "logits"  # "logits" | "probabilities" | "answers"
    answers: list | None = None  # [N], for kind "answers"
    stored_scores: dict[str, list[float]] = field(default_factory=dict)  # name -> [N], higher exits earlier
    unit_costs: list[int] | None = None  # [N], the cost of running this model on each unit; replaces blocks
    group: str | None = None  # jointly trained network this is a member of
    position: int | None = None  # place in its order, from 0
    weights: str | None = None  # identity of the checkpoint
    input_size: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Result:
    """What one committee does on N units."""

    correct: int
    total_cost: int  # sum over units of the cumulative cost at their exit
    worst_case: int  # cost of all members; the dearest unit's where costs vary per unit
    exits: list[int]  # [K] units that exit at each stage
    exit_stage: list[int]  # [N] stage at which each unit exits


@dataclass(frozen=True)
class Point:
    """One frontier point with its witness; `stages` and `thresholds` are the reported committee."""

    correct: int
    total_cost: int
    worst_case: int  # cost of all members of the combination
    combination: tuple[str, ...]
    levels: tuple[int, ...]  # one index 0..P-1 per stage but the last
    stages: tuple[tuple[str, ...], ...]
    thresholds: tuple[np.float32, ...]
    log_odds: tuple[float | None, ...] = ()  # for each threshold, None where its float32 says it all


# Levels and thresholds


def levels(confidences, P, name=None):
    """The P levels of a stage, from the confidences [N] of ALL units: order statistics, then infinity.

    t_j = sorted_conf[min(N-1, ceil(j*N/(P-1)))] for j = 0..P-2 and t_{P-1} = inf. Duplicates are legal. Of confidences
    of this name that only rounding parts the least counts.
    """
    least = ties(confidences, name)
    ordered = sorted(least[np.float32(c)] for c in confidences)
    N = len(ordered)
    values = []
    for j in range(P - 1):
        index = -((-j * N) // (P - 1))  # ceil(j*N / (P-1)), exact in integers
        values.append(ordered[min(N - 1, index)])
    return [*values, np.float32(np.inf)]


def reported_threshold(confidences, level_value, name=None):
    """The float32 midpoint between a level and the next lower distinct confidence over all N units.

    The level itself if nothing lies below it or if the midpoint does not lie strictly above the lower one. Confidences
    of this name are given as they are carried; the threshold is one of the confidence itself.
    """
    upper = np.float32(level_value)
    below = [np.float32(c) for c in confidences if np.float32(c) < upper]
    if not below:
        return shown(upper, name)
    lower, upper = shown(max(below), name), shown(upper, name)
    midpoint = np.float32((float(lower) + float(upper)) / 2)
    return midpoint if midpoint > lower else upper


def reported_log_odds(confidences, level_value, name):
    """The midpoint of the same neighbours in log-odds, where they are fewer than 8 steps of 2**-24 apart; else None."""
    upper = np.float32(level_value)
    below = [np.float32(c) for c in confidences if np.float32(c) < upper]
    if not below or log_odds(upper, name) is None:
        return None
    lower = max(below)
    if float(shown(upper, name)) - float(shown(lower, name)) >= 8 * 2.0**-24:
        return None
    p = float(lower)
    low = log_odds(lower, name)
    if low is None:
        low = -math.log(-p) if name == "neg_entropy" else math.log(p / (1 - p))
    return (low + log_odds(upper, name)) / 2


# How confidences are carried where float32 runs out of values, and which of them only rounding parts

EDGE = np.float32(31 / 32)
FAR = 1 / 32e-30  # odds of 1e30; what is carried beyond is their logarithm


def log_odds(carried, name):
    """Of a carried max_prob or prob_gap above the edge; of neg_entropy near 0 minus its entropy's log; else None."""
    x = float(carried)
    if name in ("max_prob", "prob_gap") and x > EDGE:
        return math.log(32 * x) if x <= FAR else x / FAR * math.log(1e30)
    return x if name == "neg_entropy" and x > 0 else None


def shown(carried, name):
    """float32: the confidence itself."""
    odds = log_odds(carried, name)
    if odds is None:
        return np.float32(carried)
    return np.float32(-math.exp(-odds) if name == "neg_entropy" else 1 / (1 + math.exp(-odds)))


def rounding(carried, name):
    """How far apart two values may be that are equal but for rounding; 0 of stored scores."""
    x, odds = float(carried), log_odds(carried, name)
    if name in ("max_prob", "prob_gap") and odds is not None:
        return x * (4e-6 + 1e-6 * odds if x <= FAR else 1e-6)
    if name == "max_prob":
        return 4e-6 * x * (1 - x)
    if name == "prob_gap":
        return 2e-6 * (1 - x)
    if name == "logit_gap":
        return 2e-6 * (1 + abs(x))
    return abs(x) * (1e-6 if x > 0 else 4e-6) if name == "neg_entropy" else 0.0


def ties(confidences, name):
    """{confidence: the least of those that rounding does not tell from it, or from one of them}."""
    least, last = {}, None
    for value in sorted({np.float32(c) for c in confidences}):
        apart = last is None or float(value) - float(last) > rounding(value, name)
        least[value] = value if apart else least[last]
        last = value
    return least


# Combination, prediction and confidence of a prefix: members in the order in which they were added


def canonical(members):
    """Members by architecture, then replica number."""
    return sorted(members, key=lambda m: (m.architecture, m.replica))


def softmax(row):
    """Softmax of one row [C] in float64."""
    largest = max(float(v) for v in row)
    exps = [math.exp(float(v) - largest) for v in row]
    total = math.fsum(exps)
    return [e / total for e in exps]


def floored_log(p):
    """log(max(p, 1e-38)) in float64."""
    return math.log(max(float(p), FLOOR))


def summand(model, combine):
    """What one member adds to the sum: float32 [N, C]."""
    if model.outputs is None or model.kind not in ("logits", "probabilities"):
        raise ValueError(f"{model.name}: kind {model.kind!r} has no outputs to combine by {combine!r}")
    outputs = np.asarray(model.outputs, dtype=np.float32)
    if combine in LOGIT_MEANS and model.kind == "probabilities":
        return np.array([[floored_log(p) for p in row] for row in outputs], dtype=np.float32)
    if combine == "mean_probs" and model.kind == "logits":
        return np.array([softmax(row) for row in outputs], dtype=np.float32)
    return outputs


def summed_outputs(members, combine):
    """The float32 sum [N, C] over members in canonical order; for `last` the newest member's outputs as stored."""
    if combine not in COMBINES:
        raise ValueError(f"unknown combining rule {combine!r}; known: {', '.join(COMBINES)}")
    if combine == "last":
        return summand(members[-1], combine)
    first, *rest = canonical(members)
    total = summand(first, combine)
    for member in rest:
        total = total + summand(member, combine)  # float32 + float32
    return total


def prefix_outputs(members, combine):
    """The combined outputs float32 [N, C]: sum, then divide by the number of members summed."""
    number = 1 if combine == "last" else len(members)
    return summed_outputs(members, combine) / np.float32(number)


def prediction(members, combine):
    """[N] first argmax of the SUM; the newest member's answer where it has answers and the rule is `last`."""
    newest = members[-1]
    if combine == "last" and newest.kind == "answers":
        return list(newest.answers)
    rows = summed_outputs(members, combine).tolist()
    return [row.index(max(row)) for row in rows]


def confidence(members, combine, name):
    """float32 [N], higher exits earlier: a confidence of the combined outputs, or the newest member's stored score."""
    newest = members[-1]
    if name not in CONFIDENCES:
        if name not in newest.stored_scores:
            raise ValueError(f"{newest.name}: no stored score {name!r}; known: {sorted(newest.stored_scores)}")
        return [np.float32(v) for v in newest.stored_scores[name]]
    combined = prefix_outputs(members, combine)
    are_logits = combine in LOGIT_MEANS or (combine == "last" and newest.kind == "logits")
    values = []
    for row in combined.tolist():
        probabilities = softmax(row) if are_logits else row
        logits = row if are_logits else [floored_log(p) for p in row]
        if name == "max_prob":
            value = max(probabilities)
        elif name == "prob_gap":
            value = top2_gap(probabilities)
        elif name == "logit_gap":
            value = top2_gap(logits)
        else:  # neg_entropy, in nats, with 0 log 0 = 0
            value = math.fsum(p * math.log(p) for p in probabilities if p > 0)
        values.append(np.float32(value))
    return values


def top2_gap(row):
    """Largest minus second largest of a row [C], C >= 2."""
    first, second = sorted(row, reverse=True)[:2]
    return first - second


# Costs


def has_unit_costs(models):
    """Whether cost varies per unit; then every model must say what it costs on each."""
    told = [m.unit_costs is not None for m in models]
    if any(told) and not all(told):
        raise ValueError("some models have unit costs and others have not")
    return any(told)


def set_cost(members, i):
    """What running all these members costs on unit i: the sum of unit costs, or the union of blocks, each once."""
    if has_unit_costs(members):
        return sum(int(m.unit_costs[i]) for m in members)
    union = {}
    for member in members:
        for block, cost in member.blocks.items():
            if union.setdefault(block, int(cost)) != int(cost):
                raise ValueError(f"block {block!r} has two costs, {union[block]} and {cost}")
    return sum(union.values())


def worst_cost(members, N):
    """The cost of all members on the dearest of N units."""
    return max(set_cost(members, i) for i in range(N))


# One committee on N units


def exit_stages(confidences, thresholds, N):
    """[N] the first stage k with confidences[k][i] >= thresholds[k]; the last stage always exits.

    confidences: one [N] per threshold; there is one threshold per stage but the last.
    """
    stages = []
    for i in range(N):
        stage = 0
        while stage < len(thresholds) and not confidences[stage][i] >= thresholds[stage]:
            stage += 1
        stages.append(stage)
    return stages


def tally(exit_stage, correct, cost):
    """(correct, total cost): each unit counts what it has at the stage where it exits.

    correct, cost : int [K][N]; cost is cumulative.
    """
    total_correct = 0
    total_cost = 0
    for i, stage in enumerate(exit_stage):
        total_correct += correct[stage][i]
        total_cost += cost[stage][i]
    return total_correct, total_cost


def prefix_correct(members, labels, combine):
    """int [N]: 1 where the prefix predicts the label, else 0."""
    return [int(predicted == label) for predicted, label in zip(prediction(members, combine), labels, strict=True)]


def prefix_scores(members, combine, confidence_name, scores):
    """float32 [N]: `scores` of the members' names where it is given, else their confidence."""
    if scores is None:
        return confidence(members, combine, confidence_name)
    return [np.float32(v) for v in scores(tuple(m.name for m in members))]


def evaluate(members_by_stage, thresholds, labels, combine, confidence_name, scores=None, carried=False):
    """The cascade of these stages: stage k runs its members and predicts with all members of stages 0..k.

    A unit exits at stage k iff its score there is >= thresholds[k] (float32, one per stage but the last). It pays for
    everything that ran up to its exit. Nothing is merged or dropped. `scores` replaces the confidence, as it is carried
    (as are thresholds if `carried`); neither is asked about the last stage.
    """
    N = len(labels)
    if len(thresholds) != len(members_by_stage) - 1:
        raise ValueError(f"{len(members_by_stage)} stages need one threshold less, not {len(thresholds)}")
    thresholds = [np.float32(t) for t in thresholds]
    prefixes = [tuple(itertools.chain(*members_by_stage[: k + 1])) for k in range(len(members_by_stage))]
    has_unit_costs(prefixes[-1])
    confidences = [prefix_scores(prefix, combine, confidence_name, scores) for prefix in prefixes[:-1]]
    if scores is not None and not carried:
        confidences = [[shown(c, confidence_name) for c in row] for row in confidences]
    correct = [prefix_correct(prefix, labels, combine) for prefix in prefixes]
    cost = [[set_cost(prefix, i) for i in range(N)] for prefix in prefixes]
    exit_stage = exit_stages(confidences, thresholds, N)
    total_correct, total_cost = tally(exit_stage, correct, cost)
    exits = [exit_stage.count(k) for k in range(len(prefixes))]
    return Result(total_correct, total_cost, worst_cost(prefixes[-1], N), exits, exit_stage)


# The search


def combinations(models, max_models, replicas):
    """Every model by itself, and every ordered sequence of 2..max_models members, as tuples of Model.

    "canonical": ordered sequences of architectures with repetition; an architecture used r times uses its first r
    replicas (by replica number) in order of appearance, and sequences that need more replicas than exist are left out.
    "all": ordered sequences of distinct models.
    """
    return [(m,) for m in canonical(models)] + [c for c in walks(models, max_models, replicas) if len(c) > 1]


def walks(models, max_models, replicas):
    """The ordered sequences of `combinations`, of which a single member is the first of its architecture too."""
    places = [(m.architecture, m.replica) for m in models]
    if len(set(places)) != len(places) or len({m.name for m in models}) != len(models):
        raise ValueError("two models share a name, or an architecture and replica number")
    found = []
    if replicas == "all":
        for n in range(1, max_models + 1):
            found.extend(itertools.permutations(canonical(models), n))
        return found
    if replicas != "canonical":
        raise ValueError(f"unknown replicas {replicas!r}; known: canonical, all")
    copies = {}
    for model in canonical(models):
        copies.setdefault(model.architecture, []).append(model)
    for n in range(1, max_models + 1):
        for sequence in itertools.product(copies, repeat=n):
            if all(sequence.count(a) <= len(copies[a]) for a in sequence):
                found.append(tuple(copies[a][sequence[:k].count(a)] for k, a in enumerate(sequence)))
    return found


def groups(models):
    """group -> its members by position."""
    names = sorted({m.group for m in models if m.group is not None})
    return {g: sorted((m for m in models if m.group == g), key=lambda m: m.position) for g in names}


def stops(members, replicas):
    """How many members of a group may be in use after a stage; with "all" any number.

    Else all, and the numbers that are written in binary as 1 or 11 followed by zeros: 1, 2, 3, 4, 6, 8, 12, ..
    """
    every = range(1, len(members) + 1)
    return [k for k in every if replicas == "all" or k == len(members) or bin(k)[2:].rstrip("0") in ("1", "11")]


def doublings(members, replicas):
    """How many members of a group run in anytime inference: 1, 2, 4, .. and all; with "all" any number."""
    return [k for k in stops(members, replicas) if replicas == "all" or k == len(members) or k & (k - 1) == 0]


def tier_sequences(models, max_stages, replicas):
    """Every model by itself, and the `tier_walks`."""
    return with_singles(tier_walks(models, max_stages, replicas), models)


def with_singles(sequences, models):
    """These sequences of tiers, and each model as a committee of its own."""
    return [*sequences, *(((m,),) for m in canonical(models) if ((m,),) not in sequences)]


def tier_walks(models, max_stages, replicas):
    """Every sequence of 1..max_stages stages where a stage adds one model without a group, or the next members of a
    group up to one of its stops, as tuples of tuples of Model. Models without a group as in `walks`.

    Generate and check: all products of all models and all runs of members, then the rules.
    """
    joint = groups(models)
    loose = [m for m in models if m.group is None]
    legal = {tuple((m,) for m in walk) for walk in walks(loose, max_stages, replicas)}
    runs = [
        tuple(members[a:b])
        for members in joint.values()
        for a in range(len(members))
        for b in range(a + 1, len(members) + 1)
    ]
    found = []
    for n in range(1, max_stages + 1):
        for sequence in itertools.product([*((m,) for m in loose), *runs], repeat=n):
            others = tuple(stage for stage in sequence if stage[0].group is None)
            if others and others not in legal:
                continue
            if all(in_order(members, sequence, stops(members, replicas)) for members in joint.values()):
                found.append(sequence)
    return found


def in_order(members, sequence, allowed):
    """Whether the stages that add members of this group add them in order, each up to an allowed number."""
    in_use = []
    for stage in sequence:
        if stage[0] in members:
            in_use.extend(stage)
            if in_use != members[: len(in_use)] or len(in_use) not in allowed:
                return False
    return True


def count(models, max_models, P, replicas):
    """(combinations, threshold vectors) of the search without a worst-case limit; singles included."""
    found = combinations(models, max_models, replicas)
    return len(found), sum(P ** (len(combination) - 1) for combination in found)


def report(combination, values, confidences, combine, confidence_name):
    """The reported committee of a sequence of tiers with level values: (stages of members, thresholds).

    values: [n-1] level values; confidences: float32 [n-1][N]. A stage where nobody exits is merged into the next,
    stages after everybody has exited are dropped. So a stage ends where somebody exits, and nowhere else.
    """
    N = len(confidences[0]) if confidences else 1  # a single member: all exit at once, however many they are
    exit_stage = exit_stages(confidences, values, N)
    order_free = combine != "last" and confidence_name in CONFIDENCES
    stages, thresholds, tier = [], [], []
    for k, added in enumerate(combination):
        tier.extend(added)
        if k in exit_stage:
            stages.append(tuple(canonical(tier) if order_free else tier))
            if k < len(values):
                thresholds.append(reported_threshold(confidences[k], values[k], confidence_name))
            tier = []
    return tuple(stages), tuple(thresholds[: len(stages) - 1])


def report_log_odds(values, confidences, confidence_name):
    """The log-odds beside the thresholds of the same committee; empty where float32 says them all."""
    used = [k for k in range(len(values) + 1) if k in exit_stages(confidences, values, len(confidences[0]))]
    odds = [reported_log_odds(confidences[k], values[k], confidence_name) for k in used[:-1]]
    return tuple(odds) if set(odds) - {None} else ()


def shared_thresholds(sequences, labels, combine, confidence_name, scores=None):
    """The exact frontier of these sequences of tiers with ONE threshold for all stages, over all its real values.

    List of (correct, total cost, stages, thresholds) by rising cost. The distinct confidences of all compared stages
    and infinity are all thresholds that differ. Ties as in `search`, lower thresholds first. The threshold reported is
    midway between two neighbours among the confidences of all compared stages, and the same for every stage.
    """
    N = len(labels)
    known = {}  # prefix -> (correct, cost), int [N] each
    best = {}  # (total cost, correct) -> (tie key, stages, thresholds)
    for combination in sequences:
        prefixes = [tuple(itertools.chain(*combination[: k + 1])) for k in range(len(combination))]
        confidences = [prefix_scores(prefix, combine, confidence_name, scores) for prefix in prefixes[:-1]]
        pooled = [c for row in confidences for c in row]
        names = tuple(tuple((m.architecture, m.replica) for m in tier) for tier in combination)
        for prefix in prefixes:
            if prefix not in known:
                known[prefix] = prefix_correct(prefix, labels, combine), [set_cost(prefix, i) for i in range(N)]
        correct, cost = zip(*(known[prefix] for prefix in prefixes), strict=True)
        for threshold in [*sorted(set(ties(pooled, confidence_name).values())), np.float32(np.inf)]:
            values = [threshold] * len(confidences)
            total_correct, total_cost = tally(exit_stages(confidences, values, N), correct, cost)
            key = len(prefixes[-1]), len(combination), worst_cost(prefixes[-1], N), names, threshold
            pair = total_cost, total_correct
            if pair not in best or key < best[pair][0]:
                stages, _ = report(combination, values, confidences, combine, confidence_name)
                threshold = reported_threshold(pooled, threshold, confidence_name)
                told = () if len(stages) == 1 else (threshold,) * (len(stages) - 1)
                best[pair] = key, stages, told
    points = []
    for cost, correct in sorted(best, key=lambda pair: (pair[0], -pair[1])):
        if not points or correct > points[-1][0]:
            _, stages, told = best[cost, correct]
            points.append((correct, cost, tuple(tuple(m.name for m in stage) for stage in stages), told))
    return points


def search(
    models,
    labels,
    max_models,
    P,
    combine="mean_logits",
    confidence_name="max_prob",
    replicas="canonical",
    max_worst=None,
    scores=None,
    sequences=None,
):
    """The exact frontier of every combination with every one of its P**(n-1) level vectors, as a list of Point.

    sequences : sequences of tiers that are searched instead of all combinations of single models.

    A vector is on the frontier iff none has at least as many correct at less cost and none has more correct at equal
    cost. One witness each, the least of: members in the combination, stages, worst case, names (architecture, replica)
    stage by stage, level indexes. A combination whose members together cost more than max_worst is not tried.
    """
    N = len(labels)
    has_unit_costs(models)
    known = {}  # prefix -> (float32 [N], the P levels), so that each is worked out once
    right = {}  # prefix -> int [N]
    price = {}  # prefix -> int [N]
    best = {}  # (total cost, correct) -> (tie key, combination)

    if sequences is None:
        sequences = [tuple((m,) for m in c) for c in combinations(models, max_models, replicas)]
    for combination in sequences:
        prefixes = [tuple(itertools.chain(*combination[: k + 1])) for k in range(len(combination))]
        worst = worst_cost(prefixes[-1], N)
        if max_worst is not None and worst > max_worst:
            continue
        for prefix in prefixes:
            if prefix not in right:
                right[prefix] = prefix_correct(prefix, labels, combine)
                price[prefix] = [set_cost(prefix, i) for i in range(N)]
        for prefix in prefixes[:-1]:
            if prefix not in known:
                confidences = prefix_scores(prefix, combine, confidence_name, scores)
                known[prefix] = confidences, levels(confidences, P, confidence_name)
        confidences = [known[prefix][0] for prefix in prefixes[:-1]]
        correct = [right[prefix] for prefix in prefixes]
        cost = [price[prefix] for prefix in prefixes]
        names = tuple(tuple((m.architecture, m.replica) for m in tier) for tier in combination)

        for vector in itertools.product(range(P), repeat=len(combination) - 1):
            values = [known[prefix][1][j] for prefix, j in zip(prefixes[:-1], vector, strict=True)]
            total_correct, total_cost = tally(exit_stages(confidences, values, N), correct, cost)
            key = len(prefixes[-1]), len(combination), worst, names, vector
            pair = total_cost, total_correct
            if pair not in best or key < best[pair][0]:
                best[pair] = key, combination

    points = []
    for total_cost, total_correct in sorted(best, key=lambda pair: (pair[0], -pair[1])):  # cheapest, then best, first
        if points and total_correct <= points[-1].correct:
            continue
        (_, _, worst, _, vector), combination = best[total_cost, total_correct]
        prefixes = [tuple(itertools.chain(*combination[: k + 1])) for k in range(len(combination) - 1)]
        confidences = [known[prefix][0] for prefix in prefixes]
        values = [known[prefix][1][j] for prefix, j in zip(prefixes, vector, strict=True)]
        stages, thresholds = report(combination, values, confidences, combine, confidence_name)
        odds = report_log_odds(values, confidences, confidence_name) if confidences else ()
        points.append(
            Point(
                total_correct,
                total_cost,
                worst,
                tuple(m.name for m in itertools.chain(*combination)),
                vector,
                tuple(tuple(m.name for m in stage) for stage in stages),
                thresholds,
                odds,
            )
        )
    return points


# Segmentation: units are cells of images; a set of members says the mean of their probabilities, pixel by pixel


def cell_entries(images, labels, size, ignored, unlabelled):
    """(confidence, tp, fp, fn) of every cell: float32, and int [C] each.

    images : [image][row][column] -> probabilities [C]; labels likewise -> class, or `ignored`. Cells of
    size x size pixels go row by row; those at the far edges are smaller. Confidence: mean of the pixels' largest
    probabilities above `unlabelled`, 1 without any.
    """
    C = len(images[0][0][0])
    entries = []
    for image, truth in zip(images, labels, strict=True):
        H, W = len(image), len(image[0])
        for top in range(0, H, size):
            for left in range(0, W, size):
                sure, tp, fp, fn = [], [0] * C, [0] * C, [0] * C
                for y in range(top, min(top + size, H)):
                    for x in range(left, min(left + size, W)):
                        row = [float(p) for p in image[y][x]]
                        if max(row) > unlabelled:
                            sure.append(max(row))
                        said, label = row.index(max(row)), int(truth[y][x])
                        if label == ignored:
                            continue
                        if said == label:
                            tp[said] += 1
                        else:
                            fp[said] += 1
                            fn[label] += 1
                entries.append((np.float32(sum(sure) / len(sure) if sure else 1.0), tp, fp, fn))
    return entries


def mean_iou(tp, fp, fn):
    """Mean over the classes that occur or are predicted of tp / (tp + fp + fn); 0 if there are none."""
    shares = [t / (t + p + n) for t, p, n in zip(tp, fp, fn, strict=True) if t + p + n]
    return sum(shares) / max(1, len(shares))


def segmentation_search(entries, cost, P):
    """Frontier [(total cost, mIoU)] over every chain of growing sets and every vector of P levels.

    entries : {set of members: cell_entries of their mean}; cost : {member: int}.
    """
    N = len(next(iter(entries.values())))
    C = len(next(iter(entries.values()))[0][1])
    chains = [(s,) for s in entries]
    for _ in range(len(cost)):
        chains += [(*c, s) for c in chains for s in entries if c[-1] < s and (*c, s) not in chains]
    found = set()
    for chain in chains:
        confidences = [[e[0] for e in entries[s]] for s in chain[:-1]]
        grids = [levels(c, P) for c in confidences]
        for vector in itertools.product(range(P), repeat=len(chain) - 1):
            stage = exit_stages(confidences, [g[j] for g, j in zip(grids, vector, strict=True)], N)
            sums = [[0] * C for _ in range(3)]
            total = 0
            for i, k in enumerate(stage):
                total += sum(cost[m] for m in chain[k])
                for have, more in zip(sums, entries[chain[k]][i][1:], strict=True):
                    for c in range(C):
                        have[c] += more[c]
            found.add((total, mean_iou(*sums)))
    points = []
    for total, quality in sorted(found, key=lambda p: (p[0], -p[1])):
        if not points or quality > points[-1][1]:
            points.append((total, quality))
    return points


# The frontier over the worst case or a percentile instead of the average


def percentile(values, percent):
    """The least of the values that at least `percent` % of them do not exceed."""
    return sorted(values)[-(-percent * len(values) // 100) - 1]


def axis_search(models, labels, max_models, P, combine, confidence_name, axis, percent=99, scores=None):
    """[(cost, correct, least total cost of those)] over every combination and vector of levels; axis "worst" or "p99".

    The worst case of a vector is that of the members that some unit runs.
    """
    N = len(labels)
    least = {}
    for combination in combinations(models, max_models, "canonical"):
        prefixes = [combination[: k + 1] for k in range(len(combination))]
        confidences = [prefix_scores(prefix, combine, confidence_name, scores) for prefix in prefixes[:-1]]
        grids = [levels(c, P, confidence_name) for c in confidences]
        correct = [prefix_correct(prefix, labels, combine) for prefix in prefixes]
        cost = [[set_cost(prefix, i) for i in range(N)] for prefix in prefixes]
        for vector in itertools.product(range(P), repeat=len(prefixes) - 1):
            stage = exit_stages(confidences, [g[j] for g, j in zip(grids, vector, strict=True)], N)
            total_correct, total = tally(stage, correct, cost)
            paid = [cost[k][i] for i, k in enumerate(stage)]
            x = max(cost[max(stage)]) if axis == "worst" else percentile(paid, percent)
            least[x, total_correct] = min(total, least.get((x, total_correct), total))
    points = []
    for x, right in sorted(least, key=lambda p: (p[0], -p[1])):
        if not points or right > points[-1][1]:
            points.append((x, right, least[x, right]))
    return points
