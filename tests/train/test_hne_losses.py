"""Losses over leaves against loops over their definitions, in float64 numpy, and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wisecommittee.errors import UnknownNameError, UsageError
from wisecommittee.train.hne_losses import LOSSES, LeafLoss, sizes

RNG = np.random.default_rng(0)


def batch(leaves, n=7, classes=5):
    return 2 * RNG.standard_normal((n, leaves, classes)), RNG.integers(0, classes, n)


def softmax(z):
    e = [math.exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


def cross_entropy(z, target):
    """target : a probability per class."""
    return -sum(t * math.log(p) for t, p in zip(target, softmax(z), strict=True))


def by_definition(logits, labels, loss):
    """Equations 3 to 6, unit by unit."""
    total, (units, leaves, classes) = 0.0, logits.shape
    powers = [2**b for b in range(leaves.bit_length()) if 2**b < leaves]
    for unit, label in zip(logits, labels, strict=True):
        hard = [float(c == label) for c in range(classes)]
        mean = {k: [sum(unit[n][c] for n in range(k)) / k for c in range(classes)] for k in [*powers, leaves]}

        def distil(z, teacher=mean[leaves]):
            t = loss.temperature
            soft = softmax([v / t for v in teacher])
            student = [v / t for v in z] if loss.temper_student else z
            return cross_entropy(student, soft) * (t * t if loss.scale_square else 1)

        over = sum if loss.terms == "sum" else lambda terms: sum(terms) / len(terms)
        independent = over([cross_entropy(leaf, hard) for leaf in unit])
        if loss.name == "ls":
            total += over([cross_entropy(z, hard) for z in mean.values()])
        elif loss.name == "li" or leaves == 1:
            total += independent
        else:
            students = list(unit) if loss.name == "ld" else [mean[k] for k in powers]
            total += (1 - loss.alpha) * independent + loss.alpha * over([distil(z) for z in students])
    return total / units


OPTIONS = [
    {},
    {"alpha": 0.2, "temperature": 4.0},
    {"terms": "mean"},
    {"temper_student": False},
    {"scale_square": False},
    {"temper_student": False, "scale_square": False, "terms": "mean", "temperature": 0.5},
]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("leaves", [1, 2, 3, 8])
def test_losses_are_their_definitions(name, options, leaves):
    logits, labels = batch(leaves)
    loss = LeafLoss(name, **options)
    found = loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(found) == pytest.approx(by_definition(logits, labels, loss), rel=1e-5)


@pytest.mark.parametrize("leaves", [2, 4, 16])
def test_the_number_of_terms(leaves):
    """Leaves that agree: every term is the same, LI has N of them, LS B + 1, LD N, LHD B."""
    depth = leaves.bit_length() - 1
    z = RNG.standard_normal((6, 1, 5))
    logits, labels = torch.from_numpy(np.repeat(z, leaves, axis=1)), torch.arange(6) % 5
    hard = float(LeafLoss("li")(logits[:, :1], labels))
    soft = np.mean([4 * cross_entropy(v / 2, softmax(v / 2)) for v in z[:, 0]])
    assert float(LeafLoss("li")(logits, labels)) == pytest.approx(leaves * hard, rel=1e-5)
    assert float(LeafLoss("ls")(logits, labels)) == pytest.approx((depth + 1) * hard, rel=1e-5)
    assert float(LeafLoss("ld", alpha=1)(logits, labels)) == pytest.approx(leaves * soft, rel=1e-5)
    assert float(LeafLoss("lhd", alpha=1)(logits, labels)) == pytest.approx(depth * soft, rel=1e-5)
    assert sizes(leaves) == tuple(2**b for b in range(depth + 1))


def probabilities(z):
    return np.array([softmax(v) for v in z])


def gradient(loss, logits, labels):
    tensor = torch.from_numpy(logits).requires_grad_()
    loss(tensor, torch.from_numpy(labels)).backward()
    return tensor.grad.numpy()


def test_the_teacher_gets_no_gradient():
    """d/dz of T^2 CE(z / T, q) is T (softmax(z / T) - q) for a constant q; a mean hands each leaf its share."""
    logits, labels = batch(4)
    n, t = len(logits), 3.0
    teacher = probabilities(logits.mean(axis=1) / t)
    leaves = np.stack([probabilities(leaf / t) - teacher for leaf in logits.swapaxes(0, 1)], axis=1)
    found = gradient(LeafLoss("ld", alpha=1, temperature=t), logits, labels)
    np.testing.assert_allclose(found, t * leaves / n, rtol=1e-4, atol=1e-6)

    expected = np.zeros_like(logits)
    for k in (1, 2):
        difference = probabilities(logits[:, :k].mean(axis=1) / t) - teacher
        expected[:, :k] += t * difference[:, None] / k / n
    found = gradient(LeafLoss("lhd", alpha=1, temperature=t), logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert not found[:, 2:].any()  # leaves that only the teacher contains


def test_one_leaf_is_an_ordinary_network():
    logits, labels = batch(1)
    expected = gradient(LeafLoss("li"), logits, labels)
    for name in LOSSES:
        np.testing.assert_array_equal(gradient(LeafLoss(name), logits, labels), expected)


def test_alpha_0_is_li():
    logits, labels = batch(4)
    for name in ("ld", "lhd"):
        found = gradient(LeafLoss(name, alpha=0.0), logits, labels)
        np.testing.assert_array_equal(found, gradient(LeafLoss("li"), logits, labels))


def test_reduced_precision_is_not_kept():
    logits, labels = batch(4)
    rounded = torch.from_numpy(logits).bfloat16()
    found = LeafLoss()(rounded, torch.from_numpy(labels))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(by_definition(rounded.double().numpy(), labels, LeafLoss()), rel=1e-5)


def test_what_no_loss_can_be_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown loss 'hd'.*lhd"):
        LeafLoss("hd")
    with pytest.raises(UnknownNameError, match=r"unknown terms 'max'.*mean"):
        LeafLoss(terms="max")
    for alpha in (-0.1, 1.5, math.nan):
        with pytest.raises(UsageError, match=r"alpha .*expected a weight from 0 to 1"):
            LeafLoss(alpha=alpha)
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match=r"temperature .*expected a number above 0"):
            LeafLoss(temperature=temperature)
