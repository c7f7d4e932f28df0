"""Whether multiply-adds say how long a cascade takes: not of networks so small that its stages take longer."""

from __future__ import annotations

from collections.abc import Iterable

from wisecommittee.searches.evaluation import Evaluation

# A stage takes 0.26 ms beside its members for a unit by itself, on one thread of an AMD EPYC: gathering, checks and
# decisions in Python. That is a tenth of a forward pass of so many multiply-adds, and all of one of 2 million. In calls
# of 64 units it is 0.007 to 0.02 ms a unit.
SMALL = 50_000_000


def small_networks(evaluations: Iterable[Evaluation]) -> str | None:
    """A sentence if a saving in multiply-adds may not be one of time, else None: of cascades that cost less than SMALL
    on average."""
    small = [
        e for e in evaluations if e.committee.cost == "flops" and len(e.committee.stages) > 1 and e.average_cost < SMALL
    ]
    if not small:
        return None
    return (
        f"below {SMALL / 1e6:.0f} M multiply-adds per unit, what a cascade saves may be no time: beside its networks "
        f"every stage took about 0.3 ms for one unit on one CPU. `wisecommittee bench-models --committee FILE` "
        f"measures it here; `search --cost latency_ms` charges it"
    )
