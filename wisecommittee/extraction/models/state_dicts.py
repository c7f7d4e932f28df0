"""Finds the state dict of a module in a checkpoint, in the forms in which trainers save it.

A state dict fits if its names, less a common prefix (`model.`, `module.`) and `_orig_mod.` of torch.compile, are those
of the module. Entries beside the tensors (numbers, counters of averages) do not matter. The place of a state dict is
the path of keys to it, and the prefix: `state_dict/model.`, `model_ema/module.`, `` for the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

MOST_DEPTH = 5  # nesting of mappings
COMPILED = "_orig_mod."
COUNTERS = frozenset(
    {"n_averaged", "num_updates", "decay", "step", "initted"}
)  # entries of averaged copies of a module
RESTORED = "num_batches_tracked"  # torch fills it in where an old file lacks it
AVERAGED = re.compile(r"(^|[^a-z])(ema|swa|averaged)([^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FittingState:
    """A state dict that fits. others : names of tensors in the same mapping that are not the module's."""

    place: str
    state: dict[str, Any]
    others: tuple[str, ...]

    @property
    def is_average(self) -> bool:
        return AVERAGED.search(self.place) is not None


def fitting(content: Any, names: Iterable[str]) -> list[FittingState]:
    """Every state dict in a checkpoint that has all `names` of a module; those without others come first."""
    wanted = set(names)
    fits = [fit for place, mapping in mappings(content) for fit in _fits(place, mapping, wanted)]
    return sorted(fits, key=lambda fit: len(fit.others) > 0)


def nearest(content: Any, names: Iterable[str]) -> Any:
    """The mapping with the most names of the module, for torch to say what is wrong with it."""
    wanted = set(names)
    candidates = [_compiled_removed(mapping, wanted) for _, mapping in mappings(content)]
    return max(candidates, key=lambda mapping: len(wanted & mapping.keys()), default=content)


def mappings(content: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Mappings of names to tensors, with the keys that lead to them."""
    if not isinstance(content, Mapping) or depth > MOST_DEPTH:
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    if any(isinstance(value, torch.Tensor) for value in named.values()):
        yield place, named
    for key, value in named.items():
        yield from mappings(value, f"{place}/{key}" if place else key, depth + 1)


def equal(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two state dicts hold the same tensors."""
    return first.keys() == second.keys() and all(_same(value, second[name]) for name, value in first.items())


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    return type(first) is type(second) and bool(first == second)


def _fits(place: str, mapping: Mapping[str, Any], wanted: set[str]) -> Iterator[FittingState]:
    mapping = _compiled_removed(mapping, wanted)
    needed = {name for name in wanted if not name.endswith(RESTORED)}
    if not needed:
        return
    longest = max(needed, key=len)
    for key in mapping:
        prefix = key.removesuffix(longest)
        if prefix == key or (prefix and not prefix.endswith(".")):
            continue
        state = {name: mapping[prefix + name] for name in wanted if prefix + name in mapping}
        outside = mapping.keys() - {prefix + name for name in wanted} - COUNTERS
        others = sorted(name for name in outside if isinstance(mapping[name], torch.Tensor))
        if needed <= state.keys() and not (prefix and any(name.startswith(prefix) for name in others)):
            where = f"{place}/{prefix}" if place and prefix else place or prefix
            yield FittingState(where, state, tuple(others))


def _compiled_removed(mapping: Mapping[str, Any], wanted: set[str]) -> Mapping[str, Any]:
    if any(COMPILED in name for name in wanted):
        return mapping
    return {name.replace(COMPILED, ""): value for name, value in mapping.items()}
