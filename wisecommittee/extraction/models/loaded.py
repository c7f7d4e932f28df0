"""A model ready to run: its module and the known facts about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from wisecommittee.committees.model_names import split_model_name
from wisecommittee.errors import ContentError, UsageError, option
from wisecommittee.extraction.models.classes import select_classes
from wisecommittee.extraction.models.macs import run_on_meta
from wisecommittee.extraction.models.preprocess import CLIPS, COUNTS, Preprocess, ViewMean
from wisecommittee.extraction.models.python_code import call as call
from wisecommittee.extraction.models.weights import state_hash
from wisecommittee.store.readers.classes import read_classes

# (size) -> (module, preprocess) of the same model for square inputs of that many pixels
Resize = Callable[[int], tuple[nn.Module, Preprocess | None]]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A module in eval mode, and the known facts about it.

    Attributes
    ----------
    module
        Takes inputs [n, ..] and gives logits [n, C].
    name, architecture, replica
        Its name in the store; replicas of one architecture differ in their training only.
    origin
        The spec it came from.
    weights
        sha256 of the weights file, or of the state dict where there is none.
    training_cost
        Multiply-adds spent on training, None if unknown.
    meta
        Free-form facts for the card.
    input_size
        (C, H, W) of one view of a unit, None if unknown.
    preprocess
        Image -> tensor, None if unknown.
    classes
        {vocabulary: a name for each output column}, empty if unknown.
    resize
        Gives the module and its preprocessing at another input size, None where the model cannot be resized.
    blocks
        Multiply-adds of its parts by id, for models that share parts; None: one part.
    group, position
        The jointly trained network it belongs to, and its place in it.
    """

    module: nn.Module
    name: str
    architecture: str
    replica: int
    origin: str
    weights: str
    training_cost: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    input_size: tuple[int, ...] | None = None
    preprocess: Preprocess | None = None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    resize: Resize | None = None
    blocks: Mapping[str, int] | None = None
    group: str | None = None
    position: int | None = None

    @classmethod
    def called(cls, name: str, module: nn.Module, origin: str, weights: str, **facts: Any) -> LoadedModel:
        """The model under this name, which gives its architecture and replica."""
        return cls(module, name, *split_model_name(name), origin, weights, **facts)

    @property
    def resized_to(self) -> tuple[int, int] | None:
        """Height and width to which the module resizes its inputs, None if it does not."""
        inner = _inner(self.module)
        return (inner.size, inner.size) if isinstance(inner, Resized) else None

    @property
    def preprocess_key(self) -> str | None:
        """A key that is equal for models that need equal tensors from equal images."""
        return None if self.preprocess is None else self.preprocess.key

    @property
    def params(self) -> int:
        """Number of trainable parameters; a module without torch parameters declares it as `params`."""
        declared = getattr(_inner(self.module), "params", None)
        return declared if isinstance(declared, int) else sum(p.numel() for p in self.module.parameters())

    @property
    def unit_shape(self) -> tuple[int, ...] | None:
        """The input shape of one unit: the input size, preceded by the number of views if there are several."""
        if self.input_size is None or not isinstance(self.module, ViewMean) or self.preprocess is None:
            return self.input_size
        return (COUNTS[self.preprocess.view], *self.input_size)

    def named(self, name: str) -> LoadedModel:
        architecture, replica = split_model_name(name)
        return replace(self, name=name, architecture=architecture, replica=replica)

    def at_size(self, size: int) -> LoadedModel:
        """The same weights at inputs of size x size, called b3@240 (b3@240/1 for b3/1): a member of its own.

        UsageError where the model cannot take that size.
        """
        if size < 1:
            raise UsageError(f"{self.name}: input size {size}; expected a number of pixels above 0")
        if isinstance(self.module, ViewMean):
            raise UsageError(f"{self.name}: choose the input size before the views")
        fixed = f"; it takes {' x '.join(map(str, self.input_size))}" if self.input_size else ""
        if self.resize is None:
            raise UsageError(f"{self.name}: cannot take another input size, {size}{fixed}")
        module, preprocess = self.resize(size)
        input_size: tuple[int, ...] | None = None
        if isinstance(module, Resized):
            module.what = self.name
        if self.input_size or not isinstance(module, Resized):  # else data tell, and the first units are the test
            input_size = (self.input_size[0] if self.input_size else 3, size, size)
            reason = run_on_meta(module, input_size)
            if reason is not None:
                raise UsageError(f"{self.name}: cannot take inputs of {size} x {size} ({reason}){fixed}")
        return replace(self, module=module, preprocess=preprocess, input_size=input_size)._tagged(f"@{size}")

    def with_view(self, view: str) -> LoadedModel:
        """The model averaging its logits over several views of a unit: b3+flip. Costs as many passes.

        view : crops of an image (preprocess.VIEWS), or 'clips': inputs come as [n, V, ..].
        """
        if isinstance(self.module, ViewMean):
            raise UsageError(f"{self.name}: has a view already ({self.name.rpartition('+')[2]})")
        if view == CLIPS:
            return replace(self, module=ViewMean(self.module), preprocess=None, input_size=None)._tagged(f"+{view}")
        if self.preprocess is None:
            raise UsageError(f"{self.name}: views need preprocessing, which {self.origin!r} does not define")
        preprocess = self.preprocess.with_view(view)
        if view == "center":
            return self
        return replace(self, module=ViewMean(self.module), preprocess=preprocess)._tagged(f"+{view}")

    def with_preprocess_of(self, other: LoadedModel) -> LoadedModel:
        """The model with the preprocessing of another model, at its own input size if known; also with the other's
        class names if it has none."""
        if self.input_size is not None and other.input_size != self.input_size:
            if self.input_size[1:] != self.input_size[-1:] * 2:
                raise UsageError(f"{self.name}: takes {list(self.input_size)}, no square images as {other.name} does")
            other = other.at_size(self.input_size[-1])
        if other.preprocess is None:
            raise UsageError(f"{other.name}: {other.origin!r} defines no preprocessing")
        if self.input_size not in (None, other.preprocess.size) and self.resized_to is None:
            raise UsageError(
                f"{self.name}: takes inputs of {list(self.input_size or ())}, the preprocessing of {other.name} gives "
                f"{list(other.preprocess.size)}"
            )
        classes = self.classes or {f"{other.name}'s {what}": names for what, names in other.classes.items()}
        size = (other.preprocess.size[0], *(self.resized_to or other.preprocess.size[1:]))
        return replace(self, preprocess=other.preprocess, input_size=size, classes=classes)

    def with_classes(self, names: Sequence[str] | Path) -> LoadedModel:
        """The model with these class names per output column, or with the names in a file (see
        store/readers/classes.py)."""
        return replace(self, classes={"given": tuple(read_classes(names) if isinstance(names, Path) else names)})

    def columns(self, data_classes: Sequence[str]) -> NDArray[np.int64]:
        """The output column of each class of the data, by the vocabulary that knows all of them.

        Without class names the columns in order; the caller compares the numbers. ContentError names the missing
        classes.
        """
        if not self.classes:
            return select_classes(None, data_classes)
        errors: list[tuple[int, int, ContentError]] = []
        for names in self.classes.values():
            try:
                return select_classes(names, data_classes)
            except ContentError as error:
                known = len(set(names) & set(data_classes))
                errors.append((-known, len(errors), error))
        nearest = min(errors, key=lambda entry: entry[:2])[2]
        raise ContentError(f"{self.name}: {nearest}") from nearest

    def _tagged(self, tag: str) -> LoadedModel:
        base, replica = split_model_name(self.name)
        name = f"{base}{tag}/{replica}" if base != self.name else f"{self.name}{tag}"
        return replace(self, name=name, architecture=f"{self.architecture}{tag}")


class Resized(nn.Module):
    """Images [n, C, H, W] brought to size x size (bilinear, antialiased), then through the module."""

    def __init__(self, module: nn.Module, size: int) -> None:
        super().__init__()
        self.module, self.size, self.what = module, size, "model"

    def forward(self, images: torch.Tensor) -> Any:
        if images.ndim != 4:
            raise UsageError(
                f"{self.what}: inputs of shape {list(images.shape)} have no size to change; expected images "
                f"[n, C, H, W]; leave {option('sizes')} out"
            )
        if images.shape[2:] != (self.size, self.size):
            images = functional.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        return self.module(images)


def resized(
    module: nn.Module, preprocess: Preprocess | None, at: Callable[[int], Preprocess] | None, size: int
) -> tuple[nn.Module, Preprocess | None]:
    """at : returns the preprocessing of a size; without it, the tensors are resized."""
    return (Resized(module, size), preprocess) if at is None else (module, at(size))


def _inner(module: nn.Module) -> nn.Module:
    return module.module if isinstance(module, ViewMean) else module


def wrap_module(module: nn.Module, name: str) -> LoadedModel:
    """A module made in Python, ready for `extract`."""
    origin, resize = type(module).__qualname__, partial(resized, module, None, None)
    return LoadedModel.called(name, module.eval(), origin, state_hash(module), resize=resize)


def seeded(make: Callable[[], Any], name: str | None, replica: int = 0) -> Any:
    """make() under a seed, the replica number: without stored weights the model is the same at every start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(split_model_name(name)[1] if name else replica)
        return make()
