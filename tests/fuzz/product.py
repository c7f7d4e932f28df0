"""The product's commands, run in this process: what they print and their exit codes. A traceback is a defect."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import warnings
from pathlib import Path

from wisecommittee.cli import application
from wisecommittee.cli.console import fail

ROOT = f"{Path(__file__).resolve().parents[2]}{os.sep}"


class DefectError(AssertionError):
    """The product did what it must not do."""


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; DefectError where it ends in anything but 0, 1 and 2."""
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *_args, **_named: print(f"warning: {message}", file=sys.stderr)
        try:
            found = application([words[0]])(words, standalone_mode=False)
            code = found if isinstance(found, int) else 0
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            try:
                code = fail(error)
            except BaseException:
                raise DefectError(f"{' '.join(words)}: {shortened(error)}") from None
    said = err.getvalue()
    if code not in (0, 1, 2):
        raise DefectError(f"{' '.join(words)}: exit code {code}\n{said}")
    complaints = [line for line in said.splitlines() if line.startswith("error:")]
    if code and len(complaints) != (0 if words[0] == "verify" and out.getvalue() else 1):  # it lists what it finds
        raise DefectError(f"{' '.join(words)}: exit code {code} with {len(complaints)} lines of error\n{said}")
    return code, out.getvalue(), said


def shortened(error: BaseException) -> str:
    """What an exception says, and where in this project it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{f.filename.removeprefix(ROOT)}:{f.lineno} {f.name}" for f in frames if f.filename.startswith(ROOT)]
    return f"{type(error).__name__}: {str(error)[:300]} in {' < '.join(places[:-6:-1])}"


def entries(folder: Path) -> dict[str, tuple[object, ...]]:
    """Mode, time of change and content of every file and folder below: equal before and after where nobody writes."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[os.fspath(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found
