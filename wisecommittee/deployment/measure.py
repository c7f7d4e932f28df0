"""Measured speed of a committee beside single models, in the layouts of Wang et al. 2022.

Average latency at batch size 1 follows Tables 1 and 8, throughput of offline batches Tables 2 and 9. All models run on
the same real units, which are tensors in memory already: reading and preprocessing are not measured, copies to the
device and back are. A single model is a committee of one, so both run the same code.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.comparison import Comparison, Measured
from wisecommittee.deployment.deployed import Deployed, OutputChecks
from wisecommittee.deployment.interleaved import at_batch_size
from wisecommittee.deployment.members import Module, load_members, programs, refuse
from wisecommittee.deployment.realised import AtBatchSize
from wisecommittee.deployment.replay import REPLAYED, compare_outputs, data_spec, load_units, stored_data
from wisecommittee.deployment.timed_run import TimedRun, measured
from wisecommittee.errors import AbsentNameError, AlignmentError, UsageError, option
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.spec import open_data, program_in_data
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.timing import device_name
from wisecommittee.store import LogitStore

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Loading:
    """How members are loaded: the parameters of `deploy` with these names."""

    modules: Mapping[str, Module] = field(default_factory=dict)
    preprocess: str | None = None
    softmax: bool = False
    trust: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class MeasureSetup:
    """The units, the device and the time of a measurement.

    Parameters
    ----------
    split : str, optional
        A split of the store; by default test, else val.
    data : str or Data, optional
        The data of that split; by default the data that the members were extracted from.
    limit : int, optional
        Largest number of units, drawn from the classes in proportion; None for all units.
    batch_size : int
        Units in a forward pass of offline batches.
    batch_sizes : tuple of int
        Numbers of units in a call at which the committee and the single models are timed in turns, in forward passes of
        the size that `deploy` takes by default; at most all units.
    device : str
    seconds : float
        Approximate time of one measurement; every model is measured twice (latency and batches).
    """

    split: str | None = None
    data: str | Data | None = None
    limit: int | None = 500
    batch_size: int = 64
    batch_sizes: tuple[int, ...] = (1, 8, 64, 256)
    device: str = "auto"
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.batch_sizes):
            raise UsageError(f"batch sizes {', '.join(map(str, self.batch_sizes))}: expected whole numbers from 1")
        if not 0 < self.seconds <= 3600:
            raise UsageError(f"{self.seconds} seconds of measuring: expected a number above 0")


def compare(
    committee: Committee,
    store: LogitStore,
    against: Sequence[str] = (),
    *,
    loading: Loading = Loading(),
    setup: MeasureSetup = MeasureSetup(),
    progress: Progress | None = None,
) -> Comparison:
    """Run the committee and single models of the store on real units and take the time.

    Parameters
    ----------
    committee : Committee
    store : LogitStore
    against : sequence of str
        Globs of the single models; by default the cheapest that is as accurate as the committee on these units, and the
        most accurate.
    loading : Loading
    setup : MeasureSetup
    progress : callable, optional

    Returns
    -------
    Comparison
    """
    split = setup.split or next((name for name in ("test", "val") if store.has_split(name)), "val")
    store.require_split(split)
    named = _named(store, split, against)
    known = [*committee.models, *(name for name in store.models(split) if name not in committee.models)]
    if unknown := [name for name in loading.modules if name not in known]:
        raise AbsentNameError("model", unknown[0], known)
    if not loading.trust:
        _refuse_programs(committee, store, named, loading, setup.data, split)
    data = stored_data(committee, store, split) if setup.data is None else setup.data
    data = (open_data(data, split) if isinstance(data, str) else data).limited(setup.limit)
    load = _Loader(store, committee, loading)
    options = _options(committee, store, loading, setup, split, data)
    loaded = load(committee.models)
    units, unit_ids, labels = load_units(data, list(loaded.values()))
    rows = _rows(store, split, data, unit_ids, labels)
    with Deployed(committee, loaded, **options) as run:
        if not loading.force:
            compare_outputs(run, units.only(np.arange(min(REPLAYED, len(units)))), unit_ids[:REPLAYED], store, split)
        right = float((run(units, unit_ids).prediction == labels).mean())
    names = named or _singles(store, split, rows, right)
    subjects, loaders = [committee, *(Committee(((name,),), members={}) for name in names)], [loaded]
    sizes = sorted({min(size, len(units)) for size in setup.batch_sizes})
    report = progress or (lambda task, done, total: None)
    with ExitStack() as stack:
        timed, results = list[TimedRun](), list[Measured]()
        for subject in subjects:
            report("measured", len(results), len(subjects) + len(sizes))
            models = loaders.pop() if loaders else load(subject.models)
            inputs = units if subject is committee else load_units(data, list(models.values()))[0]
            run = stack.enter_context(Deployed(subject, models, **options))
            results.append(measured(TimedRun(run, inputs, unit_ids), labels, store, setup.seconds))
            usual = stack.enter_context(Deployed(subject, models, **options | {"batch_size": None}))
            timed.append(TimedRun(usual, inputs, unit_ids))
        at_sizes = list[AtBatchSize]()
        for size in sizes:
            report("measured", len(results) + len(at_sizes), len(subjects) + len(sizes))
            at_sizes.append(at_batch_size(timed, [each.flops for each in results], size, setup.seconds))
        where = device_name(timed[0].run.device)
    report("measured", len(subjects) + len(sizes), len(subjects) + len(sizes))
    threads = torch.get_num_threads()
    first, *singles = results
    return Comparison(
        first, tuple(singles), split, len(labels), setup.batch_size, where, threads, torch.__version__, tuple(at_sizes)
    )


def _options(
    committee: Committee, store: LogitStore, loading: Loading, setup: MeasureSetup, split: str, data: Data
) -> dict[str, Any]:
    """Options of every `Deployed`."""
    checks = OutputChecks(store, loading.softmax, loading.force)
    options: dict[str, Any] = {"device": setup.device, "batch_size": setup.batch_size, "checks": checks}
    stored = [store.card(name, split) for name in committee.models if name in store.models(split)]
    if not any(card.meta.get("data") for card in stored):
        options["classes"] = data.classes  # nothing says which outputs were stored
    return options


def _refuse_programs(
    committee: Committee,
    store: LogitStore,
    named: Sequence[str],
    loading: Loading,
    data: str | Data | None,
    split: str,
) -> None:
    """TrustError if code would run that only a card names."""
    code = programs(dict.fromkeys([*committee.models, *named]), loading.modules, store, loading.preprocess)
    if data is None:
        spec = data_spec(committee, store, split)
        if program := program_in_data(spec):
            code |= {"data": f"{spec!r}, {program}"}
    refuse(code)


@dataclass(frozen=True, slots=True)
class _Loader:
    store: LogitStore
    committee: Committee
    loading: Loading

    def __call__(self, names: Sequence[str]) -> dict[str, LoadedModel]:
        given = {name: module for name, module in self.loading.modules.items() if name in names}
        options: dict[str, Any] = {n: getattr(self.loading, n) for n in ("preprocess", "trust", "force")}
        return load_members(names, given, self.store, recorded=self.committee.members, **options)


def _rows(
    store: LogitStore, split: str, data: Data, unit_ids: Sequence[str], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """int64 [n]: the rows of these units in the split; AlignmentError if an id or a label differs from the split's."""
    index = store.unit_index(split)
    remedy = f"name the data of the split with {option('data')}, or the {option('split')} they are in"
    if strange := [unit for unit in unit_ids if unit not in index]:
        raise AlignmentError(f"{data.what}: unit {strange[0]!r} is not in {split}; {remedy}")
    rows = np.array([index[unit] for unit in unit_ids])
    stored = store.labels(split)[rows]
    for row in np.flatnonzero(stored != labels)[:1]:
        raise AlignmentError(
            f"{data.what}: unit {unit_ids[row]!r} has label {stored[row]} in {split}, {labels[row]} here; {remedy}"
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
    """The cheapest model at least as accurate as the committee, and the most accurate.

    right : accuracy of the committee on these rows.
    """
    names = _by_cost(store, split)
    labels = store.labels(split)[rows]
    accuracy = {name: float((store.outputs(name, split)[rows].argmax(axis=1) == labels).mean()) for name in names}
    best = max(names, key=lambda name: accuracy[name])
    as_accurate = next((name for name in names if accuracy[name] >= right), best)
    return list(dict.fromkeys([as_accurate, best]))
