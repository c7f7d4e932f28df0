"""Multiply-adds of one forward pass of one unit, counted without running it.

PyTorch's FlopCounterMode (two operations per multiply-add) on the meta device: there every fused kernel (LSTM,
attention, TransformerEncoderLayer's fast path) falls apart into the matrix products the counter knows, while on the CPU
it counts them as 0 and says nothing. An operator without a formula must be a known cheap one, or the count is refused.

TorchScript keeps its weights out of reach of the meta device and runs on its own device, under the same refusal: there
a fused kernel has no formula. A module that cannot be traced at all (ONNX) brings a method `count_macs`.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from wisecommittee.errors import CostError, first_line, option
from wisecommittee.extraction.models.preprocess import ViewMean

# Not counted, by the convention of this field: linear in their input and without a matrix product. Elementwise
# operators, reductions and views say so themselves (their tags); these do not.
_CHEAP_NAMES = """
arange bernoulli empty empty_like empty_strided eye full full_like linspace lift_fresh new_empty new_empty_strided
new_full new_ones new_zeros ones ones_like rand rand_like randn randn_like randint scalar_tensor zeros zeros_like
_to_copy clone copy_ fill_ zero_ _local_scalar_dense _assert_async _unsafe_view _reshape_copy set_ resize_
cat stack roll flip constant_pad_nd pad reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d
gather index index_select index_put _unsafe_index _unsafe_index_put index_add scatter scatter_add scatter_reduce
masked_fill masked_select select_scatter slice_scatter slice_backward nonzero repeat repeat_interleave take
tril triu one_hot embedding _embedding_bag _embedding_bag_forward_only unfold im2col col2im pixel_shuffle
pixel_unshuffle channel_shuffle native_channel_shuffle
_softmax _log_softmax _safe_softmax softmax log_softmax logsumexp cumsum cumprod sort topk argsort max min median
std var std_mean var_mean norm linalg_vector_norm any all argmax argmin mean sum prod amax amin
native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm batch_norm
native_layer_norm native_group_norm instance_norm _fused_rms_norm rms_norm native_dropout
avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices _adaptive_avg_pool2d
_adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d
upsample_nearest1d upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d _upsample_bilinear2d_aa
upsample_bicubic2d _upsample_bicubic2d_aa upsample_trilinear3d grid_sampler_2d grid_sampler_3d
_weight_norm_interface
glu log_sigmoid_forward _prelu_kernel rrelu_with_noise hardswish_ hardsigmoid_ hardtanh_ relu_ silu_ mish_
leaky_relu_ elu_ gelu_
"""
CHEAP = frozenset(_CHEAP_NAMES.split())


# Formulas that the counter lacks, from shapes to operations (two per multiply-add).
FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: lambda matrix, vector, *rest, **kw: 2 * math.prod(matrix),
    torch.ops.aten.addmv: lambda bias, matrix, vector, *rest, **kw: 2 * math.prod(matrix),
    # The counter knows the fused attention of GPUs only. TorchScript meets this one on the CPU.
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *rest, **kw: sdpa_flop_count(q, k, v),
    torch.ops.aten.dot: lambda left, right, *rest, **kw: 2 * math.prod(left),
}


def count_macs(module: nn.Module, example: torch.Tensor, what: str = "the model") -> int:
    """Multiply-adds of `module` for one unit. example : a batch of its inputs; its shape [.., 1:] and dtype count.

    Raises CostError, with the remedy of declaring the number, where the pass cannot be traced or counts too little.
    """
    remedy = f"declare its multiply-adds per unit with {option('macs', placeholder='N')}"
    if isinstance(module, ViewMean):  # [n, V, C, H, W]
        return example.shape[1] * count_macs(module.module, example[:, 0], what)
    if callable(counter := getattr(module, "count_macs", None)):
        return _positive(counter(tuple(example.shape[1:]), what), what)
    seen = _Operators()
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    try:
        scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
        traced = module if scripted else meta_copy(module)
        device = _device(module) if scripted else torch.device("meta")
        rows = getattr(module, "fixed_batch", None) or 1  # an exported program may take one batch size only
        unit = torch.zeros(rows, *example.shape[1:], device=device, dtype=_input_dtype(module, example))
        # Tensors the forward pass makes without naming a device are meta tensors too.
        with torch.inference_mode(), device, quiet(), seen, counter:
            traced(unit)
    except Exception as error:
        raise CostError(
            f"{what}: its multiply-adds cannot be counted ({type(error).__name__}: {first_line(error)}); {remedy}"
        ) from error
    uncounted = sorted(seen.packets - set(counter.flop_registry), key=str)
    if uncounted:
        names = ", ".join(str(packet).removeprefix("aten.") for packet in uncounted[:6])
        raise CostError(f"{what}: no multiply-add formula for {names}; {remedy}")
    return _positive(counter.get_total_flops() // 2 // rows, what)


def _positive(macs: int, what: str) -> int:
    if macs <= 0:
        raise CostError(
            f"{what}: 0 multiply-adds counted; declare its multiply-adds per unit with "
            f"{option('macs', placeholder='N')}"
        )
    return macs


def run_on_meta(module: nn.Module, input_size: tuple[int, ...]) -> str | None:
    """Why the module cannot run on one unit of that shape; None if it can. No data is touched."""
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()) or hasattr(module, "count_macs"):
        return None
    try:
        with torch.inference_mode(), torch.device("meta"), quiet():
            meta_copy(module)(torch.empty(1, *input_size, device="meta", dtype=floating_dtype(module)))
    except Exception as error:
        return " ".join(str(error).split())[:160] or type(error).__name__
    return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Copying an exported module meets deprecations inside torch itself, which nobody else can mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*LeafSpec", FutureWarning)
        yield


class _Operators(TorchDispatchMode):
    """Collects the operators that remain after decomposition and that are not cheap."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not _is_cheap(func):
            self.packets.add(getattr(func, "overloadpacket", func))
        return func(*args, **(kwargs or {}))


def _is_cheap(func: Any) -> bool:
    if not isinstance(func, torch._ops.OpOverload):
        return False
    if func.namespace in ("prim", "prims"):
        return True
    if func.namespace != "aten":
        return False
    name = func.overloadpacket.__name__
    tags = {tag.name for tag in func.tags}
    return func.is_view or not tags.isdisjoint({"pointwise", "reduction"}) or name in CHEAP or _in_place_of_cheap(name)


def _in_place_of_cheap(name: str) -> bool:
    """relu_ is relu written over its input; only the latter carries the tag."""
    if not name.endswith("_"):
        return False
    packet = getattr(torch.ops.aten, name.rstrip("_"), None)
    return packet is not None and any(_is_cheap(getattr(packet, overload)) for overload in packet.overloads())


def meta_copy(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers have shapes but no storage; no data is copied."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    with quiet():
        return copy.deepcopy(module, memo).to("meta").eval()


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _input_dtype(module: nn.Module, example: torch.Tensor) -> torch.dtype:
    return floating_dtype(module) if example.is_floating_point() else example.dtype


def floating_dtype(module: nn.Module) -> torch.dtype:
    """The type of the first floating-point parameter; inputs are cast to it."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
