"""Load on `wisecommittee serve`: a committee of two convolutional networks beside the larger of them by itself.

    python -m benchmarks.bench_serve --seconds 5

The server runs in a process of its own, the client here: each connection is a thread that sends one image after the
other (.npy, 12 kB) and waits for each answer. The networks have random weights, and the threshold lets a share of the
images exit after the first one, so the figures are of speed alone; nothing is said of accuracy.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

import wisecommittee as wc
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.serving.settings import Settings

SHAPE, IMAGES = (3, 32, 32), 256
WIDTHS = {"small": 16, "large": 64}


def network(name: str) -> nn.Module:
    """Six convolutions of 3 x 3, at three sizes."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before, width = SHAPE[0], WIDTHS[name]
    for _ in range(3):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        before, width = width, 2 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)).eval()


def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(IMAGES, *SHAPE)).astype(np.float32)


def committee(share: float) -> Committee:
    """Exits after the small network for this share of the images."""
    with torch.no_grad():
        sure = network("small")(torch.from_numpy(images())).softmax(dim=1).amax(dim=1).numpy()
    return Committee((("small",), ("large",)), Thresholds((float(np.float32(np.quantile(sure, 1 - share))),)))


def serve(what: str, share: float, wait: float) -> None:
    """Be the server, until told to end."""
    torch.set_num_threads(1)
    chosen = committee(share) if what == "committee" else Committee((("large",),))
    models = {name: network(name) for name in chosen.models}
    settings = Settings(port=0, max_wait_ms=wait)
    with contextlib.suppress(KeyboardInterrupt):
        wc.serve(
            chosen, models, input_size=SHAPE, settings=settings, device="cpu", say=lambda line: print(line, flush=True)
        )


@contextlib.contextmanager
def serving(what: str, share: float, wait: float) -> Iterator[int]:
    """The port of a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_serve", "--serve", what]
    process = subprocess.Popen(
        [*command, "--share", str(share), "--wait", str(wait)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().split("127.0.0.1:")[1].split(",")[0])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Load(NamedTuple):
    """rate : requests per second; p50, p99 : milliseconds until the answer."""

    rate: float
    p50: float
    p99: float


def load(port: int, connections: int, seconds: float) -> Load:
    """Send images over so many connections, after a warm-up of a fifth of the time."""
    bodies = []
    for image in images():
        file = io.BytesIO()
        np.save(file, image[None])
        bodies.append(file.getvalue())
    begin = time.perf_counter() + seconds / 5
    taken: list[list[float]] = [[] for _ in range(connections)]

    def client(number: int) -> None:
        connection, turn = http.client.HTTPConnection("127.0.0.1", port, timeout=60), number
        while (started := time.perf_counter()) < begin + seconds:
            body, turn = bodies[turn % IMAGES], turn + 7
            connection.request("POST", "/predict", body, {"Content-Type": "application/x-npy"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            if started >= begin:
                taken[number].append(time.perf_counter() - started)
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = 1e3 * np.concatenate(taken)
    return Load(len(every) / seconds, *np.percentile(every, (50, 99)).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--share", type=float, default=0.7, help="of the images that exit after the small network")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--waits", type=float, nargs="+", default=[0.0, 5.0], help="--max-wait-ms of the server")
    parser.add_argument("--serve", choices=["committee", "single"], help=argparse.SUPPRESS)
    parser.add_argument("--wait", type=float, default=5.0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.share, asked.wait)
        return
    macs = {name: count_macs(network(name), torch.zeros(1, *SHAPE), name) for name in WIDTHS}
    average = macs["small"] + (1 - asked.share) * macs["large"]
    small, large = (macs[name] / 1e6 for name in ("small", "large"))
    print(f"small {small:.1f} M MACs, large {large:.1f} M; the committee has {macs['large'] / average:.2f}x fewer")
    print("| max-wait-ms | connections | committee req/s | p50 ms | p99 ms | single req/s | p50 ms | p99 ms | req/s |")
    print("|" + "---:|" * 9)
    for wait in asked.waits:
        loads: dict[str, list[Load]] = {}
        for what in ("committee", "single"):
            with serving(what, asked.share, wait) as port:
                loads[what] = [load(port, connections, asked.seconds) for connections in asked.connections]
        for connections, both, one in zip(asked.connections, loads["committee"], loads["single"], strict=True):
            cells = [f"{each.rate:,.0f} | {each.p50:.1f} | {each.p99:.1f}" for each in (both, one)]
            print(f"| {wait:g} | {connections} | {cells[0]} | {cells[1]} | {both.rate / one.rate:.2f}x |")


if __name__ == "__main__":
    main()
