"""Measured speed of a committee beside single models, in the layouts of Wang et al. 2022: average latency at batch
size 1 (Tables 1 and 8) and throughput of offline batches, stage by stage on the units left (Tables 2 and 9).

All run on the same real units, which stand ready as tensors: reading and preprocessing are not measured, the way to the
device and back is. A single model is a committee of one, so both go the same way.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.deploy import Decisions, Deployed
from wisecommittee.deployment.members import Module, find_card, load_members, programs, refuse
from wisecommittee.deployment.replay import REPLAYED, compare_outputs, data_spec, load_units, stored_data
from wisecommittee.deployment.units import Units
from wisecommittee.errors import AbsentNameError, AlignmentError, UsageError
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.spec import open_data, program_in_data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.timing import Spread, device_name, rounded
from wisecommittee.store import LogitStore

LEAST_PASSES, MOST_PASSES = 5, 1000
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """A committee or a single model on these units.

    flops : average multiply-adds, None where a member's are unknown; latency : ms of one unit by itself, on average;
    batch : ms per unit in offline batches; exit_ratios : share of the units that leave after each stage.
    """

    model: str
    accuracy: float
    flops: float | None
    latency: Spread
    batch: Spread
    exit_ratios: tuple[float, ...]

    @property
    def throughput(self) -> float:
        """Units per second in batches."""
        return 1e3 / self.batch.median

    def to_json(self) -> dict[str, Any]:
        spreads = {"latency_ms": self.latency, "batch_ms": self.batch}
        return {
            "model": self.model,
            "accuracy": self.accuracy,
            "flops": self.flops,
            **{name: rounded(spread.median) for name, spread in spreads.items()},
            **{f"{name}_quartiles": [rounded(spread.q1), rounded(spread.q3)] for name, spread in spreads.items()},
            "throughput": rounded(self.throughput),
            "runs": [self.latency.runs, self.batch.runs],
            "exit_ratios": list(self.exit_ratios),
        }


@dataclass(frozen=True, slots=True)
class Speedup:
    """How many times cheaper and faster the committee is than a single model; above 1 is better."""

    flops: float | None
    latency: float
    throughput: float

    @property
    def realised(self) -> tuple[float, float] | None:
        """Share of the speed-up in multiply-adds that becomes one of latency and of throughput."""
        return None if self.flops is None else (self.latency / self.flops, self.throughput / self.flops)

    def to_json(self) -> dict[str, float | None]:
        latency, throughput = self.realised or (None, None)
        named = {"flops": self.flops, "latency": self.latency, "throughput": self.throughput}
        shares = {"latency_realised": latency, "throughput_realised": throughput}
        return {name: value and rounded(value) for name, value in (named | shares).items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A committee and the single models it is compared with, on `units` units of a split."""

    committee: Measured
    singles: tuple[Measured, ...]
    split: str
    units: int
    batch_size: int
    device: str
    threads: int
    torch: str

    def speedup(self, single: Measured) -> Speedup:
        ours = self.committee
        flops = None if ours.flops is None or single.flops is None else single.flops / ours.flops
        return Speedup(flops, single.latency.median / ours.latency.median, ours.throughput / single.throughput)

    def to_json(self) -> dict[str, Any]:
        conditions = {"device": self.device, "threads": self.threads, "torch": self.torch}
        return {
            "split": self.split,
            "units": self.units,
            "batch_size": self.batch_size,
            **conditions,
            "committee": self.committee.to_json(),
            "singles": [{**s.to_json(), "speedup": self.speedup(s).to_json()} for s in self.singles],
        }


def compare(
    committee: Committee,
    store: LogitStore,
    *,
    split: str | None = None,
    data: str | Data | None = None,
    against: Sequence[str] = (),
    modules: Mapping[str, Module] | None = None,
    preprocess: str | None = None,
    limit: int | None = 500,
    batch_size: int = 64,
    device: str = "auto",
    seconds: float = 2.0,
    softmax: bool = False,
    trust: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Run the committee and single models of the store on real units and take the time, about 2 x `seconds` for each.

    split : of the store, default test, else val; data : the units, by default what the members were extracted from;
    against : globs of the single models, by default the cheapest that is as accurate as the committee on these units,
    and the most accurate; modules, preprocess, softmax, trust, force : see deploy; limit : units at most, of every
    class its share.
    """
    if not 0 < seconds <= 3600:
        raise UsageError(f"{seconds} seconds of measuring: expected a number above 0")
    split = split or next((name for name in ("test", "val") if store.has_split(name)), "val")
    store.require_split(split)
    named = _named(store, split, against)
    known = [*committee.models, *(name for name in store.models(split) if name not in committee.models)]
    if unknown := [name for name in modules or {} if name not in known]:
        raise AbsentNameError("model", unknown[0], known)
    load = _Loader(store, committee, dict(modules or {}), preprocess, trust, force)
    found = {} if trust else programs(dict.fromkeys([*committee.models, *named]), modules, store, preprocess)
    if data is None:
        spec = data_spec(committee, store, split)
        program = program_in_data(spec)
        found |= {"data": f"{spec!r}, {program}"} if program and not trust else {}
    refuse(found)
    if data is None:
        data = stored_data(committee, store, split)
    data = (open_data(data, split) if isinstance(data, str) else data).limited(limit)
    options: dict[str, Any] = {"device": device, "batch_size": batch_size, "store": store}
    options |= {"softmax": softmax, "force": force}
    if not any(store.card(name, split).meta.get("data") for name in committee.models if name in store.models(split)):
        options["classes"] = data.classes  # nothing says which outputs were stored
    loaded = load(committee.models)
    units, unit_ids, labels = load_units(data, list(loaded.values()))
    rows = _rows(store, split, data, unit_ids, labels)
    with Deployed(committee, loaded, **options) as run:
        if not force:
            compare_outputs(run, units.only(np.arange(min(REPLAYED, len(units)))), unit_ids[:REPLAYED], store, split)
        right = float((run(units).prediction == labels).mean())
    names = named or _singles(store, split, rows, right)
    todo = [committee, *(Committee(((name,),), members={}) for name in names)]
    measured: list[Measured] = []
    for one in todo:
        if progress:
            progress("measured", len(measured), len(todo))
        if one is not committee:
            loaded = load(one.models)
            units = load_units(data, list(loaded.values()))[0]
        with Deployed(one, loaded, **options) as run:
            measured.append(_measure(run, units, labels, _stage_flops(one, store), seconds))
            where = device_name(run.device)
    if progress:
        progress("measured", len(todo), len(todo))
    first, *singles = measured
    threads = torch.get_num_threads()
    return Comparison(first, tuple(singles), split, len(labels), batch_size, where, threads, torch.__version__)


@dataclass(frozen=True, slots=True)
class _Loader:
    store: LogitStore
    committee: Committee
    modules: dict[str, Module]
    preprocess: str | None
    trust: bool
    force: bool

    def __call__(self, names: Sequence[str]) -> dict[str, LoadedModel]:
        given = {name: module for name, module in self.modules.items() if name in names}
        options: dict[str, Any] = {"preprocess": self.preprocess, "trust": self.trust, "force": self.force}
        return load_members(names, given, self.store, recorded=self.committee.members, **options)


def _rows(
    store: LogitStore, split: str, data: Data, unit_ids: Sequence[str], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where these units stand in the split."""
    index = store.unit_index(split)
    remedy = "name the data of the split with --data, or the --split they are in"
    if strange := [unit for unit in unit_ids if unit not in index]:
        raise AlignmentError(f"{data.what}: unit {strange[0]!r} is not in {split}; {remedy}")
    rows = np.array([index[unit] for unit in unit_ids])
    there = store.labels(split)[rows]
    for place in np.flatnonzero(there != labels)[:1]:
        raise AlignmentError(
            f"{data.what}: unit {unit_ids[place]!r} has label {there[place]} in {split}, {labels[place]} here; {remedy}"
        )
    return rows


def _by_cost(store: LogitStore, split: str) -> list[str]:
    """Models that can run alone, cheapest first."""
    cards = sorted(store.cards(split), key=lambda card: (sum(card.blocks.values()), card.key))
    return [card.model for card in cards if card.kind in ("logits", "probabilities")]


def _named(store: LogitStore, split: str, against: Sequence[str]) -> list[str]:
    """The single models that match any of the globs, cheapest first."""
    names = _by_cost(store, split)
    if lost := [glob for glob in against if not fnmatch.filter(names, glob)]:
        raise AbsentNameError(f"model in {split}", lost[0], names)
    return [name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in against)]


def _singles(store: LogitStore, split: str, rows: NDArray[np.int64], right: float) -> list[str]:
    """The cheapest model at least as accurate as the committee, and the most accurate. right : of the committee on
    these rows."""
    names = _by_cost(store, split)
    labels = store.labels(split)[rows]
    accuracy = {name: float((store.outputs(name, split)[rows].argmax(axis=1) == labels).mean()) for name in names}
    best = max(names, key=lambda name: accuracy[name])
    as_accurate = next((name for name in names if accuracy[name] >= right), best)
    return list(dict.fromkeys([as_accurate, best]))


def _stage_flops(committee: Committee, store: LogitStore) -> list[float] | None:
    """Multiply-adds of a unit that leaves after each stage: of all members that ran, whole."""
    spent, stages = 0.0, []
    for names in committee.stages:
        for name in names:
            card = find_card(store, name)
            if card is None or not card.blocks:
                return None
            spent += sum(card.blocks.values())
        stages.append(spent)
    return stages


def _measure(
    run: Deployed, units: Units, labels: NDArray[np.int64], flops: Sequence[float] | None, seconds: float
) -> Measured:
    said = run(units)
    ratios = np.bincount(said.stage, minlength=len(run.committee.stages)) / len(said)
    batch = _spread(lambda: _elapsed(run, units) / len(said), seconds)
    latency = _spread(_OneByOne(run, units, said), seconds)
    return Measured(
        run.committee.label(),
        float((said.prediction == labels).mean()),
        None if flops is None else float(np.dot(ratios, flops)),
        latency,
        batch,
        tuple(ratios.tolist()),
    )


class _OneByOne:
    """Average latency: one unit of every exit, each by itself, weighted by how many units leave there."""

    def __init__(self, run: Deployed, units: Units, said: Decisions) -> None:
        self.run, self.units = run, units
        rng = np.random.default_rng(0)
        stages = range(len(run.committee.stages))
        self.leaving = [rng.permutation(np.flatnonzero(said.stage == stage)) for stage in stages]
        self.total, self.turn = len(said), 0

    def __call__(self) -> float:
        average = 0.0
        for rows in self.leaving:
            if len(rows):
                row = rows[self.turn % len(rows)]
                average += len(rows) / self.total * _elapsed(self.run, self.units.only(np.array([row])))
        self.turn += 1
        return average


def _elapsed(run: Deployed, units: Units) -> float:
    """Milliseconds of a run; its decisions are on the CPU at the end, so the device is done."""
    started = time.perf_counter()
    run(units)
    return 1e3 * (time.perf_counter() - started)


def _spread(measure: Callable[[], float], seconds: float) -> Spread:
    """Median and quartiles of repeated measurements, after a warm-up of a fifth of the time."""
    started = time.perf_counter()
    measure()
    while time.perf_counter() - started < seconds / 5:
        measure()
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < LEAST_PASSES or (len(taken) < MOST_PASSES and time.perf_counter() - started < seconds):
        taken.append(measure())
    q1, median, q3 = np.quantile(taken, (0.25, 0.5, 0.75)).tolist()
    return Spread(q1, median, q3, len(taken))
