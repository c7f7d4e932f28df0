"""Writes tests/data/logs with the libraries themselves: lm_eval, inspect_ai and every_eval_ever.

Run it in an environment that has them: `python tests/data/make_logs.py`. Answers are made up, from a seed.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from pathlib import Path

import inspect_ai
import lm_eval
from every_eval_ever.converters.lm_eval.instance_level_adapter import LMEvalInstanceLevelAdapter
from inspect_ai.dataset import Sample
from inspect_ai.log import write_eval_log
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    Logprob,
    Logprobs,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.model import TopLogprob as Top
from inspect_ai.scorer import match
from inspect_ai.solver import generate
from lm_eval.api.model import LM
from lm_eval.loggers import EvaluationTracker

HERE = Path(__file__).parent / "logs"
CHOICES = ["one", "twoo", "thrée ü", "four long words here"]
N = 6


class MadeUp(LM):
    """A model that answers at random."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)

    def loglikelihood(self, requests, **_):
        return [(-self.random.uniform(1, 4) * len(request.args[1]) ** 0.9, False) for request in requests]

    def loglikelihood_rolling(self, requests, **_):
        return [-12.5 for _ in requests]

    def generate_until(self, requests, **_):
        return [self.random.choice(["#### 3", "#### 4", "no idea", "5 then #### 5"]) for _ in requests]


def tasks(folder: Path) -> list[dict]:
    documents = [
        {
            "question": f"What is {i}?",
            "number": i % 4,
            "text": CHOICES[i % 4],
            "digit": str(1 + i % 4),
            "sum": 3 + i % 3,
        }
        for i in range(N)
    ]
    (folder / "documents.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    shared = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "documents.jsonl")}},
        "test_split": "test",
        "doc_to_text": "Q: {{question}}\nA:",
    }
    scored = [{"metric": "acc"}, {"metric": "acc_norm"}]
    choices = {**shared, "output_type": "multiple_choice", "doc_to_choice": CHOICES, "metric_list": scored}
    numbers = [
        {"name": name, "filter": [{"function": "regex", "regex_pattern": pattern}, {"function": "take_first"}]}
        for name, pattern in (("strict-match", r"#### (\d+)"), ("flexible-extract", r"(\d+)"))
    ]
    return [
        {**choices, "task": "by_number", "doc_to_target": "number"},
        {**choices, "task": "by_text", "doc_to_target": "text", "metric_list": [*scored, {"metric": "acc_bytes"}]},
        {**choices, "task": "by_digit", "doc_to_target": "digit", "doc_to_choice": ["1", "2", "3", "4"]},
        {
            **shared,
            "task": "sums",
            "output_type": "generate_until",
            "doc_to_target": "{{sum}}",
            "generation_kwargs": {"until": ["\n"]},
            "metric_list": [{"metric": "exact_match"}],
            "filter_list": numbers,
        },
    ]


def write_lm_eval(model: str, seed: int, folder: Path) -> None:
    tracker = EvaluationTracker(output_path=str(HERE / "lm_eval"))
    tracker.general_config_tracker.log_experiment_args("made up", f"pretrained={model}", None, None, False)
    results = lm_eval.simple_evaluate(model=MadeUp(seed), tasks=tasks(folder), log_samples=True, bootstrap_iters=0)
    samples = results.pop("samples")
    kept = {"results": {task: {k: v for k, v in r.items() if "," in k} for task, r in results["results"].items()}}
    tracker.save_results_aggregated(results=kept, samples=samples)
    for task, lines in samples.items():
        tracker.save_results_samples(task_name=task, samples=lines)


def outputs():
    for i in range(1000):
        content = [
            Logprob(
                token=str(i % 3),
                logprob=first,
                top_logprobs=[Top(token="a", logprob=first), Top(token="b", logprob=-2.5)],
            )
            for first in (-0.1 * (i + 1), -0.05)
        ]
        message = ChatMessageAssistant(content="" if i == 4 else str(i % 3))
        usage = ModelUsage(input_tokens=10 + i, output_tokens=2, input_tokens_cache_read=3, total_cost=0.001 * (i + 1))
        yield ModelOutput(
            model="mockllm/model",
            choices=[ChatCompletionChoice(message=message, logprobs=Logprobs(content=content))],
            usage=usage,
        )


def write_inspect(folder: Path) -> None:
    """One run, written in both forms without its events and without what it says of this machine."""
    task = inspect_ai.Task(
        dataset=[Sample(id=f"q{i}", input=f"What is {i}?", target=str(i % 3)) for i in range(3)],
        solver=generate(),
        scorer=match(),
        name="sums",
    )
    model = get_model("mockllm/model", custom_outputs=outputs())
    (log,) = inspect_ai.eval(task, model=model, epochs=2, max_connections=1, log_dir=str(folder), display="none")
    log.eval.revision = log.eval.task_file = None
    log.reductions = None
    for sample in log.samples:
        sample.events, sample.attachments, sample.messages = [], {}, []
    for form in ("eval", "json"):
        write_eval_log(log, HERE / "inspect" / f"sums.{form}")


def write_every_eval_ever() -> None:
    """What the converter of lm-evaluation-harness makes of the sums of both models, without the hash of the file."""
    folder = HERE / "every_eval_ever"
    folder.mkdir()
    for number, file in enumerate(sorted((HERE / "lm_eval").glob("*/samples_sums_*.jsonl"))):
        model = file.parent.name.replace("__", "/")
        logs = LMEvalInstanceLevelAdapter().transform_samples(file, f"sums/{model}", model, "sums")
        lines = [json.dumps(log.model_dump(mode="json"), ensure_ascii=False) + "\n" for log in logs]
        (folder / f"{number}_samples.jsonl").write_text("".join(lines))


def main() -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        for seed, model in enumerate(("toy/small", "toy/large")):
            write_lm_eval(model, seed, Path(folder))
        write_inspect(Path(folder))
    write_every_eval_ever()


if __name__ == "__main__":
    main()
