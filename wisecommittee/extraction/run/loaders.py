"""How each model of a call is loaded: at every size and view, with its name, class names and preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace as with_fields
from functools import partial
from itertools import product
from pathlib import Path

from wisecommittee.errors import UsageError, option
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.spec import FILES, load_model
from wisecommittee.extraction.run.plan import Run


def loaders(models: Sequence[str | LoadedModel], run: Run) -> Iterator[tuple[Callable[[], LoadedModel], int | None]]:
    """(how to load it, declared multiply-adds) of every model at every size and view."""
    settings = run.settings
    lender = None if settings.preprocess is None else _load_lender(settings.preprocess)

    def loader(model: str | LoadedModel, index: int, size: int | None, view: str | None) -> LoadedModel:
        name = settings.names[index] if settings.names else None
        if isinstance(model, str):
            loaded = load_model(model, name, random_weights=settings.random_weights)
        else:
            loaded = model.named(name) if name else model
        if settings.training_costs:
            loaded = with_fields(loaded, training_cost=settings.training_costs[index])
        loaded = loaded if settings.classes is None else loaded.with_classes(Path(settings.classes))
        loaded = loaded if size is None else loaded.at_size(size)
        if loaded.preprocess is None and lender is not None:
            loaded = loaded.with_preprocess_of(lender)
            loaded = with_fields(loaded, meta={**loaded.meta, "preprocess_of": settings.preprocess})
        if loaded.preprocess is None and run.data.images:
            raise _no_preprocessing(run, loaded)
        return loaded if view is None else loaded.with_view(view)

    for index, model in enumerate(models):
        sizes: Sequence[int | None] = settings.sizes or [None]
        views: Sequence[str | None] = settings.views or [None]
        for size, view in product(sizes, views):
            yield partial(loader, model, index, size, view), settings.macs[index] if settings.macs else None


def _load_lender(spec: str) -> LoadedModel:
    """The model of --preprocess; its weights stay random, since only its preprocessing is used."""
    if Path(spec).suffix in FILES:
        raise UsageError(
            f"{option('preprocess', spec)}: such a file holds no preprocessing; name the model it was "
            f"exported from, as in "
            f"{option('preprocess', 'timm:resnet50')}"
        )
    lender = load_model(spec, random_weights=True)
    if lender.preprocess is None:
        raise UsageError(
            f"{option('preprocess', spec)}: defines no preprocessing; name a model that does, as timm:resnet50"
        )
    return lender


def _no_preprocessing(run: Run, loaded: LoadedModel) -> UsageError:
    code = Path(loaded.origin).suffix not in FILES
    return UsageError(
        f"{loaded.name} in {run.split}: {run.data.what} gives images, and {loaded.origin!r} does not say how to make "
        f"tensors of them; name a model with the same preprocessing, {option('preprocess', 'timm:resnet50')}"
        + (", or give its factory an attribute `preprocess`" if code else "")
    )
