"""The oracle: what an ensemble or cascade search means, written as loops over the definitions.

Nothing here is fast and nothing is shared with the package. Array letters: N units, C classes, K stages, P grid levels.
Counts and costs are Python ints. What the semantics call float32 is numpy float32; everything between two float32
values is computed in float64 (Python floats) and rounded once.
"""

import itertools
import math
from dataclasses import dataclass, field
from fractions import Fraction

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
    further_costs: dict[str, int | list[int]] = field(default_factory=dict)  # another cost -> of every unit, or [N]
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
class Limits:
    """What a committee may cost; a limit that is None or not named does not bind."""

    worst: int | None = None  # the cost of all members of the combination
    percentile: tuple[float, int] | None = None  # (percent, cost that at least so many percent of the units keep to)
    averages: dict[str, float] = field(default_factory=dict)  # name of a cost -> its average over the units
    shares: tuple[tuple[str, float, float], ...] = ()  # (name of a cost, amount, share of units that may cost more)


@dataclass(frozen=True)
class Point:
    """One frontier point with its witness; `stages` and `thresholds` are the reported committee."""

    correct: int
    total_cost: int
    worst_case: int  # cost of all members of the combination
    combination: tuple[str, ...]
    levels: tuple[int, ...]  # indexes of the thresholds: one per stage but the last, or the one that all stages share
    stages: tuple[tuple[str, ...], ...]
    thresholds: tuple[np.float32, ...]
    log_odds: tuple[float | None, ...] = ()  # for each threshold, None where its float32 says it all
    cost: int | None = None  # what the frontier is over where it is not the average: worst case or percentile


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


def every_threshold(confidences, name=None):
    """All thresholds that part units: the distinct confidences [N] and infinity, rising."""
    return [*sorted(set(ties(confidences, name).values())), np.float32(np.inf)]


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


def evaluate(members_by_stage, thresholds, labels, combine, confidence_name, scores=None, carried=False, overhead=0):
    """The cascade of these stages: stage k runs its members and predicts with all members of stages 0..k.

    A unit exits at stage k iff its score there is >= thresholds[k] (float32, one per stage but the last). It pays for
    everything that ran up to its exit, and for each of these stages the overhead. Nothing is merged or dropped.
    `scores` replaces the confidence, as it is carried (as are thresholds if `carried`); neither is asked about the last
    stage.
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
    cost = [[set_cost(prefix, i) + overhead * k for i in range(N)] for k, prefix in enumerate(prefixes, 1)]
    exit_stage = exit_stages(confidences, thresholds, N)
    total_correct, total_cost = tally(exit_stage, correct, cost)
    exits = [exit_stage.count(k) for k in range(len(prefixes))]
    worst = worst_cost(prefixes[-1], N) + overhead * len(prefixes)
    return Result(total_correct, total_cost, worst, exits, exit_stage)


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


def divided(sequences, ordered, thresholds=True):
    """Every way to run the tiers of these sequences in order, several of them in one stage; without thresholds, all in
    one stage. ordered : whether the order of the members of a stage matters.
    """
    known = {} if ordered else {frozenset(tier): tier for sequence in sequences for tier in sequence}
    found = {}
    for sequence in sequences:
        for stages in divisions(sequence) if thresholds else [(tuple(itertools.chain(*sequence)),)]:
            if not ordered:
                stages = tuple(known.setdefault(frozenset(s), tuple(canonical(s))) for s in stages)
            found[stages] = None
    return list(found)


def divisions(sequence):
    """Every way to run the tiers of a sequence in order, several of them in one stage."""
    if not sequence:
        yield ()
    for size in range(1, len(sequence) + 1):
        for rest in divisions(sequence[size:]):
            yield (tuple(itertools.chain(*sequence[:size])), *rest)


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


def family_sequences(models, family, max_stages, replicas):
    """The sequences of tiers that are the committees of a family.

    "cascade" : `tier_sequences`. "ensemble" : each set of members of such a sequence in which a group stands once, as
    one tier. "anytime" : the first members of a group as one tier, as many as `doublings` says. "halting" : the first
    members of a group one by one. "self_cascade" : runs of one checkpoint, in order of their cost, one by one.
    In "anytime" and "halting" every member of a group by itself as well; other models take no part.
    """
    if family == "cascade":
        return tier_sequences(models, max_stages, replicas)
    if family == "ensemble":
        sets = {}
        for sequence in tier_sequences(models, max_stages, replicas):
            joint = [stage[0].group for stage in sequence if stage[0].group]
            if len(set(joint)) == len(joint):
                members = canonical(itertools.chain(*sequence))
                sets[frozenset(members)] = (tuple(members),)
        return list(sets.values())
    joint = [m for m in models if m.group is not None]
    if family == "anytime":
        prefixes = [(tuple(g[:k]),) for g in groups(models).values() for k in doublings(g, replicas)]
        return with_singles(prefixes, joint)
    if family == "halting":
        steps = [tuple((m,) for m in g[:k]) for g in groups(models).values() for k in range(1, len(g) + 1)]
        return with_singles(steps, joint)
    if family != "self_cascade":
        raise ValueError(f"unknown family {family!r}")
    found = []
    for checkpoint in sorted({m.weights for m in models if m.weights is not None}):
        runs = [m for m in models if m.weights == checkpoint]
        if len({m.input_size for m in runs}) > 1:
            runs.sort(key=lambda m: (sum(m.blocks.values()), m.input_size[1], m.architecture, m.replica))
            for n in range(1, max_stages + 1):
                found.extend(tuple((m,) for m in chosen) for chosen in itertools.combinations(runs, n))
    return found


def count(models, max_models, P, replicas):
    """(combinations, threshold vectors) of the search without a worst-case limit; singles included."""
    found = combinations(models, max_models, replicas)
    return len(found), sum(P ** (len(combination) - 1) for combination in found)


def report(combination, values, confidences, combine, confidence_name, shared=False):
    """The reported committee of a sequence of tiers with level values: (stages of members, thresholds, log-odds).

    values: [n-1] level values; confidences: float32 [n-1][N]. A stage where nobody exits is merged into the next,
    stages after everybody has exited are dropped. So a stage ends where somebody exits, and nowhere else. A threshold
    lies midway between two neighbours among the confidences of its stage; one that all stages share, among those of all
    compared stages. Log-odds: one per threshold, none at all where float32 says every threshold.
    """
    N = len(confidences[0]) if confidences else 1  # a single member: all exit at once, however many they are
    exit_stage = exit_stages(confidences, values, N)
    order_free = combine != "last" and confidence_name in CONFIDENCES
    every = [c for row in confidences for c in row]
    stages, thresholds, odds, tier = [], [], [], []
    for k, added in enumerate(combination):
        tier.extend(added)
        if k in exit_stage:
            stages.append(tuple(canonical(tier) if order_free else tier))
            if k < len(values):
                among = every if shared else confidences[k]
                thresholds.append(reported_threshold(among, values[k], confidence_name))
                odds.append(reported_log_odds(among, values[k], confidence_name))
            tier = []
    last = len(stages) - 1
    return tuple(stages), tuple(thresholds[:last]), tuple(odds[:last]) if set(odds[:last]) - {None} else ()


def search(
    models,
    labels,
    max_models,
    P,
    combine="mean_logits",
    confidence_name="max_prob",
    replicas="canonical",
    *,
    sequences=None,
    limits=Limits(),
    axis="average",
    shared=False,
    exact=False,
    scores=None,
    overhead=0,
):
    """The exact frontier of every combination with every one of its P**(n-1) level vectors, as a list of Point.

    sequences : sequences of tiers that are searched instead of all combinations of single models.
    limits : vectors that break one are not candidates.
    axis : the cost of the frontier: "average"; "worst", the cost of the members that some unit runs; or "p99", "p60",
    .., what so many percent of the units do not exceed.
    exact : every threshold instead of P levels. shared : one threshold for all stages of a committee, over all
    confidences of its compared stages. overhead : what every stage costs beside its members.

    A vector is on the frontier iff none has at least as many correct at less cost and none has more correct at equal
    cost. One witness each, the least of: average cost, members in the combination, stages, cost of all members, names
    (architecture, replica) stage by stage, level indexes.
    """
    N = len(labels)
    has_unit_costs(models)
    known = {}  # prefix -> (float32 [N], its thresholds), so that each is worked out once
    right = {}  # prefix -> int [N]
    price = {}  # prefix -> int [N]
    best = {}  # (cost on the axis, correct) -> (tie key, combination, values)

    if sequences is None:
        sequences = [tuple((m,) for m in c) for c in combinations(models, max_models, replicas)]
    for combination in sequences:
        prefixes = prefixes_of(combination)
        worst = worst_cost(prefixes[-1], N) + overhead * len(prefixes)
        if limits.worst is not None and worst > limits.worst:
            continue
        for prefix in prefixes:
            if prefix not in right:
                right[prefix] = prefix_correct(prefix, labels, combine)
                price[prefix] = [set_cost(prefix, i) for i in range(N)]
        for prefix in prefixes[:-1]:
            if prefix not in known:
                scored = prefix_scores(prefix, combine, confidence_name, scores)
                every = every_threshold(scored, confidence_name)
                known[prefix] = scored, every if exact else levels(scored, P, confidence_name)
        confidences = [known[prefix][0] for prefix in prefixes[:-1]]
        correct = [right[prefix] for prefix in prefixes]
        cost = [[paid + overhead * stages for paid in price[prefix]] for stages, prefix in enumerate(prefixes, 1)]
        names = tuple(tuple((m.architecture, m.replica) for m in tier) for tier in combination)

        if shared and confidences:
            together = every_threshold([c for row in confidences for c in row], confidence_name)
            vectors = [((j,), [value] * len(confidences)) for j, value in enumerate(together)]
        else:
            vectors = level_vectors([known[prefix][1] for prefix in prefixes[:-1]])
        for vector, values in vectors:
            stage = exit_stages(confidences, values, N)
            total_correct, total_cost = tally(stage, correct, cost)
            if not keeps(limits, stage, prefixes, cost):
                continue
            x = total_cost if axis == "average" else axis_cost(axis, stage, cost)
            key = total_cost, len(prefixes[-1]), len(combination), worst, names, vector
            pair = x, total_correct
            if pair not in best or key < best[pair][0]:
                best[pair] = key, combination, values

    points = []
    for x, total_correct in sorted(best, key=lambda pair: (pair[0], -pair[1])):  # cheapest, then best, first
        if points and total_correct <= points[-1].correct:
            continue
        (total_cost, _, _, worst, _, vector), combination, values = best[x, total_correct]
        confidences = [known[prefix][0] for prefix in prefixes_of(combination)[:-1]]
        stages, thresholds, odds = report(combination, values, confidences, combine, confidence_name, shared)
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
                None if axis == "average" else x,
            )
        )
    return points


def prefixes_of(combination):
    """The members in use after each stage of a sequence of tiers."""
    return [tuple(itertools.chain(*combination[: k + 1])) for k in range(len(combination))]


def level_vectors(grids):
    """Every (indexes, values) of one level per grid; of equal levels the first stands for all."""
    firsts = [[j for j in range(len(grid)) if j == 0 or grid[j] != grid[j - 1]] for grid in grids]
    for vector in itertools.product(*firsts):
        yield vector, [grid[j] for grid, j in zip(grids, vector, strict=True)]


def keeps(limits, exit_stage, prefixes, cost):
    """Whether units that exit at these stages keep the limits on a percentile and on averages."""
    N = len(exit_stage)
    if limits.percentile is not None:
        percent, most = limits.percentile
        if percentile([cost[k][i] for i, k in enumerate(exit_stage)], percent) > most:
            return False
    for name, most in limits.averages.items():
        if Fraction(sum(paid(name, exit_stage, prefixes, cost)), N) > Fraction(str(most)):
            return False
    for name, amount, share in limits.shares:
        above = sum(each > amount for each in paid(name, exit_stage, prefixes, cost))
        if Fraction(above, N) > Fraction(str(share)):
            return False
    return True


def paid(name, exit_stage, prefixes, cost):
    """[N] what each unit costs at its exit; "cost" is the one that is searched, cost[k][i]."""
    if name == "cost":
        return [cost[k][i] for i, k in enumerate(exit_stage)]
    return [sum(further_cost(m, name, i) for m in prefixes[k]) for i, k in enumerate(exit_stage)]


def further_cost(model, name, i):
    told = model.further_costs[name]
    return told[i] if isinstance(told, list) else told


def axis_cost(axis, exit_stage, cost):
    """The cost of a frontier over the worst case or over a percentile, of units that exit at these stages."""
    if axis == "worst":
        return max(cost[max(exit_stage)])
    return percentile([cost[k][i] for i, k in enumerate(exit_stage)], axis.removeprefix("p"))


def percentile(values, percent):
    """The least of the values that at least `percent` % of them do not exceed."""
    share = Fraction(str(percent)) / 100
    return next(v for v in sorted(values) if sum(other <= v for other in values) >= share * len(values))


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
