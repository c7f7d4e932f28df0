"""Images -> the tensors a model wants, with the model's own transform, in one or several views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import Tensor, nn

from wisecommittee.errors import ContentError, UnknownNameError, UsageError
from wisecommittee.extraction.models.outputs import logits_of


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The transform of a model's own configuration: PIL image or uint8 array [H, W(, C)] -> float32 [C, S, S].

    With a view of several crops the result is [V, C, S, S]. size : (C, S, S); whole : the source's own transform;
    uncropped : the same without its last crop, [C, H', W'], None where it crops nothing;
    key : equal keys give equal tensors, so one pass over the data serves every model that has it.
    """

    key: str
    size: tuple[int, int, int]
    whole: Callable[[Image], Tensor]
    uncropped: Callable[[Image], Tensor] | None = None
    view: str = "center"

    def __call__(self, image: Any) -> Tensor:
        picture = as_image(image, self.size[0])
        return self.whole(picture) if self.view == "center" else VIEWS[self.view](self, picture)

    def with_view(self, view: str) -> Preprocess:
        if view not in VIEWS:
            raise UnknownNameError("view", view, [*VIEWS, CLIPS])
        if self.uncropped is None and view in ("fivecrop", "tencrop"):
            raise UsageError(f"view {view!r}: this model's preprocessing crops nothing; use center or flip")
        return replace(self, view=view, key=f"{self.key} {view}" if view != "center" else self.key)


def as_image(image: Any, channels: int = 3) -> Image:
    """A PIL image or uint8 array [H, W] or [H, W, 1|3|4] as PIL in RGB (or grey for one channel)."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
            raise ContentError(
                f"image: an array of {image.dtype} and shape {list(image.shape)}; expected uint8 [H, W] or [H, W, 3]"
            )
        image = fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if not isinstance(image, Image):
        raise ContentError(f"image: a {type(image).__name__}; expected a PIL image or a uint8 array [H, W, 3]")
    return image.convert("L" if channels == 1 else "RGB")


# Views: functions (preprocess, image) -> [V, C, S, S]


def _center(preprocess: Preprocess, image: Image) -> Tensor:
    return preprocess.whole(image)[None]


def _flip(preprocess: Preprocess, image: Image) -> Tensor:
    return with_mirrored(_center(preprocess, image))


def _fivecrop(preprocess: Preprocess, image: Image) -> Tensor:
    """Top left, top right, bottom left, bottom right, center, as torchvision orders them."""
    assert preprocess.uncropped is not None
    pixels = preprocess.uncropped(image)
    (_, height, width), (_, h, w) = pixels.shape, preprocess.size
    if height < h or width < w:
        raise UsageError(f"view fivecrop: {w} x {h} pixels do not fit into {width} x {height}; use center or flip")
    corners = [pixels[:, y : y + h, x : x + w] for y in (0, height - h) for x in (0, width - w)]
    return torch.cat([torch.stack(corners), _center(preprocess, image)])


def _tencrop(preprocess: Preprocess, image: Image) -> Tensor:
    return with_mirrored(_fivecrop(preprocess, image))


def with_mirrored(views: Tensor) -> Tensor:
    """[V, C, H, W] -> [2V, C, H, W]: the views, then each of them mirrored left to right."""
    return torch.cat([views, views.flip(-1)])


VIEWS: dict[str, Callable[[Preprocess, Image], Tensor]] = {
    "center": _center,
    "flip": _flip,
    "fivecrop": _fivecrop,
    "tencrop": _tencrop,
}


CLIPS = "clips"  # the view of data that come in several views already: [n, V, ..], as clips of a video
COUNTS = {"center": 1, "flip": 2, "fivecrop": 5, "tencrop": 10}


class ViewMean(nn.Module):
    """Inputs [n, V, ..] -> the mean over V of the module's logits, [n, classes]. Costs V forward passes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, views: Tensor) -> Tensor:
        outputs = logits_of(self.module(views.flatten(0, 1)))
        return outputs.unflatten(0, views.shape[:2]).mean(dim=1)
