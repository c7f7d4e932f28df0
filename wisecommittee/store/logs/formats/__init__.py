"""The formats of logs, one file each; LOG_FORMATS lists them in the order in which they are tried on a path."""

from __future__ import annotations

from wisecommittee.store.logs.records import LogFormat

LOG_FORMATS: dict[str, LogFormat] = {}
