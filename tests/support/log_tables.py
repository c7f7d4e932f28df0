"""Small tables of answers and probabilities in the layouts of other programs, written from their published schemas."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

MODELS = ("mini", "org/large-v2")


def routerbench_frame(rows: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "sample_id": [f"grade-school-math.dev.{row}" for row in range(rows)],
            "prompt": [str([f"Question {row}?\n"]) for row in range(rows)],
            "eval_name": ["grade-school-math" if row % 2 else "mmlu-law" for row in range(rows)],
        }
    )
    for model in MODELS:
        frame[model] = rng.choice([0.0, 0.25, 1.0], rows)
    for model in MODELS:
        frame[f"{model}|model_response"] = [str([f"the {'ABCD'[row % 4]}\nit's {model}"]) for row in range(rows)]
    for model in MODELS:
        frame[f"{model}|total_cost"] = rng.uniform(1e-5, 1e-3, rows)
    frame["oracle_model_to_route_to"] = "no_model_correct"
    return frame


def routerbench(folder: Path) -> Path:
    routerbench_frame().to_parquet(path := folder / "routerbench_0shot.parquet")
    return path


def routerbench_csv(folder: Path) -> Path:
    routerbench_frame().to_csv(path := folder / "routerbench_0shot.csv", index=False)
    return path


def llmrouterbench_result(dataset: str, model: str, records: int = 3, **head: object) -> dict[str, object]:
    """As `ResultsStorage.save_result` writes it."""
    return {
        "performance": 0.5,
        "time_taken": 1.5,
        "prompt_tokens": 30,
        "completion_tokens": 12,
        "cost": 0.0003,
        "counts": records,
        "model_name": model,
        "dataset_name": dataset,
        "split": "test",
        "demo": False,
        "extra_metrics": {},
        "data_fingerprint": "ab12",
        **head,
        "records": [
            {
                "index": at,
                "origin_query": f"What is {at}+1?",
                "prompt": f"Question: What is {at}+1? {{[",
                "prompt_tokens": 10 + at,
                "completion_tokens": 4,
                "cost": 0.0001 * (at + 1),
                "score": float(at % 2),
                "prediction": str(at + 1),
                "ground_truth": str(at + at % 2),
                "raw_output": 'so "records": [ is ' + str(at + 1),
                "extra_fields": {},
            }
            for at in range(1, records + 1)
        ],
    }


def llmrouterbench(folder: Path) -> Path:
    for dataset in ("aime", "gpqa"):
        for model in ("mini", "large-v2"):
            place = folder / "bench" / dataset / "test" / model
            place.mkdir(parents=True)
            result = llmrouterbench_result(dataset, model)
            file = place / f"{dataset}-test-{model}-20250901_120000.json"
            file.write_text(json.dumps(result, indent=2, ensure_ascii=False))
    return folder / "bench"


def proxy_oracle(folder: Path) -> Path:
    frame = pd.DataFrame({"id": range(5), "proxy_score": [0.9, 0.1, 0.55, 0.0, 1.0], "label": [1, 0, 0, 0, 1]})
    frame.to_csv(path := folder / "night_street.csv", index=False)
    return path


def probabilities_frame(rows: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"unit_id": [f"u{row}" for row in range(rows)]})
    for model, classes in {"logreg": ("cat", "dog", "emu"), "random_forest": ("emu", "cat", "dog")}.items():
        for name, values in zip(classes, rng.dirichlet(np.ones(3), rows).T, strict=True):
            frame[f"{model}_proba_{name}"] = values
    frame["label"] = rng.choice(["cat", "dog", "emu"], rows)
    return frame


def probabilities(folder: Path) -> Path:
    probabilities_frame().to_csv(path := folder / "predictions.csv", index=False)
    return path


def probabilities_by_file(folder: Path) -> Path:
    frame = probabilities_frame()
    (place := folder / "by_model").mkdir()
    for model in ("logreg", "random_forest"):
        columns = {name: name.removeprefix(f"{model}_") for name in frame if str(name).startswith(f"{model}_")}
        frame[["unit_id", "label", *columns]].rename(columns=columns).to_csv(place / f"{model}.csv", index=False)
    return place


def tabarena(folder: Path, *, labels: str = "dat") -> Path:
    """A task of two and one of three classes, with labels as 'dat', 'zip' or 'none'."""
    rng = np.random.default_rng(2)
    root = folder / "model_predictions"
    for dataset, classes in (("blood", 2), ("vehicle", 3)):
        place = root / dataset / "0"
        place.mkdir(parents=True)
        metadata: dict[str, object] = {"models": ["CatBoost_c1", "TabM_r7"], "dataset": dataset, "fold": 0}
        truth = {}
        for split, rows in (("val", 7), ("test", 4)):
            predictions = rng.dirichlet(np.ones(classes), (2, rows)).astype(np.float32)
            predictions = predictions[:, :, 1] if classes == 2 else predictions
            metadata[f"pred_{split}_shape"] = predictions.shape
            memmap = np.memmap(place / f"pred-{split}.dat", "float32", "w+", shape=predictions.shape)
            memmap[:] = predictions
            memmap.flush()
            truth[split] = rng.integers(0, classes, rows).astype(np.int8)
        (place / "metadata.json").write_text(json.dumps(metadata | {"dtype": "float32"}))
        if labels == "dat":
            header = {"version": 1} | {split: {"n": len(y), "dtype": y.dtype.str} for split, y in truth.items()}
            text = json.dumps(header, separators=(",", ":")).encode()
            content = struct.pack("<I", len(text)) + text + truth["val"].tobytes() + truth["test"].tobytes()
            (place / "labels.dat").write_bytes(content)
        for split, y in truth.items() if labels == "zip" else ():
            pd.DataFrame({"y": y}).to_csv(place / f"label-{split}.csv.zip", index=True)
    return root


def answers_frame(rows: int = 4) -> pd.DataFrame:
    cells = [
        (
            f"q{row}",
            model,
            "yes" if (row + at) % 3 else "no",
            0.5 + row / 10,
            "yes" if row % 2 else "no",
            0.001 * (at + 1),
        )
        for row in range(rows)
        for at, model in enumerate(MODELS)
    ]
    return pd.DataFrame(cells, columns=["unit_id", "model", "answer", "confidence", "label", "usd"])


def answers(folder: Path) -> Path:
    answers_frame().to_csv(path := folder / "answers.csv.gz", index=False)
    return path


def hub_table(rows: int = 4) -> pa.Table:
    """As `datasets` writes a ClassLabel and lists of log-probabilities."""
    features = {
        "id": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["negative", "positive"], "_type": "ClassLabel"},
        "prediction": {"names": ["negative", "positive"], "_type": "ClassLabel"},
    }
    units = [row for row in range(rows) for _ in MODELS]
    table = pa.table(
        {
            "id": [f"q{row}" for row in units],
            "model_name": list(MODELS) * rows,
            "prompt": ["Is it good?"] * len(units),
            "prediction": pa.array([row % 2 for row in units], pa.int64()),
            "label": pa.array([int(row < 3) for row in units], pa.int64()),
            "logprobs": pa.array([[-0.1, -0.2 * row] for row in units], pa.list_(pa.float32())),
            "top_logprobs": pa.array([[[-0.1, -3.0], [-2.0, -1.0]] for _ in units], pa.list_(pa.list_(pa.float64()))),
            "cost": [0.001 * (row + 1) for row in units],
            "note": ["left out"] * len(units),
        }
    )
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def huggingface(folder: Path) -> Path:
    (place := folder / "data").mkdir()
    table = hub_table()
    for shard in range(2):
        pq.write_table(table.slice(shard * 4, 4), place / f"train-0000{shard}-of-00002.parquet")
    return place


def huggingface_disk(folder: Path) -> Path:
    (place := folder / "saved").mkdir()
    table = hub_table()
    with (
        pa.OSFile(str(place / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as out,
    ):
        out.write_table(table)
    (place / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": null}')
    (place / "dataset_info.json").write_text('{"features": {}}')
    return place


# {format: the writers of its layouts}
LAYOUTS = {
    "routerbench": (routerbench, routerbench_csv),
    "llmrouterbench": (llmrouterbench,),
    "proxy-oracle": (proxy_oracle,),
    "probabilities": (probabilities, probabilities_by_file),
    "tabarena": (tabarena,),
    "answers": (answers,),
    "huggingface": (huggingface, huggingface_disk),
}
