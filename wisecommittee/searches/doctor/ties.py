"""Outputs that were rounded: two classes share the largest one."""

from __future__ import annotations

from wisecommittee.searches.doctor.look import Look, listed

MANY_TIES = 0.01  # share of the units


def doubts(look: Look) -> list[str]:
    samples = {card.model: look.sample(card) for card in look.with_outputs}
    tied = {m: s.tied for m, s in samples.items() if s.tied >= MANY_TIES and s.tied * len(s.rows) >= 3}
    if not tied:
        return []
    return [
        f"{listed(list(tied))} in {look.split}: two classes share the top value in up to "
        f"{100 * max(tied.values()):.1f} % of the units, and the lower class is taken; outputs were rounded (bfloat16, "
        f"a large offset); export them as float32, with the largest logit of each row subtracted{look.note}"
    ]
