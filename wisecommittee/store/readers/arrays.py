"""Arrays of other programs, .npy and .npz -> numpy, checked. Nothing is unpickled, nothing larger than memory is
unpacked.

Any exception of numpy, zipfile or zlib on a damaged file becomes one error with the file's name and the remedy.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, WiseCommitteeError, first_line
from wisecommittee.reading import check_claim, check_memory, open_regular

KINDS = "biufUS"  # booleans, numbers and text
WRITE_NPY = "write it again with np.save"
WRITE_NPZ = "write it again with np.savez"


def load_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """A .npy array of one dimension or more, memory-mapped where its bytes are in this machine's order; read-only."""
    what = str(path)
    with open_regular(path) as source, _explained(what, WRITE_NPY):
        shape, fortran, dtype = _header(source)
        start, size = source.tell(), os.fstat(source.fileno()).st_size
        needed = math.prod(shape) * dtype.itemsize
        if needed > size - start:
            raise ContentError(f"{what}: cut short, {size - start:,} bytes of {needed:,}; {WRITE_NPY}")
        if not needed:
            return np.empty(shape, dtype)
        array = np.memmap(source, dtype, "r", start, shape, "F" if fortran else "C")
        return _native(array, what, WRITE_NPY)


def npy_in(data: bytes, what: str) -> NDArray[Any]:
    """The array of one dimension or more in the bytes of a .npy file, which it shares; read-only."""
    source = io.BytesIO(data)
    with _explained(what, WRITE_NPY):
        shape, fortran, dtype = _header(source)
        start, needed = source.tell(), math.prod(shape) * dtype.itemsize
        if needed != len(data) - start:
            raise ContentError(f"{what}: {needed:,} bytes announced, {len(data) - start:,} sent; {WRITE_NPY}")
        array = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
        return _native(array, what, WRITE_NPY)


class Npz:
    """The arrays of a .npz file; each is read when it is asked for by its name.

    >>> with Npz("b3.npz") as archive:                    # doctest: +SKIP
    ...     outputs = archive["outputs"]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.what = str(path)
        self._source = open_regular(path)
        try:
            with _explained(self.what, WRITE_NPZ):
                self._zip = zipfile.ZipFile(self._source)
        except BaseException:
            self._source.close()
            raise
        members = self._zip.infolist()
        self._members = {info.filename.removesuffix(".npy"): info for info in members}
        if len(self._members) != len(members):
            self.__exit__()
            raise ContentError(f"{self.what}: two arrays of one name among {', '.join(self.names)[:200]}; {WRITE_NPZ}")

    def __enter__(self) -> Npz:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._source.close()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """An array of one dimension or more, in memory."""
        what, member = f"{self.what}: {name}", self._members[name]
        remedy = "if it is right, write it as .npy with np.save"
        with _explained(what, WRITE_NPZ):
            with self._zip.open(member) as source:
                shape, _, dtype = _header(source)
                needed = math.prod(shape) * dtype.itemsize
                if needed != member.file_size - source.tell():
                    raise ContentError(
                        f"{what}: {needed:,} bytes announced, {member.file_size - source.tell():,} stored; {WRITE_NPZ}"
                    )
                packed = min(member.compress_size, os.fstat(self._source.fileno()).st_size)
                check_claim(needed, packed, what, remedy)
            with self._zip.open(member) as source:
                array = np.lib.format.read_array(source, allow_pickle=False)
                source.read(1)  # reads to the end, where zipfile compares the checksum
        return _native(array, what, remedy)


def _header(source: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns are stored one after another, and type of an array in .npy format."""
    version = np.lib.format.read_magic(source)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version == (3, 0):  # as 2.0, for names of fields that are not Latin-1
        raise ValueError("a structured array")
    shape, fortran, dtype = read[version](source)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are never loaded")
    if dtype.kind not in KINDS or not dtype.itemsize:
        raise ValueError(f"an array of {dtype}")
    if not shape:
        raise ValueError("a single value instead of a row for each unit")
    if min(shape) < 0:
        raise ValueError(f"shape {list(shape)}")
    return tuple(map(int, shape)), fortran, dtype


def _native(array: NDArray[Any], what: str, remedy: str) -> NDArray[Any]:
    if array.dtype.isnative:
        return array
    check_memory(array.nbytes, what, remedy)
    return array.astype(array.dtype.newbyteorder("="))


@contextlib.contextmanager
def _explained(what: str, remedy: str) -> Iterator[None]:
    """numpy and zipfile raise a dozen kinds of exception on damaged files; each becomes one error."""
    try:
        yield
    except WiseCommitteeError:
        raise
    except MemoryError as error:
        raise ContentError(f"{what}: larger than the memory that is free; {remedy} in smaller parts") from error
    except Exception as error:
        reason = first_line(error)
        raise ContentError(
            f"{what}: {reason}; expected arrays of numbers or text, no Python objects; {remedy}"
        ) from error
