"""The address that a server listens on."""

from __future__ import annotations

import errno
import os
import socket
import warnings

from wisecommittee.errors import WiseCommitteeError, option
from wisecommittee.serving.settings import Settings


def listening(settings: Settings) -> socket.socket:
    """A socket bound to the address of the settings, before the members are loaded."""
    host, port = settings.host.strip("[]"), settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise WiseCommitteeError(f"host {host!r}: no address of that name; name one with {option('host')}") from error
    place = socket.socket(family, kind, protocol)  # asyncio sends without delay (TCP_NODELAY) if TCP is named
    try:
        if os.name == "posix":
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except OSError as error:
        place.close()
        raise _unbound(host, port, error) from error
    if not settings.is_loopback:
        warnings.warn(
            f"{host} can be reached by other machines, and there is no authentication and no encryption: whoever "
            f"reaches port {place.getsockname()[1]} can use the committee; put a proxy with both before it",
            stacklevel=3,
        )
    return place


def _unbound(host: str, port: int, error: OSError) -> WiseCommitteeError:
    free = f"choose another with {option('port')}, 0 for a free one"
    if error.errno == errno.EADDRINUSE:
        return WiseCommitteeError(f"port {port} of {host} is in use; {free}")
    if error.errno == errno.EACCES:
        return WiseCommitteeError(f"port {port} of {host} needs other rights; {free}")
    return WiseCommitteeError(f"cannot listen on {host}, port {port} ({error.strerror}); {free}")


def address_of(place: socket.socket, host: str) -> str:
    """'http://127.0.0.1:8000'"""
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    return f"http://{shown}:{place.getsockname()[1]}"
