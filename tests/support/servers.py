"""A server within the process of a test, on a free port of loopback, and a client for it."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wisecommittee.serving.listening import listening
from wisecommittee.serving.running import Server
from wisecommittee.serving.served import Served
from wisecommittee.serving.service import Service
from wisecommittee.serving.settings import Settings

HUNG = 60  # seconds after which a server is taken to hang


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_constant=_refused)


def _refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@dataclass
class Running:
    """A server at work."""

    service: Service
    server: Server
    port: int
    said: list[str]

    def ask(self, method: str, path: str, body: Any = None, kind: str | None = None, **headers: str) -> Answer:
        """One request on a connection of its own. A body is bytes, an iterator of chunks, or else sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HUNG)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if isinstance(body, (dict, list)):
                body, kind = json.dumps(body), kind or "application/json"
            connection.request(method, path, body, named | ({"Content-Type": kind} if kind else {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def predict(self, body: Any, kind: str | None = None, query: str = "", **headers: str) -> Answer:
        return self.ask("POST", f"/predict{query}", body, kind, **headers)


@contextmanager
def running(served: Served, **settings: Any) -> Iterator[Running]:
    """A server for the block; the requests under way at its end are answered."""
    chosen, said = Settings(port=0, **settings), list[str]()
    service = Service(served, chosen)
    service.warm_up()
    server, place = Server(service, said.append), listening(chosen)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[place])))
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        yield Running(service, server, place.getsockname()[1], said)
    finally:
        server.should_exit = True
        thread.join(HUNG)
        place.close()
    assert not thread.is_alive()


def until(holds: Any) -> None:
    """Wait until it holds."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < HUNG
        time.sleep(0.005)
