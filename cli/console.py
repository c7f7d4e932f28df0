"""What the commands share on the terminal: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich.console import Console

from wisecommittee.errors import AbsentError, MissingExtraError, UsageError, WiseCommitteeError
from wisecommittee.text import as_json, one_line, shown, shown_lines
from wisecommittee.writing import reason

if TYPE_CHECKING:
    from wisecommittee.searches.doctor import Doubt

PIPED_WIDTH = 160  # files and pipes keep whole lines


class Terminal(Console):
    """A console whose texts are neither markup nor emoji codes, and show what would act on a terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        from rich.text import Text

        texts = [Text(shown(each)) if isinstance(each, str) else each for each in objects]
        super().print(*texts, **{**options, "markup": False, "emoji": False})


def _width(stream: TextIO) -> int | None:
    """COLUMNS where it is set; else None, that of the terminal, or one for files and pipes."""
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named):
        return int(named)
    return None if stream.isatty() else PIPED_WIDTH


out = Terminal(highlight=False, width=_width(sys.stdout))
err = Terminal(stderr=True, highlight=False, width=_width(sys.stderr))

EXTRAS = {
    "torch": "torch",
    "sklearn": "torch",
    "PIL": "torch",
    "timm": "zoo",
    "torchvision": "zoo",
    "safetensors": "zoo",
    "transformers": "hf",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "distributed": "cluster",
    "optuna": "tune",
    "fastapi": "serve",
    "uvicorn": "serve",
}
Update = Callable[[str, int, int | None], None]


def use_any_text() -> None:
    """Print and be told any text, whatever the locale: files and pipes get UTF-8, a terminal shows as escapes what its
    encoding lacks, and arguments that the locale cannot spell start the program once more in UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    misspelt = any("\udc80" <= letter <= "\udcff" for argument in sys.argv for letter in argument)
    if misspelt and not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def fail(error: BaseException) -> int:
    """Print one line for an error a user can act on and return its exit code; raise what is a defect of ours."""
    if isinstance(error, WiseCommitteeError):
        _complain(str(error))
        return error.exit_code
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        _complain("interrupted; what was finished is kept, run the same command again to go on")
        return 130
    if isinstance(error, BrokenPipeError):
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return fail(MissingExtraError(error.name, EXTRAS[error.name]))
    if isinstance(error, MemoryError):
        _complain("out of memory; choose fewer models with --models, or lower --max-models or --batch-size")
        return 1
    if isinstance(error, OSError):
        path = error.filename or "input/output"
        _complain(f"{path}: {reason(error)}; what was finished is kept, run the same command again")
        return 1
    usage = getattr(error, "format_message", None)  # typer's own usage errors
    if usage is not None:
        context = getattr(error, "ctx", None)
        if usage():  # without arguments the help was printed instead
            _complain(usage().rstrip(".") + (f"; see {context.command_path} --help" if context else ""))
        return int(getattr(error, "exit_code", 2))
    raise error


def _complain(text: str) -> None:
    say(f"error: {text}")


def say(text: str) -> None:
    """One line on stderr: an error, a warning, what is being done."""
    print(one_line(text), file=sys.stderr)


def warn_of(doubts: Iterable[Doubt]) -> None:
    """What is probably not as it is taken for, a line each on stderr; the command goes on."""
    for doubt in doubts:
        warnings.warn(doubt.text, stacklevel=2)


def check_folder(*files: Path | None) -> None:
    """A file that could not be written is refused before the work, not after it."""
    for file in files:
        if file is not None and file.is_dir():
            raise UsageError(f"{str(file)!r} is a folder; expected the name of a file to write")
        if file is not None and not file.absolute().parent.is_dir():
            raise AbsentError(f"{str(file)!r}: there is no folder {str(file.parent)!r}; make it first")


def print_json(value: Any) -> None:
    """ONE object on stdout, in a line that any encoding holds."""
    line = as_json(value)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        line = json.dumps(json.loads(line))
    print(line)


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Update]:
    """Bars on stderr with rate and time left, one per task name; plain lines every ten seconds where there is no
    terminal."""
    if quiet or not sys.stderr.isatty():
        yield (lambda task, done, total: None) if quiet else _plain_progress()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    ) as bars:
        ids: dict[str, Any] = {}

        def update(task: str, done: int, total: int | None) -> None:
            if task not in ids:
                ids[task] = bars.add_task(shown(task), total=total)
            bars.update(ids[task], completed=done, total=total)

        yield update


def _plain_progress() -> Update:
    import time

    started: dict[str, tuple[float, int]] = {}
    shown: dict[str, float] = {}

    def update(task: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        first, at = started.setdefault(task, (now, done))
        if done < at:  # another round of the same task
            first, at = started[task] = (now, done)
        if now - shown.setdefault(task, now) >= 10:
            shown[task] = now
            rate = (done - at) / max(now - first, 1e-9)
            speed = f", {rate:,.0f}/s" if rate > 0 else ""
            left = f", {(total - done) / rate:.0f} s left" if total and rate > 0 else ""
            say(f"{task}: {done:,}{f' of {total:,}' if total else ''}{speed}{left}")

    return update


def table(
    title: str,
    columns: list[tuple[str, str]],
    rows: list[list[str]],
    caption: str | None = None,
    breaks: Collection[int] = (),
) -> None:
    """Print a table on stdout; columns are (heading, 'left' | 'right'), names left and numbers right.

    breaks : rows before which a line is drawn.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from .layout import EDGES, GAP, lay_out

    headings = [shown_lines(heading) for heading, _ in columns]
    names = [side == "left" for _, side in columns]
    cells = [list(map(shown, row)) for row in rows]
    layout = lay_out(headings, names, cells, out.width - EDGES)
    numbered = len(layout.blocks) > 1
    if title:
        out.print(Text(shown(title), style="bold"))
    for block in layout.blocks:
        grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        if numbered:
            grid.add_column(justify="right", style="dim", no_wrap=True)
        for i in block:
            grid.add_column(
                Text("\n".join(layout.headings[i])),
                justify="left" if names[i] else "right",
                no_wrap=not names[i],
                overflow="fold",
                min_width=layout.least[i],
            )
        for index, row in enumerate(cells):
            if index in breaks:
                grid.add_section()
            grid.add_row(*([str(index + 1)] if numbered else []), *(Text(row[i]) for i in block))
        out.print(grid)
    if caption:
        out.print(Text(shown_lines(caption), style="dim"))


def print_kinds(kinds: Mapping[str, str]) -> None:
    """Names and one line each."""
    width = max(map(len, kinds))
    for name, says in kinds.items():
        print(f"{name:<{width}}  {says}")


def shares(ratios: Sequence[float]) -> str:
    """Exit ratios in whole percent: '55/37/<1/7'."""
    return "/".join("<1" if 0 < r < 0.005 else f"{100 * r:.0f}" for r in ratios)


class Unit:
    """How the costs of one table are printed: MACs as 88.0 M, small prices per 1,000 or 1,000,000 units, dollars as
    $2.31."""

    def __init__(self, cost: str, values: Sequence[float]) -> None:
        self.cost, self.factor, self.name = cost, 1.0, cost
        self.sign = "$" if cost == "usd" else ""
        if cost == "flops":
            self.name = "MACs per unit"
            return
        least = min((v for v in values if v > 0), default=1.0)
        for factor, name in ((1.0, "unit"), (1e3, "1,000 units"), (1e6, "1,000,000 units")):
            self.factor, self.name = factor, f"{cost} per {name}"
            if least * factor >= 0.01:
                break

    def __call__(self, value: float) -> str:
        return human(value) if self.cost == "flops" else f"{self.sign}{value * self.factor:.4g}"


def human(macs: float) -> str:
    """Multiply-adds as people read them: 640, 88 M, 4.13 G."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if macs >= 0.9995 * size:
            return f"{macs / size:.3g} {letter}"
    return f"{macs:.3g}"


def percent(value: float) -> str:
    return f"{100 * value:.2f}"
