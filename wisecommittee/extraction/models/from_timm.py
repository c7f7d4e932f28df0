"""timm:NAME[@weights-file]: the models of timm (`timm.list_models()`), with tags (resnet50.a1_in1k). Extra `zoo`.

A weights file may have another number of classes than timm's. Preprocessing is timm's own for these weights.
"""

from __future__ import annotations

import copy
import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

import wisecommittee.extraction.models.from_torchvision  # noqa: F401  (timm needs torchvision, and this says so better)
from wisecommittee.errors import MissingExtraError, UnknownNameError, UsageError, first_line
from wisecommittee.extraction.models.classes import imagenet_vocabularies
from wisecommittee.extraction.models.loaded import LoadedModel, seeded
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.models.weights import (
    fill,
    missing_weights,
    outputs_of,
    read_weights,
    state_hash,
    weights_only,
)

try:
    import timm
    from timm.data import create_transform, infer_imagenet_subset, resolve_data_config
    from timm.data.transforms import CenterCropOrPad
    from torchvision import transforms
except ModuleNotFoundError as error:
    if error.name != "timm":
        raise
    raise MissingExtraError("timm", "zoo") from error


def load(spec: str, rest: str, name: str | None, random_weights: bool) -> LoadedModel:
    model, _, given = rest.partition("@")
    config = _config(model)
    meta: dict[str, Any] = {}
    if given and not random_weights:
        checkpoint = read_weights(given, spec)
        module: Any = timm.create_model(model, pretrained=False)
        state, weights = checkpoint.state_for(module.state_dict()), checkpoint.weights
        heads = config.classifier if isinstance(config.classifier, (list, tuple)) else [config.classifier]
        outputs = next((n for head in heads if head and (n := outputs_of(state, head))), config.num_classes)
        if outputs != config.num_classes:
            module = timm.create_model(model, pretrained=False, num_classes=outputs)
        fill(module, state, checkpoint.path, spec)
        meta["weights"] = checkpoint.path.name
    elif random_weights:
        module = seeded(lambda: timm.create_model(model, pretrained=False), name)
        weights = state_hash(module)
    else:
        module = _pretrained(model, config, spec)
        weights = state_hash(module)
    facts: dict[str, Any] = module.pretrained_cfg
    data_config = resolve_data_config({}, pretrained_cfg=facts)
    return LoadedModel.called(
        model,
        module,
        spec,
        weights,
        meta=meta,
        input_size=tuple(data_config["input_size"]),
        preprocess=preprocess_of(data_config),
        classes=_vocabularies(module, facts),
        resize=partial(_at_size, module, facts),
    )


def preprocess_of(data_config: dict[str, Any]) -> Preprocess:
    """timm's evaluation transform of a data config (`resolve_data_config`)."""
    transform = create_transform(**data_config, is_training=False)
    crops = (transforms.CenterCrop, CenterCropOrPad)
    rest = transforms.Compose([step for step in transform.transforms if not isinstance(step, crops)])
    key = f"timm {json.dumps(data_config, sort_keys=True, default=str)}"
    return Preprocess(key, tuple(data_config["input_size"]), transform, rest)


def _config(model: str) -> Any:
    """timm's configuration of the weights a name stands for."""
    bare, _, tag = model.partition(".")
    if not timm.is_model(bare):
        raise UnknownNameError("timm model", model, timm.list_models())
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{bare}.*") if known.partition(".")[0] == bare]
    if tag and tag not in tags:
        raise UnknownNameError(f"weights of the timm model {bare}", tag, tags)
    return timm.get_pretrained_cfg(model)


def _pretrained(model: str, config: Any, spec: str) -> nn.Module:
    """The model with timm's weights, from the cache of the hub or the network."""
    if not config.has_weights:
        raise UsageError(
            f"model {spec!r}: timm has no weights for it; name a file, timm:{model}@FILE, or use --random-weights"
        )
    try:
        with weights_only():
            return timm.create_model(model, pretrained=True)
    except Exception as error:
        if config.hf_hub_id:
            from huggingface_hub.constants import HF_HUB_CACHE

            file = f"{config.hf_hub_id}/{config.hf_hub_filename or 'model.safetensors'}"
            raise missing_weights(spec, file, HF_HUB_CACHE, "HF_HUB_CACHE", error) from error
        file, folder = Path(urlparse(str(config.url)).path).name, f"{torch.hub.get_dir()}/checkpoints"
        raise missing_weights(spec, file, folder, "TORCH_HOME", error) from error


def _vocabularies(module: Any, config: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The weights' own label names, else ImageNet's where the number of classes is one of its subsets'."""
    outputs, names = module.num_classes, config.get("label_names")
    if names and len(names) == outputs:
        return {"name": tuple(names)}
    subset = infer_imagenet_subset(module) if outputs == config.get("num_classes") else None
    return {} if subset is None else imagenet_vocabularies(subset=subset)


def _at_size(module: Any, config: dict[str, Any], size: int) -> tuple[nn.Module, Preprocess]:
    """Convolutional networks take any size; position tables are resampled by timm. At the weights' test size the crop
    is the one timm tests with."""
    channels = config["input_size"][0]
    tested = config.get("test_input_size") == (channels, size, size)
    data_config = resolve_data_config(
        {"input_size": (channels, size, size)}, pretrained_cfg=config, use_test_size=tested
    )
    if config.get("fixed_input_size") and hasattr(module, "set_input_size"):
        module = copy.deepcopy(module)
        try:
            with warnings.catch_warnings():
                # timm's interpolation of position tables: slow indexing, old indexing.
                warnings.filterwarnings("ignore", r"torch.searchsorted|Using a non-tuple sequence", UserWarning)
                module.set_input_size(img_size=(size, size))
        except (AssertionError, ValueError, RuntimeError) as error:
            raise UsageError(f"timm cannot bring it to {size} x {size} ({first_line(error)})") from error
    return module, preprocess_of(data_config)
