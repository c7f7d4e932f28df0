"""Names of models, and names of the kinds of their outputs."""

from __future__ import annotations

import re

KINDS = ("logits", "probabilities", "answers", "cell_counts")
OLD_KINDS = {"statistics": "cell_counts"}  # earlier spellings, as cards and committees may have them
_REPLICA_NAME = re.compile(r"(?P<architecture>.+)/(?P<replica>[0-9]+)")


def split_model_name(model: str) -> tuple[str, int]:
    """'b3/0' -> ('b3', 0), from this name alone (replicas.py reads all names); a name without a number is replica 0."""
    match = _REPLICA_NAME.fullmatch(model)
    return (match["architecture"], int(match["replica"])) if match else (model, 0)
