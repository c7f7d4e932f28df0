"""What is done to bytes, to values of JSON and to files; every choice comes from the generator that is given."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
TEXTS = (
    "", " ", "NaN", "-inf", "Infinity", "1e999", "-1", "0", "1e400", "9" * 400, "0x10", "1_000", "1,000", "½", "٣",
    "\U0001f600", "=1+1", "a\u0301", "\u202eabc", "\x00", "\x1b[31m", "../x", ".", "..", "a/b/c", "a" * 5000, '"', "'",
    "\n", ";", "None", "null", "true", "1.0", "-0", "2**63", "9223372036854775808", "1e308", "$\\frac{$", "<b>",
    "\u0085", "\u2028",
)  # fmt: skip


def damaged(data: bytes, random: Random, other: bytes = b"") -> tuple[bytes, str]:
    """The bytes with something done to them, and what. other : of a further file, to be spliced in."""
    kinds: tuple[Callable[[bytearray, Random, bytes], str], ...] = (
        _flip, _flip, _bytes, _bytes, _cut, _cut, _grow, _zeros, _repeat, _drop, _splice, _number,
    )  # fmt: skip
    raw = bytearray(data)
    done = [random.choice(kinds)(raw, random, other) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    return bytes(raw), ", ".join(done)


def _at(raw: bytearray, random: Random) -> int:
    """A place: anywhere, or near an end, where formats keep what matters."""
    size = max(1, len(raw))
    near = random.choice((size, 16, 128, 512))
    place = random.randrange(min(near, size))
    return place if random.random() < 0.5 else size - 1 - place


def _flip(raw: bytearray, random: Random, _: bytes) -> str:
    places = [_at(raw, random) for _ in range(random.choice((1, 1, 2, 8))) if raw]
    for place in places:
        raw[place] ^= 1 << random.randrange(8)
    return f"bits of bytes {places} turned"


def _bytes(raw: bytearray, random: Random, _: bytes) -> str:
    places = [_at(raw, random) for _ in range(random.choice((1, 1, 2, 4))) if raw]
    for place in places:
        raw[place] = random.randrange(256)
    return f"bytes {places} changed"


def _cut(raw: bytearray, random: Random, _: bytes) -> str:
    del raw[_at(raw, random) :]
    return f"cut to {len(raw)}"


def _grow(raw: bytearray, random: Random, _: bytes) -> str:
    raw += random.randbytes(random.choice((1, 8, 100)))
    return "more bytes at its end"


def _zeros(raw: bytearray, random: Random, _: bytes) -> str:
    at, length = _at(raw, random), random.choice((1, 4, 64, 4096))
    raw[at : at + length] = bytes(len(raw[at : at + length]))
    return f"zeros at {at}"


def _repeat(raw: bytearray, random: Random, _: bytes) -> str:
    at, length = _at(raw, random), random.choice((1, 4, 64))
    raw[at:at] = raw[at : at + length] * random.choice((1, 2, 50))
    return f"bytes from {at} repeated"


def _drop(raw: bytearray, random: Random, _: bytes) -> str:
    at, length = _at(raw, random), random.choice((1, 2, 4, 64))
    del raw[at : at + length]
    return f"{length} bytes dropped at {at}"


def _splice(raw: bytearray, random: Random, other: bytes) -> str:
    at = _at(raw, random)
    start = random.randrange(max(1, len(other)))
    raw[at : at + 64] = other[start : start + 64]
    return f"bytes of another file at {at}"


def _number(raw: bytearray, random: Random, _: bytes) -> str:
    at, value, width = _at(raw, random), random.choice(EXTREMES), random.choice("BHIQ")
    raw[at : at + struct.calcsize(width)] = struct.pack(f"<{width}", value & ((1 << 8 * struct.calcsize(width)) - 1))
    return f"{value} at {at}"


def damage_file(path: Path, random: Random, others: list[Path]) -> str:
    """Bytes of a file changed, or the file exchanged for another, a folder, a link, a pipe, nothing."""
    other = random.choice(others)
    if random.random() < 0.75:
        data, what = damaged(path.read_bytes(), random, other.read_bytes())
        path.write_bytes(data)
        return f"{path.name}: {what}"
    what = random.choice(("removed", "empty", "another file", "a folder", "a link to another", "a pipe", "a loop"))
    if what == "another file":
        path.write_bytes(other.read_bytes())
    elif what == "empty":
        path.write_bytes(b"")
    elif other != path or what not in ("a link to another",):
        replace(path, what, other)
    return f"{path.name}: {what}"


def replace(path: Path, what: str, target: Path) -> None:
    """The file or folder gives way to something else."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if what == "a folder":
        path.mkdir()
    elif what == "a link to another":
        path.symlink_to(target)
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a loop":
        path.symlink_to(path.name)


def damaged_json(value: Any, random: Random) -> tuple[str, str]:
    """Text of the JSON value with one place in it changed, and what: another value, a field more or less, raw text."""
    places = list(_places(value, ()))
    place = random.choice(places)
    hostile = _hostile(random)
    what = random.choice(("other", "other", "other", "gone", "more", "near", "near", "raw"))
    if what == "raw":
        text, done = damaged(json.dumps(value).encode(), random)
        return text.decode("utf-8", "surrogateescape"), done
    copied = json.loads(json.dumps(value))
    inside = copied
    for step in place[:-1]:
        inside = inside[step]
    marked = "@hostile@"
    if not place:
        copied = marked
    elif what == "gone":
        del inside[place[-1]]
        return json.dumps(copied), f"{place} gone"
    elif what == "more":
        target = inside[place[-1]]
        if isinstance(target, dict):
            target[random.choice(("", "x", "version", "thresholds", "members"))] = marked
        elif isinstance(target, list):
            target.insert(random.randrange(len(target) + 1), marked)
        else:
            inside[place[-1]] = [target, marked]
    elif what == "near" and isinstance(inside[place[-1]], (int, float)):
        number = inside[place[-1]]
        inside[place[-1]] = random.choice((number + 1, -number, number * 2, number / 3, 1 - number, str(number)))
    elif what == "near" and isinstance(inside[place[-1]], str):
        inside[place[-1]] = inside[place[-1]][:-1] + random.choice("01ax/")
    else:
        inside[place[-1]] = marked
    return json.dumps(copied).replace(f'"{marked}"', hostile, 1), f"{place}: {what} {hostile[:60]}"


def _places(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _places(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _places(child, (*path, index))


def _hostile(random: Random) -> str:
    """Raw JSON text, some of it no JSON."""
    deep = random.choice((5, 30, 600, 20_000))
    return random.choice(
        (
            "null", "true", "false", "0", "-1", "1.5", "1e308", "1e999", "NaN", "Infinity", "-Infinity", "9" * 30,
            "9" * 400, "9" * 5000, '""', '"x"', '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', "[]", "{}", "[[]]",
            "[" * deep + "]" * deep, '{"a":' * deep + "1" + "}" * deep, '{"a":1,"a":2}', "[1,2,3]", '["a","a"]',
            json.dumps(random.choice(TEXTS)), json.dumps("x" * 20_000), "",
        )
    )  # fmt: skip
