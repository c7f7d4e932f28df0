"""What the tests of model sources share: forward passes by hand, comparisons, a small network."""

from __future__ import annotations

import builtins
import io
import pickle

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)


def by_hand(module, inputs):
    """One unit at a time, with the library's own module."""
    with torch.no_grad():
        rows = [module(row[None]) for row in inputs]
    return torch.cat([getattr(row, "logits", row) for row in rows])


def same(loaded, module, inputs):
    with torch.no_grad():
        np.testing.assert_allclose(loaded.module(inputs), by_hand(module, inputs), rtol=0, atol=1e-6)


def same_in_a_worker(preprocess, image):
    """Loading processes get a pickled copy."""
    copied = pickle.loads(pickle.dumps(preprocess))
    assert copied.key == preprocess.key
    assert torch.equal(copied(image), preprocess(image))


def rgb(image):
    return image.convert("RGB")


class Small(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.Linear(8, classes)
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x)[:, None].chunk(3, dim=-1)  # one head
        return self.head(nn.functional.scaled_dot_product_attention(q, k, v)[:, 0].mean(dim=1))


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return builtins.open, (self.mark, "w")


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
