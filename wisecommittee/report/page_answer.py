"""The answer on the page: the verdict, what it rests on, and the committee beside single models on the same splits."""

from __future__ import annotations

from collections.abc import Iterator

from wisecommittee.analyses.study import Study
from wisecommittee.committees.committee import together
from wisecommittee.errors import counted
from wisecommittee.report.markup import escape
from wisecommittee.report.page_chart import plain
from wisecommittee.searches.choice import Choice
from wisecommittee.searches.evaluation import FIGURES, Evaluation, words_on
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.guarantees.certificate import Certificate
from wisecommittee.searches.resampling.verdict import WORDS, on_test_words

Row = tuple[str, ...]


def answer(study: Study, choice: Choice) -> str:
    """The part of the page about the chosen committee, as HTML."""
    committee = choice.val.committee
    rules = [
        f'<p class="note">{escape(f"after {together(stage)}: answer if {condition}, else go on")}</p>'
        for stage, condition in zip(committee.stages, committee.conditions(), strict=False)
    ]
    parts = [_verdict(study, choice), f"<p><b>{escape(committee.label())}</b></p>", *rules, _table(study, choice)]
    notes = [_note(choice), *([f"Note: {small}."] if (small := choice.small_networks) else [])]
    parts += [f'<p class="note">{escape(note)}</p>' for note in notes]
    return f'<div class="answer">{"".join(parts)}</div>'


def _certificate(certificate: Certificate) -> str:
    """Whether the statements hold, and what the units that tested them show."""
    stated = " and ".join(str(each.statement) for each in certificate.statements)
    kind, word = ("use", "GUARANTEED") if certificate.holds else ("not_shown", "NOT SHOWN")
    delta, tested = certificate.asked.delta, certificate.figures
    lines = [f'<p class="verdict {kind}"><b>{word}</b>: {escape(stated)} (delta {delta:g}).</p>']
    for each in certificate.statements:
        note = f"{each.statement}: {each.method} on {counted(each.n, 'unit')}, which would show {each.strongest}"
        lines.append(f'<p class="note">{escape(note)}</p>')
    note = (
        f"Tested on units of {tested.split} that did not choose the committee. With probability {1 - delta:g} no "
        f"statement that is said to hold is false. To rely on what these units would show, test it on new ones."
    )
    return "".join([*lines, f'<p class="note">{escape(note)}</p>'])


def _verdict(study: Study, choice: Choice) -> str:
    """The verdict with its basis, or the statements; without both, the reason and what val says."""
    if choice.certificate is not None:
        return _certificate(choice.certificate)
    evidence, selection = choice.evidence, choice.selection
    verdict, comparison, expected = evidence.verdict, evidence.comparison, evidence.expected
    if verdict is None or comparison is None or expected is None:
        why = "the frontier was given" if study.given else evidence.note
        return f"<p>No verdict: {escape(why)}.</p><p>{escape(_on_val(choice))}</p>"
    sentence = escape(verdict.sentence)
    if verdict.word == "use":
        sentence = f"<b>{sentence}</b>"
    lines = [f'<p class="verdict {verdict.word}"><b>{WORDS[verdict.word]}</b>: {sentence}.</p>']
    basis = (
        f"Expected on new data, from {expected.basis(choice.val.split)}, at 95 %. To use it takes at most "
        f"{100 * selection.margin:.3g} points lost and over {selection.min_speedup:g} times less cost."
    )
    if verdict.more_units is not None:
        basis += f" About {verdict.more_units:,} more units would settle it."
    lines.append(f'<p class="note">{escape(basis)}</p>')
    if comparison.test is not None and choice.test is not None and not comparison.same:
        lines.append(f'<p class="note">{escape(on_test_words(comparison, choice.test.split))}</p>')
    return "".join(lines)


def _on_val(choice: Choice) -> str:
    """What the committee saves on the units that chose it."""
    val, best, cheapest, frontier = choice.val, choice.best_single, choice.cheapest_single, choice.frontier
    start = f"The best single model is {best.committee.label()}."
    if val.committee.decides_as(best.committee):
        return f"{start} The committee is this model by itself."
    how, other, good = words_on(frontier.axis), cheapest or best, f"as {frontier.query.good} as the committee"
    much = _much(frontier.x(val), frontier.x(other))
    flattered = f"on {val.split}, which chose it and flatters it"
    if cheapest is None:
        return f"{start} None is {good} {flattered}; {how} the committee costs {much} the best."
    return (
        f"{start} The cheapest {good} {flattered}, is {other.committee.label()}; {how} the committee costs {much} it."
    )


def _much(cost: float, other: float) -> str:
    """A cost in proportion to another, in words that agree with the printed figures."""
    if cost == other:
        return "as much as"
    if not min(cost, other):
        return "less than" if cost < other else "more than"
    ratio = max(cost, other) / min(cost, other)
    if ratio < 1.005:
        return f"{100 * (ratio - 1):.2g} % {'less' if cost < other else 'more'} than"
    return f"{ratio:.2f} times less than" if cost < other else f"{ratio:.2f} times as much as"


def _table(study: Study, choice: Choice) -> str:
    """The committee on new data, on the split that chose it and on test, and single models on the same splits."""
    names = ["", "units", f"{study.quality} % [95 %]", *(figure.words for figure in FIGURES.values()), "exits %"]
    head = "".join(f"<th{'' if not i else ' class=right'}>{escape(name)}</th>" for i, name in enumerate(names))
    body = "".join(
        f"<tr{' class=gap' if gap else ''}>"
        + "".join(f"<td{'' if not i else ' class=right'}>{escape(cell)}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row, gap in _rows(choice)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _rows(choice: Choice) -> Iterator[tuple[Row, bool]]:
    """Cells, and whether a line parts the row from the one above."""
    if choice.evidence.expected is not None:
        yield _expected(choice.evidence.expected, choice.val), False
    yield _row(f"on {choice.val.split}, if nobody had chosen", choice.val), False
    if choice.certificate is not None and choice.certificate.labelled:
        tested = choice.certificate.figures
        yield _row(f"on {tested.split}, the units that tested", tested), False
    if choice.test is not None:
        yield _row(f"on {choice.test.split}, if looked at once", choice.test), False
    named = (
        ("to be matched", choice.matched),
        ("best single model", choice.best_single),
        (f"cheapest as {choice.frontier.query.good} on {choice.val.split}", choice.cheapest_single),
    )
    said: set[tuple[str, ...]] = set()
    for what, e in named:
        if e is None or e.committee.models in said:
            continue
        said.add(e.committee.models)
        yield _row(f"{what}, {e.committee.label()}, on {e.split}", e), True
        if (test := choice.on_test(e)) is not None:
            yield _row(f"on {test.split}", test), False


def _row(what: str, e: Evaluation) -> Row:
    costs = (_amount(value, e.committee.cost) for value in e.cost)
    return what, f"{e.n:,}", _around(e.quality, e.interval), *costs, _exits(e)


def _expected(expected: Expected, e: Evaluation) -> Row:
    cost = e.committee.cost
    average = (
        f"{_amount(expected.average_cost, cost)} [{', '.join(plain(end, cost) for end in expected.cost_interval)}]"
    )
    costs = average, _amount(expected.p99_cost, cost), _amount(e.worst_case_cost, cost)
    return "expected on new data", f"{expected.n:,}", _around(expected.quality, expected.interval), *costs, ""


def _around(quality: float, interval: tuple[float, float]) -> str:
    return f"{100 * quality:.2f} [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"


def _exits(e: Evaluation) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in e.exit_ratios)


def _note(choice: Choice) -> str:
    """What the figures of each split are worth."""
    val = choice.val.split
    note = f"{val} chose this committee, so its figures there are optimistic"
    if choice.evidence.expected is not None:
        note += "; look at those to expect instead"
    if choice.test is not None:
        return f"{note}. Those on {choice.test.split} hold if {choice.test.split} was looked at once."
    lacks = f"The test split lacks {', '.join(choice.lacking)}" if choice.lacking else "The store has no test split"
    return f"{note}. {lacks} to report on."


def figures_of(e: Evaluation, quality: str) -> str:
    """'val: top-1 accuracy 95.00 % [93.0, 96.5], average 1.2M FLOPs, .., exits 60.0 / 40.0 %'."""
    costs = [f"{FIGURES[field].words} {_amount(value, e.committee.cost)}" for field, value in e.cost._asdict().items()]
    around = _around(e.quality, e.interval).replace(" [", " % [")
    return f"{e.split}: {quality} {around}, {', '.join(costs)}, exits {_exits(e)} %"


def _amount(value: float, cost: str) -> str:
    if cost == "usd" and 0 < value < 0.01:
        return f"${1000 * value:.4g} per 1,000"
    return plain(value, cost) + (" FLOPs" if cost == "flops" else f" {cost}")
