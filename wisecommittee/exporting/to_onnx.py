"""ONNX: a graph of every stage, traced by torch, and one of the whole cascade, put together from these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wisecommittee.errors import WiseCommitteeError, first_line
from wisecommittee.exporting.files import GraphFile, Written
from wisecommittee.exporting.plan import Graph, Plan
from wisecommittee.exporting.run_onnx import check_installed
from wisecommittee.exporting.tracing import quiet, traced
from wisecommittee.writing import written_whole

if TYPE_CHECKING:
    import onnx

IN_ONE_FILE = 1 << 30  # bytes of weights; more of them go to a file beside the graph


def write(plan: Plan, folder: Path) -> Written:
    """Write the graphs of a plan as ONNX files."""
    check_installed("onnx", "onnxscript", "onnxruntime")
    from wisecommittee.exporting.onnx_cascade import whole_cascade

    models = {graph.name: stage_model(graph) for graph in (*plan.stages, *plan.members.values())}
    files = [save(graph, models[graph.name], folder) for graph in (*plan.stages, *plan.members.values())]
    if plan.cascade is not None:
        whole = whole_cascade([models[stage.name] for stage in plan.stages], [each.name for each in plan.inputs])
        files.append(save(plan.cascade, whole, folder))
    return Written(tuple(files))


def stage_model(graph: Graph) -> onnx.ModelProto:
    """A graph as ONNX; its batch dimension has the name 'batch'."""
    import onnx.inliner
    import torch

    program = traced(graph)
    names: dict[str, Any] = {"input_names": list(graph.inputs), "output_names": list(graph.outputs)}
    try:
        with quiet(), torch.no_grad():
            exported = torch.onnx.export(program, (), dynamo=True, verbose=False, **names)
    except Exception as error:  # the exporter's errors have no common base
        raise WiseCommitteeError(
            f"{graph.what}: torch.onnx cannot write it ({first_line(error)}); try another target, pt2"
        ) from error
    assert exported is not None
    model = onnx.inliner.inline_local_functions(exported.model_proto)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def save(graph: Graph, model: onnx.ModelProto, folder: Path) -> GraphFile:
    """Write a model as NAME.onnx, and more weights than protobuf holds beside it as NAME.onnx.data."""
    import onnx

    file = f"{graph.name}.onnx"
    if sum(len(weights.raw_data) for weights in model.graph.initializer) > IN_ONE_FILE:
        onnx.save(model, folder / file, save_as_external_data=True, location=f"{file}.data")
    else:
        with written_whole(folder / file) as target:
            target.write(model.SerializeToString())
    return GraphFile.of(graph, file)
