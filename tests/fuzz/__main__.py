"""One case again, with everything the product prints: python -m fuzz KIND SEED [FOLDER to keep its files in]."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from fuzz import product, worker


def main(kind: str, seed: str, kept: str | None = None) -> int:
    home = Path(kept or tempfile.mkdtemp()).absolute()
    os.environ |= {"WISECOMMITTEE_CACHE": str(home / "cache"), "WISECOMMITTEE_THREADS": "1", "COLUMNS": "160"}
    sound = home / "sound"
    sound.mkdir(parents=True)
    importlib.import_module(f"fuzz.{kind}").make(sound)
    plain = product.run

    def shown(*arguments: object) -> tuple[int, str, str]:
        print("$ wisecommittee", *arguments, flush=True)
        code, out, err = plain(*arguments)
        print(f"{out}{err}exit code {code}")
        return code, out, err

    importlib.import_module(f"fuzz.{kind}").run = shown  # type: ignore[attr-defined]
    damage, failure = worker.run_case(kind, int(seed), sound, home / "case")
    print(f"\nwhat was done: {damage}\nwhat went wrong: {failure}")
    if kept is None:
        os.chdir("/")
        shutil.rmtree(home)
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
