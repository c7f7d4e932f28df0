"""What several test modules share: no test reaches for the network, and torchvision beside a CPU build of torch."""

from __future__ import annotations

import os
import sys

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read by huggingface_hub when it is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

MISSING_OPERATOR = "operator torchvision::nms does not exist"
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[object] = []  # a Library that is collected takes its schemas along


@pytest.fixture(scope="session")
def torchvision():
    """torchvision, or a skip. Built for another torch it raises at import for lack of two operators of detection,
    which no test needs: declaring them is enough for models, weights tables and transforms. Not for use outside tests.
    """
    pytest.importorskip("torch")
    try:
        return pytest.importorskip("torchvision")
    except RuntimeError as error:
        if MISSING_OPERATOR not in str(error):
            raise
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _kept.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    return pytest.importorskip("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision):
    return pytest.importorskip("timm")


@pytest.fixture(scope="session")
def transformers(torchvision):
    """transformers; with torchvision, since its image processors have gone over to it."""
    return pytest.importorskip("transformers")
