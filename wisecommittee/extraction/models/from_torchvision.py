"""torchvision:NAME[@weights-file|WEIGHTS]: torchvision's image classifiers. Needs the extra `zoo`.

WEIGHTS is a name of the model's weights table (IMAGENET1K_V1); without one the table's default. Preprocessing is that
of the weights: of the table's entry whose file name the weights file has, else of the default.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from wisecommittee.errors import MissingExtraError, UnknownNameError, WiseCommitteeError
from wisecommittee.extraction.models.classes import imagenet_vocabularies
from wisecommittee.extraction.models.loaded import LoadedModel, seeded
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.models.weights import (
    CHOICE,
    fill,
    load_weights,
    missing_weights,
    read_weights,
    state_hash,
)

try:
    from torchvision import models as zoo
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings
    from torchvision.transforms import functional
except ModuleNotFoundError as error:
    if error.name != "torchvision":
        raise
    raise MissingExtraError("torchvision", "zoo") from error
except RuntimeError as error:
    raise WiseCommitteeError(
        f"the installed torchvision does not fit torch {torch.__version__} ({error}); install both from one place, "
        f"the CPU builds or the CUDA builds"
    ) from error


def load(spec: str, rest: str, name: str | None, random_weights: bool) -> LoadedModel:
    model, _, given = rest.partition("@")
    known = zoo.list_models(module=zoo)
    if model not in known:
        raise UnknownNameError("torchvision model", model, known)
    table = zoo.get_model_weights(model)
    entry = _entry(table, given)
    file = given if given and given not in table.__members__ else None
    meta: dict[str, Any] = {"weights": str(entry).partition(".")[2]}
    classes = entry.meta["categories"]
    if random_weights:
        module = seeded(lambda: zoo.get_model(model, weights=None, **_options(model)), name)
        weights, meta = state_hash(module), {}
    elif file is not None:
        checkpoint, blank = read_weights(file, spec), _on_meta(model)
        state, weights = checkpoint.state_for(blank.state_dict()), checkpoint.weights
        outputs = _outputs(blank, state)
        with torch.device("meta"):
            module = zoo.get_model(model, weights=None, num_classes=outputs, **_options(model))
        module = module.to_empty(device="cpu")
        fill(module, state, checkpoint.path, spec)
        meta["weights"] = checkpoint.path.name
        classes = classes if outputs == len(classes) else None
    else:
        module = zoo.get_model(model, weights=None, **_options(model))
        weights = load_weights(module, _downloaded(entry.url, spec), spec)
    return LoadedModel.called(
        model,
        module,
        spec,
        weights,
        meta=meta,
        input_size=(3, entry.transforms().crop_size[0], entry.transforms().crop_size[0]),
        preprocess=preprocess_of(entry),
        classes=_vocabularies(classes),
        resize=partial(_at_size, module, model, entry),
    )


def preprocess_of(entry: Any, size: int | None = None) -> Preprocess:
    """The weights' own transform; at another size its resize keeps the proportion to the crop."""
    preset = entry.transforms()
    if size is not None:
        resize = max(size, round(preset.resize_size[0] * size / preset.crop_size[0]))
        preset = entry.transforms(crop_size=size, resize_size=resize)
    facts = (preset.resize_size, preset.crop_size, preset.mean, preset.std, preset.interpolation.value)
    key = f"torchvision {facts} {preset.antialias}"
    return Preprocess(key, (3, *preset.crop_size * 2), preset, partial(_uncropped, preset))


def _uncropped(preset: Any, image: Any) -> Tensor:
    """torchvision's ImageClassification preset without its center crop."""
    image = functional.resize(image, preset.resize_size, interpolation=preset.interpolation, antialias=preset.antialias)
    pixels = functional.convert_image_dtype(functional.pil_to_tensor(image), torch.float)
    return functional.normalize(pixels, mean=preset.mean, std=preset.std)


def _entry(table: Any, given: str) -> Any:
    """The entry of a weights table: by its name, by the name of its file, or the default."""
    if given in table.__members__:
        return table[given]
    given = given.partition(CHOICE)[0]
    if given.isupper() and "." not in given and not Path(given).exists():
        raise UnknownNameError("torchvision weights", given, table.__members__)
    same_file = [entry for entry in table if given and Path(urlparse(entry.url).path).name == Path(given).name]
    return same_file[0] if same_file else table.DEFAULT


def _options(model: str) -> dict[str, Any]:
    """These two ask whether to initialise and have a second head in training; neither matters for weights loaded."""
    return {"googlenet": {"init_weights": True}, "inception_v3": {"init_weights": True}}.get(model, {})


def _on_meta(model: str) -> nn.Module:
    with torch.device("meta"):
        return zoo.get_model(model, weights=None, **_options(model))


def _outputs(blank: nn.Module, state: Any) -> int:
    """Classes of a state dict: rows of the layer that has 1000 in torchvision's own model and comes last."""
    last = [key for key, value in blank.state_dict().items() if value.ndim and value.shape[0] == 1000]
    for key in reversed(last):
        if isinstance(state, Mapping) and isinstance(weight := state.get(key), Tensor):
            return int(weight.shape[0])
    return 1000


def _downloaded(url: str, spec: str) -> Path:
    """The weights in torch's hub cache, fetched if the network allows."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / Path(urlparse(url).path).name
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            digest = path.stem.rpartition("-")[2]
            torch.hub.download_url_to_file(url, str(path), digest, progress=False)
        except (OSError, RuntimeError) as error:
            raise missing_weights(spec, path.name, str(folder), "TORCH_HOME", error) from error
    return path


def _vocabularies(names: list[str] | None) -> dict[str, tuple[str, ...]]:
    if names is None:
        return {}
    return imagenet_vocabularies(names) if len(names) == 1000 else {"name": tuple(names)}


def _at_size(module: nn.Module, model: str, entry: Any, size: int) -> tuple[nn.Module, Preprocess]:
    preprocess = preprocess_of(entry, size)
    if not isinstance(module, VisionTransformer) or size % module.patch_size:
        return module, preprocess
    positions = {k: copy.copy(v) for k, v in module.state_dict().items()}
    state = interpolate_embeddings(size, module.patch_size, positions)
    resized = copy.deepcopy(module)
    resized.image_size, resized.seq_length = size, state["encoder.pos_embedding"].shape[1]
    resized.encoder.pos_embedding = nn.Parameter(state["encoder.pos_embedding"], requires_grad=False)
    return resized, preprocess
