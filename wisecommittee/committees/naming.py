"""Names of the models that `train` puts into a store, and what they say: method-data-backbone[-s<seed>]/replica."""

from __future__ import annotations

import re
from dataclasses import dataclass

METHODS = ("pool", "snapshot", "fge", "moe", "sparse-moe", "irene")
_ARCHITECTURE = re.compile(
    rf"^(?P<method>{'|'.join(METHODS)})-(?P<data>[^-]+)-(?P<backbone>.+?)(-s(?P<seed>[1-9]\d*))?$"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model was trained; seed 0 is not written."""

    method: str
    data: str
    backbone: str
    seed: int = 0

    @property
    def architecture(self) -> str:
        return f"{self.method}-{self.data}-{self.backbone}" + (f"-s{self.seed}" if self.seed else "")

    @classmethod
    def of(cls, architecture: str) -> Origin | None:
        """None for any other name."""
        found = _ARCHITECTURE.match(architecture)
        return found and cls(found["method"], found["data"], found["backbone"], int(found["seed"] or 0))
