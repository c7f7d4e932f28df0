"""How expected figures, comparisons and verdicts look on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from wisecommittee.errors import counted, option

from .console import Unit, out, percent

if TYPE_CHECKING:
    from wisecommittee.searches.choice import Choice
    from wisecommittee.searches.resampling.expected import Expected

COLOURS = {"use": "bold green", "do_not_use": "bold red", "not_shown": "bold yellow"}


def show_verdict(choice: Choice) -> None:
    """The verdict and what it rests on, or why there is none."""
    from wisecommittee.searches.resampling.verdict import WORDS

    evidence, selection = choice.evidence, choice.selection
    verdict, comparison, expected = evidence.verdict, evidence.comparison, evidence.expected
    if verdict is None or comparison is None or expected is None:
        if evidence.note:
            out.print(f"no expected figures: {evidence.note}", markup=False, highlight=False)
        return
    words = Text(f"{WORDS[verdict.word]}: ", style=COLOURS[verdict.word])
    out.print(words + Text(f"{verdict.sentence}.", style="not bold default"), highlight=False)
    basis = f"Expected on new data, from {counted(expected.folds, 'fold')} of {expected.n:,} {choice.val.split} units"
    if expected.repeats > 1:
        basis += f", divided {expected.repeats} times"
    asked = f"at most {100 * selection.margin:.3g} points lost"
    if selection.min_speedup != 1:
        asked += f" and over {selection.min_speedup:g} times cheaper"
    out.print(f"  {basis}; intervals at 95 %; {option('margin')}: {asked}.", markup=False, highlight=False)
    if verdict.more_units is not None:
        out.print(f"  About {verdict.more_units:,} more units would settle it.", markup=False, highlight=False)


def expected_row(expected: Expected, unit: Unit, worst: float) -> list[str]:
    """The line of expected figures in a table of evaluations: split, units, quality, average, p99 and worst cost."""
    low, high = expected.interval
    dear = unit(expected.p99_cost)
    return [
        "expected",
        f"{expected.n:,}",
        f"{percent(expected.quality)} [{percent(low)}, {percent(high)}]",
        unit(expected.average_cost),
        dear,
        unit(worst),
    ]
