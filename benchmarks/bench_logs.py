"""`wisecommittee import` of a wide table of answers, a whole process: CPU time and memory by rows and models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

UNITS, MODELS, GROUP = 1_000_000, 10, 50_000
CODE = "import sys; sys.argv[0] = 'wisecommittee'; from wisecommittee.cli import main; main()"


def write_table(path: Path, units: int = UNITS, models: int = MODELS) -> None:
    """A table as RouterBench has it, in Parquet: grade, response and dollars of each model, from a seed."""
    rng = np.random.default_rng(0)
    numbers = {"": pa.float64(), "|total_cost": pa.float64(), "|model_response": pa.string()}
    fields = [("sample_id", pa.string()), ("eval_name", pa.string())]
    fields += [(f"model-{k}{part}", kind) for k in range(models) for part, kind in numbers.items()]
    with pq.ParquetWriter(path, pa.schema(fields)) as writer:
        for start in range(0, units, GROUP):
            n = min(GROUP, units - start)
            columns: dict[str, list[object]] = {
                "sample_id": [f"unit.{start + i}" for i in range(n)],
                "eval_name": ["mmlu", "gsm8k", "arc"] * (n // 3) + ["arc"] * (n % 3),
            }
            truth = rng.integers(0, 4, n)
            for k in range(models):
                said = np.where(rng.random(n) < 0.5 + 0.4 * k / models, truth, rng.integers(0, 4, n))
                columns[f"model-{k}"] = (said == truth).astype(float).tolist()
                columns[f"model-{k}|model_response"] = [f"['{letter}']" for letter in np.array(list("ABCD"))[said]]
                columns[f"model-{k}|total_cost"] = (rng.random(n) * 1e-3 * (k + 1)).tolist()
            writer.write_table(pa.table(columns, schema=pa.schema(fields)))


def run(units: int = UNITS, models: int = MODELS) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.parquet")
        write_table(table, units, models)
        command = [
            sys.executable,
            "-c",
            CODE,
            "import",
            f"routerbench:{table}",
            "--store",
            f"{folder}/logits",
            "--json",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return {
        "benchmark": f"import of a log of {units:,} units x {models} models",
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "megabytes": round(used.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    print(json.dumps(run()))
