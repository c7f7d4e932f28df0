"""What hierarchical distillation does on noisy digits, as a statistic of five seeds: `make test-slow`.

A quarter of the training labels is redrawn; per seed other labels, initial weights and orders. Accuracy is that of val
and test together (1,200 images): nothing is chosen. Only what is robust at this size is asserted.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as with_fields

import numpy as np
import pytest
import torch

from wisecommittee.train.data import open_training_data
from wisecommittee.train.hne import PHASE, Hierarchy, make_hierarchy
from wisecommittee.train.hne_losses import LeafLoss, sizes
from wisecommittee.train.loop import train

pytestmark = pytest.mark.slow
SEEDS = (0, 1, 2, 3, 4)
SEEDS_OF_8 = SEEDS[:1]  # of the larger trees, which only show that leaves trained by LS are useless alone


@dataclass
class Unwatched:
    """A hierarchy that does not look at val after every epoch."""

    hierarchy: Hierarchy

    @property
    def key(self):
        return self.hierarchy.key

    def phases(self):
        for phase in self.hierarchy.phases():
            yield with_fields(phase, evaluate=None)


def figures(loss, leaves, seed):
    """Accuracy at 1, 2, 4, .. leaves, of the mean leaf, and the standard deviation of the logits over leaves."""
    data = open_training_data("digits", label_noise=0.25, pixel_noise=0.1, seed=seed)
    hierarchy = make_hierarchy(data, leaves=leaves, loss=LeafLoss(loss), seed=seed)
    net = train(Unwatched(hierarchy), seed=seed).modules[PHASE]["net"].eval()
    images, labels = (torch.cat(parts) for parts in zip(*map(data.tensors, ("val", "test")), strict=True))
    with torch.inference_mode():
        logits = net(images)

    def accuracy(outputs):
        return 100 * float((outputs.argmax(dim=1) == labels).double().mean())

    first = [accuracy(logits[:, :size].mean(dim=1)) for size in sizes(leaves)]
    alone = np.mean([accuracy(leaf) for leaf in logits.unbind(1)])
    return np.array([*first, alone, float(logits.std(dim=1, correction=0).mean())])


@pytest.fixture(scope="module")
def measured():
    """{(loss, leaves): float64 [seeds, figures]}, printed with means and standard errors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {(loss, 4): [figures(loss, 4, seed) for seed in SEEDS] for loss in ("li", "ld", "lhd")}
        found |= {(loss, 8): [figures(loss, 8, seed) for seed in SEEDS_OF_8] for loss in ("li", "ls")}
    finally:
        torch.set_num_threads(threads)
    print("\nhne on digits: accuracy (%) of the first leaves, of the mean leaf, std of logits; mean ± standard error")
    for (loss, leaves), rows in found.items():
        names = [*map(str, sizes(leaves)), "leaf", "std"]
        cells = [f"{name} {mean:.2f}" for name, mean in zip(names, np.mean(rows, axis=0), strict=True)]
        if len(rows) > 1:
            errors = np.std(rows, axis=0, ddof=1) / len(rows) ** 0.5
            cells = [f"{cell} ± {error:.2f}" for cell, error in zip(cells, errors, strict=True)]
        print(f"{loss:>4}, {leaves} leaves, seeds {SEEDS[: len(rows)]}: " + ", ".join(cells))
    return {key: np.array(rows) for key, rows in found.items()}


def test_distillation_helps_the_smallest_ensembles(measured):
    gain = measured["lhd", 4][:, :2] - measured["li", 4][:, :2]
    assert gain.mean() >= 1


def test_distillation_costs_diversity(measured):
    assert measured["lhd", 4][:, -1].mean() < measured["li", 4][:, -1].mean()


def test_more_leaves_help(measured):
    one, _, four = measured["li", 4][:, :3].T
    assert (four - one).mean() >= 0.5


def test_leaves_of_the_structured_loss_are_useless_alone(measured):
    assert measured["li", 8][:, -2].mean() - measured["ls", 8][:, -2].mean() >= 15
