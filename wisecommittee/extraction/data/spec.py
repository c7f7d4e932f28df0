"""Data specs -> batches in a fixed order. One entry of SOURCES per scheme; without a known scheme it names Python code.

digits[:SPLIT]           scikit-learn's digits with noise; SPLIT is train, val or test, by default the split written to
imagefolder:DIR          images in one folder per class (images.py)
parquet:FILE             images in Parquet files as Hugging Face writes them (parquet.py)
npz:FILE                 arrays of numbers or pixels (arrays.py)
package.module:factory   a callable returning (or an object being) a Dataset of (x, y) or (x, y, unit_id) items, an
                         iterable of batches (x, y) or (x, y, ids) such as a DataLoader, or a tuple of arrays
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Dataset

from wisecommittee.errors import UsageError
from wisecommittee.extraction.data.arrays import open_npz
from wisecommittee.extraction.data.data import Data
from wisecommittee.extraction.data.digits import digits
from wisecommittee.extraction.data.images import ImageFolder
from wisecommittee.extraction.data.labels import class_file, split_settings
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.models.python_code import call, check_scheme, find_object, located


class DataSource(NamedTuple):
    """form : of its specs; open : (spec, the part after the scheme, the split written to) -> what `Data.make` gives."""

    form: str
    open: Callable[[str, str, str], Any]


def _digits(spec: str, rest: str, split: str) -> Any:
    return digits(rest or split)


def _image_folder(spec: str, rest: str, split: str) -> Any:
    path, settings = split_settings(rest, ("classes",), "imagefolder")
    return ImageFolder(path, class_file(settings))


def _parquet(spec: str, rest: str, split: str) -> Any:
    from wisecommittee.extraction.data.parquet import ParquetImages

    path, settings = split_settings(rest, ("image", "label", "id", "classes"), "parquet")
    columns = {name: settings.get(name) for name in ("image", "label", "id")}
    return ParquetImages(path, **columns, classes=class_file(settings))


def _npz(spec: str, rest: str, split: str) -> Any:
    path, settings = split_settings(rest, ("classes",), "npz")
    return open_npz(path, class_file(settings))


SOURCES = {
    "digits": DataSource("digits[:SPLIT]", _digits),
    "imagefolder": DataSource("imagefolder:DIR", _image_folder),
    "parquet": DataSource("parquet:FILE", _parquet),
    "npz": DataSource("npz:FILE", _npz),
}
FORMS = ", ".join(source.form for source in SOURCES.values())


def open_data(spec: str, split: str, *, limit: int | None = None, workers: int = 0) -> Data:
    """The data a spec stands for; `split` is the split of the store it will be written to."""
    scheme, colon, rest = spec.partition(":")
    if scheme in SOURCES:
        if not rest and scheme != "digits":
            raise UsageError(f"data {spec!r}: expected {FORMS}")
        items = SOURCES[scheme].open(spec, rest, split)
        make: Callable[[], Any] = lambda: items  # noqa: E731
        spec = spec if colon else f"{spec}:{split}"
    elif not colon:
        raise UsageError(f"data {spec!r}: expected package.module:factory or {FORMS}")
    else:
        check_scheme("data source", scheme, SOURCES)
        source = find_object(spec, spec)
        if isinstance(source, (Dataset, DataLoader, tuple, list)) or not callable(source):
            make = lambda: source  # noqa: E731
        else:
            make = lambda: call(source, spec)  # noqa: E731
    return wrap_data(make, spec, limit=limit, workers=workers)


def program_in_data(spec: str) -> str | None:
    """The code that runs when a data spec is opened, in words; None if it is code of this package only."""
    scheme, colon, _ = spec.partition(":")
    return located(spec) if colon and scheme not in SOURCES else None
