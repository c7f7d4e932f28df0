"""wisecommittee serve: a committee over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import say
from .leaving import leave


def serve(
    committee: Annotated[Path, typer.Argument(help="committee.json written by search --save.")],
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=SPEC..", help="Members and the specs they are loaded from, instead of the cards."),
    ] = None,
    store: options.MembersStore = None,
    trust: options.Trust = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback anybody who reaches it can use it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = 8000,
    max_batch: Annotated[int, typer.Option(help="Most units that a stage runs at once.", min=1)] = 64,
    max_wait_ms: Annotated[
        float, typer.Option(help="Longest time that a unit waits for others before a stage.", min=0)
    ] = 5.0,
    max_body_mb: Annotated[float, typer.Option(help="Largest body of a request, in millions of bytes.")] = 16.0,
    max_waiting: Annotated[
        int, typer.Option(help="Most units under way; requests beyond them get status 503.", min=1)
    ] = 4096,
    timeout: Annotated[float, typer.Option(help="Seconds until a request without decisions gets status 504.")] = 30.0,
    input_size: Annotated[
        str | None, typer.Option(help="Shape of one unit, 3,224,224, where neither models nor store say it.")
    ] = None,
    preprocess: options.LentPreprocess = None,
    softmax: options.Softmax = False,
    force: options.Force = False,
    device: options.Device = "auto",
) -> None:
    """Serve a committee over HTTP: POST /predict with JSON, .npy or an image; GET /health, /metrics and / (a page).

    Units of requests that come at the same time run together, stage by stage. Meant for trying and for small services:
    there is no authentication and no encryption, and it listens on this machine alone unless --host names another
    address. Ctrl-C answers the requests under way first. Needs the extra: pip install 'wisecommittee[serve]'.

    **Examples**

    `wisecommittee serve committee.json`

    `wisecommittee serve committee.json b3=timm:tf_efficientnet_b3@b3.pt b5=timm:tf_efficientnet_b5@b5.pt --port 9000`

    `curl -d '{"inputs": [[0.1, 0.2, 0.3]]}' -H 'Content-Type: application/json' http://127.0.0.1:8000/predict`

    `curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict`
    """
    from wisecommittee.serving.serve import serve
    from wisecommittee.serving.settings import Settings

    settings = Settings(host, port, max_batch, max_wait_ms, max_waiting, max_body_mb, timeout)
    try:
        serve(
            committee,
            dict(map(options.named_spec, models or ())),
            store=store,
            trust=trust,
            preprocess=preprocess,
            softmax=softmax,
            force=force,
            device=device,
            input_size=tuple(options.whole_numbers("--input-size", [input_size])) if input_size else None,
            settings=settings,
            say=say,
        )
    except KeyboardInterrupt:
        leave("interrupted; requests under way were waited for")
