"""Costs whose units cannot be the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import option
from wisecommittee.searches.doctor.look import Look, listed
from wisecommittee.store import LogitStore

SPREAD = 1e5  # largest over least cost in a pool
SPREAD_OF_RATIO = 1e3  # largest over least cost per parameter, or per multiply-add
SPREAD_OF_TIMES = (
    300.0  # largest over least mean time, and mean time per other cost; seconds against milliseconds give 1000
)
SPREAD_OF_UNITS = 1e4  # the same for prices and counts
TIME = re.compile("latency|second|time|_ms$|_s$", re.IGNORECASE)
MACS_PER_PARAMETER = 1e6  # a network on large images has fewer; more: parameters were given in thousands or millions


def doubts(look: Look) -> list[str]:
    return [*_of_models(look.cards), *_of_units(look.store, look.split, look.cards)]


def _of_models(cards: Sequence[StoredCard]) -> list[str]:
    """Doubts about costs on cards that were written by hand (not counted multiply-adds): their units cannot be the
    same."""
    written = [card for card in cards if card.origin is None or card.origin.startswith("imported")]
    texts = []
    flops = {card.model: float(sum(card.blocks.values())) for card in written if card.blocks}
    params = {card.model: card.params for card in written if card.params}
    few = [model for model, value in flops.items() if value < (params.get(model) or 0)]
    if few:
        model = few[0]
        texts.append(
            f"{listed(few)}: {flops[model]:,.6g} FLOPs (multiply-adds) with {params[model]:,} parameters; a network "
            f"that uses each parameter once has more; are the FLOPs in millions or billions? Write them out and "
            f"`wisecommittee import --costs FILE`"
        )
    small = [model for model, count in params.items() if flops.get(model, 0) > MACS_PER_PARAMETER * count]
    if small:
        model = small[0]
        texts.append(
            f"{listed(small)}: {params[model]:,} parameters with {flops[model]:,.6g} FLOPs (multiply-adds); are the "
            f"parameters in thousands or millions? Write them out and `wisecommittee import --costs FILE`"
        )
        params = {}
    names = sorted({name for card in written for name in card.costs})
    columns = {"flops": {m: v for m, v in flops.items() if m not in few}}
    columns |= {name: {c.model: float(c.costs[name]) for c in written if c.costs.get(name)} for name in names}
    for name, column in columns.items():
        if len(column) < 2:
            continue
        sized = {model: value / params[model] for model, value in column.items() if model in params}
        worked = {m: v / flops[m] for m, v in column.items() if m in columns["flops"]} if name != "flops" else {}
        ratios = ((sized, SPREAD_OF_RATIO, " per parameter"), (worked, SPREAD_OF_RATIO, " per multiply-add"))
        for values, most, per in (*ratios, (column, SPREAD, "")):
            if len(values) < 2:
                continue
            least, largest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
            if values[largest] >= most * values[least]:
                texts.append(
                    f"{name} of {largest} is {column[largest]:,.6g}, of {least} {column[least]:,.6g}: "
                    f"{values[largest] / values[least]:,.0f} times as much{per}; are they in the same unit (MACs or "
                    f"GMACs, per call or in total)? Mend the file and `wisecommittee import --costs FILE`"
                )
                break
    return texts


def _of_units(store: LogitStore, split: str, cards: Sequence[StoredCard]) -> list[str]:
    """Doubts about costs per unit: their means differ between models by orders of magnitude, also relative to the other
    costs."""
    columns: dict[str, dict[str, float]] = {}
    for card in cards:
        for name in card.contents.unit_costs:
            if (mean := float(store.unit_costs(card.model, split, name).mean())) > 0:
                columns.setdefault(name, {})[card.model] = mean
    widest = sorted(columns, key=lambda name: -max(columns[name].values()) / min(columns[name].values()))
    for name in widest:  # one doubt is enough: after the remedy the doctor runs again
        column = columns[name]
        ratios = {"": column} | {
            f" per {per}": {model: value / other[model] for model, value in column.items() if model in other}
            for per, other in columns.items()
            if per != name
        }
        spread = {per: max(r.values()) / min(r.values()) for per, r in ratios.items() if len(r) > 1}
        most = SPREAD if len(spread) < 2 else SPREAD_OF_TIMES if TIME.search(name) else SPREAD_OF_UNITS
        if not spread or min(spread.values()) < most:
            continue
        per = max(spread, key=spread.__getitem__)
        least, largest = min(ratios[per], key=ratios[per].__getitem__), max(ratios[per], key=ratios[per].__getitem__)
        return [
            f"{name} of {largest} is {column[largest]:,.6g} for a unit of {split} on average, of {least} "
            f"{column[least]:,.6g}: {spread[per]:,.0f} times as much{per}; are they in the same unit (seconds or "
            f"milliseconds, dollars or cents)? Mend the file and import it with {option('replace', True)}"
        ]
    return []
