"""A committee on real inputs: every stage runs on the units that have not left (Wang et al. 2022, Algorithm 1)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.calibration import Calibration, as_logits
from wisecommittee.committees.cards import Committee
from wisecommittee.committees.combine import combine_named
from wisecommittee.committees.confidence import CONFIDENCES
from wisecommittee.deploy.members import Module, load_members
from wisecommittee.errors import CommitteeError, ContentError, UsageError
from wisecommittee.extract.forward import Forward, pick_device
from wisecommittee.extract.models import LoadedModel
from wisecommittee.kernels import prefixes
from wisecommittee.store import LogitStore

Rows = NDArray[np.float32]  # [n, C]


@dataclass(frozen=True, slots=True)
class Decisions:
    """prediction : int64 [n] class; stage : int64 [n] from 0, where the unit left; confidence : float32 [n] there."""

    prediction: NDArray[np.int64]
    stage: NDArray[np.int64]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.prediction)


@dataclass(frozen=True, slots=True)
class Units:
    """Units on their way through a committee.

    tensors : {key of a preprocessing: [n, ..]}, under None where every member takes the same; images : what is not
    made yet is made from these.
    """

    tensors: dict[str | None, torch.Tensor]
    images: Sequence[Any] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values()))) if self.images is None else len(self.images)

    def of(self, model: LoadedModel) -> torch.Tensor:
        """What a model takes, [n, ..]."""
        key = model.preprocess_key
        for known in (key, None):
            if known in self.tensors:
                return self.tensors[known]
        if self.images is None or model.preprocess is None:
            raise UsageError(f"{model.name}: no inputs for its preprocessing; give tensors, or images it can prepare")
        self.tensors[key] = torch.stack([model.preprocess(image) for image in self.images])
        return self.tensors[key]

    def only(self, rows: NDArray[np.int64]) -> Units:
        images = None if self.images is None else [self.images[row] for row in rows]
        chosen = torch.from_numpy(rows)
        return Units({key: tensor[chosen.to(tensor.device)] for key, tensor in self.tensors.items()}, images)


class Deployed:
    """A committee with its modules on a device, until it is closed: `with deploy(committee) as run: run(images)`.

    models : a LoadedModel for every member; classes : names of the classes it decides between, where a model has more
    outputs; batch_size : units in a forward pass. Members run whole: what they could share is computed by each.
    """

    def __init__(
        self,
        committee: Committee,
        models: Mapping[str, LoadedModel],
        *,
        device: str = "auto",
        precision: str = "float32",
        batch_size: int = 256,
        classes: Sequence[str] | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: expected at least 1")
        if committee.confidence not in CONFIDENCES:
            raise CommitteeError(
                f"{committee.label()}: exits by {committee.confidence!r}, a score kept in the store, which its "
                f"members' outputs do not contain; choose one with --confidence {', '.join(sorted(CONFIDENCES))}"
            )
        self.committee, self.batch_size, self.device = committee, batch_size, pick_device(device)
        self.models = {name: models[name] for name in committee.models}
        self._rule, self._confidence = combine_named(committee.combine), CONFIDENCES[committee.confidence]
        self._thresholds = committee.carried
        self._members = {name: _Member.of(name, committee, self.models[name], classes) for name in committee.models}
        self._stack = ExitStack()
        try:
            self._forwards = {
                name: self._stack.enter_context(Forward(model.module, name, self.device, precision=precision))
                for name, model in self.models.items()
            }
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The modules go back to the CPU."""
        self._stack.close()

    def __call__(self, inputs: torch.Tensor | Units | Sequence[Any]) -> Decisions:
        """inputs : [n, ..] as every member takes them, or n images (PIL, or uint8 [H, W, 3]) for their own
        preprocessing. The units that are left after a stage run together, whatever batch they came in."""
        units = inputs if isinstance(inputs, Units) else _units(inputs)
        n = len(units)
        prediction, stage = np.empty(n, np.int64), np.empty(n, np.int64)
        confidence = np.empty(n, np.float32)
        left = np.arange(n)
        rows: dict[str, Rows] = {}  # what each member that has run adds to the sum, for the units that are left
        for k, names in enumerate(self.committee.stages):
            if not len(left):
                break
            rows |= {name: self._rows(name, units) for name in names}
            said, sure = self._judged(rows)
            stays = np.zeros(len(left), bool)
            if k < len(self._thresholds):
                stays = ~(sure >= self._thresholds[k])
            leaves = left[~stays]
            prediction[leaves], confidence[leaves], stage[leaves] = said[~stays], sure[~stays], k
            if stays.any() and not stays.all():
                rows = {name: row[stays] for name, row in rows.items()}
                units = units.only(np.flatnonzero(stays))
            left = left[stays]
        return Decisions(prediction, stage, self._confidence.scale.shown(confidence))

    def _rows(self, name: str, units: Units) -> Rows:
        """Summands float32 [n, C] of a member."""
        member, forward = self._members[name], self._forwards[name]
        inputs = units.of(self.models[name])
        parts = [forward(inputs[i : i + self.batch_size]) for i in range(0, len(inputs), self.batch_size)]
        outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if member.columns is not None:
            outputs = outputs[:, member.columns]
        if member.calibration is not None:
            outputs = member.calibration.rows(as_logits(outputs, member.kind))
        return self._rule.summand[member.rows_kind](outputs.astype(np.float32, copy=False))

    def _judged(self, rows: Mapping[str, Rows]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Prediction [n] and confidence [n], as it is carried, of the members that have run, by the kernel that made the stage tables."""
        ran = list(rows)
        names = ran[-1:] if self._rule.ordered else sorted(ran, key=lambda name: self._members[name].order)
        if len({rows[name].shape[1] for name in names}) > 1:
            counts = ", ".join(f"{name} {rows[name].shape[1]:,}" for name in names)
            raise ContentError(f"the members have different numbers of classes: {counts}; name the common ones")
        summands = np.stack([rows[name] for name in names], axis=1)  # [n, members, C]
        n, size, classes = summands.shape
        spaces = [self._rule.space[self._members[name].rows_kind] for name in names]
        wanted = self._confidence.needs(spaces[-1])
        order = np.arange(size)
        said, gathered = np.empty((size, n), np.int32), np.empty((len(wanted), 1, n), np.float32)
        prefixes.walk(
            summands,
            np.full(n, -1),
            order - 1,
            order,
            order + 1,
            np.array([space == "logits" for space in spaces]),
            np.where(order == size - 1, 0, -1),
            sum(1 << i for i, name in enumerate(prefixes.STATISTICS) if name in wanted),
            np.empty((size + 1, classes), np.float32),
            np.empty((size, n), np.uint8),
            said,
            gathered,
        )
        names = [name for name in prefixes.STATISTICS if name in wanted]
        statistics = {name: values[0] for name, values in zip(names, gathered, strict=True)}
        return said[-1], self._confidence(statistics, spaces[-1])


@dataclass(frozen=True, slots=True)
class _Member:
    """order : its place in every sum; kind : of its outputs; columns : the outputs that are used, None for all."""

    order: tuple[str, int, str]
    kind: str
    calibration: Calibration | None
    columns: NDArray[np.int64] | None

    @classmethod
    def of(cls, name: str, committee: Committee, model: LoadedModel, classes: Sequence[str] | None) -> _Member:
        recorded = committee.members.get(name, {})
        kind = str(recorded.get("kind") or "logits")
        if kind not in ("logits", "probabilities"):
            raise CommitteeError(f"{name}: its outputs are {kind}, which no module computes here")
        calibration = recorded.get("calibration")
        columns = None if classes is None or not model.classes else model.columns(classes)
        return cls(
            (model.architecture, model.replica, name),
            kind,
            Calibration.from_json(calibration) if calibration else None,
            columns,
        )

    @property
    def rows_kind(self) -> str:
        """Calibrated probabilities have become logits."""
        return "logits" if self.calibration is not None else self.kind


def _units(inputs: torch.Tensor | Sequence[Any]) -> Units:
    if isinstance(inputs, torch.Tensor):
        return Units({None: inputs})
    images = list(inputs)
    if not images:
        raise UsageError("no inputs; expected a tensor [n, ..], or one image or more")
    return Units({}, images)


def deploy(
    committee: Committee | str | os.PathLike[str],
    models: Mapping[str, Module] | None = None,
    *,
    store: LogitStore | None = None,
    preprocess: str | None = None,
    force: bool = False,
    **options: Any,
) -> Deployed:
    """A committee, or its committee.json, ready to run.

    models : {member: spec or torch module}; store : where the cards of the others say what they were extracted from;
    preprocess : spec of the model whose preprocessing serves those that bring none; force : also with other weights
    than those it was chosen with; options : see Deployed (device, precision, batch_size, classes).
    """
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    recorded = {} if force else chosen.members
    loaded = load_members(chosen.models, models, store, preprocess=preprocess, recorded=recorded)
    return Deployed(chosen, loaded, **options)
