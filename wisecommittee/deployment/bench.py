"""Measured costs of models on the cards of a store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from wisecommittee.committees.cards import StoredCard
from wisecommittee.deployment.stage_overhead import measure_overhead
from wisecommittee.errors import StoreError, UsageError, option
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.spec import load_model
from wisecommittee.extraction.run.forward import pick_device
from wisecommittee.extraction.run.settings import Progress
from wisecommittee.extraction.timing import Timing, measure
from wisecommittee.option_checks import flag, text, whole
from wisecommittee.options import check_fields, described, from_options, takes_options
from wisecommittee.store import LogitStore
from wisecommittee.store.stage_overhead import StageOverhead


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """Every option of `bench_models`.

    Raises
    ------
    UsageError
        A value that no measurement can have.
    """

    batch_size: int = described(64, "Units per pass when throughput is measured.", check=whole(1))
    device: str = described("auto", "auto, cuda, cuda:1, mps or cpu.", check=text)
    seconds: float = described(1.0, "Time to measure each figure for.")
    names: Sequence[str] | None = described(None, "Names in the store, one for each model.", shown="the sources' names")
    sizes: Sequence[int] = described((), "Input sizes: every model is measured at each of them instead of at its own.")
    views: Sequence[str] = described((), "Views of a unit: every model is measured with each of them.")
    input_size: tuple[int, ...] | None = described(None, "Shape of one unit, for models that do not say theirs.")
    random_weights: bool = described(False, "Load no weights.", check=flag)
    split: str | None = described(None, "Only the cards of this split get the costs.", shown="every split", check=text)

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.seconds <= 3600:
            raise UsageError(f"{self.seconds} seconds of measuring: expected a number above 0")


@dataclass(frozen=True, slots=True)
class _Bench:
    """A model to measure. shape : of one unit; cards : (split, card) for each card that gets the measured costs."""

    loaded: LoadedModel
    shape: tuple[int, ...]
    cards: Sequence[tuple[str, StoredCard]]


@takes_options(BenchSettings)
def bench_models(
    models: Iterable[str | LoadedModel],
    store: LogitStore | None = None,
    settings: BenchSettings | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> list[Timing]:
    """Measure models one after the other, about 2 x `seconds` each, on random inputs, float32 and contiguous as loaded.

    Parameters
    ----------
    models
        Model specs or loaded modules.
    store
        The cards of these models get the costs latency_ms and batch_ms, and the conditions in meta["timing"]. The store
        gets the overhead of a stage in both costs, which searches charge every stage. Everything is looked up before
        anything is measured.
    settings
        Every option of the measurement; by default the defaults of `BenchSettings`.
    progress
        Called with (task, models measured, models in total).
    {options}

    Returns
    -------
    list of Timing
        One for each model, size and view.
    """
    settings = replace(settings or BenchSettings(), **from_options({"settings": BenchSettings}, options)["settings"])
    models = list(models)
    if not models:
        raise UsageError("no model to measure; name at least one")
    if settings.names and len(settings.names) != len(models):
        raise UsageError(
            f"{len(settings.names)} values of "
            f"{option('names', flag='name')} for {len(models)} models; give one for each model, in order"
        )
    device = pick_device(settings.device)
    if store is not None and settings.split is not None:
        store.require_split(settings.split)
    benches = list(_benches(models, store, settings))
    timings: list[Timing] = []
    for bench in benches:
        if progress:
            progress("measured models", len(timings), len(benches))
        timing = measure(bench.loaded, bench.shape, device, settings.batch_size, settings.seconds)
        timings.append(timing)
        for split, _ in bench.cards:
            assert store is not None
            store.update_card(split, store.card(bench.loaded.name, split), partial(_timed, timing=timing))
    if store is not None:
        store.record_overhead(_overhead(benches, device, settings))
    if progress:
        progress("measured models", len(timings), len(benches))
    return timings


def _overhead(benches: Sequence[_Bench], device: torch.device, settings: BenchSettings) -> StageOverhead:
    """The overhead of a stage, on units as large as the largest of these models takes."""
    shape = max((bench.shape for bench in benches), key=math.prod)
    classes = max((card.contents.classes or 2 for bench in benches for _, card in bench.cards), default=2)
    return measure_overhead(shape, classes, device, settings.batch_size, settings.seconds)


def _benches(
    models: Sequence[str | LoadedModel], store: LogitStore | None, settings: BenchSettings
) -> Iterator[_Bench]:
    """Every model at every size and view."""
    for number, model in enumerate(models):
        name = settings.names[number] if settings.names else None
        loaded = load_model(model, name, random_weights=settings.random_weights) if isinstance(model, str) else model
        loaded = loaded.named(name) if name else loaded
        sized = [loaded.at_size(size) for size in settings.sizes] or [loaded]
        for variant in [resized.with_view(view) for resized in sized for view in settings.views] or sized:
            cards = [] if store is None else _cards(store, settings.split, variant)
            yield _Bench(variant, _shape(variant, cards, settings.input_size), cards)


def _cards(store: LogitStore, split: str | None, loaded: LoadedModel) -> list[tuple[str, StoredCard]]:
    """The model's cards by split; StoreError if there is none, or one of another model."""
    cards = []
    for where in [split] if split else store.splits():
        if loaded.name in store.models(where):
            card = store.card(loaded.name, where)
            cards.append((where, card))
            if card.params is not None and card.params != loaded.params:
                raise StoreError(
                    f"{loaded.name} in {where} has {card.params:,} parameters, {loaded.origin} has {loaded.params:,}; "
                    f"name the model that was extracted, or its name in the store with {option('names', flag='name')}"
                )
    if not cards:
        there = split or ", ".join(store.splits()) or "an empty store"
        raise StoreError(
            f"{loaded.name}: not in {there} of {store.files.uri}; extract it first, or give its name there with "
            f"{option('names', flag='name')}"
        )
    return cards


def _timed(card: StoredCard, timing: Timing) -> StoredCard:
    return replace(card, costs={**card.costs, **timing.costs()}, meta={**card.meta, "timing": timing.conditions()})


def _shape(
    loaded: LoadedModel, cards: Sequence[tuple[str, StoredCard]], given: tuple[int, ...] | None
) -> tuple[int, ...]:
    """The shape of one unit: from the model, its card or the settings, which must agree."""
    known = loaded.unit_shape
    for where, card in cards:
        if card.input_size is not None and known is None:
            known = card.input_size
        elif card.input_size not in (None, known, loaded.input_size):  # a card may leave out the number of views
            raise StoreError(
                f"{loaded.name} in {where} ran on inputs of shape {list(card.input_size or ())}, "
                f"{loaded.origin} takes {list(known or ())}; choose with {option('sizes')} what was extracted"
            )
    if known is None and given is None:
        raise UsageError(
            f"{loaded.name}: {loaded.origin} does not say its input size; give one with "
            f"{option('input_size', placeholder='3,224,224')}"
        )
    return known or given or ()
