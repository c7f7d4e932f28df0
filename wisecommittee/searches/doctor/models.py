"""Models that hold the same outputs."""

from __future__ import annotations

from wisecommittee.searches.doctor.look import Look, listed


def doubts(look: Look) -> list[str]:
    named = {card.model for card in look.cards}
    same: dict[str, list[str]] = {}
    for card in look.every:
        same.setdefault(card.contents.content, []).append(card.model)
    return [
        f"{listed(names)} in {look.split} hold the same outputs, value for value; is one file imported under two "
        "names? Remove one with `wisecommittee remove`"
        for names in same.values()
        if len(names) > 1 and named & set(names)
    ]
