"""wisecommittee train: models of the project's own -> store."""

from __future__ import annotations

from importlib import import_module

import typer

from wisecommittee.committees.naming import METHODS

COMMANDS = {name: method.command for name, method in METHODS.items()}
COMMANDS |= {"hne": "train_hne:hne", "tune": "train_tune:tune"}

app = typer.Typer(no_args_is_help=True, help="Train models and put their logits into the store.")


@app.callback()
def methods() -> None:
    """Train models and put their logits into the store."""


for name, target in COMMANDS.items():
    module, function = target.split(":")
    app.command(name)(getattr(import_module(f".{module}", __package__), function))
