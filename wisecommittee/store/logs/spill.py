"""Records of any models in any order -> temporary Arrow files, a set for each model: memory stays that of one block."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from wisecommittee.errors import ContentError, WiseCommitteeError
from wisecommittee.store.logs.encoding import encoded
from wisecommittee.store.logs.records import Records
from wisecommittee.writing import reason

MOST_OPEN = 100  # files that are written at the same time; a system allows 256 or more


class Spill:
    """The records of many models in a temporary folder, as tables with the columns of `encoded`.

    Attributes
    ----------
    files : {file: number}
    kinds : {kind: (file, line) of the first record of the kind}
    class_names : tuple of str or None
        Of all records.
    """

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, int] = {}
        self.kinds: dict[str, tuple[str, int]] = {}
        self.class_names: tuple[str, ...] | None = None
        self._folder = folder
        self._parts: dict[tuple[str, int], list[Path]] = {}  # by model and sample
        self._open: dict[tuple[str, int], tuple[pa.Schema, pa.RecordBatchStreamWriter, pa.NativeFile]] = {}

    @property
    def samples(self) -> list[tuple[str, int]]:
        """(model, number of the sample) in the order of the log."""
        return list(self._parts)

    def add(self, records: Records, form: Callable[[str], str]) -> None:
        """Add a block. form : the function that brings answers and labels to the text by which they are compared."""
        if not len(records):
            return
        first = (records.file, int(records.lines[0]))
        self.kinds.setdefault(records.kind, first)
        if len(self.kinds) > 1:
            (kind, (file, line)), (other, (second, number)) = self.kinds.items()
            raise ContentError(
                f"{second}: line {number:,} has {other}, {file}: line {line:,} {kind}; expected the same kind of all "
                f"models; import them into different splits"
            )
        if records.class_names is not None:
            self.class_names = self.class_names or records.class_names
            if records.class_names != self.class_names:
                raise ContentError(
                    f"{records.file}: classes {', '.join(records.class_names)[:60]}; a log before has "
                    f"{', '.join(self.class_names)[:60]}; expected the same classes"
                )
        batch = encoded(records, self.files.setdefault(records.file, len(self.files)), form)
        writer = self._writer((records.model, records.sample), batch.schema)
        writer.write_batch(batch)

    def _writer(self, key: tuple[str, int], schema: pa.Schema) -> pa.RecordBatchStreamWriter:
        if key in self._open and self._open[key][0].equals(schema):
            return self._open[key][1]
        if key in self._open or len(self._open) >= MOST_OPEN:
            self.close()
        path = self._folder / f"{sum(map(len, self._parts.values()))}.arrow"
        self._parts.setdefault(key, []).append(path)
        sink = pa.OSFile(str(path), "wb")
        writer = pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        self._open[key] = schema, writer, sink
        return writer

    def close(self) -> None:
        """Finish the files that are being written."""
        for _, writer, sink in self._open.values():
            writer.close()
            sink.close()
        self._open.clear()

    def table(self, key: tuple[str, int], wanted: Callable[[str], bool] = lambda column: True) -> pa.Table:
        """The records of one model and sample, in the order of the log; `wanted` chooses columns."""
        tables = []
        for path in self._parts[key]:
            with pa.OSFile(str(path)) as source:
                names = pa.ipc.open_stream(source).schema.names
            chosen = [number for number, name in enumerate(names) if wanted(name)]
            if not chosen:  # for Arrow, no fields are all
                continue
            with pa.OSFile(str(path)) as source:
                options = pa.ipc.IpcReadOptions(included_fields=chosen, use_threads=False)
                tables.append(pa.ipc.open_stream(source, options=options).read_all())
        if not tables:
            return pa.table({})
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="default")

    def records(self, key: tuple[str, int]) -> int:
        """Number of records of one model and sample."""
        return len(self.table(key, "line".__eq__))

    def place(self, key: tuple[str, int], record: int) -> str:
        """'FILE: line N' of a record, for messages."""
        row = self.table(key, {"file", "line"}.__contains__).slice(record, 1).to_pylist()[0]
        return f"{list(self.files)[row['file']]}: line {row['line']:,}"


@contextlib.contextmanager
def spilling() -> Iterator[Spill]:
    """A Spill whose folder, in TMPDIR or the system's folder for temporary files, is removed at every end."""
    try:
        with tempfile.TemporaryDirectory(prefix="wisecommittee-", ignore_cleanup_errors=True) as folder:
            spill = Spill(Path(folder))
            try:
                yield spill
            finally:
                with contextlib.suppress(OSError):
                    spill.close()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EMFILE):
            raise
        raise WiseCommitteeError(
            f"temporary files in {os.environ.get('TMPDIR') or tempfile.gettempdir()}: {reason(error)}; TMPDIR names "
            f"another folder"
        ) from error
