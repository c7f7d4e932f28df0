"""A folder that is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from wisecommittee.errors import UsageError, WiseCommitteeError
from wisecommittee.exporting.manifest import is_export
from wisecommittee.writing import reason, temporary_name


def check_place(out: Path) -> None:
    """UsageError unless nothing stands there but an empty folder or an earlier export, which is replaced."""
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise UsageError(f"{out}: a file or a link stands there; name another folder")
    held = sorted(path.name for path in out.iterdir())
    if held and not is_export(out):
        raise UsageError(
            f"{out}: holds {held[0]!r}{', ..' if len(held) > 1 else ''}, and is no earlier export that could be "
            f"replaced; name a new folder"
        )


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `out` when the block ends without an error."""
    check_place(out)
    fresh, old = (out.parent / temporary_name(out.name) for _ in range(2))
    try:
        fresh.mkdir()
        yield fresh
        if out.exists():
            out.rename(old)
        fresh.rename(out)
    except OSError as error:
        raise WiseCommitteeError(f"cannot write {str(out)!r}: {reason(error)}") from error
    finally:
        for left in (fresh, old):
            if left.exists():
                shutil.rmtree(left, ignore_errors=True)
