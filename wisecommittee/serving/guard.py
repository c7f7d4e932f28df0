"""What every request passes: the host it names, and headers of every answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wisecommittee.serving.settings import is_loopback
from wisecommittee.text import as_json

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Guard:
    """Middleware that refuses requests for other hosts than loopback, if the server listens there, and adds HEADERS.

    A page in a browser on this machine may name its own host, which its owner lets point to 127.0.0.1, and would
    otherwise read every answer.
    """

    def __init__(self, app: ASGIApp, loopback: bool) -> None:
        self.app, self.loopback = app, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        if self.loopback and not is_loopback(_host(scope)):
            says = as_json({"error": "this server answers to localhost and 127.0.0.1 only"})
            app = Response(says, 421, media_type="application/json")
        await app(scope, receive, sending)


def _host(scope: Scope) -> str:
    """The host that a request names, without its port."""
    named = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    return named.partition("]")[0] + "]" if named.startswith("[") else named.partition(":")[0]
