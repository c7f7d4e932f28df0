"""Models of Python code: package.module:factory[@weights-file]."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel, resized, seeded
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.models.python_code import call as call
from wisecommittee.extraction.models.python_code import find_object
from wisecommittee.extraction.models.weights import load_weights, state_hash


def load(spec: str, rest: str, name: str | None, random_weights: bool) -> LoadedModel:
    """The factory or module may carry architecture, replica, input_size, preprocess (a Preprocess), preprocess_at (a
    function of a size that returns a Preprocess) and classes."""
    code, _, weights_file = spec.partition("@")
    factory = find_object(code, spec)
    module = factory
    if not isinstance(factory, nn.Module):
        module = seeded(lambda: call(factory, spec), name, int(getattr(factory, "replica", 0)))
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"model {spec!r}: gave a {type(module).__name__}; expected a torch.nn.Module or a callable returning one"
        )
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise UsageError(f"model {spec!r}: lazy layers without shapes; run it once on an input inside its factory")
    stored = weights_file and not random_weights
    weights = load_weights(module, weights_file, spec) if stored else state_hash(module)
    default = code.rpartition(":")[2]

    def says(fact: str, otherwise: Any = None) -> Any:
        return getattr(factory, fact, getattr(module, fact, otherwise))

    preprocess, classes, size = says("preprocess"), says("classes"), says("input_size")
    preprocess = preprocess if isinstance(preprocess, Preprocess) else None
    is_names = isinstance(classes, (list, tuple)) and all(isinstance(c, str) for c in classes)
    is_size = isinstance(size, (list, tuple)) and all(isinstance(s, int) for s in size)
    return LoadedModel(
        module,
        default,
        str(says("architecture", default)),
        int(says("replica", 0)),
        spec,
        weights,
        input_size=tuple(size) if is_size else preprocess.size if preprocess else None,
        preprocess=preprocess,
        classes={"given": tuple(classes)} if is_names else {},
        resize=partial(resized, module, preprocess, says("preprocess_at")),
    )
