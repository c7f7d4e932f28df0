"""The command line: one file per command that parses, calls one library function and prints.

May be added: a command file and its line in COMMANDS. Heavy imports stay inside command bodies.
"""

from __future__ import annotations

import atexit
import gc
import sys
import warnings
from typing import Annotated

import typer

from wisecommittee import __version__

from . import (
    bench_models,
    calibrate,
    compare,
    demo,
    evaluate,
    extract,
    import_,
    maintain,
    models,
    plot,
    report,
    search,
    tables,
    train,
)
from .console import fail

app = typer.Typer(
    name="wisecommittee",
    help="Search every ensemble and cascade of models you already have, from outputs cached once.\n\n"
    "FLOPs are multiply-adds (MACs) throughout, as in the papers: --target-flops 4e9 means 4e9 multiply-adds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wisecommittee {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


COMMANDS = {
    "demo": demo.demo,
    "extract": extract.extract,
    "import": import_.import_,
    "models": models.models,
    "verify": models.verify,
    "search": search.search,
    "evaluate": evaluate.evaluate,
    "calibrate": calibrate.calibrate,
    "plot": plot.plot,
    "report": report.report,
    "tables": tables.tables,
    "compare": compare.compare,
    "bench-models": bench_models.bench_models,
    "split": maintain.split,
    "remove": maintain.remove,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(train.app, name="train")


def main() -> None:
    """Run a command; a mistake of the user's ends in one line on stderr and exit code 1 or 2, never in a traceback."""
    atexit.register(gc.freeze)  # what is left goes with the process: no half second of looking for garbage in it
    warnings.showwarning = lambda message, *_args, **_named: print(f"warning: {message}", file=sys.stderr)
    try:
        code = app(standalone_mode=False)
    except BaseException as error:
        sys.exit(fail(error))
    if code == 130:  # typer has swallowed the interrupt
        code = fail(KeyboardInterrupt())
    sys.exit(code if isinstance(code, int) else 0)
