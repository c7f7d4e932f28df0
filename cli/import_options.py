"""The options of `wisecommittee import`, with one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LOGS, TABLES, ARRAYS = "Evaluation logs", "Tables of answers", "Arrays of outputs"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[[FORMAT:]PATH | NAME=FILE]..",
        help="Evaluation logs: files or folders; or further arrays of the kind named by the option.",
    ),
]
Split = Annotated[str, typer.Option(help="Split that the units belong to: val chooses, test reports.")]
Labels = Annotated[Path | None, typer.Option(help="True classes: .npy, or csv/Parquet with unit_id,label.")]
Costs = Annotated[
    Path | None,
    typer.Option(
        help="models.csv: model, flops, and optionally architecture, replica, params, latency_ms, usd, blocks; of "
        "answers also usd_per_1k_prompt_tokens and usd_per_1k_completion_tokens (or 1m)."
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        help="Columns known before any model runs, for routers: .csv or .parquet with unit_id; numbers, or text "
        "of categories. Alone, of the units of a split in the store."
    ),
]
Unlabelled = Annotated[
    bool, typer.Option("--unlabelled", help="The units have no labels: a stream for `monitor` and `retune`.")
]

# Of logs

Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", metavar="GLOB", help="Tasks to read, of logs of several; repeated.", rich_help_panel=LOGS),
]
Metric = Annotated[
    str | None, typer.Option(help="Metric that is the quality, of logs with several.", rich_help_panel=LOGS)
]
Filter = Annotated[
    str | None, typer.Option("--filter", help="Filter whose answers count (lm-eval).", rich_help_panel=LOGS)
]
PerByte = Annotated[
    bool,
    typer.Option(
        "--per-byte",
        help="Divide the log-likelihood of a choice by its length, as acc_bytes or acc_norm of the log does.",
        rich_help_panel=LOGS,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read and check, show what there is, write nothing.", rich_help_panel=LOGS)
]

# Of answers

Answers = Annotated[
    Path | None,
    typer.Option(
        help="Long table: unit_id, model, answer, then per-unit costs (usd, tokens); optionally confidence, which "
        "thresholds need, and score.",
        rich_help_panel=TABLES,
    ),
]
Missing = Annotated[
    str | None,
    typer.Option(
        metavar="escalate|wrong|skip",
        help="What becomes of units that a model did not answer, of logs too: they run the next stage, exit as wrong, "
        "or are left out of all models.",
        rich_help_panel=TABLES,
    ),
]
FreeForm = Annotated[
    bool,
    typer.Option(
        "--free-form",
        help="Answers are free text, of logs too: compared without case, marks and \\boxed{}, numbers plainly.",
        rich_help_panel=TABLES,
    ),
]
IgnoreCase = Annotated[
    bool,
    typer.Option("--ignore-case", help="'Yes' and 'yes' are the same answer, of logs too.", rich_help_panel=TABLES),
]
ByPosition = Annotated[
    bool,
    typer.Option(
        "--by-position", help="Pair rows in order although only the labels, or only the outputs, have unit ids."
    ),
]

# Of arrays

Logits = Annotated[
    list[str] | None,
    typer.Option(
        "--logits", metavar="NAME=FILE", help="Logits [units, classes]; may be repeated.", rich_help_panel=ARRAYS
    ),
]
Probabilities = Annotated[
    list[str] | None,
    typer.Option(
        "--probabilities",
        metavar="NAME=FILE",
        help="Softmax outputs [units, classes]; may be repeated.",
        rich_help_panel=ARRAYS,
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="File that names the classes in order (txt: a name a line; csv: index,name; json), where labels or "
        "columns are names and do not say which class is which number. A class may have several names.",
        rich_help_panel=ARRAYS,
    ),
]
Cell = Annotated[
    int | None,
    typer.Option(
        help="Semantic segmentation: arrays are [images, height, width, classes], units are cells of so many "
        "pixels squared, costs are per cell.",
        rich_help_panel=ARRAYS,
    ),
]
IgnoreLabel = Annotated[
    int, typer.Option(help="With --cell, the label of pixels that do not count.", rich_help_panel=ARRAYS)
]
Dtype = Annotated[
    str, typer.Option(help="float32, or float16 for half the disk (it can flip near-ties).", rich_help_panel=ARRAYS)
]
