"""Logs of Inspect -> its own objects, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from wisecommittee.errors import ContentError, MissingExtraError, WiseCommitteeError, first_line
from wisecommittee.reading import check_memory
from wisecommittee.store.logs.formats.inspect.archives import check_archive

BATCH = 64  # samples that are read at once
MEMORY_OF_JSON = 8  # memory of a log in JSON, as a multiple of its size
# Long parts of a sample that no record needs.
UNREAD = frozenset(("messages", "events", "events_data", "store", "attachments", "timelines", "metadata"))

Result = TypeVar("Result")


def _api() -> ModuleType:
    try:
        import inspect_ai.log
    except ImportError as error:
        raise MissingExtraError("inspect_ai", "inspect") from error
    return inspect_ai.log


def header_of(file: Path) -> Any:
    """The header of a log, an EvalLog without samples; what the log unpacks to is checked before it is read."""
    api = _api()
    if file.suffix not in (".eval", ".json"):
        raise ContentError(f"{file}: expected a log of Inspect, .eval or .json; unpack it first")
    if "::" in str(file.absolute()):
        raise ContentError(f"{file}: '::' in its name, which inspect_ai takes for an address; rename it")
    if file.suffix == ".eval":
        check_archive(file)
    else:
        check_memory(MEMORY_OF_JSON * file.stat().st_size, str(file), "convert it with `inspect log convert --to eval`")
    return _quoted(file, partial(api.read_eval_log, file.absolute(), header_only=True))


def expected_samples(header: Any) -> set[tuple[str, int]]:
    """(id, epoch) of the samples that a run that broke off was to answer; empty for a run that ended well."""
    if header.status == "success":
        return set()
    epochs = range(1, (header.eval.config.epochs or 1) + 1)
    return {(str(name), epoch) for name in header.eval.dataset.sample_ids or () for epoch in epochs}


def samples_of(file: Path) -> Iterator[Any]:
    """The samples of a log, each an EvalSample; of a run that broke off, those that it has.

    A log in JSON is read as a whole, .eval a few samples at a time.
    """
    api = _api()
    if file.suffix == ".json":
        yield from _quoted(file, partial(api.read_eval_log, file.absolute())).samples or ()
        return
    summaries = _quoted(file, partial(api.read_eval_log_sample_summaries, file.absolute()))
    names = iter([(summary.id, summary.epoch) for summary in summaries])
    while batch := list(islice(names, BATCH)):
        read = partial(api.read_eval_log_samples_by_id, file.absolute(), batch, exclude_fields=set(UNREAD))
        yield from _quoted(file, read)


def _quoted(file: Path, call: Callable[[], Result]) -> Result:
    """What a call of inspect_ai returns; its errors as ContentError."""
    try:
        return call()
    except (WiseCommitteeError, MemoryError):
        raise
    except Exception as error:  # of inspect_ai, pydantic, zipfile, ijson and others
        raise ContentError(
            f"{file}: inspect_ai cannot read it ({first_line(error)}); fetch it again, or convert it with `inspect log "
            f"convert`"
        ) from error
