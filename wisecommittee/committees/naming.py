"""Names of the models that `train` puts into a store: method-data-backbone[~variant][-s<seed>]/replica."""

from __future__ import annotations

import re
from dataclasses import dataclass

METHODS = ("pool", "snapshot", "fge", "moe", "sparse-moe", "irene")
_ARCHITECTURE = re.compile(
    rf"^(?P<method>{'|'.join(METHODS)})-(?P<data>[^-]+)-(?P<backbone>[^~]+?)(~(?P<variant>.+?))?(-s(?P<seed>[1-9]\d*))?$"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model was trained, as its architecture says; seed 0 is not written.

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
        """None for any other name."""
        found = _ARCHITECTURE.match(architecture)
        if found is None:
            return None
        return cls(found["method"], found["data"], found["backbone"], int(found["seed"] or 0), found["variant"] or "")
