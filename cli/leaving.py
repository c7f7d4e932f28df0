"""How a command ends when Ctrl-C tells it to."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

SHOW_CURSOR = "\r\x1b[?25h"  # a bar of progress hides it


def say_at_once(text: str) -> None:
    """One line on stderr, also in the middle of another."""
    cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{cursor}{text}\n".encode())


def leave(text: str) -> NoReturn:
    """End the process now, with this line and exit code 130: files are written whole or not at all, nothing waits."""
    say_at_once(f"error: {text}")
    os._exit(130)
