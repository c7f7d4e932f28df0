"""What .eval files, which are zip archives, unpack to: a few bytes may claim, or hide, more than any memory holds."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from wisecommittee.errors import ContentError, WiseCommitteeError
from wisecommittee.reading import check_claim, open_regular

ZSTANDARD = 93  # the number of its method in the zip format; Inspect writes it
_LOCAL_HEADER = 30  # bytes before the name of a member
_CHUNK = 1 << 20


def check_archive(file: Path) -> None:
    """Raise ContentError unless every member of the archive unpacks to the size that it claims, and all claims together
    are plausible."""
    with open_regular(file) as source:
        try:
            with zipfile.ZipFile(source) as archive:
                members = archive.infolist()
            check_claim(sum(member.file_size for member in members), file.stat().st_size, str(file), "divide it")
            for member in members:
                unpacked = 0
                for piece in _pieces(source, member):
                    unpacked += len(piece)
                    if unpacked > member.file_size:
                        break
                if unpacked != member.file_size:
                    found = "more" if unpacked > member.file_size else f"{unpacked:,}"
                    raise ValueError(f"{member.filename} claims {member.file_size:,} bytes and unpacks to {found}")
        except WiseCommitteeError:
            raise
        except Exception as error:  # of zipfile, zlib and zstandard
            raise ContentError(f"{file}: no whole .eval file ({str(error)[:100]}); fetch it again") from None


def _pieces(source: BinaryIO, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The unpacked bytes of a member, in pieces that are bounded whatever it unpacks to."""
    source.seek(member.header_offset)
    header = source.read(_LOCAL_HEADER)
    source.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), io.SEEK_CUR)
    packed = io.BufferedReader(_Section(source, member.compress_size), _CHUNK)
    if member.compress_type == zipfile.ZIP_DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        while not inflate.eof and (piece := inflate.unconsumed_tail or packed.read(_CHUNK)):
            yield inflate.decompress(piece, _CHUNK)
        return
    if member.compress_type == ZSTANDARD:
        import zstandard

        packed = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    elif member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"compression method {member.compress_type} of {member.filename}")
    while piece := packed.read(_CHUNK):
        yield piece


class _Section(io.RawIOBase):
    """The next bytes of a file, as a file of its own."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source, self._left = source, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)
