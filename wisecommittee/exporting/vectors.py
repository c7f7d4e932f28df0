"""golden/: the units that an export is checked with, and the decisions of the deployed committee on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError
from wisecommittee.exporting.manifest import within
from wisecommittee.exporting.replay import Outcome, outcome_of
from wisecommittee.reading import parse_json, read_text
from wisecommittee.store.readers.arrays import load_npy
from wisecommittee.writing import written_whole

if TYPE_CHECKING:
    from wisecommittee.exporting.plan import Plan

FOLDER, EXPECTED = "golden", "golden/expected.json"
MAX_EXPECTED = 16 << 20  # bytes
MAX_UNITS = 4096


@dataclass(frozen=True, slots=True)
class Vectors:
    """inputs : {name: [n, ..]}; unit_ids : text [n]; features : {column: [n]} or None; expected : Outcome [n]"""

    inputs: Mapping[str, NDArray[Any]]
    unit_ids: tuple[str, ...]
    features: Mapping[str, Any] | None
    expected: Outcome

    def only(self, row: int) -> Vectors:
        """One of the units."""
        chosen = slice(row, row + 1)
        features = self.features and {name: values[chosen] for name, values in self.features.items()}
        expected = self.expected
        return Vectors(
            {name: values[chosen] for name, values in self.inputs.items()},
            self.unit_ids[chosen],
            features,
            Outcome(expected.prediction[chosen], expected.stage[chosen], expected.confidence[chosen]),
        )


def write_vectors(plan: Plan, folder: Path, features: Mapping[str, Any] | None) -> None:
    """Write golden/NAME.npy of every input, and golden/expected.json."""
    (folder / FOLDER).mkdir()
    for each in plan.inputs:
        with written_whole(folder / FOLDER / f"{each.name}.npy") as file:
            np.save(file, each.values)
    outcome = outcome_of(plan.decisions)
    content: dict[str, Any] = {
        "source": plan.golden.source,
        "unit_ids": list(plan.golden.unit_ids),
        "prediction": outcome.prediction.tolist(),
        "stage": outcome.stage.tolist(),
        "confidence": [float(value) for value in outcome.confidence],
        "ran": [np.flatnonzero(row).tolist() for row in plan.decisions.ran],
    }
    if features:
        content["features"] = {name: np.asarray(values).tolist() for name, values in features.items()}
    with written_whole(folder / EXPECTED) as file:
        file.write((json.dumps(content) + "\n").encode())


def read_vectors(folder: Path, inputs: list[str]) -> Vectors:
    """The golden units of a folder; ContentError for anything that `write_vectors` does not write."""
    path = within(folder, EXPECTED)
    try:
        content = parse_json(read_text(path, limit=MAX_EXPECTED))
        unit_ids = tuple(map(str, content["unit_ids"]))
        expected = Outcome(
            np.array(content["prediction"], np.int64),
            np.array(content["stage"], np.int64),
            np.array(content["confidence"], np.float32),
        )
        n, features = len(unit_ids), content.get("features")
        columns = [expected.prediction, expected.stage, expected.confidence, *(features or {}).values()]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ContentError(f"{path}: no golden decisions ({error!r:.200})") from error
    tensors = {name: load_npy(within(folder, f"{FOLDER}/{name}.npy")) for name in inputs}
    if not 0 < n <= MAX_UNITS or any(len(values) != n for values in (*columns, *tensors.values())):
        raise ContentError(f"{path}: expected 1 to {MAX_UNITS:,} units, and inputs and decisions of each")
    return Vectors(tensors, unit_ids, features, expected)
