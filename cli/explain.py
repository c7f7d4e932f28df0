"""wisecommittee explain: why a unit left a committee where it left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import Unit, out, print_json

if TYPE_CHECKING:
    from wisecommittee.committees.reasons import Reason
    from wisecommittee.operations.explanation import Explanation, Said, Step


def explain(
    committee: Annotated[Path, typer.Argument(help="committee.json written by search --save.")],
    units: Annotated[list[str] | None, typer.Argument(metavar="UNIT ..", help="Ids of units of the split.")] = None,
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split that holds the units.")] = "val",
    wrong: Annotated[
        int | None, typer.Option(help="Also so many units that are wrong: the surest, else the dearest.")
    ] = None,
    features: options.Features = None,
    labels_from: options.LabelsFrom = None,
    force: Annotated[
        bool, typer.Option("--force", help="Explain even if the members' weights or FLOPs differ.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say why a unit left a committee where it left: stage by stage what each member and the committee said, what was
    compared with the condition to exit and by how much it was met, and the cost so far; and what the stages that did
    not run would have answered and cost.

    **Examples**

    `wisecommittee explain committee.json 17 --split test`

    `wisecommittee explain committee.json --wrong 3 --split test --json`
    """
    from wisecommittee.committees.committee import Committee
    from wisecommittee.errors import UsageError
    from wisecommittee.operations.explain import explain_all, wrong_units
    from wisecommittee.store import LogitStore

    if not units and wrong is None:
        raise UsageError("no unit to explain; name its id after the committee, or units that are wrong with --wrong N")
    chosen = Committee.load(committee)
    source = LogitStore(store).with_features(features).with_labels_from(labels_from)
    named = list(units or [])
    if wrong is not None:
        named += wrong_units(chosen, source, split, wrong, force=force)
    explained = explain_all(chosen, source, named, split, force=force)
    if as_json:
        print_json({"committee": chosen.to_json(), "split": split, "units": [each.to_json() for each in explained]})
        return
    for number, each in enumerate(explained):
        if number:
            out.print()
        _show(each)
    if not explained:
        out.print(f"no unit of {split} is wrong", markup=False)


def _show(e: Explanation) -> None:
    unit = Unit(e.committee.cost, [step.cost for step in e.steps if step.cost is not None])
    _line(f"unit {e.unit} of {e.split}: {_answered(e)}")
    if e.part is not None:
        _line(
            f"  runs {e.part['committee']}, part {e.part['part']} of 2: its draw is {e.part['draw']:.6g}, and units "
            f"below {e.part['share']:.6g} run part 2"
        )
    _reasons(e.start)
    for step in e.steps:
        _step(step, unit, "leaves" if step.exits else "goes on")
    _reasons(e.answer_reasons)
    for step in e.not_run:
        _step(step, unit, None)
    _line(f"costs: all stages so far, in {unit.name}")


def _answered(e: Explanation) -> str:
    answer = "gets no answer" if e.answer.prediction is None else f"is answered {e.answer.prediction}"
    text = f"{answer} after stage {e.steps[-1].stage + 1}"
    if "label" not in e.outcome:
        return text
    right = "right" if e.outcome.get("correct") else "wrong"
    figure = next((f"{name} {e.outcome[name]:.6g}" for name in ("score", "pixels_right") if name in e.outcome), right)
    return f"{text}; its label is {e.outcome['label']}: {figure}"


def _step(step: Step, unit: Unit, goes: str | None) -> None:
    cost = "" if step.cost is None else f", cost {unit(step.cost)}"
    _line(f"stage {step.stage + 1}{'' if goes else ', not run'}{cost}")
    for model, said in step.members.items():
        _line(f"  {model}: {_said(said)}")
    if step.answer is not None and (len(step.members) > 1 or step.stage or not goes):
        _line(f"  {'the committee' if goes else 'the committee would say'}: {_said(step.answer)}")
    if goes:
        condition = "" if step.condition is None else f" (exits if {step.condition})"
        _line(f"  {goes}{condition}")
        _reasons(step.reasons)


def _reasons(reasons: Sequence[Reason]) -> None:
    for reason in reasons:
        by = "" if reason.margin is None else f", {'by' if reason.margin >= 0 else 'short by'} {abs(reason.margin):.6g}"
        _line(f"    {reason.text}{by}")


def _said(said: Said) -> str:
    text = "no answer" if said.prediction is None else str(said.prediction)
    if said.confidence is None:
        return text
    sure = f"{said.confidence:.6g}"
    saturated = said.log_odds is not None and sure in ("0", "1", "-0")
    return f"{text}, confidence {sure}" + (f" (log-odds {said.log_odds:.6g})" if saturated else "")


def _line(text: str) -> None:
    out.print(text, markup=False)
