"""Serves a committee over HTTP until Ctrl-C."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import MissingExtraError, UsageError, option
from wisecommittee.runtime.runtime import Runtime
from wisecommittee.serving.listening import listening
from wisecommittee.serving.served import Served
from wisecommittee.serving.settings import Settings


def serve(
    committee: Committee | Runtime | str | os.PathLike[str],
    models: Any = None,
    *,
    input_size: Sequence[int] | None = None,
    settings: Settings | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    **loading: Any,
) -> None:
    """Serve a committee over HTTP, until Ctrl-C or SIGTERM; requests under way are then still answered.

    POST /predict decides about units; GET /health, /metrics (Prometheus), /committee.json, /openapi.json and / (a
    page) say how it is. There is no authentication and no encryption.

    Parameters
    ----------
    committee : Committee, Runtime or path
        A path is the path of a committee.json, whose members are loaded as by `deploy`. A Runtime is served as it is;
        its members get float32 [n, *input_size].
    models : {member: spec, torch module, function or scikit-learn estimator}, optional
        As of `deploy`.
    input_size : sequence of int, optional
        Shape of the numbers of one unit, where neither the models nor the store say it.
    settings : Settings, optional
        Address and limits.
    say : callable
        Gets a line when the server is ready, and one when it ends; by default printed on stderr.
    **loading
        store, data, replay, preprocess, trust, force, device, precision, softmax: as of `deploy`.

    Raises
    ------
    WiseCommitteeError
        The members cannot be loaded or run, or the address cannot be listened on.
    MissingExtraError
        FastAPI or uvicorn is not installed.
    KeyboardInterrupt
        After Ctrl-C, when the requests under way are answered.
    """
    try:
        from wisecommittee.serving.running import run_until_told
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "uvicorn", "starlette"):
            raise
        raise MissingExtraError("fastapi" if error.name != "uvicorn" else "uvicorn", "serve") from error
    settings = settings or Settings()
    with listening(settings) as place:
        if not isinstance(committee, Runtime):
            from wisecommittee.serving.loading import deployed

            served = deployed(committee, models, shape=input_size, batch_size=settings.max_batch, **loading)
        elif models is not None or loading:
            given = ", ".join(loading if models is None else ["models", *loading])
            raise UsageError(
                f"{given}: a Runtime has its members and is served as it is; leave it out, and give address and limits "
                f"as {option('settings', placeholder='Settings(port=8000)')}"
            )
        elif input_size is None:
            raise UsageError(f"a runtime is served with {option('input_size', placeholder='SHAPE')} of one unit")
        else:
            served = Served.of_runtime(committee, input_size)
        run_until_told(served, settings, place, say)
