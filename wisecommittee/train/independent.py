"""Independently trained replicas of one backbone, for single models, the average ensemble and cascades."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.train.loop import Phase, Trained
from wisecommittee.train.supervised import Setup


@dataclass(frozen=True, slots=True)
class Independent:
    """One phase per replica; they differ in initialisation, order and augmentation."""

    setup: Setup
    replicas: int = 3

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise UsageError(f"{self.replicas} replicas: expected at least 1")

    @property
    def name(self) -> str:
        return "pool"

    @property
    def count(self) -> int:
        return self.replicas

    @property
    def key(self) -> str:
        return self.setup.key("pool")  # more replicas go on where fewer ended

    def phases(self) -> Iterator[Phase]:
        for replica in range(self.replicas):
            yield self.setup.supervised(f"replica-{replica}", self.setup.start(replica))

    def models(self, run: Trained) -> list[LoadedModel]:
        networks = [modules["net"] for modules in run.modules.values()]
        return self.setup.models("pool", self.key, networks, self.setup.spent(self.setup.recipe.epochs))
