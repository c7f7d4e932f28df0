"""Multiply-adds of an ONNX graph, from the shapes that ONNX infers. A graph with an operator without a formula is
refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import onnx.inliner
import onnx.shape_inference

from wisecommittee.errors import CostError, first_line, option

Shape = tuple[int, ...]


def _conv(node: Any, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    """Every output number takes one filter, weight [O, I / groups, ..]."""
    return math.prod(outs[0]) * math.prod(ins[1][1:])


def _transposed(node: Any, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    """Every input number meets one filter, weight [I, O / groups, ..]."""
    return math.prod(ins[0]) * math.prod(ins[1][1:])


def _gemm(node: Any, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    transposed = next((a.i for a in node.attribute if a.name == "transA"), 0)
    return math.prod(outs[0]) * ins[0][0 if transposed else 1]


def _matmul(node: Any, ins: Sequence[Shape], outs: Sequence[Shape]) -> int:
    return math.prod(outs[0]) * ins[0][-1]


FORMULAS: dict[str, Callable[[Any, Sequence[Shape], Sequence[Shape]], int]] = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
# Linear in their input and without a matrix product, as in macs.py.
_CHEAP_NAMES = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape
Cos CumSum DepthToSpace DequantizeLinear Div Dropout Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
GatherElements GatherND Gelu GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid
HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log
LogSoftmax LpNormalization LpPool Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot
Or PRelu Pad Pow QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements
ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum
Swish Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
CHEAP = frozenset(_CHEAP_NAMES.split())


def count_graph(model: onnx.ModelProto, input_size: Shape, batch: int, what: str) -> int:
    """Multiply-adds per unit of a graph for inputs [batch, *input_size]; CostError names what cannot be counted."""
    remedy = f"declare its multiply-adds per unit with {option('macs', placeholder='N')}"
    model = onnx.inliner.inline_local_functions(model)
    fed = {initializer.name for initializer in model.graph.initializer}
    value = next(value for value in model.graph.input if value.name not in fed)
    for dim, side in zip(value.type.tensor_type.shape.dim, (batch, *input_size), strict=True):
        dim.dim_value = side
    del model.graph.value_info[:]  # an exporter's symbolic shapes would win over what follows from the input
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise CostError(f"{what}: its shapes cannot be inferred ({first_line(error)}); {remedy}") from error
    shapes = _shapes(inferred.graph)
    total, unknown = 0, set()
    for node in inferred.graph.node:
        standard = node.domain in ("", "ai.onnx")
        if standard and node.op_type in FORMULAS:
            ins, outs = [shapes.get(n) for n in node.input], [shapes.get(n) for n in node.output]
            if None in ins[:2] or outs[0] is None:
                raise CostError(f"{what}: {node.op_type} {node.name or node.output[0]!r} has no known shape; {remedy}")
            total += FORMULAS[node.op_type](node, [s or () for s in ins], [s or () for s in outs])
        elif not standard or node.op_type not in CHEAP:
            unknown.add(node.op_type if standard else f"{node.domain}.{node.op_type}")
    if unknown:
        raise CostError(f"{what}: no multiply-add formula for {', '.join(sorted(unknown)[:6])}; {remedy}")
    return total // batch


def _shapes(graph: Any) -> Mapping[str, Shape | None]:
    shapes: dict[str, Shape | None] = {i.name: tuple(i.dims) for i in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        known = value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims)
        shapes[value.name] = tuple(dim.dim_value for dim in dims) if known else None
    return shapes
