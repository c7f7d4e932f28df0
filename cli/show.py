"""How answers look on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wisecommittee.errors import counted

from .console import Unit, human, out, percent, shares, table
from .show_answered import show_answered
from .show_costs import show_costs
from .show_evidence import expected_row, show_verdict
from .show_guarantee import show_headline, show_statements, with_tested

if TYPE_CHECKING:
    from wisecommittee.committees.committee import Committee
    from wisecommittee.report.table import Table
    from wisecommittee.searches.choice import Choice
    from wisecommittee.searches.evaluation import Evaluation
    from wisecommittee.searches.expected import Expected
    from wisecommittee.searches.frontier import Frontier
    from wisecommittee.searches.query import Query
    from wisecommittee.store import LogitStore

ROWS = 20
MANY = 0.1  # of the units with one confidence: said


def show_choice(choice: Choice, store: LogitStore) -> None:
    if choice.certificate is None:
        show_verdict(choice)
    else:
        show_headline(choice.certificate)
    searched = choice.frontier.searched
    combinations = counted(searched["combinations"], "combination")
    vectors = counted(searched["threshold_vectors"], "threshold vector")
    proved = "; proved over all real thresholds" if searched["exact"] else ""
    out.print(f"searched {combinations}, {vectors} in {searched['seconds']:.1f} s{proved}", markup=False)
    if searched["method"] in ("beam", "greedy") and "gap" in searched:
        out.print(f"not proved: no committee is more than {100 * searched['gap']:.2f} points better at equal cost")
    if more := searched.get("left_out"):
        out.print(f"--replicas all would try {counted(more, 'combination')} more, with other replicas or members")
    ties = searched.get("ties")
    if ties and ties["share"] >= MANY:
        out.print(
            f"{percent(ties['share'])} % of the units have one confidence after {' + '.join(ties['after'])}: no "
            f"threshold parts them; another --confidence may",
            markup=False,
        )
    if choice.target or choice.certificate or choice.selection.abstains:
        tested = [choice.val] if choice.certificate is None else with_tested(choice.val, choice.certificate)
        evaluations = [*tested, *([choice.test] if choice.test else [])]
        show_evaluations(
            evaluations,
            [_limited(choice.frontier.query, e) for e in evaluations],
            choice.lacking,
            choice.evidence.expected,
        )
        show_thresholds(choice.val)
        show_references(choice)
        if choice.certificate is not None:
            show_statements(choice.certificate, choice.selection.seed, choice.selection.group_by)
    else:
        show_frontier(choice.frontier, store)
    show_note(choice.small_networks)


def show_note(note: str | None) -> None:
    """A sentence below the tables, if there is one."""
    if note is not None:
        out.print(f"note: {note}")


def _limited(query: Query, e: Evaluation) -> dict[str, float]:
    """The figures that were limited beside the average and the worst case, by heading."""
    limited = {}
    if query.max_percentile_cost is not None:
        limited[f"p{query.max_percentile_cost[0]:g}"] = e.percentile(float(query.max_percentile_cost[0]))
    return limited | {f"average {name}": e.costs[name].average for name in query.averages(e.committee.cost)}


def show_evaluations(
    evaluations: Sequence[Evaluation],
    further: Sequence[Mapping[str, float]],
    lacking: Sequence[str] = (),
    expected: Expected | None = None,
) -> None:
    """One committee on several splits. further : figures of each beside these, by heading; those of another cost have
    its name in it. lacking : members that the test split does not have. expected : on new units."""
    from wisecommittee.searches.evaluation import FIGURES

    first = evaluations[0]
    unit = Unit(first.committee.cost, [e.average_cost for e in evaluations])
    extra = [name for name in further[0] if name != "p99"]
    rows = [
        [
            e.split,
            f"{e.n:,}",
            f"{percent(e.quality)} {_around(e)}",
            *map(unit, e.cost),
            *(_amount(name, values[name], unit) for name in extra),
            shares(e.exit_ratios),
        ]
        for e, values in zip(evaluations, further, strict=True)
    ]
    if expected is not None:
        line = expected_row(expected, unit, first.worst_case_cost)
        rows.insert(1, [*line, *("" for _ in extra), ""])
    columns = [
        ("split", "left"),
        ("units", "right"),
        (f"{first.measure} % [95 %]", "right"),
        *((FIGURES[field].heading, "right") for field in first.cost._fields),
        *((name, "right") for name in extra),
        ("exits %", "left"),
    ]
    caption = None
    if any(e.split == first.committee.chosen_on for e in evaluations):
        caption = (
            f"{first.committee.chosen_on} chose this committee: its figures there flatter it, and its interval there "
        )
        caption += "holds only had nobody chosen."
        if lacking:
            caption += f" The test split lacks {', '.join(lacking)}; put it there too to see honest ones."
        elif len(evaluations) > 1:
            caption += " Those of test hold if test was looked at once."
    table(f"{first.committee.label()}   (costs in {unit.name})", columns, rows, caption)
    show_costs(evaluations)
    show_answered(evaluations, expected)


def _amount(heading: str, value: float, unit: Unit) -> str:
    """A percentile in the unit of the table, an average in that of its own cost."""
    other = heading.removeprefix("average ")
    return unit(value) if other == heading else human(value) if other == "flops" else f"{value:.4g}"


def show_members(e: Evaluation, alone: Sequence[Evaluation]) -> None:
    """The members of a committee by themselves, beside it."""
    if not alone:
        return
    unit = Unit(e.committee.cost, [e.average_cost, *(single.average_cost for single in alone)])
    rows = [
        [
            single.committee.models[0],
            f"{percent(single.quality)} {_around(single)}",
            "-" if e.committee.abstains else f"{100 * (e.quality - single.quality):+.2f}",
            unit(single.average_cost),
            beside(single.average_cost, e.average_cost),
        ]
        for single in alone
    ]
    columns = [
        ("member by itself", "left"),
        (f"{e.measure} % [95 %]", "right"),
        ("committee gains, points", "right"),
        (unit.name, "right"),
        ("the committee is", "left"),
    ]
    table("", columns, rows)


def beside(single: float, committee: float) -> str:
    """How a committee's cost compares with a single model's: '1.52x cheaper', 'as dear', '1.03x as dear'."""
    if single == committee:
        return "as dear"
    if not min(single, committee):  # one of them is free
        return "cheaper" if committee < single else "dearer"
    times = single / committee
    if f"{times:.2f}" == "1.00":
        return "as dear"
    return f"{times:.2f}x cheaper" if times > 1 else f"{1 / times:.2f}x as dear"


def show_thresholds(e: Evaluation) -> None:
    from wisecommittee.committees.committee import together
    from wisecommittee.committees.policies.mixing import Mixing

    c = e.committee
    for number, part in enumerate(c.parts):
        if isinstance(c.policy, Mixing):
            share = 100 * (c.policy.share if number else 1 - c.policy.share)
            out.print(f"  on {share:.1f} % of the units, drawn by their ids: {part.label()}", markup=False)
        if not part.nested:
            out.print(f"  policy {part.policy.kind}: {part.policy.words}", markup=False)
        else:
            then = "end" if part.abstains else "answer"
            for stage, condition in zip(part.stages, part.conditions(), strict=False):
                out.print(f"  after {together(stage)}: {then} if {condition}, else go on", markup=False)
        _show_least(part)
    if methods := sorted({m["calibration"]["method"] for m in c.members.values() if m.get("calibration")}):
        out.print(f"  with calibrated models: {', '.join(methods)}", markup=False)


def show_recorded(committee: Committee) -> None:
    """The guarantees that a committee carries, and the quality that was expected of it when it was chosen."""
    from wisecommittee.tasks.task import agreement_with

    for each in committee.guarantee:
        how = ", ".join(f"{name} {each[name]}" for name in ("delta", "method", "n") if name in each)
        out.print(f"  guaranteed when it was chosen: {each['statement']} ({how})", markup=False)
    quality = (committee.expected or {}).get("quality")
    if isinstance(quality, float):
        trusted = committee.labels_from
        measure = "quality" if trusted is None else agreement_with(trusted)
        out.print(f"  expected when it was chosen: {measure} {percent(quality)} %", markup=False)


def _show_least(part: Committee) -> None:
    """Which of the units that exit at a stage get no answer."""
    from wisecommittee.committees.committee import together
    from wisecommittee.committees.policies.abstaining import Abstaining

    if isinstance(part.policy, Abstaining):
        for stage, condition in zip(part.stages, part.policy.least_conditions(part.confidence), strict=True):
            then = "never answers" if condition is None else f"answers only if {condition}"
            out.print(f"  ended after {together(stage)}: {then}", markup=False)


def show_references(choice: Choice) -> None:
    best, cheapest, matched = choice.best_single, choice.cheapest_single, choice.matched
    good = choice.frontier.query.good
    unit = Unit(choice.val.committee.cost, [choice.val.average_cost])

    def line(noun: str, e: Evaluation, suffix: str = "") -> None:
        figures = f"{percent(e.quality)} % at {unit(e.average_cost)}"
        if (test := choice.on_test(e)) is not None:
            figures += f" ({test.split} {percent(test.quality)} %)"
        out.print(f"  {noun}: {e.committee.label()}, {figures}{suffix}", markup=False)

    if matched is not None:
        line("to be matched", matched, _compared(choice, matched))
    if matched is None or matched.committee.stages != best.committee.stages:
        line("best single model", best)
    else:
        out.print("  it is the best single model", markup=False)
    if cheapest is None:
        out.print(f"  no single model is as {good} on {choice.val.split}", markup=False)
    elif matched is None or cheapest.committee.stages != matched.committee.stages:
        line(f"cheapest single model as {good} on {choice.val.split}", cheapest, _compared(choice, cheapest))


def _compared(choice: Choice, other: Evaluation) -> str:
    """What the committee costs beside it, over the cost that was searched."""
    from wisecommittee.searches.evaluation import words_on

    if choice.val.committee.decides_as(other.committee):
        return "; it is the committee"
    words = beside(choice.frontier.x(other), choice.frontier.x(choice.val))
    return f"; the committee is {words} {words_on(choice.frontier.axis)}"


def show_frontier(frontier: Frontier, store: LogitStore) -> None:
    """The frontier, thinned to what fits a screen, with the figures to expect, those of test where the store has it,
    and those that were limited."""
    from wisecommittee.searches.evaluation import figure_on, shown_along
    from wisecommittee.searches.reporting import lacking, reported

    along, step = frontier.expected, max(1, -(-len(frontier) // ROWS))
    every = list(frontier)
    places = list(range(len(every)))[::-1][::step][::-1]  # the best stays, and so does the cheapest
    places = places if places[0] == 0 else [0, *places]
    chosen = [every[place] for place in places]
    tests = reported(chosen, store)
    unit = Unit(frontier.cost, [e.average_cost for e in chosen])
    limited = [_limited(frontier.query, e) for e in chosen]
    extra = [name for name in limited[0] if name != frontier.axis]
    shares_above = list(chosen[0].exceeding())
    figures = shown_along(frontier.axis)
    rows = []
    for index, e in enumerate(chosen):
        speedup = frontier.speedup(e, along[places[index]].quality if along else None)
        rows.append(
            [
                e.committee.label(),
                percent(e.quality),
                *([_with_half(along[places[index]])] if along else []),
                *([_quality(tests[index])] if tests else []),
                *(unit(e.on(axis)) for axis in figures),
                *(_amount(name, limited[index][name], unit) for name in extra),
                *(percent(e.exceeding()[figure]) for figure in shares_above),
                f"{speedup:.2f}x" if speedup else "-",
                shares(e.exit_ratios),
            ]
        )
    columns = [
        ("committee", "left"),
        (f"{chosen[0].split} {_short(chosen[0])}%", "right"),
        *([("expect % ±", "right")] if along else []),
        *([("test %", "right")] if tests else []),
        *((figure_on(axis).heading, "right") for axis in figures),
        *((name, "right") for name in extra),
        *((f"{figure} %", "right") for figure in shares_above),
        ("speed", "right"),
        ("exits %", "left"),
    ]
    as_accurate = "as to be expected" if along else f"on {chosen[0].split}"
    caption = (
        f"{len(rows)} of {counted(len(frontier), 'committee')}; --frontier FILE or --json gives all. "
        f"Speed: cheapest single model as {frontier.query.good} {as_accurate} over the committee's {frontier.axis}. "
        f"{chosen[0].split} chose these, so its figures flatter them."
    )
    if along:
        caption += " Expect: on new data, ± half of the 95 % interval."
    if lacks := lacking(chosen, store):
        caption += f" The test split lacks {', '.join(lacks)}."
    over = "" if frontier.axis == "average" else f" over the {frontier.axis} cost"
    table(f"frontier of all these combinations and thresholds{over}; costs in {unit.name}", columns, rows, caption)


def _with_half(expected: Expected) -> str:
    low, high = expected.interval
    return f"{percent(expected.quality)} ±{50 * (high - low):.1f}"


def _quality(e: Evaluation | None) -> str:
    return "-" if e is None else percent(e.quality)


def _short(e: Evaluation) -> str:
    """Accuracy needs no name in a narrow column."""
    return "" if e.measure == "accuracy" else f"{e.measure} "


def _around(e: Evaluation) -> str:
    low, high = e.interval
    return f"[{percent(low)}, {percent(high)}]"


def show_table(shown: Table, form: str) -> None:
    """On the terminal, or as text in another format on stdout."""
    from wisecommittee.report.formats import render

    if form != "rich":
        print(render(shown, form), end="")
        return
    sides = ["right" if right else "left" for right in shown.right()]
    headings = [f"{over}\n{heading}" if over else heading for over, heading in shown.headings()]
    table(shown.title, list(zip(headings, sides, strict=True)), shown.cells(), "\n".join(shown.notes), shown.breaks())
