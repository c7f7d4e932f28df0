"""Answers that are missing, or spelled in another way than the labels."""

from __future__ import annotations

import numpy as np

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import option
from wisecommittee.searches.doctor.look import Look, listed
from wisecommittee.searches.doctor.order import GAIN


def doubts(look: Look) -> list[str]:
    return [*_unanswered(look), *_misspelt(look)]


def _unanswered(look: Look) -> list[str]:
    """What the units without an answer of all models together count as."""
    lacking = {card.model: int(card.meta.get("unanswered", 0)) for card in look.of_kind("answers")}
    lacking = {model: units for model, units in lacking.items() if units}
    if not lacking:
        return []
    shown = [f"{model} {units:,}" for model, units in lacking.items()]
    return [
        f"units of {len(look.labels):,} in {look.split} without an answer: {listed(shown)}; they count as wrong where "
        f"that model answers last"
    ]


def _misspelt(look: Look) -> list[str]:
    return [text for card in look.of_kind("answers") if not card.contents.graded for text in _of_model(look, card)]


def _of_model(look: Look, card: StoredCard) -> list[str]:
    labels = look.labels.astype(np.str_).tolist()
    answers = look.store.answers(card.model, look.split).tolist()
    right = sum(a == b for a, b in zip(answers, labels, strict=True)) / len(labels)
    folded = sum(a.casefold() == b.casefold() for a, b in zip(answers, labels, strict=True)) / len(labels)
    what = f"{card.model} in {look.split}"
    if folded >= right + GAIN:
        return [
            f"{what}: accuracy {100 * right:.1f} %, but {100 * folded:.1f} % if case does not count; import the "
            f"answers with {option('ignore_case', True)} if it does not"
        ]
    if right == 0 and len(labels) >= 10:
        index = next((i for i, answer in enumerate(answers) if answer), 0)
        return [
            f"{what}: no answer is its label, such as {answers[index][:40]!r} against {labels[index][:40]!r}; are they "
            f"written in two ways? Bring answers to the form of the labels"
        ]
    return []
