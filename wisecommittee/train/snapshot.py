"""Snapshot ensembles (Huang et al. 2017): one training of cosine cycles; the network is copied after every cycle."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as with_fields

from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.train.loop import Phase, Step, Trained
from wisecommittee.train.supervised import Setup, check_count

PHASE = "snapshots"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All members together take the epochs of one network. They are averaged as probabilities."""

    setup: Setup
    count: int = 3

    def __post_init__(self) -> None:
        check_count(self.count, "snapshots")

    @property
    def name(self) -> str:
        return "snapshot"

    @property
    def key(self) -> str:
        return self.setup.key("snapshot", count=self.count)

    def phases(self) -> Iterator[Phase]:
        recipe, net = self.setup.recipe, self.setup.start()
        copies = [copy.deepcopy(net) for _ in range(self.count)]
        steps = len(self.setup.batches())
        total = recipe.epochs * steps
        length = math.ceil(total / self.count)
        if math.ceil(total / length) < self.count:
            raise UsageError(f"{total} steps are too few for {self.count} cycles; train for more epochs")

        def factor(time: float) -> float:
            return 0.5 * (math.cos(math.pi * (round(time * steps) % length) / length) + 1)

        def keep(step: Step) -> None:
            done = round(step.time * steps)
            if done % length == 0 or done == total:
                copies[math.ceil(done / length) - 1].load_state_dict(net.state_dict())

        plain = self.setup.supervised(PHASE, net)
        modules = {"net": net} | {f"member-{number}": member for number, member in enumerate(copies)}
        optimizers = [(recipe.optimizer(net), factor)]
        yield with_fields(plain, modules=modules, optimizers=optimizers, on_step=keep)

    def models(self, run: Trained) -> list[LoadedModel]:
        networks = [run.modules[PHASE][f"member-{number}"] for number in range(self.count)]
        return self.setup.models(
            "snapshot", self.key, networks, self.setup.spent(self.setup.recipe.epochs / self.count)
        )
