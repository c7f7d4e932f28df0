"""A process that runs cases: it reads seeds, one a line, and answers each with two lines of JSON.

Its memory is limited, so that a file that unpacks to more than it should is noticed.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from fuzz.product import DefectError, entries, shortened

MEMORY = 3 << 30  # bytes of address space beyond what the libraries take


def run_case(kind: str, seed: int, sound: Path, folder: Path) -> Iterator[str | None]:
    """What is done to a copy of the sound files, then what the product did wrong, if anything."""
    module = importlib.import_module(f"fuzz.{kind}")
    random = Random(f"{kind} {seed}")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder, symlinks=True)
    outside = folder / "outside"
    (outside / "folder").mkdir(parents=True)
    for name in ("file", "folder/file"):
        (outside / name).write_text("not the product's")
    os.chdir(folder)
    yield module.damage(folder, random)
    before = entries(outside)
    failure = None
    try:
        module.attempt(folder, random)
    except DefectError as error:
        failure = str(error)
    except Exception as error:
        failure = shortened(error)
    if failure is None and entries(outside) != before:
        failure = f"it wrote outside: {sorted(set(entries(outside).items()) ^ set(before.items()))}"
    yield failure


def main(kind: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    home = Path(tempfile.mkdtemp(prefix=f"fuzz-{kind}-"))
    os.environ |= {"WISECOMMITTEE_CACHE": str(home / "cache"), "COLUMNS": "160"}
    sound = home / "sound"
    sound.mkdir()
    try:
        importlib.import_module(f"fuzz.{kind}").make(sound)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            for said in run_case(kind, int(line), sound, home / "case"):
                print(json.dumps(said), file=answers, flush=True)
    finally:
        os.chdir("/")
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
