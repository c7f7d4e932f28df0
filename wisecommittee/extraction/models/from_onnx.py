"""file.onnx: ONNX models, run by onnxruntime on the CPU or CUDA. Needs the extra `onnx`. ONNX files hold no code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wisecommittee.errors import ContentError, MissingExtraError, UsageError, WiseCommitteeError, first_line, option
from wisecommittee.extraction.models.from_torch_file import in_batches
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.models.weights import file_hash

try:
    import onnx
    import onnxruntime
except ModuleNotFoundError as error:
    if error.name not in ("onnx", "onnxruntime"):
        raise
    raise MissingExtraError(error.name, "onnx") from error

from wisecommittee.extraction.models.onnx_macs import count_graph

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FLOATS = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16}


class OnnxModule(nn.Module):
    """An ONNX graph as a module: [n, ..] -> outputs [n, classes], on the device it was moved to.

    fixed_batch : the only batch size the graph takes, None for any; params : numbers in its initializers.
    """

    def __init__(self, path: str, graph: Any, dtype: torch.dtype, fixed_batch: int | None) -> None:
        super().__init__()
        self.path, self.fixed_batch = path, fixed_batch
        self.input, self.output = graph.input[0].name, _output(graph)
        stored = {initializer.name: initializer for initializer in graph.initializer}
        self.params = sum(int(np.prod(i.dims)) for i in stored.values() if i.dims and i.data_type in FLOATS)
        # An empty parameter that records the module's device and dtype.
        self.marker = nn.Parameter(torch.empty(0, dtype=dtype), requires_grad=False)
        self._sessions: dict[str, Any] = {}

    def forward(self, inputs: Tensor) -> Tensor:
        return self._run(inputs) if self.fixed_batch is None else in_batches(self._run, inputs, self.fixed_batch)

    def count_macs(self, input_size: tuple[int, ...], what: str) -> int:
        """Multiply-adds per unit of that shape, from the graph (macs.count_macs calls this)."""
        return count_graph(onnx.load(self.path, load_external_data=False), input_size, self.fixed_batch or 1, what)

    def _run(self, inputs: Tensor) -> Tensor:
        inputs = inputs.contiguous()
        session = self._session(inputs.device)
        if inputs.device.type == "cpu":
            (outputs,) = session.run([self.output], {self.input: inputs.numpy()})
        else:
            binding = session.io_binding()
            index = inputs.device.index or 0
            kind = {torch.float16: np.float16}.get(inputs.dtype, np.float32)
            torch.cuda.synchronize(index)
            binding.bind_input(self.input, "cuda", index, kind, tuple(inputs.shape), inputs.data_ptr())
            binding.bind_output(self.output, "cpu")
            session.run_with_iobinding(binding)
            (outputs,) = binding.copy_outputs_to_cpu()
        return torch.from_numpy(np.array(outputs))

    def _session(self, device: torch.device) -> Any:
        """The session of a device, created at first use, with as many threads as torch uses."""
        if str(device) not in self._sessions:
            provider = PROVIDERS.get(device.type)
            if provider not in onnxruntime.get_available_providers():
                raise UsageError(
                    f"onnxruntime has no provider for {device.type} here; use "
                    f"{option('device', 'cpu')}, or its GPU build"
                )
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3
            chosen = (provider, {"device_id": device.index or 0}) if device.type == "cuda" else provider
            try:
                self._sessions[str(device)] = onnxruntime.InferenceSession(self.path, options, providers=[chosen])
            except Exception as error:  # its exceptions have no common base
                raise WiseCommitteeError(f"{self.path}: onnxruntime cannot run it ({first_line(error)})") from error
        return self._sessions[str(device)]


def load(spec: str, path: str, name: str | None, random_weights: bool) -> LoadedModel:
    if random_weights:
        raise UsageError(
            f"model {spec!r}: the file holds its weights; {option('random_weights', True)} does not apply to it"
        )
    digest = file_hash(Path(path), spec)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has a private home
        raise ContentError(f"model {spec!r}: no ONNX file ({first_line(error)})") from error
    weights = _with_external(digest, model, Path(path).parent, spec)  # before the runtime opens any file
    graph = model.graph
    stored = {initializer.name for initializer in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type not in FLOATS:
        raise UsageError(
            f"model {spec!r}: inputs {', '.join(value.name for value in inputs)}; "
            f"expected one of float32 or float16 [n, ..]"
        )
    tensor = inputs[0].type.tensor_type
    sides = [side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim]
    graph.input.insert(0, inputs[0])  # the one that is fed stands first
    module = OnnxModule(path, graph, FLOATS[tensor.elem_type], sides[0] if sides else None)
    module._session(torch.device("cpu"))
    base, unit = Path(path).stem, sides[1:]
    size = tuple(side for side in unit if side is not None)
    fixed = bool(size) and len(size) == len(unit)

    def resize(pixels: int) -> tuple[nn.Module, Preprocess | None]:
        if fixed and size[1:] != (pixels, pixels):
            raise UsageError(
                f"{base}: the graph is fixed to inputs of {' x '.join(map(str, size))}; export other sizes"
            )
        return module, None

    return LoadedModel.called(
        base,
        module,
        spec,
        weights,
        input_size=size if fixed else None,
        resize=resize,
    )


def _output(graph: Any) -> str:
    """The output that holds the logits: the only one, or the one called so."""
    names = [value.name for value in graph.output]
    if len(names) == 1 or "logits" in names:
        return "logits" if "logits" in names else names[0]
    raise UsageError(f"ONNX outputs {', '.join(names)}; expected one, or one called logits")


def _with_external(digest: str, model: Any, folder: Path, spec: str) -> str:
    """The sha256 of the file and of the files that hold its weights, all of which must lie in its folder."""
    files = sorted(
        {
            entry.value
            for tensor in _tensors(model)
            if tensor.data_location == onnx.TensorProto.EXTERNAL
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
    if not files:
        return digest
    hashes = [file_hash(_confined(folder, file, spec), spec) for file in files]
    return hashlib.sha256(" ".join([digest, *hashes]).encode()).hexdigest()


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor of a model, including tensors of nodes, of graphs in nodes and of functions."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if isinstance(part, onnx.TensorProto):
            yield part
            continue
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else value


def _confined(folder: Path, location: str, spec: str) -> Path:
    """A file that a model names for its weights: below the folder of the model, and no link on the way."""
    parts = location.replace("\\", "/").split("/")
    steps = [folder.joinpath(*parts[: k + 1]) for k in range(len(parts))]
    outside = Path(location).is_absolute() or ":" in parts[0] or ".." in parts or "\0" in location
    if outside or any(step.is_symlink() for step in steps):
        why = "leads out of" if outside else "is a link in"
        raise ContentError(
            f"model {spec!r}: its weights are said to be in {location!r}, which {why} its folder {str(folder)!r}; "
            f"expected a file in that folder"
        )
    return steps[-1]
