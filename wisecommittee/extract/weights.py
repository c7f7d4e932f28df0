"""Weights files -> state dicts without unpickling objects: .safetensors, and torch.save files with weights_only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wisecommittee.errors import AbsentError, ContentError, MissingExtraError, UsageError, first_line

# Where training scripts put the state dict inside what they save, the better one first.
NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile


def load_weights(module: nn.Module, path: Path, spec: str) -> str:
    """Load a weights file into the module; returns the file's sha256."""
    state, digest = read_weights(path, spec)
    fill(module, state, path, spec)
    return digest


def read_weights(path: Path, spec: str) -> tuple[Mapping[str, Any], str]:
    """The state dict of a file (bare, or under one of NESTED; prefixes of wrappers removed) and the file's sha256."""
    digest = file_hash(path, spec)
    try:
        if path.suffix == ".safetensors":
            state = _read_safetensors(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = first_line(error)
        raise ContentError(
            f"model {spec!r}: {str(path)!r} holds no plain tensors ({reason}); save its state_dict() with torch.save"
        ) from error
    for key in NESTED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
            break
    if isinstance(state, Mapping):
        for prefix in WRAPPERS:
            if state and all(str(key).startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state, digest


def fill(module: nn.Module, state: Mapping[str, Any], path: Path, spec: str) -> None:
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ContentError(f"model {spec!r}: the weights in {str(path)!r} do not fit: {reason}") from error


def outputs_of(state: Mapping[str, Any], layer: str) -> int | None:
    """Rows of a classifier's weight [C, features] in a state dict; None where it is not there."""
    weight = state.get(f"{layer}.weight") if isinstance(state, Mapping) else None
    return int(weight.shape[0]) if isinstance(weight, torch.Tensor) and weight.ndim >= 2 else None


def file_hash(path: Path, spec: str) -> str:
    """sha256 of a file the spec names."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except FileNotFoundError:
        raise AbsentError(f"model {spec!r}: there is no weights file {str(path)!r}") from None
    except OSError as error:
        raise ContentError(f"model {spec!r}: {str(path)!r} cannot be read ({error.strerror or error})") from error


def state_hash(module: nn.Module) -> str:
    """sha256 over names, types, shapes and bytes of the state dict, in sorted key order."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        if isinstance(value, torch.Tensor):
            tensor = value.detach().cpu().contiguous()
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def missing_weights(
    spec: str, file: str, folder: str, variable: str, reason: BaseException | None = None
) -> UsageError:
    """Pretrained weights that are neither cached nor to be downloaded: which file, where it goes, what else to do."""
    why = f" ({first_line(reason)})" if reason is not None and str(reason) else ""
    scheme, _, rest = spec.partition(":")
    give = (
        "name a local folder, or "
        if scheme == "hf"
        else f"name a local file as {scheme}:{rest.partition('@')[0]}@FILE, "
    )
    last = "" if file.endswith("config.json") else ", or use --random-weights for timing and multiply-adds"
    return UsageError(
        f"model {spec!r}: its file {file} is not in the cache {folder} (moved with {variable}) "
        f"and could not be downloaded{why}; {give}put it into that cache{last}"
    )


@contextlib.contextmanager
def weights_only() -> Iterator[None]:
    """Inside, every torch.load of any library refuses to unpickle objects, whatever it asks for."""
    before = os.environ.get(FORCE)
    os.environ[FORCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FORCE]
        else:
            os.environ[FORCE] = before


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise MissingExtraError("safetensors", "zoo") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
