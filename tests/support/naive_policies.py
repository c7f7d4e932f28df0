"""Policies that look at the answer, as loops over their definitions. Nothing is shared with the package.

A policy is the object "policy" of a committee.json. `said(route, i)` is what is known of unit i after the stages of a
route: (prediction, confidence). Units exit at the last route that no rule continues.
"""

import itertools

ALWAYS = -3.4028234663852886e38


def reaches(confidence, threshold):
    """Whether a confidence exits by a threshold of committee.json."""
    return threshold is not None and confidence >= threshold


def labels_route(policy, said, i):
    """The stages that unit i runs."""
    route = (0,)
    while list(route) in policy["after"]:
        rule = policy["after"].index(list(route))
        prediction, confidence = said(route, i)
        known = policy["labels"]
        column = known.index(prediction) if prediction in known else len(known)
        if reaches(confidence, policy["thresholds"][rule][column]):
            return route
        route = (*route, policy["following"][rule][column])
    return route


def votes(answers):
    """How many of these answers are equal to each of them; an empty one has no votes."""
    return [sum(other == mine for other in answers) if mine != "" else 0 for mine in answers]


def agreement(policy, models, answers, confidences):
    """(how many members one unit runs, its answer). models, answers, confidences : of all members, as they run."""
    for ran in range(1, len(models) + 1):
        counted = votes(answers[:ran])
        if ran == len(models):
            best = min((policy["best"].index(models[k]), answers[k]) for k in range(ran) if counted[k] == max(counted))
            return ran, best[1]
        threshold = policy["thresholds"][ran - 1][max(*counted, 1) - 1]
        if reaches(confidences[ran - 1], threshold) and (max(counted) or threshold != ALWAYS):
            return ran, next(answers[k] for k in reversed(range(ran)) if counted[k] == max(counted))
    raise AssertionError


def window_stage(low, high, probabilities):
    """The stage at which one unit exits. probabilities : of the positive class, after each stage."""
    for k, (least, most) in enumerate(zip(low, high, strict=True)):
        if (most is not None and probabilities[k] >= most) or (least is not None and probabilities[k] <= least):
            return k
    return len(low)


# The best rules by trying all


def rules_of_route(ranks, groups, ways):
    """Every way to give each group a level and a route that follows: lists of (level, way)."""
    levels = range(max(ranks) + 2)
    return itertools.product(itertools.product(levels, ways), repeat=groups)


def best_total(further, rank, group, groups, stop):
    """The largest sum of values that any rules of a tree of routes reach, by trying all.

    further : {route: routes that continue it}; rank, group : {route: [N]}; stop : {route: [N] value of an exit}
    """
    open_routes = [route for route, ways in further.items() if ways]
    choices = [list(rules_of_route(rank[route], groups, further[route])) for route in open_routes]
    best = -float("inf")
    for chosen in itertools.product(*choices):
        rules = dict(zip(open_routes, chosen, strict=True))
        best = max(best, sum(exit_value(rules, rank, group, stop, i) for i in range(len(stop[0]))))
    return best


def exit_value(rules, rank, group, stop, i):
    """The value of unit i by the rules of a tree, from route 0."""
    route = 0
    while route in rules:
        level, way = rules[route][group[route][i]]
        if rank[route][i] >= level:
            break
        route = way
    return stop[route][i]


def best_shrunk(rank, group, groups, stop, on, shrinkage):
    """For each group the largest sum over its units, plus `shrinkage` times the average over all units, of any level
    and way: stop [N] values of an exit, on {way: [N]} of going on."""
    units = range(len(stop))

    def total(level, way, who):
        return sum(stop[i] if rank[i] >= level else on[way][i] for i in who)

    rules = [(level, way) for level in range(max(rank) + 2) for way in on]
    return [
        max(
            total(level, way, [i for i in units if group[i] == g]) + shrinkage / len(stop) * total(level, way, units)
            for level, way in rules
        )
        for g in range(groups)
    ]
