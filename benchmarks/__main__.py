"""`python -m benchmarks [NAME..]`: one JSON line per measurement, then a table."""

from __future__ import annotations

import json
import subprocess
import sys

NAMES = (
    "start",
    "import",
    "grid",
    "exact",
    "folds",
    "tables",
    "opponents",
    "process",
    "extract",
    "export",
    "hne",
    "large",
)
BY_NAME = (
    "logs",
    "realised",
    "large32",
    "large32x25k",
    "five",
    "five100",
)  # run where they are asked for: a minute each, and gigabytes


def start() -> list[dict]:
    """CPU time of `wisecommittee --help`, a whole process that finds its bytecode."""
    import os
    import resource
    import tempfile

    def once(bytecode: str) -> float:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = "import sys; sys.argv = ['wisecommittee', '--help']; from wisecommittee.cli import main; main()"
        subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    with tempfile.TemporaryDirectory() as bytecode:
        least = min(once(bytecode) for _ in range(6))
    return [{"benchmark": "wisecommittee --help", "cpu_seconds": round(least, 3)}]


def benchmark(name: str) -> list[dict]:
    if name == "start":
        return start()
    if name == "import":
        from benchmarks import bench_import

        return [bench_import.run()]
    if name == "logs":
        from benchmarks import bench_logs

        return [bench_logs.run()]
    if name == "tables":
        from benchmarks import bench_tables

        return bench_tables.run()
    if name == "folds":
        from benchmarks import bench_folds

        return bench_folds.run()
    if name == "opponents":
        from benchmarks import bench_opponents

        return bench_opponents.run()
    if name == "process":
        from benchmarks import bench_process

        return bench_process.run()
    if name == "extract":
        from benchmarks import bench_extract

        return bench_extract.run()
    if name == "export":
        from benchmarks import bench_export

        return bench_export.run()
    if name == "hne":
        from benchmarks import bench_hne

        return bench_hne.run()
    if name == "realised":
        from benchmarks import bench_realised

        return bench_realised.run()
    if name == "large" or name in BY_NAME:
        from benchmarks import bench_large

        return [bench_large.CASES[name]()]
    from benchmarks import bench_grid

    return {"grid": bench_grid.run, "exact": bench_grid.exact}[name]()


def main() -> None:
    if len(sys.argv) == 2 and sys.argv[1] in (*NAMES, *BY_NAME):
        for line in benchmark(sys.argv[1]):
            print(json.dumps(line), flush=True)
        return
    names = sys.argv[1:] or NAMES
    if unknown := set(names) - {*NAMES, *BY_NAME}:
        sys.exit(f"unknown benchmark {sorted(unknown)}; known: {', '.join((*NAMES, *BY_NAME))}")
    lines = []
    for name in names:  # each in a process of its own, so that peaks of memory do not mix
        done = subprocess.run([sys.executable, "-m", "benchmarks", name], stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, end="", flush=True)
        lines += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print(f"\n{'benchmark':<56} {'CPU s':>8} {'ratio':>10}  opponent")
    for line in lines:
        seconds, ratio, opponent = (line.get(key, "") for key in ("cpu_seconds", "ratio", "opponent"))
        print(f"{line['benchmark']:<56} {seconds:>8} {ratio:>10}  {opponent}")


if __name__ == "__main__":
    main()
