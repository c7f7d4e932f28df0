"""wisecommittee calibrate: fit a temperature, Platt or isotonic calibration of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wisecommittee.errors import counted

from . import options
from .console import out, percent, print_json, progress, table

if TYPE_CHECKING:
    from wisecommittee.searches.calibration.result import Calibrated, Measures


def calibrate(
    model: Annotated[
        list[str], typer.Option("--model", help="Model to calibrate, or a glob of several; may be repeated.")
    ],
    method: Annotated[
        str,
        typer.Option(help="temperature, platt or isotonic; none takes the calibration off again."),
    ] = "temperature",
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split to fit on; test is refused, it reports.")] = "val",
    force: Annotated[
        bool, typer.Option("--force", help="Store also what makes a model worse on units it was not fitted on.")
    ] = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Calibrate models: make a confidence of 80 % mean that 80 % are right.

    Fitted on val and stored on the card beside the outputs, which stay as they are; `search --calibrated` uses it. The
    predictions of a model never change. temperature: logits / T of least negative log-likelihood (Guo et al. 2017).
    platt: the log-odds of the winning class times a slope plus an intercept. isotonic: any non-decreasing function of
    them. The units that choose are cross-fitted, in 5 folds by the hash of their id; what makes these worse is not
    stored. Where no parameters are best, the model is kept as it is, and that is said.

    **Examples**

    `wisecommittee calibrate --model b3/0 --method temperature`

    `wisecommittee calibrate --model '*' --method platt && wisecommittee search --calibrated --target-flops 4e9`

    `wisecommittee calibrate --model '*' --method none`
    """
    from wisecommittee.searches.calibration.calibrate import calibrate as fit
    from wisecommittee.store import LogitStore

    with progress() as update:
        done = fit(LogitStore(store), model, method, split=split, force=force, threads=threads, progress=update)
    if as_json:
        # One model asked for by name is one object; patterns and several names are a list, however many they match.
        single = len(model) == 1 and model == [done[0].model]
        print_json(done[0].to_json() if single else {"models": [fitted.to_json() for fitted in done]})
        _require_stored(done)
        return
    if method == "none":
        out.print(f"{', '.join(fitted.model for fitted in done)}: without calibration now", markup=False)
        return
    columns = [("model", "left"), ("fitted", "left"), ("NLL", "right"), ("ECE %", "right")]
    columns += [("cross-fitted", "right"), ("test NLL", "right"), ("test ECE %", "right")]
    rows = []
    for fitted in done:
        row = [fitted.model, _fitted(fitted), _nll(fitted.before, fitted.after), _ece(fitted.before, fitted.after)]
        row.append(_ece(fitted.before, fitted.cross_fitted))
        rows.append(row + ([_nll(*fitted.test), _ece(*fitted.test)] if fitted.test else ["-", "-"]))
    caption = (
        f"n = {done[0].n:,} units of {split}; before → after; NLL in nats per unit, ECE over 15 bins. "
        f"Cross-fitted: ECE of each unit by a fit without its fold, as `search --calibrated` sees it."
    )
    table(f"{method}, fitted on {split}", columns, rows, caption)
    for fitted in done:
        if fitted.note:
            out.print(f"  {fitted.model}: {fitted.note}", markup=False)
    _require_stored(done)


def _require_stored(done: list[Calibrated]) -> None:
    """Exit code 1 if nothing was; the warnings have said why."""
    if not any(fitted.stored for fitted in done):
        raise typer.Exit(1)


def _fitted(fitted: Calibrated) -> str:
    assert fitted.calibration is not None
    p = fitted.calibration.parameters
    if fitted.method == "isotonic":
        return f"{counted(len(p['x']), 'knot')}"
    return ", ".join(f"{'T' if name == 'temperature' else name} {value:.4f}" for name, value in p.items())


def _nll(before: Measures, after: Measures | None) -> str:
    shown = ("-" if m is None or m.nll is None else f"{m.nll:.4f}" for m in (before, after))
    return " → ".join(shown)


def _ece(before: Measures, after: Measures | None) -> str:
    shown = ("-" if m is None or m.ece is None else percent(m.ece) for m in (before, after))
    return " → ".join(shown)
