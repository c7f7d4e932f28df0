"""Calibration maps in torch (committees/calibration.py). Maps of the log-odds compute in float64, as there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wisecommittee.committees.calibration import MARGIN, Calibration, Parameters
from wisecommittee.committees.scale import LARGEST
from wisecommittee.exporting.graphs.confidences import SMALLEST
from wisecommittee.exporting.graphs.rows import Ranked

LEAST_MARGIN = float(MARGIN)
MOST_LOG_ODDS = 744.4400719213812  # -log of the least positive float64


def as_logits(rows: Tensor, kind: str) -> Tensor:
    return torch.log(rows.clamp(min=SMALLEST)) if kind == "probabilities" else rows


def calibrated(rows: Tensor, calibration: Calibration) -> Tensor:
    """Logits float32 [n, C] -> logits; predictions stay."""
    if calibration.method == "temperature":
        out = rows / calibration.parameters["temperature"]
    else:
        out = _with_odds(rows, lambda log_odds: MAPS[calibration.method](log_odds, calibration.parameters))
    return out.clamp(-LARGEST, LARGEST)


def _with_odds(rows: Tensor, mapped: Callable[[Tensor], Tensor]) -> Tensor:
    """The rows with the log-odds of the winning class mapped; the runner-up never wins."""
    ranked = Ranked.of(rows)
    wide = rows.double()
    terms = torch.where(ranked.is_top, 0.0, torch.exp(wide - ranked.top.double()[:, None]))
    log_odds = (-torch.log(terms.sum(dim=1))).clamp(max=MOST_LOG_ODDS)
    top = (ranked.top.double() - log_odds + mapped(log_odds)).float()
    least = ranked.second + LEAST_MARGIN * ranked.second.abs().clamp(min=1)
    return torch.where(ranked.is_top, torch.maximum(top, least)[:, None], rows)


def _platt(log_odds: Tensor, p: Parameters) -> Tensor:
    return p["slope"] * log_odds + p["intercept"]


def _isotonic(log_odds: Tensor, p: Parameters) -> Tensor:
    q = _interpolated(log_odds, p["x"], p["y"]).clamp(p["floor"], 1 - p["floor"])
    return torch.log(q) - torch.log(1 - q)


def _interpolated(at: Tensor, x: list[float], y: list[float]) -> Tensor:
    """numpy.interp: linear between the knots, constant beyond the first and the last."""
    knots, values = (torch.tensor(line, dtype=torch.float64, device=at.device) for line in (x, y))
    if len(x) == 1:
        return values[0].expand_as(at)
    left = (at[:, None] >= knots[1:-1]).sum(dim=1)
    slope = (values[1:] - values[:-1]) / (knots[1:] - knots[:-1])
    inner = slope[left] * (at - knots[left]) + values[left]
    return torch.where(at <= knots[0], values[0], torch.where(at >= knots[-1], values[-1], inner))


MAPS: dict[str, Callable[[Tensor, Parameters], Tensor]] = {"platt": _platt, "isotonic": _isotonic}
