"""Options that several commands share, with one help text each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wisecommittee.errors import UsageError

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Folder or s3:// or gs:// URI of the store.",
        envvar="WISECOMMITTEE_STORE",
        show_default="logits",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of a table.")]
MembersStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Store whose cards say where members are loaded from; their outputs are compared with it.",
        envvar="WISECOMMITTEE_STORE",
        show_default="logits, unless all members are named",
    ),
]
LentPreprocess = Annotated[
    str | None,
    typer.Option("--preprocess", help="Model spec whose preprocessing serves members that bring none."),
]
Softmax = Annotated[
    bool, typer.Option("--softmax", help="Put one behind members chosen on probabilities that give logits.")
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run code that only the store's cards name: Python modules, .pt2 and .ts files."),
]
Force = Annotated[bool, typer.Option("--force", help="With other weights and outputs too.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", help="Threads; the result does not depend on it. Default: WISECOMMITTEE_THREADS, or all cores."
    ),
]
TargetFlops = Annotated[
    float | None,
    typer.Option(
        "--target-flops",
        help="Most average FLOPs (multiply-adds) per unit; the most accurate committee within it.",
    ),
]
TargetCost = Annotated[float | None, typer.Option("--target-cost", help="The same in the unit of --cost.")]
TargetUsdPer1k = Annotated[
    float | None,
    typer.Option(
        "--target-usd-per-1k", help="Most dollars for 1,000 units, over the axis; counts usd where --cost is not named."
    ),
]
TargetAccuracy = Annotated[
    float | None,
    typer.Option(
        "--target-accuracy", help="Least accuracy on the choosing split, 0 to 1; the cheapest committee of it."
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        "--features",
        help="Columns known before any model runs, in place of those in the store: .csv or .parquet with unit_id; "
        "numbers, or text of categories.",
    ),
]
LabelsFrom = Annotated[
    str | None,
    typer.Option(
        "--labels-from",
        help="Take the predictions of this model for the labels: quality is agreement with it, and no labels are "
        "needed.",
        show_default="the labels of the split",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        help="Column of the labels file in which units that belong together are equal: groups stay whole in folds, and "
        "intervals rest on their number.",
        show_default="each unit by itself",
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Exchange models that are in the store with other content.")]
OutFile = Annotated[
    Path | None, typer.Option("--out", help="File to write; the ending chooses the format (png, pdf, svg).")
]
Committees = Annotated[
    list[Path] | None,
    typer.Option("--committee", help="A committee.json that the plot or table is about; may be repeated."),
]
ListKinds = Annotated[bool, typer.Option("--list", help="List the kinds there are, and stop.")]
Published = Annotated[
    bool, typer.Option("--published", help="Add the papers' own figures where they have the same layout.")
]

# Of the commands that train

TrainingData = Annotated[
    str,
    typer.Option(
        "--data", help="digits, cifar10[:FOLDER], cifar100[:FOLDER] or imagefolder:FOLDER (with train/, val/, test/)."
    ),
]
LabelNoise = Annotated[
    float, typer.Option("--label-noise", help="Share of the training labels that is redrawn at random.", min=0, max=1)
]
PixelNoise = Annotated[
    float | None,
    typer.Option("--pixel-noise", help="Of digits: standard deviation of the noise; pixels lie in [0, 1]."),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the data; default: the preset's.", min=1)]
Seed = Annotated[int, typer.Option("--seed", help="Of initialisation, order, augmentation and label noise.", min=0)]
Device = Annotated[str, typer.Option("--device", help="auto, cuda, cuda:1, mps or cpu.")]
Precision = Annotated[str, typer.Option("--precision", help="float32, or bfloat16 or float16 for mixed precision.")]
Checkpoints = Annotated[
    Path | None, typer.Option("--checkpoints", help="Folder of checkpoints; default: in the user's cache folder.")
]
Curves = Annotated[
    Path | None, typer.Option("--curves", help="Parquet file for the learning curves; `plot learning` draws them.")
]
Workers = Annotated[int, typer.Option("--workers", help="Processes that load images from files.", min=0)]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="digits-cnn, resnet18, resnet32, wrn16-1, -2, -4, -8, or package.module:factory; default: by the data.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="digits or cifar: epochs, batch size, learning rate; default: by data."),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Images in a step; default: the preset's.", min=2)]
Rate = Annotated[float | None, typer.Option("--lr", help="Initial learning rate; default: the preset's.")]
Form = Annotated[
    str | None,
    typer.Option("--format", help="rich (the terminal), csv, markdown, latex or html.", show_default="rich"),
]
TableFile = Annotated[Path | None, typer.Option("--out", help="File to write; .csv, .md and .tex choose the format.")]


# Options of several values are repeated, or take them with commas between


def several(option: str, given: Sequence[str] | None) -> list[str]:
    """['a,b', 'c'] -> ['a', 'b', 'c']"""
    values = [value.strip() for text in given or () for value in text.split(",")]
    if not all(values):
        raise UsageError(f"{option} {','.join(given or ())!r}: a value is missing beside a comma")
    return values


def numbers(option: str, given: Sequence[str] | None) -> list[float]:
    """Several numbers: separated by commas, the option repeated, or both."""
    out = []
    for text in several(option, given):
        try:
            out.append(float(text))
        except ValueError:
            raise UsageError(f"{option} {text!r}; expected numbers, as 2.5,5") from None
    return out


def whole_numbers(option: str, given: Sequence[str] | None) -> list[int]:
    """['240,300', '4e9'] -> [240, 300, 4000000000]"""
    numbers = []
    for text in several(option, given):
        try:
            number = float(text) if "e" in text.lower() else int(text)
        except ValueError:
            number = 0
        if not (0 < number < 2**63 and number == int(number)):
            raise UsageError(f"{option} {text!r}: expected whole numbers above 0, separated by commas")
        numbers.append(int(number))
    return numbers


def named_spec(text: str) -> tuple[str, str]:
    """'b3=timm:resnet50' -> ('b3', 'timm:resnet50')"""
    name, equals, spec = text.partition("=")
    if not (name and equals and spec):
        raise UsageError(f"{text!r}: expected NAME=SPEC, the member and the model spec it is loaded from")
    return name, spec
