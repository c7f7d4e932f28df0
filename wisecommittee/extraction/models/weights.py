"""Weights files -> state dicts without unpickling objects: .safetensors, and torch.save files with weights_only.

FILE?state=PLACE names one of several state dicts in a file (see state_dicts.py), as net.pt?state=model_ema.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wisecommittee.errors import AbsentError, ContentError, MissingExtraError, UsageError, first_line, option
from wisecommittee.extraction.models.state_dicts import equal, fitting, mappings, nearest
from wisecommittee.reading import check_memory, open_regular

FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
CHOICE = "?state="
UNCLAIMED = 64 << 20  # bytes by which an archive, whose text may be compressed, can exceed its file when unpacked


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a weights file. place : of the wanted state dict, '' if none is named;
    weights : sha256 of the file, and of the place where one is named."""

    content: Any
    path: Path
    place: str
    weights: str
    spec: str

    def state_for(self, names: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state dict with the names of a module. Of several different ones, the averaged one is taken, with a
        warning."""
        fits = fitting(self.content, names)
        if self.place:
            fits = [fit for fit in fits if self.place in (fit.place, fit.place.rpartition("/")[0])]
            if not fits:
                there = ", ".join(repr(place) for place, _ in mappings(self.content)) or "none"
                raise ContentError(
                    f"model {self.spec!r}: {str(self.path)!r} has no state dict of its names at {self.place!r}; "
                    f"mappings of tensors in it: {there}"
                )
        else:
            whole = [fit for fit in fits if not fit.others]
            if fits and not whole:
                raise ContentError(
                    f"model {self.spec!r}: {str(self.path)!r} has all of its weights under {fits[0].place!r}, beside "
                    f"those of others (as {fits[0].others[0]!r}); if they are these, say so with "
                    f"{' or '.join(self._named(CHOICE + fit.place) for fit in fits)}"
                )
            fits = whole
        distinct = [fit for i, fit in enumerate(fits) if not any(equal(fit.state, f.state) for f in fits[:i])]
        if len(distinct) > 1:
            places = [fit.place for fit in distinct]
            averages = [fit for fit in distinct if fit.is_average]
            if len(averages) != 1:
                raise ContentError(
                    f"model {self.spec!r}: {str(self.path)!r} holds {len(places)} state dicts that fit and differ, "
                    f"{', '.join(map(repr, places))}; choose one with {self._named(CHOICE + places[0])}"
                )
            other = next(fit.place for fit in distinct if fit is not averages[0])
            warnings.warn(
                f"model {self.spec!r}: of {', '.join(map(repr, places))} in {str(self.path)!r} the average, "
                f"{averages[0].place!r}, is taken; name another with {self._named(CHOICE + other)}",
                stacklevel=4,
            )
            distinct = averages
        return distinct[0].state if distinct else nearest(self.content, names)

    def _named(self, place: str) -> str:
        return f"..@{self.path.name}{place}"


def load_weights(module: nn.Module, file: str | Path, spec: str) -> str:
    """Load a weights file into the module; returns the hash of its weights (`Checkpoint.weights`)."""
    checkpoint = read_weights(file, spec)
    fill(module, checkpoint.state_for(module.state_dict()), checkpoint.path, spec)
    return checkpoint.weights


def read_weights(file: str | Path, spec: str) -> Checkpoint:
    """A file, as FILE or FILE?state=PLACE."""
    path, place = _chosen(file)
    weights = weights_hash(file, spec)
    try:
        if path.suffix == ".safetensors":
            content = _read_safetensors(path)
        else:
            check_claims(path, f"model {spec!r}")
            with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                content = torch.load(path, map_location="cpu", weights_only=True)
        _check_tensors(content)
    except (ContentError, MissingExtraError):
        raise
    except Exception as error:  # a damaged or hostile file can make the libraries below raise anything
        raise ContentError(
            f"model {spec!r}: {str(path)!r} holds no plain tensors ({_reason(error)}); save its state_dict() with "
            f"torch.save"
        ) from error
    return Checkpoint(content, path, place, weights, spec)


def weights_hash(file: str | Path, spec: str) -> str:
    """The hash that identifies the weights in FILE or FILE?state=PLACE; the file is not interpreted."""
    path, place = _chosen(file)
    digest = file_hash(path, spec)
    return hashlib.sha256(f"{digest} {place}".encode()).hexdigest() if place else digest


def _chosen(file: str | Path) -> tuple[Path, str]:
    path, _, place = str(file).partition(CHOICE)
    return Path(path), place


def _reason(error: Exception) -> str:
    """Which global would be unpickled; torch's text advises to unpickle it."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"it has Python objects, {named[1]}" if named else first_line(error)


def check_claims(path: Path, what: str) -> None:
    """Raise unless the unpacked size of an archive is plausible for its file and fits into memory."""
    size = path.stat().st_size
    claimed = size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                claimed = sum(info.file_size for info in archive.infolist())
    except Exception as error:  # names that are no text, numbers beyond any file
        raise ContentError(f"{what}: {str(path)!r} is a damaged archive ({first_line(error)})") from error
    if claimed > size + UNCLAIMED:
        raise ContentError(
            f"{what}: {str(path)!r} has {size:,} bytes and claims to hold {claimed:,}; expected tensors as torch.save "
            f"writes them, without compression"
        )
    check_memory(claimed, f"{what}: {str(path)!r}", "free some, or use a smaller model")


def _check_tensors(content: Any) -> None:
    """A tensor may not be larger than its storage: one number can be spread over any shape."""
    for _, mapping in mappings(content):
        for name, value in mapping.items():
            if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
                continue
            if value.device.type == "meta":
                raise ValueError(f"{name} has a shape and no numbers")
            if value.numel() * value.element_size() > value.untyped_storage().nbytes() + UNCLAIMED:
                raise ValueError(f"{name} of shape {list(value.shape)} is larger than what is stored of it")


def fill(module: nn.Module, state: Any, path: Path, spec: str) -> None:
    try:
        module.load_state_dict(state)
    except Exception as error:  # hooks of the module may raise anything at what they find
        reason = "; ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ContentError(f"model {spec!r}: the weights in {str(path)!r} do not fit: {reason}") from error


def outputs_of(state: Mapping[str, Any], layer: str) -> int | None:
    """Rows of a classifier's weight [C, features] in a state dict; None where it is not there."""
    weight = state.get(f"{layer}.weight") if isinstance(state, Mapping) else None
    return int(weight.shape[0]) if isinstance(weight, torch.Tensor) and weight.ndim >= 2 else None


def file_hash(path: Path, spec: str) -> str:
    """sha256 of a file the spec names."""
    try:
        with open_regular(path) as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]
    except AbsentError:
        where = "" if path.is_absolute() else f" in the current folder {os.getcwd()!r}"
        raise AbsentError(f"model {spec!r}: there is no weights file {str(path)!r}{where}") from None
    except ContentError as error:
        raise ContentError(f"model {spec!r}: {error}") from None
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
    last = (
        ""
        if file.endswith("config.json")
        else f", or use {option('random_weights', True)} for timing and multiply-adds"
    )
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
