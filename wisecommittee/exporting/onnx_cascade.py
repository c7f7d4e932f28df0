"""The whole cascade as one ONNX graph, from the graphs of its stages.

After each stage the units that are left are gathered, the next stage runs on them inside an `If`, so that it costs
nothing where no unit is left, and its results are scattered back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx.compose
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

OUTPUTS = {"prediction": TensorProto.INT64, "stage": TensorProto.INT64, "confidence": TensorProto.FLOAT}
BEFORE = ("sum", "votes")


def whole_cascade(stages: Sequence[ModelProto], inputs: Sequence[str], *, conditional: bool = True) -> ModelProto:
    """Inputs [n, ..] -> prediction and stage int64 [n], confidence float32 [n].

    stages : with the inputs `inputs` (those that the stage needs), `sum_before`, `votes_before` and the outputs
    prediction, confidence, exit, sum, votes; conditional : skip a stage that no unit reaches
    """
    parts = [onnx.compose.add_prefix(stage, f"stage_{k}/") for k, stage in enumerate(stages)]
    taken = {value.name: value for stage in stages for value in stage.graph.input if value.name in inputs}
    body = _Body()
    found = _from(0, parts, {name: name for name in inputs}, body, conditional=conditional)
    body.nodes += [helper.make_node("Identity", [found[name]], [name]) for name in OUTPUTS]
    outputs = [helper.make_tensor_value_info(name, kind, ["batch"]) for name, kind in OUTPUTS.items()]
    graph = helper.make_graph(body.nodes, "cascade", [taken[name] for name in inputs], outputs, body.weights)
    model = helper.make_model(graph, opset_imports=stages[0].opset_import, producer_name="wisecommittee")
    model.ir_version = max(stage.ir_version for stage in stages)
    return model


class _Body:
    """The nodes and weights of a graph that is being made."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def whole(self, name: str, values: Sequence[int]) -> str:
        """A constant int64 vector."""
        return self.add("Constant", [], name, value=helper.make_tensor(name, TensorProto.INT64, [len(values)], values))


def _from(
    number: int, parts: Sequence[ModelProto], known: Mapping[str, str], body: _Body, *, conditional: bool
) -> dict[str, str]:
    """Add a stage and all later ones; returns the names of the OUTPUTS of the units that reach it.

    known : {name of a stage's input: name of the tensor that holds it}
    """
    start = f"stage_{number}/"
    _insert(parts[number].graph, {f"{start}{name}": tensor for name, tensor in known.items()}, body)
    body.add("Shape", [f"{start}prediction"], f"{start}units")
    value = helper.make_tensor("value", TensorProto.INT64, [1], [number])
    body.add("ConstantOfShape", [f"{start}units"], f"{start}stage", value=value)
    here = {name: f"{start}{name}" for name in OUTPUTS}
    if number == len(parts) - 1:
        return here
    body.add("Not", [f"{start}exit"], f"{start}stays")
    body.add("NonZero", [f"{start}stays"], f"{start}places")
    left = body.add("Squeeze", [f"{start}places", body.whole(f"{start}first", [0])], f"{start}left")
    inside = _Body() if conditional else body
    given = {value.name for part in parts[number + 1 :] for value in part.graph.input}
    wanted = {name for name in known if any(f"stage_{k}/{name}" in given for k in range(number + 1, len(parts)))}
    tensors = {name: tensor for name, tensor in known.items() if name in wanted and not name.endswith("_before")}
    for name in BEFORE:
        if any(value.name == f"{start}{name}" for value in parts[number].graph.output):
            tensors[f"{name}_before"] = f"{start}{name}"
    ahead = {name: inside.add("Gather", [tensor, left], f"{start}left/{name}") for name, tensor in tensors.items()}
    later = _from(number + 1, parts, ahead, inside, conditional=conditional)
    merged = {
        name: inside.add("ScatterElements", [tensor, left, later[name]], f"{start}merged/{name}")
        for name, tensor in here.items()
    }
    if not conditional:
        return merged
    body.add("Size", [left], f"{start}count")
    body.add("Greater", [f"{start}count", _zero(body, start)], f"{start}any")
    untouched = _Body()
    same = {name: untouched.add("Identity", [tensor], f"{start}same/{name}") for name, tensor in here.items()}
    results = [f"{start}decided/{name}" for name in OUTPUTS]
    branches = {"then_branch": _graph(inside, merged, start), "else_branch": _graph(untouched, same, start)}
    body.nodes.append(helper.make_node("If", [f"{start}any"], results, **branches))
    return dict(zip(OUTPUTS, results, strict=True))


def _zero(body: _Body, start: str) -> str:
    return body.add("Constant", [], f"{start}zero", value=helper.make_tensor("zero", TensorProto.INT64, [], [0]))


def _insert(graph: GraphProto, tensors: Mapping[str, str], body: _Body) -> None:
    """Add the nodes of a stage, which read these tensors in place of its inputs."""
    for node in graph.node:
        copy = NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend([tensors.get(name, name) for name in node.input])
        body.nodes.append(copy)
    body.weights += graph.initializer
    read = {value.name for value in graph.input}
    for output in graph.output:  # an input that is given back unchanged has no node
        if output.name in read:
            raise AssertionError(output.name)


def _graph(body: _Body, outputs: Mapping[str, str], name: str) -> GraphProto:
    values = [helper.make_tensor_value_info(outputs[key], kind, [None]) for key, kind in OUTPUTS.items()]
    return helper.make_graph(body.nodes, name.rstrip("/"), [], values, body.weights)
