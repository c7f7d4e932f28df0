"""The command line: one file per command that parses, calls one library function and prints.

May be added: a command file and its line in COMMANDS. Heavy imports stay inside command bodies.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
import warnings
from collections.abc import Collection
from typing import Annotated

import typer

from wisecommittee.errors import options_as_flags
from wisecommittee.version import __version__

from .console import fail, say, use_any_text

COMMANDS = {  # name: module and function of the command; `train` is an app with commands of its own
    "demo": ("demo", "demo"),
    "extract": ("extract", "extract"),
    "import": ("import_", "import_"),
    "models": ("models", "models"),
    "verify": ("models", "verify"),
    "search": ("search", "search"),
    "evaluate": ("evaluate", "evaluate"),
    "explain": ("explain", "explain"),
    "diff": ("diff", "diff"),
    "monitor": ("monitor", "monitor"),
    "retune": ("retune", "retune"),
    "audit": ("audit", "audit"),
    "calibrate": ("calibrate", "calibrate"),
    "plot": ("plot", "plot"),
    "report": ("report", "report"),
    "tables": ("tables", "tables"),
    "compare": ("compare", "compare"),
    "compare-policies": ("compare_policies", "compare_policies"),
    "serve": ("serve", "serve"),
    "bench-models": ("bench_models", "bench_models"),
    "export": ("export", "export"),
    "check-export": ("export", "check_export"),
    "split": ("maintain", "split"),
    "remove": ("maintain", "remove"),
    "train": ("train", "app"),
}


def application(names: Collection[str] = COMMANDS) -> typer.Typer:
    """The program with these of its commands; each costs milliseconds, so a run takes only its own."""
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
    app.callback()(_root)
    for name in names:
        place, member = COMMANDS[name]
        module = importlib.import_module(f".{place}", __name__)
        if names is not COMMANDS and hasattr(module, "fill_help"):  # too slow for the list of all commands
            module.fill_help()
        command = getattr(module, member)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wisecommittee {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; a mistake of the user's ends in one line on stderr and exit code 1 or 2, never in a traceback."""
    use_any_text()
    atexit.register(gc.freeze)  # no garbage collection at exit, which takes half a second
    warnings.showwarning = lambda message, *_args, **_named: say(f"warning: {message}")
    try:
        named = [name for name in sys.argv[1:2] if name in COMMANDS]
        with options_as_flags():
            code = application(named or COMMANDS)(standalone_mode=False)
    except BaseException as error:
        sys.exit(fail(error))
    if code == 130:  # typer has swallowed the interrupt
        code = fail(KeyboardInterrupt())
    sys.exit(code if isinstance(code, int) else 0)
