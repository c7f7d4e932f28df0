"""The percentile of the cost per unit that is reported, and that can be the axis of a frontier."""

from __future__ import annotations

import math

PERCENT = 99


def share_above(units: int) -> int:
    """How many units may cost more than their 99th percentile."""
    return units - math.ceil(PERCENT * units / 100)
