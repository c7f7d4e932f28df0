"""The statistics of rows in numpy: by their definitions, and beside the stage kernel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import cases

from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.committees.row_statistics import row_statistics
from wisecommittee.kernels.stages import direct

NAMES = ("top", "second", "rest", "spread")
MASK = float(np.finfo(np.float32).min)
EXTREME = [0.0, 1.0, -1.0, 0.5, 17.0, -17.0, 80.0, -80.0, 1e4, -1e4, 3e38, -3e38, MASK]


def by_definition(row, size):
    """{statistic} of a row of sums of logits, in loops of Python floats."""
    best = max(range(len(row)), key=lambda c: (row[c], -c))
    others = [c for c in range(len(row)) if c != best]
    z = [max((row[c] - row[best]) / size, -1e300) for c in others]
    gap = max(z)
    log = gap + math.log(math.fsum(math.exp(each - gap) for each in z))
    terms = [math.exp(each - gap) for each in z]
    mean = math.fsum(t * each for t, each in zip(terms, z, strict=True) if t) / math.fsum(terms)
    rest = math.exp(log) if log > math.log(1e-30) else log
    spread = mean * rest if rest > 0 else mean
    top, second = row[best] / size, max(row[c] for c in others) / size
    return best, {"top": top, "second": second, "rest": rest, "spread": spread}


def of_kernel(total, size, logits, names):
    """The statistics that the stage kernel writes for sums of `size` members, of which all but the first are 0."""
    n, c = total.shape
    x = np.zeros((n, size, c), np.float32)
    x[:, 0] = total
    parents, members = np.arange(-1, size - 1), np.arange(size)
    rows = np.r_[np.full(size - 1, -1), 0]
    trie = direct.Trie(parents, members, members + 1, np.full(size, logits), rows)
    needs = sum(1 << direct.STATISTICS.index(name) for name in names)
    outputs = direct.WalkOutputs(
        np.zeros((size, n), np.uint8), np.zeros((size, n), np.int32), np.zeros((len(names), 1, n), np.float32)
    )
    direct.walk(x, np.zeros(n, np.int64), trie, needs, np.zeros((size + 1, c), np.float32), outputs)
    ordered = [name for name in direct.STATISTICS if name in names]
    return outputs.predicted[-1], dict(zip(ordered, outputs.statistics[:, 0], strict=True))


@st.composite
def sums(draw):
    """float32 [n, C] of ordinary and extreme numbers, with ties and masked classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, c = draw(st.integers(1, 6)), draw(st.integers(2, 9))
    total = (rng.normal(size=(n, c)) * draw(st.sampled_from([1.0, 10.0, 100.0]))).astype(np.float32)
    where = rng.random((n, c)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    total[where] = rng.choice(np.array(EXTREME, np.float32), where.sum())
    if draw(st.booleans()):
        total[:, -1] = total[:, 0]
    return total


@cases(150)
@given(total=sums(), size=st.integers(1, 3))
def test_of_logits_by_their_definitions(total, size):
    predicted, found = row_statistics(total, size, "logits", NAMES)
    for i, row in enumerate(total.tolist()):
        best, expected = by_definition(row, size)
        assert predicted[i] == best
        for name in ("top", "second"):
            assert found[name][i] == pytest.approx(expected[name], rel=1e-6)
        if max(abs(value) for value in row) < 1e5:
            # an exponent is a float32 number, so that of -90 is uncertain by 4e-6
            assert found["rest"][i] == pytest.approx(expected["rest"], rel=2e-5)
            assert found["spread"][i] == pytest.approx(expected["spread"], rel=2e-5, abs=1e-30)


@cases(150)
@given(total=sums(), size=st.integers(1, 3))
def test_confidences_of_logits_are_those_of_the_kernel_within_rounding(total, size):
    for confidence in CONFIDENCES.values():
        check_beside_the_kernel(confidence, total, size, "logits")


@cases(150)
@given(total=sums(), size=st.integers(1, 3), zeros=st.booleans())
def test_confidences_of_probabilities_are_those_of_the_kernel_within_rounding(total, size, zeros):
    small = np.clip(total, -30, 30).astype(np.float64)
    p = np.exp(small - small.max(axis=1, keepdims=True))
    if zeros:
        p[p < 0.5] = 0
    rows = (size * p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    for confidence in CONFIDENCES.values():
        check_beside_the_kernel(confidence, rows, size, "probabilities")


def check_beside_the_kernel(confidence, total, size, space):
    names = confidence.needs(space)
    predicted, ours = row_statistics(total, size, space, names)
    expected, kernel = of_kernel(total, size, space == "logits", names)
    assert predicted.tolist() == expected.tolist()
    mine, theirs = confidence(ours, space).astype(np.float64), confidence(kernel, space).astype(np.float64)
    least = np.maximum(confidence.scale.rounding(mine), confidence.scale.rounding(theirs))
    assert (np.abs(mine - theirs) <= least + 1e-30).all()
