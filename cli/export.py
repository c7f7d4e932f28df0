"""wisecommittee export and check-export: a committee as files that other programs run, and their check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .console import out, print_json, say

if TYPE_CHECKING:
    from wisecommittee.exporting.check import Checked
    from wisecommittee.exporting.exported import Exported


def export(
    committee: Annotated[Path, typer.Argument(help="committee.json written by search --save.")],
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=SPEC..", help="Model specs of members that their cards do not name, as for extract."
        ),
    ] = None,
    to: Annotated[str, typer.Option("--to", help="onnx or pt2 (torch.export).")] = "onnx",
    folder: Annotated[
        Path, typer.Option("--out", help="Folder to write: new, empty, or an earlier export, which is replaced.")
    ] = Path("exported"),
    store: options.MembersStore = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Golden units: a .npy of tensors as the members take them, or of images.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data spec of the golden units. Default: what the members were extracted from.")
    ] = None,
    input_size: Annotated[
        str | None, typer.Option(help="Shape of one unit, 3,224,224, for random golden units where it is unknown.")
    ] = None,
    units: Annotated[int, typer.Option(help="Golden units, at most.")] = 64,
    preprocess: options.LentPreprocess = None,
    softmax: options.Softmax = False,
    trust: options.Trust = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Write a committee as one graph for each stage and one for the whole cascade, with its decisions in them.

    The folder holds the graphs, committee.json, manifest.json (inputs, outputs, preprocessing, sha256) and golden/:
    units and the decisions of the deployed committee on them, which the files repeat before the folder appears. .pt2
    files are programs: whoever loads one runs it. ONNX files hold no code.

    **Examples**

    `wisecommittee export committee.json --to onnx --store logits --out exported`

    `wisecommittee export committee.json small=nets:small large=nets:large@large.pt --inputs units.npy`

    `wisecommittee export committee.json --to pt2 b3=timm:tf_efficientnet_b3@b3.pt --input-size 3,300,300`

    `wisecommittee check-export exported`
    """
    from wisecommittee.exporting.export import export as written
    from wisecommittee.exporting.golden import Wanted

    size = tuple(options.whole_numbers("--input-size", [input_size])) if input_size else None
    chosen: dict[str, Any] = {"preprocess": preprocess, "softmax": softmax, "force": force}
    done = written(
        committee,
        to,
        folder,
        dict(map(options.named_spec, models or [])),
        store=store,
        wanted=Wanted(inputs, None, size, units, data),
        trust=trust,
        **chosen,
    )
    if as_json:
        print_json(done.to_json())
    else:
        show(done)


def show(done: Exported) -> None:
    for note in done.notes:
        say(f"warning: {note}")
    out.print(f"wrote {done.folder}: {', '.join(done.files)}")
    forms = " and ".join(done.checked) or "nothing"
    out.print(f"{done.units:,} golden units ({done.source}): {forms} decide them as the deployed committee does")


def check_export(
    folder: Annotated[Path, typer.Argument(help="Folder that `export` has written.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Open files that run code when they are opened: .pt2.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Run the golden units of an export through its files and compare every decision with the deployed committee's.

    Ends with an error that names the first unit that differs, or the file that is not the one that was exported. ONNX
    files need no trust; .pt2 files run as you do when they are opened.

    **Examples**

    `wisecommittee check-export exported`

    `wisecommittee check-export exported-pt2 --trust --json`
    """
    from wisecommittee.exporting.check import check_export as checked

    done = checked(folder, trust=trust)
    if as_json:
        print_json(done.to_json())
    else:
        show_check(done)


def show_check(done: Checked) -> None:
    if not done.forms:
        out.print(f"{done.folder}: the files are those that were exported; {done.target} does not run here")
        return
    forms = " and ".join(done.forms)
    out.print(f"{done.folder}: {forms} decide {done.units:,} golden units as the deployed committee did")
