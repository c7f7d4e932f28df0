"""file.pt2 (torch.export.save) and file.ts (torch.jit.save): models that are code and weights in one file.

Neither unpickles Python objects here, but both are programs: run only files whose origin you trust.

- TorchScript is read by its own C++ reader, which makes tensors and TorchScript types and nothing else.
- torch.export.load of torch 2.13 stores plain weights as raw bytes, but unpickles without restraint what an archive
  marks for it: tensor subclasses, custom and opaque objects, archives of older releases, and sample inputs after a
  first try with weights_only. Archives with custom or opaque objects, or with compiled libraries, are refused before
  anything is read, and all the rest is held to weights_only. Shapes and operators of the graph remain text that torch
  evaluates and looks up, so a .pt2 can still run code.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wisecommittee.errors import ContentError, UsageError, first_line, option
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.outputs import logits_of
from wisecommittee.extraction.models.weights import check_claims, file_hash, weights_only

# Records of an archive that torch.export.load would unpickle or load as a library.
PICKLED = ("opaque_obj", "custom_obj", "aotinductor")


class FromFile(nn.Module):
    """A loaded program, always in the mode it was saved in. fixed_batch : the only batch size it takes, None for
    any; a batch that is too small is filled up with its first row."""

    def __init__(self, program: nn.Module, fixed_batch: int | None = None) -> None:
        super().__init__()
        self.program, self.fixed_batch = program, fixed_batch

    def train(self, mode: bool = True) -> FromFile:
        """Exported programs have one mode only."""
        self.training = mode
        return self

    def requires_grad_(self, requires_grad: bool = True) -> FromFile:
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def forward(self, inputs: Tensor) -> Any:
        if self.fixed_batch is None:
            return self.program(inputs)
        return in_batches(self.program, inputs, self.fixed_batch)


def in_batches(program: Any, inputs: Tensor, batch: int) -> Tensor:
    """program(inputs) where it takes exactly `batch` rows. inputs : [n, ..] -> outputs [n, classes]."""
    outputs = []
    for chunk in inputs.split(batch):
        missing = batch - len(chunk)
        filled = torch.cat([chunk, chunk[:1].expand(missing, *chunk.shape[1:])]) if missing else chunk
        outputs.append(logits_of(program(filled))[: len(chunk)])
    return torch.cat(outputs)


def load_exported(spec: str, path: str, name: str | None, random_weights: bool) -> LoadedModel:
    digest = _checked(spec, path, random_weights)
    exported = read_program(f"model {spec!r}", path)
    inputs = exported.graph_signature.user_inputs
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes if node.op == "placeholder"}
    if len(inputs) != 1 or not isinstance(values.get(inputs[0]), Tensor):
        raise UsageError(f"model {spec!r}: takes {len(inputs)} inputs; expected one tensor [n, ..]")
    shape = values[inputs[0]].shape
    batch = shape[0] if isinstance(shape[0], int) else None
    size = tuple(shape[1:]) if all(isinstance(side, int) for side in shape[1:]) else None
    return LoadedModel.called(Path(path).stem, FromFile(exported.module(), batch), spec, digest, input_size=size)


def read_program(what: str, path: str) -> Any:
    """The torch.export.ExportedProgram in a .pt2 file; ContentError where it cannot be read without unpickling."""
    _refuse_pickles(what, path)
    level = logging.getLogger("torch.export").level
    logging.getLogger("torch.export").setLevel(logging.ERROR)  # it prints a traceback and goes on
    try:
        with weights_only():
            return torch.export.load(path)
    except Exception as error:  # text of a damaged archive can raise anything
        raise ContentError(
            f"{what}: torch.export.load cannot read it without unpickling objects ({first_line(error)}); write it with "
            f"torch.export.save"
        ) from error
    finally:
        logging.getLogger("torch.export").setLevel(level)


def load_torchscript(spec: str, path: str, name: str | None, random_weights: bool) -> LoadedModel:
    digest = _checked(spec, path, random_weights)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`?torch.jit", DeprecationWarning)
            program = torch.jit.load(path, map_location="cpu")
        program.eval()
        return LoadedModel.called(Path(path).stem, FromFile(program).eval().requires_grad_(False), spec, digest)
    except Exception as error:  # as above; a damaged name only shows when the modules are walked through
        raise ContentError(
            f"model {spec!r}: torch.jit.load cannot read it ({first_line(error)}); "
            f"write it with torch.jit.save, not optimized for inference"
        ) from error


def _checked(spec: str, path: str, random_weights: bool) -> str:
    if random_weights:
        raise UsageError(
            f"model {spec!r}: the file holds its weights; {option('random_weights', True)} does not apply to it"
        )
    digest = file_hash(Path(path), spec)
    check_claims(Path(path), f"model {spec!r}")
    return digest


def _refuse_pickles(what: str, path: str) -> None:
    """Asked of the reader that torch.export.load itself uses, so that both see the same records."""
    try:
        records = torch._C.PyTorchFileReader(path).get_all_records()
    except Exception as error:  # RuntimeError, or what becomes of names and versions that are no text
        raise ContentError(f"{what}: no torch.export archive ({first_line(error)})") from error
    for record in records:
        if any(mark in record for mark in PICKLED):
            raise ContentError(
                f"{what}: its record {record!r} would be unpickled or loaded as a library; "
                f"expected an archive of a graph and plain tensors, from torch.export.save"
            )
