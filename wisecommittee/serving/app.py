"""The HTTP side of a service: paths, statuses and headers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from wisecommittee.errors import WiseCommitteeError
from wisecommittee.serving.body import read_body
from wisecommittee.serving.guard import Guard
from wisecommittee.serving.metrics import CONTENT_TYPE
from wisecommittee.serving.page import POLICY, page
from wisecommittee.serving.refusal import Refusal
from wisecommittee.serving.schema import PREDICT
from wisecommittee.serving.service import Service, first_of
from wisecommittee.text import as_json
from wisecommittee.version import __version__

log = logging.getLogger(__name__)
PATHS = "this server has POST /predict and GET /, /health, /metrics, /committee.json, /openapi.json"


def application(service: Service) -> FastAPI:
    """The ASGI application of a service."""
    committee = service.served.committee

    async def predict(request: Request) -> Response:
        started = time.perf_counter()
        response = await _predicted(service, request)
        status, seconds = response.status_code, time.perf_counter() - started
        service.counts.requests.add(status=status)
        service.counts.request_seconds.observe(seconds, status=status)
        return response

    async def health() -> Response:
        words = {"status": "ready" if service.ready else "warming up", "committee": committee.label()}
        return _json(words, 200 if service.ready else 503)

    async def metrics() -> Response:
        return Response(service.counts.text(), media_type=CONTENT_TYPE)

    async def committee_json() -> Response:
        return _json(committee.to_json())

    async def model_page(request: Request) -> Response:
        shown = page(service, str(request.base_url).rstrip("/"))
        return Response(shown, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _json({"error": f"{error.detail}; {PATHS}"}, error.status_code, error.headers)
        return _json({"error": Refusal.of(error).line}, 500)

    app = FastAPI(title="wisecommittee", version=__version__, docs_url=None, redoc_url=None)
    app.add_api_route("/predict", predict, methods=["POST"], response_model=None, **PREDICT)
    for path, endpoint in (("/health", health), ("/metrics", metrics), ("/committee.json", committee_json)):
        app.add_api_route(path, endpoint, methods=["GET"], response_model=None)
    app.add_api_route("/", model_page, methods=["GET"], response_model=None, include_in_schema=False)
    for kind in (HTTPException, Exception):
        app.add_exception_handler(kind, refused)
    app.add_middleware(Guard, loopback=service.settings.is_loopback)
    return app


async def _predicted(service: Service, request: Request) -> Response:
    """The answer to a request, or the refusal that says why there is none."""
    settings, query = service.settings, request.query_params
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        with service.room.share() as share:
            body = await read_body(
                request.stream(), request.headers.get("content-length"), share,
                largest=settings.max_body, seconds=settings.timeout,
            )  # fmt: skip
            work = service.decide(kind, body, query.getlist("unit_id"), query.get("features"), share)
            answered = await first_of(work, _gone(request), settings.timeout)
    except asyncio.CancelledError:  # requests are waited for long enough at the end of the server
        return _refusal(service, Refusal(503, "the server ends and cannot wait for the decision", retry=1))
    except Exception as error:
        return _refusal(service, error)
    if answered is None:
        return _refusal(service, ClientDisconnect())
    return _json(answered)


async def _gone(request: Request) -> None:
    """Ends when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refusal(service: Service, error: Exception) -> Response:
    """The answer to a request during which an error was raised."""
    if isinstance(error, ClientDisconnect):
        service.counts.failures.add(reason="disconnected")
        return Response(status_code=400)
    refusal = Refusal.of(error)
    service.counts.failures.add(reason=refusal.reason)
    if not isinstance(error, WiseCommitteeError):
        log.error("a defect of the server: %s", error, exc_info=error)
    elif refusal.status == 500:
        log.error("%s", refusal.line)
    headers = {} if refusal.retry is None else {"Retry-After": str(refusal.retry)}
    return _json({"error": refusal.line}, refusal.status, headers)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(as_json(content), status, headers, "application/json")
