"""The contents of manifest.json."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

from wisecommittee.committees.committee import Committee, together
from wisecommittee.committees.policies.mixing import Mixing
from wisecommittee.exporting.files import TensorSpec, Written
from wisecommittee.exporting.plan import Input, Plan

LIBRARIES = ("wisecommittee", "torch", "onnx", "onnxscript", "onnxruntime")
IN_GRAPH = "graph"
IN_RUNTIME = "wisecommittee.runtime"


def described(plan: Plan, target: str, written: Written) -> dict[str, Any]:
    """The manifest of an export, without its files."""
    committee = plan.committee
    conditions = [*committee.conditions(), None] if plan.stages else [None] * len(committee.stages)
    stages = [
        {
            "members": list(names),
            "graph": f"stage_{number}" if plan.stages else None,
            "exits_if": condition if number < len(committee.stages) - 1 else "always",
        }
        for number, (names, condition) in enumerate(zip(committee.stages, conditions, strict=True))
    ]
    out: dict[str, Any] = {
        **_head(committee, target),
        "decides": IN_GRAPH if plan.stages else IN_RUNTIME,
        "stages": stages,
        "graphs": {graph.name: graph.to_json() for graph in written.graphs},
        "inputs": [_input(each) for each in plan.inputs],
        "classes": None if plan.classes is None else list(plan.classes),
        "golden": {"units": len(plan.golden.unit_ids), "source": plan.golden.source},
    }
    if not plan.stages:
        out["members"] = {model: graph.name for model, graph in plan.members.items()}
    return out | ({"notes": list(written.notes)} if written.notes else {})


def described_mixture(committee: Committee, policy: Mixing, target: str, parts: Sequence[str]) -> dict[str, Any]:
    """The manifest of a mixture, whose parts have manifests of their own."""
    rule = (
        "a unit runs the second part if the first 8 bytes of sha256 of its text, big-endian, are below share * 2**64; "
        "its text is the seed, a zero byte, and the unit's id"
    )
    return {
        **_head(committee, target),
        "decides": IN_GRAPH,
        "graphs": {},
        "parts": list(parts),
        "mixing": {"share": policy.share, "seed": policy.seed, "rule": rule},
    }


def _head(committee: Committee, target: str) -> dict[str, Any]:
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    label = " | ".join(map(together, committee.stages))
    return {"target": target, "made_with": versions, "committee": "committee.json", "label": label}


def _input(each: Input) -> dict[str, Any]:
    spec = TensorSpec(each.name, str(each.values.dtype), ("batch", *each.values.shape[1:]))
    shape = " x ".join(map(str, each.values.shape[1:]))
    if each.preprocess is None:
        words = f"{each.values.dtype} tensors of {shape}, as the members take them; no preprocessing is known"
    else:
        words = f"images, prepared as {each.preprocess}, become {each.values.dtype} tensors of {shape}"
    return spec.to_json() | {"preprocess": each.preprocess, "preprocessing": words}
