"""Files of other programs: only regular files are opened, sizes are checked against memory, and JSON is bounded.

A pipe would be waited for without end, a small compressed file may unpack to more than the machine has, and JSON may be
nested deeper than any program can follow.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import sys
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from wisecommittee.errors import AbsentError, ContentError, WiseCommitteeError

ANY_SIZE = 1 << 30  # bytes that a file may always unpack to, memory permitting
MOST_UNPACKED = 250  # times its size, beyond ANY_SIZE; outputs of networks are compressed to half, masks to a hundredth
FRONTIER = b"wisecommittee_frontier"  # the field of a Parquet file's metadata that makes it a frontier
MAX_DEPTH = 24  # of lists and objects in each other
MAX_DIGITS = 40  # of a whole number
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)  # in one pass, also without end
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def open_regular(
    path: str | os.PathLike[str], *, error: type[WiseCommitteeError] = ContentError, remedy: str = "name another"
) -> BinaryIO:
    """A regular file, opened for reading; `error` for pipes, folders and devices, AbsentError where there is none.

    remedy : what to do about a file that is not there.
    """
    name = os.fspath(path)
    try:
        # O_NONBLOCK: opening a named pipe returns at once instead of waiting for a writer.
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise AbsentError(f"{name}: no such file; {remedy}") from None
    except (OSError, ValueError) as refused:
        reason = refused.strerror if isinstance(refused, OSError) and refused.strerror else str(refused)
        raise error(f"{name}: cannot be read ({reason})") from refused
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise error(f"{name}: a folder; expected a file")
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
        raise error(f"{name}: {kind}; expected a regular file; write its content to one and name that")
    return os.fdopen(handle, "rb")


def read_text(
    path: str | os.PathLike[str], *, limit: int, error: type[WiseCommitteeError] = ContentError, remedy: str = ""
) -> str:
    """The UTF-8 text of a regular file of at most `limit` bytes."""
    with open_regular(path, error=error, remedy=remedy or "name another") as source:
        data = source.read(limit + 1)
    if len(data) > limit:
        raise error(f"{os.fspath(path)}: more than {limit:,} bytes; expected a small file of text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as damaged:
        raise error(f"{os.fspath(path)}: not UTF-8 ({damaged.reason} at byte {damaged.start:,})") from damaged


_BEGINNINGS = {
    b"\x93NUMPY": "a NumPy array; `wisecommittee import` takes it with --labels, --logits or --probabilities",
    b"PK\x03\x04": "an archive; `wisecommittee import` takes arrays (.npz), `wisecommittee extract` weights (.pt)",
    b"PAR1": "a Parquet table; `wisecommittee import` takes tables",
}
_FIELDS = {
    "query": "the answer of `search --json`; `search --save FILE` writes its committee, which other commands take",
    "stages": "a committee; `wisecommittee evaluate` takes it, `plot` and `tables` with --committee",
    "contents": "the card of a model in a store; name the store's folder with --store",
}
_TAIL = 1 << 20  # bytes at the end of a Parquet file that are searched for its kind


def recognised(path: str | os.PathLike[str]) -> str | None:
    """The kind of a file that was given in place of another kind, and the command that takes it; None if unknown."""
    with open_regular(path) as source:
        beginning = source.read(_TAIL)
        size = os.fstat(source.fileno()).st_size
        source.seek(max(0, size - _TAIL))
        end = source.read(_TAIL)
    if beginning.startswith(b"PAR1") and FRONTIER in end:
        return "a frontier; `wisecommittee report`, `plot` and `tables` take it with --frontier"
    for start, says in _BEGINNINGS.items():
        if beginning.startswith(start):
            return says
    if Path(path).suffix == ".csv":
        return "a csv table; `wisecommittee import` takes it with --labels, --costs or --answers"
    if beginning.lstrip().startswith(b"{") and size <= _TAIL:
        try:
            content = parse_json(beginning)
        except ValueError:
            return None
        return next((says for field, says in _FIELDS.items() if field in content), None)
    return None


def parse_json(text: str | bytes) -> Any:
    """JSON as RFC 8259 has it, nested at most MAX_DEPTH deep, every number finite, every name once; else ValueError."""
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        first = bracket[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"lists and objects nested more than {MAX_DEPTH} deep")
    value = json.loads(
        text, parse_constant=_refused, parse_float=_finite, parse_int=_whole, object_pairs_hook=_names_once
    )
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("text with half a surrogate pair, which is no Unicode") from None
    return value


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not finite; JSON has finite numbers only")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{digits[:40]} is not finite as a 64-bit number")
    return value


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits; expected {MAX_DIGITS} at most")
    return int(digits)


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"field {twice[:80]!r} stands twice")
    return out


def check_claim(claimed: int, size: int, what: str, remedy: str) -> None:
    """Raise ContentError if `claimed` bytes, unpacked from a file of `size`, are implausible or exceed free memory."""
    if claimed > max(ANY_SIZE, MOST_UNPACKED * size):
        raise ContentError(
            f"{what}: {size:,} bytes that claim to unpack to {claimed / 1e9:,.1f} GB, {claimed / max(size, 1):,.0f} "
            f"times as many; {remedy}"
        )
    check_memory(claimed, what, remedy)


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Raise ContentError unless so many bytes of memory are available."""
    free = free_memory()
    if free is not None and needed > free:
        raise ContentError(f"{what}: {needed / 1e9:,.1f} GB of memory needed, {free / 1e9:,.1f} GB are free; {remedy}")


def check_address_space(needed: int, what: str) -> None:
    """Raise unless `ulimit -v` leaves so many bytes: libraries that run into it end the process without a word."""
    left = _of_limit()
    if left is not None and left < needed:
        raise WiseCommitteeError(
            f"{what} need {needed / 1e9:.2f} GB of address space, the limit leaves {max(0, left) / 1e9:.2f} GB; "
            f"raise it, for example with `ulimit -v unlimited`"
        )


def free_memory() -> int | None:
    """Bytes this process can still take: the least of what the machine, its container and `ulimit -v` leave.

    None where the system does not say.
    """
    left = [free for free in (_of_machine(), _of_container(), _of_limit()) if free is not None]
    return max(0, min(left)) if left else None


def _of_machine() -> int | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _of_container() -> int | None:
    """Free bytes of the control group: its limit less the memory in use that cannot be dropped."""
    for limit, used, dropped in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        numbers = [_lines(f"/sys/fs/cgroup/{name}")[:1] for name in (limit, used)]
        if all(number and number[0].strip().isdigit() for number in numbers):
            most, now = (int(number[0]) for number in numbers)
            folder = os.path.dirname(limit)
            cached = [
                int(line.split()[1])
                for line in _lines(os.path.join("/sys/fs/cgroup", folder, "memory.stat"))
                if line.startswith(f"{dropped} ")
            ]
            return most - now + sum(cached)
    return None


def _of_limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _lines("/proc/self/statm")
    if most == resource.RLIM_INFINITY or not pages:
        return None
    return most - int(pages[0].split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
