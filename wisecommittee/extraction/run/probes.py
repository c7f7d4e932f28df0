"""The first units of the data through a model, before it runs over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, UsageError
from wisecommittee.extraction.data.batch import Batch
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.extraction.run.forward import Forward
from wisecommittee.extraction.run.plan import Run

PROBE_UNITS = 2
REPEATS = 2  # of the probe
# Differences relative to the largest output: above rounding (in reduced precision, in another batch), below dropout.
STEADY, STEADY_REDUCED = 1e-3, 3e-2


class Probes:
    """The first units, as tensors for each preprocessing."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._known: dict[tuple[str | None, int], Batch] = {}

    def __call__(self, preprocess: Preprocess | None, units: int = PROBE_UNITS) -> Batch:
        key = (None if preprocess is None else preprocess.key, units)
        if key not in self._known:
            data = with_fields(self.run.data, workers=0)
            first = next(data.batches(units, stop=units, preprocess=preprocess), None)
            if first is None or not len(first):
                raise ContentError(f"{data.what}: no units; expected at least one")
            self._known[key] = first.head(units)
        return self._known[key]


def check_steady(forward: Forward, probe: Batch, logits: NDArray[np.float32], what: str) -> None:
    """A unit's outputs are the same in every pass, and do not depend on the other units of its batch."""
    largest = max(1e-6, float(np.abs(logits).max()))
    allowed = largest * (STEADY if forward.precision == "float32" else STEADY_REDUCED)
    for _ in range(REPEATS):
        apart = float(np.abs(forward(probe.inputs, probe.unit_ids) - logits).max())
        if apart > allowed:
            raise ContentError(
                f"{what}: its outputs differ from one pass to the next, by up to {apart:.3g} (the largest is "
                f"{largest:.3g}); dropout or noise is on; turn it off in eval mode, as functional.dropout does with "
                f"training=self.training"
            )
    twice = probe.inputs[:1].expand(len(probe), *probe.inputs.shape[1:])  # the first unit in other company, its own
    apart = float(np.abs(forward(twice.contiguous())[:1] - logits[:1]).max())
    if apart > STEADY_REDUCED * largest:
        raise ContentError(
            f"{what}: the outputs of a unit depend on the others in its batch, by up to {apart:.3g} (the largest is "
            f"{largest:.3g}); put batch normalisation into eval mode, or leave out what compares units"
        )


def check_size(run: Run, loaded: LoadedModel, shape: Sequence[int], what: str) -> None:
    """Tensors cannot be prepared at another size."""
    sizes, size = run.settings.sizes, loaded.input_size
    if sizes and size and not run.data.images and not loaded.resized_to and tuple(shape[-2:]) != size[-2:]:
        raise UsageError(
            f"{what}: its input size is {' x '.join(map(str, size))}, the items of {run.data.what} are tensors of "
            f"{' x '.join(map(str, shape[1:]))}; give images, or leave --sizes out"
        )
