"""The product on damaged and hostile files: a line and an exit code, no traceback, no hang, no end of the process, no
write outside the store, nothing wrong called sound."""

from __future__ import annotations

import pytest

from fuzz.watch import Failure, failures

KINDS = ("stores", "tables", "committees", "checkpoints")
FEW, MANY, BATCH = 30, 3_000, 500


def check(found: list[Failure], of: int) -> None:
    shown = "\n\n".join(str(failure) for failure in found[:10])
    assert not found, f"{len(found)} of {of} cases\n\n{shown}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_damaged_files_are_answered_with_a_line(kind):
    if kind == "checkpoints":
        pytest.importorskip("torch")
    check(list(failures(kind, range(FEW), patience=120)), FEW)


@pytest.mark.fuzz
@pytest.mark.parametrize("first", range(FEW, FEW + MANY, BATCH))
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_answered_with_a_line(kind, first):
    check(list(failures(kind, range(first, first + BATCH), patience=20)), BATCH)
