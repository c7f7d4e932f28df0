"""Write evaluation logs of 12 made-up language models on 3,000 made-up prompts, as notebook 06 and docs/answers.md use.

The prompts, answers, skills, token counts and latencies are drawn from a seed; only the prices are real, and
models.csv says whose they are. Nothing here says how good any real model is.

    python make_answer_logs.py FOLDER [--prompts 3000] [--seed 0]

writes FOLDER/answers/<model>.csv.gz (a row for each prompt), FOLDER/models.csv (prices) and FOLDER/prompts.csv (what
is known of a prompt before any model runs).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOKENS = ("prompt_tokens", "completion_tokens")
LETTERS, TICKETS = ("A", "B", "C", "D"), ("billing", "bug", "delivery", "login", "praise", "refund")


@dataclass(frozen=True)
class Model:
    """A model: usd per million tokens of prompt and completion, whose price that is, skill and habits.

    skill : in units of the spread of the difficulty of prompts; strengths : added to it on some tasks. words : length
    of its completions relative to the others; silent : share of prompts that it does not answer.
    """

    name: str
    prompt_price: float
    completion_price: float
    priced_as: str
    skill: float
    words: float = 1.0
    silent: float = 0.004
    strengths: tuple[tuple[str, float], ...] = ()


MODELS = (
    Model("tiny-a", 0.10, 0.40, "gpt-4.1-nano (OpenAI, 2025-04)", 0.0, 0.8),
    Model("tiny-b", 0.22, 0.22, "llama-3.1-8b (AWS Bedrock, 2024-07)", -0.2, 1.1, 0.012, (("tickets", 0.7),)),
    Model("small-a", 0.10, 0.40, "gemini-2.0-flash (Google, 2025-02)", 0.5, 1.0, 0.010, (("choice", 0.3),)),
    Model("small-b", 0.20, 0.60, "mistral-small (Mistral, 2024-09)", 0.2, 0.9, 0.004, (("reading", 0.8),)),
    Model("medium-a", 0.40, 1.60, "gpt-4.1-mini (OpenAI, 2025-04)", 0.9),
    Model(
        "medium-b", 0.27, 1.10, "deepseek-v3 (DeepSeek, 2025-02)", 0.8, 1.6, 0.015, (("sums", 0.8), ("tickets", -0.5))
    ),
    Model("medium-c", 0.80, 4.00, "claude-3.5-haiku (Anthropic, 2024-12)", 0.8, 1.2, 0.006, (("reading", 0.5),)),
    Model("medium-d", 0.99, 0.99, "llama-3.1-70b (AWS Bedrock, 2024-07)", 0.7, 1.1),
    Model("thinking-a", 1.10, 4.40, "o4-mini (OpenAI, 2025-04)", 1.2, 6.0, 0.020, (("sums", 1.0), ("output", 0.8))),
    Model("large-a", 2.00, 8.00, "gpt-4.1 (OpenAI, 2025-04)", 1.5, 1.0, 0.003),
    Model("large-b", 3.00, 15.00, "claude-sonnet-4 (Anthropic, 2025-05)", 1.7, 1.4, 0.004, (("output", 0.4),)),
    Model("large-c", 1.25, 10.00, "gemini-2.5-pro (Google, 2025-06)", 1.6, 5.0, 0.012, (("choice", 0.2),)),
)


@dataclass(frozen=True)
class Task:
    """A task: its share of the prompts, how hard they are on average, characters of a prompt, tokens of an answer."""

    name: str
    share: float
    difficulty: float
    characters: int
    tokens: int

    def answers(self, generator: np.random.Generator, prompts: int) -> NDArray[np.str_]:
        """text [prompts, options]: the right answer of each prompt, the wrong one that tempts most, and other wrong
        ones."""
        if self.name in ("choice", "tickets"):
            names = np.array(LETTERS if self.name == "choice" else TICKETS)
            return names[np.argsort(generator.random((prompts, len(names))), axis=1)]
        right = generator.integers(2, 2000, prompts)
        numbers = (right[:, None] + np.array([0, 1, 2, 10, -1, 7])).astype(np.str_)
        return np.char.add("paragraph ", numbers) if self.name == "reading" else numbers


TASKS = (
    Task("choice", 0.30, 0.1, 600, 60),
    Task("tickets", 0.20, -0.7, 350, 20),
    Task("reading", 0.20, -0.2, 4000, 40),
    Task("sums", 0.20, 0.6, 300, 220),
    Task("output", 0.10, 0.9, 1200, 260),
)  # fmt: skip


def written(answer: str, style: int) -> str:
    """An answer as models write it: plain, in a box, in bold, or with a full stop."""
    return (answer, f"\\boxed{{{answer}}}", f"**{answer}**", f"{answer}.")[style]


def write_logs(folder: Path, prompts: int = 3000, seed: int = 0) -> None:
    """Write the answers, models.csv and prompts.csv."""
    generator = np.random.default_rng(seed)
    features: list[list[object]] = []
    rows: dict[str, list[list[object]]] = {model.name: [] for model in MODELS}
    for task in TASKS:
        count = round(task.share * prompts)
        answers = task.answers(generator, count)
        difficulty = task.difficulty + generator.normal(0, 1, count)
        # Harder prompts are a little longer: what a router can know.
        size = task.characters * np.exp(0.35 * generator.normal(0, 1, count) + 0.2 * (difficulty - task.difficulty))
        features += [[f"{task.name}/{i}", task.name, round(characters)] for i, characters in enumerate(size)]
        for model in MODELS:
            rows[model.name] += _rows(generator, model, task, answers, difficulty, size)
    (folder / "answers").mkdir(parents=True, exist_ok=True)
    for name, answered in rows.items():
        text = _csv(["unit_id", "model", "answer", "label", "score", *TOKENS, "latency_ms"], answered)
        (folder / "answers" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    prices = [[m.name, m.prompt_price, m.completion_price, m.priced_as] for m in MODELS]
    heading = ["model", *(f"usd_per_1m_{tokens}" for tokens in TOKENS), "priced_as"]
    (folder / "models.csv").write_text(_csv(heading, prices))
    (folder / "prompts.csv").write_text(_csv(["unit_id", "task", "characters"], features))


def _csv(heading: list[str], rows: list[list[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([heading, *rows])
    return out.getvalue()


def _rows(
    generator: np.random.Generator,
    model: Model,
    task: Task,
    answers: NDArray[np.str_],
    difficulty: NDArray[np.float64],
    characters: NDArray[np.float64],
) -> list[list[object]]:
    """The rows of one model on one task; an empty answer is a refusal or a time-out."""
    count = len(answers)
    skill = model.skill + dict(model.strengths).get(task.name, 0.0)
    right = generator.random(count) < 1 / (1 + np.exp(-2.2 * (skill - difficulty)))
    tempted, options = generator.random(count) < 0.35, answers.shape[1]
    chosen = np.where(right, 0, np.where(tempted, 1, generator.integers(1, options, count)))
    silent = generator.random(count) < model.silent
    spread = np.exp(0.5 * generator.normal(0, 1, count) + 0.15 * (difficulty - task.difficulty))
    tokens = np.where(silent, 0, np.maximum(1, np.rint(model.words * task.tokens * spread)))
    latency = 300 + 1000 * tokens / (40 + 80 / (1 + model.completion_price)) + 150 * generator.exponential(1, count)
    styles = generator.choice(4, count, p=(0.7, 0.1, 0.1, 0.1))
    return [
        [
            f"{task.name}/{i}",
            model.name,
            "" if silent[i] else written(str(answers[i, chosen[i]]), int(styles[i])),
            str(answers[i, 0]),
            int(right[i] and not silent[i]),
            round(characters[i] / 4) + 12,
            int(tokens[i]),
            round(latency[i], 1),
        ]
        for i in range(count)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_logs(given.folder, given.prompts, given.seed)
