"""Options that several commands share, with one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Models = Annotated[
    list[str] | None, typer.Option("--models", help="Only models that match this glob; may be repeated.")
]
Cost = Annotated[
    str,
    typer.Option(
        "--cost", help="What to count: flops (multiply-adds) or a cost on the cards, such as usd or latency_ms."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", help="Threads; the result does not depend on it. Default: WISECOMMITTEE_THREADS, or all cores."
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Exchange models that are in the store with other content.")]
OutFile = Annotated[
    Path | None, typer.Option("--out", help="File to write; the ending chooses the format (png, pdf, svg).")
]
