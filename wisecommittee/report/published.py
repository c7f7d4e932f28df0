"""The rows that the papers print, in the units of tables and axes: shares in [0, 1], multiply-adds."""

from __future__ import annotations

import math
from typing import Any

PAPERS = {"wisdom-2022": "Wang et al. 2022", "irene-2023": "Li et al. 2023"}


def rows(name: str) -> list[dict[str, Any]]:
    """One dict per printed row; *_percent columns (and their *_std) become shares, *_billion multiply-adds; empty cells
    are None."""
    from wisecommittee.published import load

    return [{_short(k): _plain(k, v) for k, v in row.items()} for row in load(name).to_dict("records")]


def source(name: str, sample: str = "ImageNet") -> str:
    """'Wang et al. 2022, Table 13, ImageNet'."""
    from wisecommittee.published import load

    first = load(name).iloc[0]
    return f"{PAPERS[first.paper]}, {first.table}, {sample}"


def points() -> dict[str, tuple[float, float]]:
    """{name: (average multiply-adds, top-1)} of the scaled cascades C0 to C7 on ImageNet (Table 15)."""
    singles = (r for r in rows("wisdom_table15") if r["model"] == r["compared_with"])
    return {f"{r['model']} (paper)": (r["flops"], r["top1"]) for r in singles}


def _short(name: str) -> str:
    return name.removesuffix("_billion").replace("_percent", "")


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if name.removesuffix("_std").endswith("_percent"):
        return round(value / 100, 10)
    if name.endswith("_billion"):
        return round(value * 1e9)
    return value
