"""Model specs -> loaded modules. One entry of SOURCES per scheme, one of FILES per file ending; a spec without either
names Python code. A source gives what it knows of a model: input size, preprocessing, class names, how to resize it.

timm:NAME[@weights-file]                timm's models, for example timm:resnet50.a1_in1k
torchvision:NAME[@weights-file|WEIGHTS] torchvision's, for example torchvision:resnet50@IMAGENET1K_V1
hf:NAME-or-folder                       image classifiers of transformers
file.pt2, file.ts, file.onnx            exported models (torch.export, TorchScript, ONNX)
package.module:factory[@weights-file]   a callable returning an nn.Module, or an nn.Module itself
digits:NAME                             a member of the embedded pool, for example digits:conv8/0

Files are looked for from the current folder. A weights file may be followed by ?state=PLACE (see weights.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wisecommittee.errors import UsageError
from wisecommittee.extraction.models import from_code
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.python_code import CODE, check_scheme, find_object, located
from wisecommittee.extraction.models.weights import CHOICE, file_hash, weights_hash

# A source gets the spec, the part after its scheme, the name asked for (or None), and whether weights stay random.
# Written as 'module:function' it is imported on first use, so that a source may live on a floor above or need an extra.
ModelSource = Callable[[str, str, str | None, bool], LoadedModel]
SOURCES: dict[str, ModelSource | str] = {
    "digits": "wisecommittee.train.pool:load_member",
    "timm": "wisecommittee.extraction.models.from_timm:load",
    "torchvision": "wisecommittee.extraction.models.from_torchvision:load",
    "hf": "wisecommittee.extraction.models.from_hf:load",
}
# A file source gets the path in place of the part after the scheme.
FILES: dict[str, ModelSource | str] = {
    ".pt2": "wisecommittee.extraction.models.from_torch_file:load_exported",
    ".ts": "wisecommittee.extraction.models.from_torch_file:load_torchscript",
    ".onnx": "wisecommittee.extraction.models.from_onnx:load",
}

# Their loaders run the program in the file.
PROGRAMS = (FILES[".pt2"], FILES[".ts"])


def load_model(spec: str, name: str | None = None, *, random_weights: bool = False) -> LoadedModel:
    """The module a spec stands for; `name` overrides its name in the store ('small/0' = architecture/replica)."""
    source, rest = _source(spec)
    if source is from_code.load:
        check_scheme("model source", spec.partition(":")[0], SOURCES)
    loader = find_object(source, spec, from_here=False) if isinstance(source, str) else source
    loaded: LoadedModel = loader(spec, rest, name, random_weights)
    loaded.module.eval().requires_grad_(False)
    if random_weights:
        loaded = replace(loaded, meta={**loaded.meta, "random_weights": True})
    return loaded.named(name) if name else loaded


def _source(spec: str) -> tuple[ModelSource | str, str]:
    """The source that loads a spec, and the part of the spec that it gets."""
    scheme, colon, rest = spec.partition(":")
    if scheme in SOURCES and rest:
        return SOURCES[scheme], rest
    if (ending := Path(spec).suffix) in FILES and (not colon or Path(spec).exists()):
        return FILES[ending], spec
    if not colon or not rest:
        names = ", ".join(f"{s}:NAME" for s in sorted(SOURCES))
        raise UsageError(f"model {spec!r}: expected {CODE} or {names}, or a file ending in {', '.join(FILES)}")
    return from_code.load, rest


def program_in(spec: str) -> str | None:
    """The code that runs when a spec is loaded, in words; None if it is code of this package and of installed libraries
    only."""
    source, _ = _source(spec)
    if source is from_code.load:
        return located(spec)
    if source in PROGRAMS:
        return f"the program {os.path.abspath(spec)}"
    return None


def stored_weights(spec: str) -> str | None:
    """`weights` of the model of a spec, from the bytes of its file alone; None if they do not suffice."""
    source, _ = _source(spec)
    if source in PROGRAMS:
        return file_hash(Path(spec), spec)
    given = spec.partition("@")[2]
    if not given or source in FILES.values() or not Path(given.partition(CHOICE)[0]).is_file():
        return None
    return weights_hash(given, spec)
