"""Fast geometric ensembling (Garipov et al. 2018).

After a normal training, short triangular cycles of the lr; the network is copied at the lowest lr of every cycle.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as with_fields

from wisecommittee.errors import UsageError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.train.loop import Phase, Step, Trained
from wisecommittee.train.supervised import Setup, check_count

PHASE = "cycles"


@dataclass(frozen=True, slots=True)
class FastGeometric:
    """cycle : epochs, an even number; highest, lowest : lr. The logits of the members are averaged.

    The last cycle ends with its copy, in the middle; what would follow changes no member.
    """

    setup: Setup
    count: int = 3
    cycle: int = 4
    highest: float = 5e-2
    lowest: float = 1e-4

    def __post_init__(self) -> None:
        check_count(self.count, "members")
        if self.cycle < 2 or self.cycle % 2:
            raise UsageError(f"cycles of {self.cycle} epochs: expected an even number from 2")
        if not 0 < self.lowest < self.highest:
            raise UsageError(f"learning rates from {self.lowest:g} to {self.highest:g}: expected 0 < lowest < highest")

    @property
    def name(self) -> str:
        return "fge"

    @property
    def key(self) -> str:
        return self.setup.key("fge", count=self.count, cycle=self.cycle, lrs=[self.lowest, self.highest])

    @property
    def epochs(self) -> int:
        """Of the cycles."""
        return self.count * self.cycle - self.cycle // 2

    def lr(self, time: float) -> float:
        """time : epochs elapsed, fractional."""
        t = time % self.cycle / self.cycle
        share = 1 - 2 * t if t < 0.5 else 2 * t - 1
        return self.highest * share + self.lowest * (1 - share)

    def phases(self) -> Iterator[Phase]:
        net = self.setup.start()
        yield self.setup.supervised("base", net)
        copies = [copy.deepcopy(net) for _ in range(self.count)]

        def keep(step: Step) -> None:
            if step.ends_epoch and step.time % self.cycle == self.cycle // 2:
                copies[int(step.time) // self.cycle].load_state_dict(net.state_dict())

        plain = self.setup.supervised(PHASE, net)
        optimizer = with_fields(self.setup.recipe, lr=self.highest).optimizer(net)
        optimizers = [(optimizer, lambda time: self.lr(time) / self.highest)]
        modules = {"net": net} | {f"member-{number}": member for number, member in enumerate(copies)}
        yield with_fields(plain, modules=modules, optimizers=optimizers, epochs=self.epochs, on_step=keep)

    def models(self, run: Trained) -> list[LoadedModel]:
        networks = [run.modules[PHASE][f"member-{number}"] for number in range(self.count)]
        epochs = (self.setup.recipe.epochs + self.epochs) / self.count
        return self.setup.models("fge", self.key, networks, self.setup.spent(epochs))
