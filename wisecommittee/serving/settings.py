"""Where a server listens, and its limits."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from wisecommittee.errors import UsageError, option
from wisecommittee.option_checks import amount, text, whole

CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "host": text,
    "port": whole(0, 65535),
    "max_batch": whole(1),
    "max_wait_ms": amount,
    "max_waiting": whole(1),
    "max_body_mb": amount,
    "timeout": amount,
    "drain_s": amount,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a server listens, and its limits.

    Parameters
    ----------
    host : str
        Name or address to listen on. Beyond loopback anybody who reaches it can use it.
    port : int
        0 for a free one.
    max_batch : int
        Most units that a stage runs at once.
    max_wait_ms : float
        Longest time in milliseconds that a unit waits for others, so that they run at once.
    max_waiting : int
        Most units that wait; requests beyond them are refused with status 503.
    max_body_mb : float
        Largest body of a request, in millions of bytes.
    timeout : float
        Longest time in seconds until a request is answered.
    drain_s : float
        Longest time in seconds that requests under way are waited for at the end.

    Raises
    ------
    UsageError
        A value is not of its kind, or out of its bounds.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    max_batch: int = 64
    max_wait_ms: float = 5.0
    max_waiting: int = 4096
    max_body_mb: float = 16.0
    timeout: float = 30.0
    drain_s: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            CHECKS[field.name](field.name, getattr(self, field.name))
        for name in ("max_body_mb", "timeout"):
            if not getattr(self, name):
                raise UsageError(f"{option(name, 0)}; expected a number above 0")

    @property
    def max_body(self) -> int:
        """Largest body of a request, in bytes."""
        return int(self.max_body_mb * 1e6)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host, as a name or an address, is this machine by itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
