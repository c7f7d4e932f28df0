"""Runs the server of a service, and ends it in order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from wisecommittee.errors import counted
from wisecommittee.serving.app import application
from wisecommittee.serving.listening import address_of
from wisecommittee.serving.served import Served
from wisecommittee.serving.service import Service
from wisecommittee.serving.settings import Settings


def run_until_told(served: Served, settings: Settings, place: socket.socket, say: Callable[[str], None]) -> None:
    """Serve on a bound socket until Ctrl-C or SIGTERM, and until the requests under way are answered.

    say : gets a line when the server is ready, and one if requests are given up at the end.
    """
    service = Service(served, settings)
    service.warm_up()
    server = Server(service, say)
    asyncio.run(server.serve(sockets=[place]))
    if server.interrupted:  # asyncio says so too, unless the signal came while its handlers were exchanged
        raise KeyboardInterrupt


class Server(uvicorn.Server):
    """uvicorn with the limits of a service."""

    def __init__(self, service: Service, say: Callable[[str], None]) -> None:
        drain = service.settings.drain_s
        config: dict[str, Any] = {"http": "h11", "ws": "none", "lifespan": "off", "timeout_graceful_shutdown": drain}
        config |= {"log_config": None, "log_level": "warning", "access_log": False}
        config |= {"server_header": False, "proxy_headers": False}
        super().__init__(uvicorn.Config(application(service), **config))
        self.service, self.say, self.interrupted = service, say, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.interrupted = self.interrupted or sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        where = address_of(sockets[0], self.service.settings.host)
        self.say(f"serving {self.service.served.committee.label()} at {where}, POST {where}/predict; Ctrl-C ends it")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        lost = sum(not task.done() for task in self.server_state.tasks)
        await self.service.close()
        if lost:
            self.say(f"gave up {counted(lost, 'request')} without an answer after {self.service.settings.drain_s:g} s")
