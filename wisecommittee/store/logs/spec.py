"""[FORMAT:]PATH: which format a log has, named by the user or recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wisecommittee.errors import AbsentError, UnknownNameError, UsageError
from wisecommittee.store.logs.formats import LOG_FORMATS
from wisecommittee.store.logs.records import LogFormat
from wisecommittee.store.logs.tabular import refuse_pickle


@dataclass(frozen=True, slots=True)
class LogSpec:
    """A log to read.

    Attributes
    ----------
    format : LogFormat
    path : Path
        A file, or a folder of files.
    recognised : bool
        Whether the format follows from the files, instead of being named.
    """

    format: LogFormat
    path: Path
    recognised: bool = False

    def __str__(self) -> str:
        return f"{self.format.name}:{self.path}"


def log_spec(text: str, formats: Mapping[str, LogFormat] = LOG_FORMATS) -> LogSpec:
    """The log that [FORMAT:]PATH means.

    Parameters
    ----------
    text : str
        'lm-eval:results/', or 'results/' alone if the files show which format it is.
    formats : {name: LogFormat}

    Raises
    ------
    AbsentError
        There is no such file or folder.
    UsageError
        The format is unknown, or the files are of none or of several; the message lists the formats.
    """
    name, colon, rest = text.partition(":")
    if colon and name in formats:
        path = Path(rest)
        if not rest or not path.exists():
            raise AbsentError(f"{text}: no file or folder {rest!r}; name the one with the log")
        return LogSpec(formats[name], path)
    path = Path(text)
    if not path.exists():
        if colon and Path(rest).exists():
            raise UnknownNameError("format of logs", name, formats)
        raise AbsentError(f"{text}: no such file or folder; name the one with the log")
    found = [each for each in formats.values() if each.matches(path)]
    if not found and path.is_file():
        refuse_pickle(path)
    if len(found) == 1:
        return LogSpec(found[0], path, recognised=True)
    listed = ", ".join(each.name for each in found or formats.values())
    which = f"of several formats, {listed}" if found else f"of no known format; known: {listed}"
    raise UsageError(f"{text}: {which}; name its format, as in {(found or [*formats.values()])[0].name}:{text}")
