"""hf:NAME-or-folder: image classifiers of transformers, from a local folder or the hub's cache. Needs the extra `hf`.

No code that comes with a model is run (trust_remote_code stays off), and weights are not unpickled.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wisecommittee.errors import AbsentError, ContentError, MissingExtraError, WiseCommitteeError, first_line, option
from wisecommittee.extraction.models.classes import imagenet_vocabularies
from wisecommittee.extraction.models.loaded import LoadedModel, seeded
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.models.weights import missing_weights, state_hash, weights_only

try:
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
    from transformers.utils.logging import disable_progress_bar
except ModuleNotFoundError as error:
    if error.name == "transformers":
        raise MissingExtraError("transformers", "hf") from error
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    raise WiseCommitteeError(
        f"transformers cannot load its image classifiers here ({cause}); install torchvision from where torch came from"
    ) from error


class Logits(nn.Module):
    """[n, C, H, W] -> logits [n, classes] of a transformers model. interpolate : position tables follow the input."""

    def __init__(self, model: nn.Module, interpolate: bool = False) -> None:
        super().__init__()
        self.model, self.options = model, {"interpolate_pos_encoding": True} if interpolate else {}

    def forward(self, pixel_values: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=pixel_values, **self.options).logits
        return logits


def load(spec: str, rest: str, name: str | None, random_weights: bool) -> LoadedModel:
    disable_progress_bar()
    config = _read(spec, rest, lambda: AutoConfig.from_pretrained(rest, trust_remote_code=False), "config.json")
    if random_weights:
        model = seeded(lambda: AutoModelForImageClassification.from_config(config, trust_remote_code=False), name)
    else:
        with weights_only():
            model = _read(
                spec,
                rest,
                lambda: AutoModelForImageClassification.from_pretrained(rest, trust_remote_code=False),
                "model.safetensors",
            )
    model = model.to(torch.float32)
    try:
        processor = AutoImageProcessor.from_pretrained(rest, trust_remote_code=False)
    except (OSError, ValueError):  # no preprocessor_config.json; the runner asks for preprocessing where it needs one
        processor = None
    preprocess = None if processor is None else preprocess_of(processor, config)
    return LoadedModel.called(
        Path(rest.rstrip("/")).name,
        Logits(model),
        spec,
        state_hash(model),
        input_size=preprocess.size if preprocess else _configured_size(config),
        preprocess=preprocess,
        classes=_vocabularies(config),
        resize=partial(_at_size, model, processor, config),
    )


def preprocess_of(processor: Any, config: Any = None) -> Preprocess | None:
    """The image processor as a transform of one image; None if its output size is unknown beforehand."""
    side = _crop_size(processor)
    if side is None:
        return None
    channels = int(getattr(config, "num_channels", 3) or 3)
    facts = {key: value for key, value in processor.to_dict().items() if not key.startswith("_")}
    key = f"hf {type(processor).__name__} {json.dumps(facts, sort_keys=True, default=str)}"
    uncropped = partial(_apply, processor, crop=False) if getattr(processor, "do_center_crop", False) else None
    return Preprocess(key, (channels, *side), partial(_apply, processor), uncropped)


def _apply(processor: Any, image: Any, crop: bool = True) -> Tensor:
    options = {} if crop else {"do_center_crop": False}
    pixels: Tensor = processor(images=image, return_tensors="pt", **options)["pixel_values"][0]
    return pixels


def _crop_size(processor: Any) -> tuple[int, int] | None:
    """Height and width of what a processor puts out."""
    asked = processor.crop_size if getattr(processor, "do_center_crop", False) else processor.size
    size = dict(asked or {})
    if size.get("height") and size.get("width"):
        return size["height"], size["width"]
    if size.get("shortest_edge") and "crop_pct" in processor.to_dict():  # ConvNeXt crops to a square
        return size["shortest_edge"], size["shortest_edge"]
    return None


def _configured_size(config: Any) -> tuple[int, ...] | None:
    size = getattr(config, "image_size", None)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return (int(getattr(config, "num_channels", 3)), height, width) if height and width else None


def _at_size(model: nn.Module, processor: Any, config: Any, size: int) -> tuple[nn.Module, Preprocess | None]:
    """The processor resizes in proportion to its crop; models with position tables interpolate them if they can."""
    interpolate = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    preprocess = None
    if processor is not None and (old := _crop_size(processor)) is not None:
        processor = copy.deepcopy(processor)
        asked = dict(processor.size)
        edges = {key: max(size, round(value * size / old[0])) for key, value in asked.items() if value}
        processor.size = type(processor.size)(**edges) if not isinstance(processor.size, dict) else edges
        if getattr(processor, "do_center_crop", False):
            square = {"height": size, "width": size}
            kind = type(processor.crop_size)
            processor.crop_size = square if kind is dict else kind(**square)
        preprocess = preprocess_of(processor, config)
    return Logits(model, interpolate), preprocess


def _vocabularies(config: Any) -> dict[str, tuple[str, ...]]:
    """id2label, unless it is transformers' filler; ImageNet's synsets too if they are ImageNet's names in its order."""
    labels = {int(index): str(label) for index, label in (config.id2label or {}).items()}
    names = tuple(labels[index] for index in sorted(labels))
    if not names or all(label == f"LABEL_{index}" for index, label in labels.items()):
        return {}
    known = imagenet_vocabularies() if len(names) == 1000 else {}
    if (
        known
        and sum(a.split(",")[0] == b.split(",")[0] for a, b in zip(known["description"], names, strict=True)) > 990
    ):
        return {**known, "label": names}
    return {"label": names}


def _read(spec: str, rest: str, read: Any, file: str) -> Any:
    """Something transformers reads from a folder or the hub; says which file is missing."""
    try:
        return read()
    except pickle.UnpicklingError as error:
        raise ContentError(
            f"model {spec!r}: its weights are more than plain tensors and are not unpickled; "
            f"save it with save_pretrained, as safetensors"
        ) from error
    except (OSError, ValueError) as error:
        reason = first_line(error)
        if os.path.isdir(rest):
            hint = (
                f", or use {option('random_weights', True)} for timing and multiply-adds"
                if file != "config.json"
                else ""
            )
            raise AbsentError(
                f"model {spec!r}: the folder {rest!r} holds no {file} that transformers can use ({reason}); "
                f"save the model there with save_pretrained{hint}"
            ) from error
        from huggingface_hub.constants import HF_HUB_CACHE

        raise missing_weights(spec, f"{rest}/{file}", HF_HUB_CACHE, "HF_HUB_CACHE", error) from error
