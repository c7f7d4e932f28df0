"""parquet:FILE[?image=COLUMN&label=COLUMN&id=COLUMN&classes=FILE]   images in Parquet; FILE may be a folder or a glob.

As Hugging Face writes them: the image column is a struct of bytes and path, or bytes alone; class names come from the
schema's metadata. Without an id column the units are numbered.
"""

from __future__ import annotations

import glob
import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wisecommittee.errors import (
    AbsentError,
    ContentError,
    CorruptImageError,
    UnknownNameError,
    WiseCommitteeError,
    counted,
    first_line,
)
from wisecommittee.extraction.data.images import ImageItems, decode
from wisecommittee.extraction.data.labels import numbered, renumbered
from wisecommittee.reading import open_regular, parse_json
from wisecommittee.store.parquet.tables import check_unpacked, open_parquet

if TYPE_CHECKING:
    from PIL import Image

IMAGES, LABELS, IDS = ("image", "img"), ("label", "labels"), ("unit_id", "id")


class ParquetImages(ImageItems):
    """Images in Parquet. A row group is read when one of its images is asked for; each loading process keeps the last
    row group."""

    def __init__(
        self,
        path: str,
        image: str | None = None,
        label: str | None = None,
        id: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        what = f"parquet {path!r}"
        self.files = _files(path, what)
        self._groups: list[tuple[str, int]] = []
        self._starts: list[int] = []  # first row of each row group
        self._open: tuple[int, int, list[Any]] | None = None  # process, row group, its images
        tables: list[pa.Table] = []
        schema: pa.Schema | None = None
        rows = 0
        for file in self.files:
            try:
                with open_regular(file) as source:
                    opened = open_parquet(source)
                    if schema is None:
                        schema = opened.schema_arrow
                        self.image = _image_column(schema, image, what)
                        self.label = _column(schema, label, LABELS, "label", what)
                        self.id = _column(schema, id, IDS, "id", what, needed=False)
                    columns = [name for name in (self.label, self.id) if name]
                    missing = {*columns, self.image} - set(opened.schema_arrow.names)
                    if missing:
                        raise ContentError(f"parquet {file!r}: no column {sorted(missing)[0]!r}, {self.files[0]!r} has")
                    check_unpacked(source, opened, range(opened.num_row_groups), columns, f"parquet {file!r}")
                    tables.append(opened.read(columns, use_threads=False))
                    for group in range(opened.num_row_groups):
                        self._groups.append((file, group))
                        self._starts.append(rows)
                        rows += opened.metadata.row_group(group).num_rows
            except WiseCommitteeError:
                raise
            except Exception as error:  # pyarrow raises kinds of its own, OSError, ValueError, KeyError, ..
                raise ContentError(f"parquet {file!r}: {first_line(error)}; expected a Parquet file") from error
        assert schema is not None
        if not rows:
            raise ContentError(f"{what}: no rows; expected at least one image")
        column = pa.chunked_array([chunk for table in tables for chunk in table.column(self.label).chunks])
        self.labels, self.classes = _labels(column, _names(schema, self.label), classes, what)
        self.unit_ids = [str(row) for row in range(rows)]
        if self.id:
            ids = [unit for table in tables for unit in table.column(self.id).to_pylist()]
            if None in ids:
                raise ContentError(f"{what}: no id in row {ids.index(None)} of column {self.id!r}; expected one each")
            self.unit_ids = [str(unit) for unit in ids]

    def picture(self, row: int) -> Image.Image:
        group = bisect_right(self._starts, row) - 1
        if self._open is None or self._open[:2] != (os.getpid(), group):
            self._open = (os.getpid(), group, self._read(group))
        value = self._open[2][row - self._starts[group]]
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if data is None and path:
            data = _beside(self._groups[group][0], path)
        if data is None:
            raise CorruptImageError("neither bytes nor a path")
        return decode(data, upright=True)

    def _read(self, group: int) -> list[Any]:
        file, number = self._groups[group]
        try:
            with open_regular(file) as source, pq.ParquetFile(source) as opened:
                check_unpacked(source, opened, [number], [self.image], f"parquet {file!r}, row group {number}")
                return opened.read_row_group(number, columns=[self.image], use_threads=False)[self.image].to_pylist()
        except WiseCommitteeError:
            raise
        except Exception as error:
            raise WiseCommitteeError(f"parquet {file!r}, row group {number}: {first_line(error)}") from error


def _files(path: str, what: str) -> list[str]:
    if Path(path).is_file():
        return [path]
    files = sorted(glob.glob(str(Path(glob.escape(path), "*.parquet")) if Path(path).is_dir() else path))
    if not files:
        raise AbsentError(f"{what}: no such file; name a Parquet file, a folder of them or a pattern such as 'val-*'")
    return files


def _image_column(schema: pa.Schema, chosen: str | None, what: str) -> str:
    def holds_images(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):
            return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
        return _is_binary(kind)

    if chosen is None:
        columns = [field.name for field in schema if holds_images(field.type)]
        named = [name for name in IMAGES if name in columns]
        if not named and len(columns) != 1:
            raise ContentError(
                f"{what}: {counted(len(columns), 'column')} of images ({', '.join(columns) or 'none'}); "
                f"expected bytes, or a struct of bytes and path; name one with ?image=COLUMN"
            )
        return named[0] if named else columns[0]
    name = _column(schema, chosen, (), "image", what)
    if not holds_images(schema.field(name).type):
        raise ContentError(
            f"{what}: column {name!r} is {schema.field(name).type}; expected bytes, or a struct of bytes and path"
        )
    return name


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _column(
    schema: pa.Schema, chosen: str | None, usual: tuple[str, ...], noun: str, what: str, *, needed: bool = True
) -> str:
    """The name of a column; '' if there is none and it is optional."""
    if chosen is not None and chosen not in schema.names:
        raise UnknownNameError(f"column of {what}", chosen, schema.names)
    name = chosen or next((name for name in usual if name in schema.names), "")
    if not name and needed:
        raise ContentError(
            f"{what}: no column named {' or '.join(usual)} among {', '.join(schema.names[:8])}; "
            f"name one with ?{noun}=COLUMN"
        )
    return name


def _names(schema: pa.Schema, label: str) -> list[str] | None:
    """The class names Hugging Face's datasets keep in the metadata."""
    try:
        features = parse_json((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _labels(
    column: pa.ChunkedArray, names: list[str] | None, classes: Sequence[str] | None, what: str
) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise ContentError(f"{what}: no label in row {row} (and {column.null_count - 1} more); expected one each")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return renumbered(np.array(column.to_pylist(), dtype=np.int64), names, classes, what)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return numbered(column.to_pylist(), classes, what)
    raise ContentError(f"{what}: labels are {column.type}; expected whole numbers or class names")


def _beside(file: str, path: str) -> bytes:
    """An image of which the row holds the path only; it must lie in the folder of the Parquet file."""
    folder = Path(file).resolve().parent
    image = (folder / path).resolve()
    if not image.is_relative_to(folder):
        raise WiseCommitteeError(f"parquet {file!r}: image {path!r} lies outside its folder; move it there")
    try:
        with open_regular(image) as source:
            return source.read()
    except WiseCommitteeError as error:
        raise WiseCommitteeError(f"parquet {file!r}: image {path!r}: {error}") from error
