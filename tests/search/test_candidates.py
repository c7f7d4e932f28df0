"""Candidates: the order of ties against sorted tuples, and the chunks they are dealt to."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from wisecommittee.searches.grid.candidates import Candidates, TieOrder, filled_up
from wisecommittee.searches.grid.chunks import Chunk

TIERS = ((2,), (0, 1), (0,), (1, 2), (1,))


@pytest.mark.parametrize("tiers", [None, TIERS])
def test_ties_are_ordered_by_members_stages_worst_case_and_names(tiers):
    rng = np.random.default_rng(0)
    sequences = [s for size in (1, 2, 3) for s in itertools.permutations(range(len(TIERS)), size)]
    sequences = [sequences[i] for i in rng.permutation(len(sequences))]
    worst = rng.integers(0, 3, len(sequences))
    members = tiers or tuple((m,) for m in range(len(TIERS)))

    def key(i):
        stages = [members[step] for step in sequences[i]]
        return sum(map(len, stages)), len(stages), worst[i], stages

    order = TieOrder.of(SimpleNamespace(tiers=tiers, cards=TIERS)).argsort(filled_up(sequences), worst)
    assert order.tolist() == sorted(range(len(sequences)), key=key)


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("size", "number"), [(1, 4), (2, 3), (3, 1), (3, 50)])
def test_chunks_hold_every_sequence_once_and_groups_whole(size, number, grouped):
    sequences = np.array(list(itertools.product(range(4), repeat=size)))
    ranks = np.random.default_rng(size).permutation(len(sequences))
    chunks = Chunk.cut(Candidates(size, sequences, ranks), number, grouped=grouped)
    rank_of = dict(zip(map(tuple, sequences.tolist()), ranks.tolist(), strict=True))
    dealt = [(tuple(s), r) for c in chunks for s, r in zip(c.sequences.tolist(), c.ranks.tolist(), strict=True)]
    assert len(dealt) == len(sequences)
    assert dict(dealt) == rank_of
    assert len(chunks) <= number
    for chunk in chunks:
        heads, least = [], []
        for n, (a, b) in enumerate(itertools.pairwise(chunk.starts.tolist())):
            assert chunk.size(n) == b - a
            assert chunk.from_group(n) == list(map(tuple, chunk.sequences[a:].tolist()))
            heads.append(tuple(chunk.sequences[a, :-1].tolist()))
            assert (chunk.sequences[a:b, :-1] == heads[-1]).all()
            assert b - a == (4 if grouped else 1)
            least.append(chunk.ranks[a:b].min())
        assert least == sorted(least)
        assert len(chunk) == len(heads)


def test_tiers_that_run_together_tie_by_all_their_members():
    """Models 0 and 1 alone, 2 and 3 alone and as a tier: {0, 1, 2} comes before {0, 2, 3}, which has fewer tiers."""
    tiers = ((0,), (1,), (2,), (3,), (2, 3))
    order = TieOrder.of(SimpleNamespace(tiers=tiers, cards=range(4)))
    sequences = filled_up([(0, 4), (0, 1, 2), (1,), (0, 1)])
    worst = np.array([9, 9, 20, 3])
    assert order.argsort_joint(sequences, worst).tolist() == [2, 3, 1, 0]
    assert order.argsort(sequences, worst).tolist() == [2, 3, 0, 1]
