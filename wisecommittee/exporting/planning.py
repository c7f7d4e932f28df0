"""Makes the plan of an export from a deployed committee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.callables import Called
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.errors import UsageError
from wisecommittee.exporting.golden import GoldenUnits
from wisecommittee.exporting.graphs.cascade import OUTPUTS, CascadeGraph
from wisecommittee.exporting.graphs.decisions import decision_of
from wisecommittee.exporting.graphs.members import MemberGraph
from wisecommittee.exporting.graphs.stage import StageGraph
from wisecommittee.exporting.plan import Graph, Input, Plan
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.runtime.membership import look_like_probabilities


def plan_of(run: Deployed, golden: GoldenUnits, features: Mapping[str, Any] | None) -> Plan:
    """The plan of a deployed committee. features : {column: [n]} of the golden units, if the policy reads them."""
    _check_modules(run.models)
    decisions = run(golden.units, golden.unit_ids, features)
    inputs, of_member = _inputs(run, golden)
    graphs = {name: _member(run, name, of_member[name].values) for name in run.committee.models}
    examples = {each.name: torch.from_numpy(each.values) for each in inputs}
    with torch.no_grad():
        stages = _stages(run.committee, graphs, {name: each.name for name, each in of_member.items()}, examples)
        cascade = _cascade(stages, examples) if len(stages) > 1 else None
        members = {} if stages else _members(graphs, of_member)
    return Plan(run.committee, inputs, stages, cascade, members, golden, decisions, run.classes)


def _check_modules(models: Mapping[str, LoadedModel]) -> None:
    for name, model in models.items():
        if isinstance(model.module, Called):
            raise UsageError(
                f"{name}: a function ({model.origin}); only torch modules can be exported, name one, {name}=SPEC"
            )
        if any(isinstance(part, torch.jit.ScriptModule) for part in model.module.modules()):
            raise UsageError(f"{name}: a TorchScript program, which torch.export does not take; name its torch module")
        if model.origin.endswith(".onnx"):
            raise UsageError(f"{name}: {model.origin} is a graph already, which is not traced; name its torch module")


def _inputs(run: Deployed, golden: GoldenUnits) -> tuple[tuple[Input, ...], dict[str, Input]]:
    """The distinct tensors that members take, and that of each member."""
    distinct: dict[int, tuple[Tensor, str | None]] = {}
    tensors = {name: golden.units.of(model) for name, model in run.models.items()}
    for name, tensor in tensors.items():
        distinct.setdefault(id(tensor), (tensor, run.models[name].preprocess_key))
    alone = len(distinct) == 1
    made = {
        key: Input("inputs" if alone else f"inputs_{number}", np.ascontiguousarray(tensor.numpy()), preprocess)
        for number, (key, (tensor, preprocess)) in enumerate(distinct.items())
    }
    return tuple(made.values()), {name: made[id(tensor)] for name, tensor in tensors.items()}


def _member(run: Deployed, name: str, values: NDArray[Any]) -> MemberGraph:
    membership = run.combination.members[name]
    graph = MemberGraph(run.models[name].module, membership)
    if membership.softmax and membership.kind == "probabilities":
        with torch.no_grad():
            outputs = graph.outputs(torch.from_numpy(values)).numpy()
        graph.softmax_behind = not look_like_probabilities(outputs)
    return graph


def _stages(
    committee: Committee, graphs: Mapping[str, MemberGraph], input_of: Mapping[str, str], examples: Mapping[str, Tensor]
) -> tuple[Graph, ...]:
    decision = decision_of(committee)
    if decision is None:
        return ()
    out: list[Graph] = []
    known = dict(examples)
    for number, names in enumerate(committee.stages):
        stage = StageGraph(committee, number, [(input_of[name], graphs[name]) for name in names], decision)
        inputs = {name: known[name] for name in stage.names.taken}
        outputs = dict(zip(stage.names.outputs, stage(*inputs.values()), strict=True))
        known |= {f"{name}_before": outputs[name] for name in ("sum", "votes") if name in outputs}
        out.append(Graph(f"stage_{number}", stage, inputs, outputs, f"stage {number} ({' + '.join(names)})"))
    return tuple(out)


def _cascade(stages: Sequence[Graph], examples: Mapping[str, Tensor]) -> Graph:
    module = CascadeGraph([cast(StageGraph, stage.module) for stage in stages], list(examples))
    first = stages[0].outputs
    outputs = dict(zip(OUTPUTS, (first["prediction"], first["prediction"], first["confidence"]), strict=True))
    return Graph("cascade", module, examples, outputs, "the whole cascade")


def _members(graphs: Mapping[str, MemberGraph], of_member: Mapping[str, Input]) -> dict[str, Graph]:
    out = {}
    for number, (name, module) in enumerate(graphs.items()):
        inputs = {of_member[name].name: torch.from_numpy(of_member[name].values)}
        outputs = {"outputs": module(*inputs.values())}
        out[name] = Graph(f"member_{number}", module, inputs, outputs, name)
    return out
