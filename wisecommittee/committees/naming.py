"""Names of the models that `train` puts into a store: method-data-backbone[~variant][-s<seed>]/replica."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingMethod:
    """A training method that `compare` has a row for.

    label : the row's name, as Li et al. print it; command : module and function of `wisecommittee train` in cli/;
    combine : the combining rule of its members, None for a cascade that halts by their stored score.
    """

    label: str
    command: str
    combine: str | None = "mean_probs"


# In the order of the table. The names are the methods' in the names of models, and the commands'.
METHODS = {
    "pool": TrainingMethod("Average ensemble", "train_pool:pool"),
    "snapshot": TrainingMethod("Snapshot ensemble", "train_snapshot:snapshot"),
    "fge": TrainingMethod("FGE", "train_fge:fge", "mean_logits"),
    "moe": TrainingMethod("MoE", "train_moe:moe"),
    "sparse-moe": TrainingMethod("Sparse-MoE", "train_moe:sparse_moe"),
    "irene": TrainingMethod("IRENE", "train_irene:irene", None),
}
_ARCHITECTURE = re.compile(
    rf"^(?P<method>{'|'.join(METHODS)})-(?P<data>[^-]+)-(?P<backbone>[^~]+?)(~(?P<variant>.+?))?(-s(?P<seed>[1-9]\d*))?$"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model was trained, read from the name of its architecture; seed 0 is not written.

    variant : the value that differs within a sweep, such as w2=0.05.
    """

    method: str
    data: str
    backbone: str
    seed: int = 0
    variant: str = ""

    @property
    def architecture(self) -> str:
        variant, seed = f"~{self.variant}" if self.variant else "", f"-s{self.seed}" if self.seed else ""
        return f"{self.method}-{self.data}-{self.backbone}{variant}{seed}"

    @classmethod
    def of(cls, architecture: str) -> Origin | None:
        """The origin in the name of an architecture; None if the name was not made by `train`."""
        match = _ARCHITECTURE.match(architecture)
        if match is None:
            return None
        return cls(match["method"], match["data"], match["backbone"], int(match["seed"] or 0), match["variant"] or "")
