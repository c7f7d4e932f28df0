"""The stage kernel of max_prob against sums written out in numpy, for every way its lanes can be filled, and the rows
it is given."""

from __future__ import annotations

import itertools
from operator import itemgetter

import numpy as np
import pytest
from scipy.special import softmax as reference_softmax

from wisecommittee.committees.combine import softmax, unchanged
from wisecommittee.searches.stages.blocks import TableRequest, walk_blocks
from wisecommittee.searches.stages.prefixes import build_prefixes
from wisecommittee.searches.stages.summands import Summands

CLASSES = (1, 2, 7, 8, 9, 20, 127, 128, 129, 144, 300)


def outputs(rng: np.random.Generator, models: int, units: int, classes: int, kind: str) -> list[np.ndarray]:
    shared = rng.standard_normal((units, classes))
    rows = [(shared + rng.standard_normal((units, classes))) * 3 for _ in range(models)]
    if kind == "ties":
        rows = [np.round(r / 4) for r in rows]
    elif kind == "apart":  # members so sure of different classes that products of exponentials underflow
        rows = [r + 150.0 * np.eye(classes)[rng.integers(0, classes, units)] for r in rows]
    elif kind in ("masked", "lowest"):  # "lowest": sums of two are -inf
        never = -1e30 if kind == "masked" else np.finfo(np.float32).min
        rows = [np.where((rng.random(r.shape) < 0.3) & (np.arange(classes) > 1), never, r) for r in rows]
    return [r.astype(np.float32) for r in rows]


def rest(statistic):
    """The sum that is meant, where its logarithm is given."""
    return np.where(statistic < 0, np.exp(statistic.astype(np.float64)), statistic)


def walked(rows, space, labels, wanted, scored_below, predict=True, threads=1):
    trie = build_prefixes(wanted)
    scored = trie.sizes < scored_below
    sources = [Summands(r, unchanged, space) for r in rows]
    found = []
    for name in ["rest"] if space == "logits" else ["top", "rest"]:
        names = frozenset({"rest"} if space == "logits" else {"top", "rest"})
        request = TableRequest(trie, scored, names, itemgetter(name), predict=predict)
        correct, predicted, statistic = walk_blocks(range(len(rows)), sources, labels, request, threads=threads)
        found.append(statistic)
    statistic = found[0] if space == "logits" else found
    return trie, np.cumsum(scored) - 1, correct.rows(range(len(trie))), predicted, statistic


@pytest.mark.parametrize("kind", ["plain", "ties", "apart", "masked"])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("space", ["logits", "probabilities"])
def test_walk_equals_sums_written_out(kind, classes, space):
    rng = np.random.default_rng(classes)
    units, models = 43, 6
    rows = outputs(rng, models, units, classes, kind)
    if space == "probabilities":
        shifted = [np.exp(r - r.max(axis=1, keepdims=True)) for r in rows]
        rows = [(e / e.sum(axis=1, keepdims=True)).astype(np.float32) for e in shifted]
    labels = rng.integers(0, classes, units)
    deep = [some for n in (1, 2, 3, 4, 5) for some in itertools.combinations(range(models), n)]
    trie, score_row, correct, predicted, statistic = walked(rows, space, labels, deep, 5)
    for members, node in trie.find.items():
        total = rows[members[0]].copy()
        for m in members[1:]:
            total = total + rows[m]  # float32, in order
        best = total.argmax(axis=1)
        np.testing.assert_array_equal(predicted[node], best)
        np.testing.assert_array_equal(correct[node], best == labels)
        if len(members) == 5:
            continue
        if space == "probabilities":
            top, others = (values[score_row[node]] for values in statistic)
            np.testing.assert_allclose(top, total.max(axis=1) / len(members), rtol=1e-6)
            np.put_along_axis(total, best[:, None], 0.0, axis=1)
            sure = top > 0.97  # elsewhere 1 - top says it as well
            expected = total.sum(axis=1, dtype=np.float64) / len(members)
            np.testing.assert_allclose(others[sure], expected[sure], rtol=2e-6)
            np.testing.assert_allclose(others[~sure], 1 - top[~sure], atol=1e-6)
            continue
        got = rest(statistic[score_row[node]])
        exact = sum(rows[m].astype(np.float64) for m in members)
        gaps = (exact - np.take_along_axis(exact, best[:, None], axis=1)) / len(members)
        e = np.exp(np.maximum(gaps, -700))
        np.put_along_axis(e, best[:, None], 0.0, axis=1)
        # Logits of some 150 round by 1e-5; beside the 1 of the winner 1e-12 is nothing.
        np.testing.assert_allclose(got, e.sum(axis=1), rtol=2e-5 if kind == "apart" else 2e-6, atol=1e-12)


@pytest.mark.parametrize("kind", ["plain", "ties", "apart"])
@pytest.mark.parametrize("classes", [3, 8, 100, 128, 129, 200])
def test_bits_do_not_depend_on_what_else_is_walked(kind, classes):
    rng = np.random.default_rng(7)
    units = 61
    rows = outputs(rng, 7, units, classes, kind)
    labels = rng.integers(0, classes, units)
    deep = [some for n in (1, 2, 3, 4) for some in itertools.combinations(range(7), n)]
    trie, score_row, correct, predicted, statistic = walked(rows, "logits", labels, deep, 4, threads=2)
    for alone in [(2,), (5,), (0, 6), (3, 4), (1, 2, 5), (4, 5, 6), (0, 2, 3, 5)]:
        some, own_row, own_correct, own_predicted, own = walked(rows, "logits", labels, [alone], 4)
        for size in range(1, len(alone) + 1):
            here, there = some.find[alone[:size]], trie.find[alone[:size]]
            np.testing.assert_array_equal(own_correct[here], correct[there])
            np.testing.assert_array_equal(own_predicted[here], predicted[there])
            if size < 4:
                assert own[own_row[here]].tobytes() == statistic[score_row[there]].tobytes()
    for first in (0, 8, 24):  # nor on the units beside
        part = [r[first : first + 21] for r in rows]
        _, _, own_correct, _, own = walked(part, "logits", labels[first : first + 21], deep, 4)
        np.testing.assert_array_equal(own_correct, correct[:, first : first + 21])
        assert own.tobytes() == np.ascontiguousarray(statistic[:, first : first + 21]).tobytes()


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # "lowest", where kernels run as plain Python
@pytest.mark.parametrize("kind", ["plain", "ties", "apart", "masked", "lowest", "huge"])
@pytest.mark.parametrize("classes", [2, 9, 100, 300])
def test_replicas_that_only_run_in_turn(kind, classes):
    """Where a model only follows the one before it, classes are left out by sums over such runs."""
    rng = np.random.default_rng(classes)
    families, units = ((0, 1, 2, 3), (4, 5, 6), (7,), (8, 9)), 90
    rows = outputs(rng, 10, units, classes, kind)
    if kind == "huge":
        rows = [(np.round(r) * np.float32(2e36)).astype(np.float32) for r in rows]
    elif (
        kind != "lowest"
    ):  # replicas alike: their runs cross the pivot where no single one does, and the other way round
        for family in families:
            for m in family[1:]:
                rows[m] = (rows[family[0]] + np.round(rng.standard_normal(rows[m].shape), 1)).astype(np.float32)
    labels = rng.integers(-1, classes, units)
    runs = [tuple(family[:n]) for family in families for n in range(1, len(family) + 1)]
    wanted = [a + b for a, b in itertools.combinations([(), *runs], 2) if not a or a[0] != b[0]]
    trie, score_row, correct, predicted, statistic = walked(rows, "logits", labels, wanted, 5)
    alone = walked(rows, "logits", labels, [*wanted, *itertools.combinations(range(10), 2)], 5)  # nothing runs in turn
    for members, node in trie.find.items():
        total = rows[members[0]].copy()
        with np.errstate(over="ignore"):
            for m in members[1:]:
                total = total + rows[m]  # float32, in order
        best = total.argmax(axis=1)
        np.testing.assert_array_equal(predicted[node], best)
        np.testing.assert_array_equal(correct[node], best == labels)
        if len(members) < 5:
            other = alone[4][alone[1][alone[0].find[members]]]
            assert statistic[score_row[node]].tobytes() == other.tobytes()


def test_sums_of_many_members_share_their_factors():
    rng = np.random.default_rng(6)
    for classes in (12, 150):
        rows = outputs(rng, 8, 20, classes, "plain")
        deep = [some for n in (1, 3, 6) for some in itertools.combinations(range(8), n)]
        trie, score_row, _, _, statistic = walked(rows, "logits", np.zeros(20, int), deep, 7)
        for members, node in trie.find.items():
            mean = sum(rows[m].astype(np.float64) for m in members) / len(members)
            gaps = mean - mean.max(axis=1, keepdims=True)
            expected = np.exp(gaps).sum(axis=1) - 1
            np.testing.assert_allclose(statistic[score_row[node]], expected, rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize("classes", [3, 200])
def test_units_without_a_label(classes):
    rng = np.random.default_rng(1)
    rows = outputs(rng, 2, 9, classes, "plain")
    rows[0][:4], rows[1][:4] = 0.0, 0.0
    rows[0][:4, 1] = 50.0  # one candidate
    trie, _, correct, predicted, _ = walked(rows, "logits", np.full(9, -1), [(0, 1)], 3)
    assert not correct.any()
    assert (predicted[trie.find[0, 1]] == (rows[0] + rows[1]).argmax(axis=1)).all()


def test_many_alike_models_and_one_unit():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((1, 50)).astype(np.float32)
    _, _, correct, predicted, statistic = walked([one] * 9, "logits", np.array([3]), [tuple(range(9))], 9)
    assert (predicted == one.argmax()).all()
    e = np.exp(one[0].astype(np.float64) - one.max())
    np.testing.assert_allclose(statistic[:, 0], e.sum() - 1, rtol=2e-6)
    assert (correct[:, 0] == (one.argmax() == 3)).all()


def test_half_precision_is_widened_exactly():
    bits = np.arange(65536, dtype=np.uint16)
    halves = bits.view(np.float16)
    halves = halves[np.isfinite(halves)]
    rows = np.ascontiguousarray(halves[: len(halves) // 8 * 8].reshape(-1, 8))
    wide = Summands(rows, unchanged, "logits").block(0, len(rows))
    assert wide.tobytes() == rows.astype(np.float32).tobytes()  # signs of zeros, too


@pytest.mark.parametrize("classes", [1, 2, 9, 1000])
def test_softmax_of_blocks(classes):
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((50, classes)) * 8).astype(np.float32)
    rows[::3] = np.round(rows[::3])  # ties
    got = Summands(rows, softmax, "probabilities").block(3, 47)
    # Differences of up to 70 are rounded to float32 before they are raised.
    np.testing.assert_allclose(got, reference_softmax(rows[3:47].astype(np.float64), axis=1), rtol=5e-6)
    np.testing.assert_allclose(got, softmax(rows[3:47]), rtol=1e-6)
    sure = Summands(np.array([[200.0, 0.0]], np.float32), softmax, "probabilities").block(0, 1)
    assert sure[0, 0] == 1.0


def test_the_direct_walk_without_labels():
    rows = outputs(np.random.default_rng(2), 2, 9, 5, "plain")
    trie = build_prefixes([(0, 1)])
    sources = [Summands(r, unchanged, "logits") for r in rows]
    nothing = np.zeros(len(trie), bool)
    request = TableRequest(trie, nothing, frozenset({"top", "rest"}), itemgetter("top"), predict=True)
    correct, predicted, _ = walk_blocks((0, 1), sources, np.full(9, -1), request)
    assert not correct.rows(range(len(trie))).any()
    assert (predicted[trie.find[0, 1]] == (rows[0] + rows[1]).argmax(axis=1)).all()


def test_blocks_lie_where_kernels_can_read_them():
    raw = np.zeros(4 * 30 + 1, np.uint8)[1:].view(np.float32).reshape(10, 3)
    assert not raw.flags.aligned
    block = Summands(raw, unchanged, "logits").block(2, 9)
    assert block.flags.aligned
    assert block.flags.c_contiguous
