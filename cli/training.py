"""What the commands that train share: progress, a line for each phase that ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .console import err, progress

if TYPE_CHECKING:
    from wisecommittee.train.run import TrainOptions


@contextlib.contextmanager
def training(**options: Any) -> Iterator[TrainOptions]:
    """Options of a training, completed by how it reports on the terminal."""
    last: dict[str, Any] = {}
    follows = os.environ.get("RANK", "0") != "0"  # only rank 0 of torchrun's reports

    def say() -> None:
        if last and not follows:
            figures = [f"{name} {_shown(name, value)}" for name, value in last.items() if name not in UNSAID]
            err.print(f"{last['phase']}: {last['epoch']} epochs, {', '.join(figures)}", markup=False)

    def log(row: dict[str, Any]) -> None:
        if last and row["phase"] != last["phase"]:
            say()
        last.clear()
        last.update(row)

    with progress(quiet=follows) as update:
        yield {**options, "progress": update, "log": log}  # type: ignore[typeddict-item]
        say()


UNSAID = ("phase", "epoch", "lr", "seconds")


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if "accuracy" in name else f"{value:.3f}"
