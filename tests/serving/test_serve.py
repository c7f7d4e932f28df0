"""The command and the function that serve: what is said, refused and ended; and images, through torch members."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from linear_members import CASCADE, INPUTS, NAMES, X, functions
from PIL import Image
from processes import ended
from servers import running
from torch import nn

import wisecommittee as wc
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import MissingExtraError, TrustError, UsageError, WiseCommitteeError
from wisecommittee.extraction.models.loaded import LoadedModel
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.serving.listening import listening
from wisecommittee.serving.loading import deployed
from wisecommittee.serving.settings import Settings, is_loopback

torch.set_num_threads(1)


# The command


def test_a_port_that_is_in_use_is_named(run, tmp_path):
    CASCADE.save(tmp_path / "committee.json")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run("serve", tmp_path / "committee.json", "--port", port)
    assert (code, out) == (1, "")
    assert err == f"error: port {port} of 127.0.0.1 is in use; choose another with --port, 0 for a free one\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("none.json",), 1, "none.json: no such file"),
        (("committee.json", "--max-body-mb", "0"), 2, "--max-body-mb 0; expected a number above 0"),
        (("committee.json", "--timeout", "nan"), 2, "--timeout nan; expected a finite number from 0"),
        (("committee.json", "--store", "nowhere"), 1, "there is no store at 'nowhere'"),
        (("committee.json", "--port", "70000"), 2, "--port"),
        (("committee.json", "a"), 2, "'a': expected NAME=SPEC"),
        (("committee.json", "--input-size", "3,x"), 2, "--input-size 'x': expected whole numbers"),
        (("committee.json", "--host", "no.such.host.invalid"), 1, "no address of that name; name one with --host"),
    ],
)
def test_mistakes_of_the_command(arguments, code, says, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CASCADE.save("committee.json")
    ended_with, out, err = run("serve", *arguments, *(() if "--port" in arguments else ("--port", "0")))
    assert (ended_with, out) == (code, "")
    assert says in err
    assert err.count("\n") == 1


def test_help_has_examples(run):
    code, out, _ = run("serve", "--help")
    assert code == 0
    assert "no authentication" in " ".join(out.split())
    assert "curl" in out


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("fastapi", "wisecommittee.serving"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    from wisecommittee.serving.serve import serve

    with pytest.raises(MissingExtraError, match=r"fastapi is not installed; run: pip install 'wisecommittee\[serve\]'"):
        serve(wc.Runtime(CASCADE, functions()), input_size=(INPUTS,))


ALONE = """
import sys
import numpy as np
sys.path[:0] = sys.argv[1:]
from linear_members import CASCADE, INPUTS, WEIGHTS, functions
import wisecommittee as wc
from wisecommittee.cli.leaving import leave
from wisecommittee.serving.settings import Settings

def slow(x):
    if x[0, 0] == 7:
        print("busy", flush=True)
        sys.stdin.readline()
    return x @ WEIGHTS["a"]

try:
    runtime = wc.Runtime(CASCADE, functions(a=slow))
    wc.serve(runtime, input_size=(INPUTS,), settings=Settings(port=0), say=lambda line: print(line, flush=True))
except KeyboardInterrupt:
    print("torch" in sys.modules, flush=True)
    leave("interrupted")
"""


def test_ctrl_c_answers_what_is_under_way_and_needs_no_torch():
    support = Path(__file__).parents[1] / "support"
    process = subprocess.Popen(
        [sys.executable, "-c", ALONE, str(support)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with ended(process):
        line = process.stdout.readline()
        assert line.startswith("serving a | b | c at http://127.0.0.1:"), process.stderr.read()
        port = int(line.split("127.0.0.1:")[1].split(",")[0])
        body = b'{"inputs": [[7, 0, 0, 0, 0, 0, 0, 0]]}'
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            assert process.stdout.readline() == "busy\n"
            process.send_signal(signal.SIGINT)
            threading.Timer(0.3, lambda: (process.stdin.write("\n"), process.stdin.flush())).start()
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert process.wait(60) == 130
        assert process.stdout.read() == "False\n"
        assert process.stderr.read() == "error: interrupted\n"


# Addresses


def test_answers_are_sent_without_delay():
    """asyncio turns Nagle's algorithm off where the protocol is named, and only there: 40 ms for each answer."""
    with listening(Settings(port=0)) as place:
        assert place.proto == socket.IPPROTO_TCP


def test_only_addresses_beyond_loopback_are_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for host in ("127.0.0.1", "localhost"):
            listening(Settings(host=host, port=0)).close()
    with pytest.warns(UserWarning, match="no authentication and no encryption"):
        listening(Settings(host="0.0.0.0", port=0)).close()


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("LOCALHOST", True), ("::1", True), ("[::1]", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_loopback(host, local):
    assert is_loopback(host) == local


# Members that are torch modules


def picture_model(name, shade):
    """Logits from the mean of an image, through a preprocessing of its own."""

    def whole(image):
        return torch.from_numpy(np.array(image).transpose(2, 0, 1).copy()).float()[:, :4, :4] / shade

    torch.manual_seed(len(name))
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    nn.init.normal_(module[2].weight)
    preprocess = Preprocess(f"shade {shade}", (3, 4, 4), whole)
    return LoadedModel.called(name, module.eval(), "made", "w" + name, input_size=(3, 4, 4), preprocess=preprocess)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_images_go_through_the_preprocessing_of_the_members():
    committee = Committee((("a",), ("bb",)), Thresholds((0.78,)))
    models = {"a": picture_model("a", 64), "bb": picture_model("bb", 200)}
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
    ready = deployed(committee, models, device="cpu", classes=NAMES)
    expected = ready.runtime([Image.fromarray(each) for each in pixels])
    assert 0 < (expected.stage == 0).sum() < 12
    with running(ready, max_wait_ms=1, max_body_mb=0.5) as server:
        file = io.BytesIO()
        np.save(file, pixels)
        together = server.predict(file.getvalue(), "application/x-npy").json["units"]
        alone = [
            unit
            for each in pixels
            for unit in server.predict(encoded(Image.fromarray(each), "PNG"), "image/png").json["units"]
        ]
        for units in (together, alone):
            assert [unit["prediction"] for unit in units] == expected.prediction.tolist()
            assert [unit["stage"] - 1 for unit in units] == expected.stage.tolist()
            assert [unit["class"] for unit in units] == expected.names
            np.testing.assert_allclose([unit["confidence"] for unit in units], expected.confidence, rtol=1e-5)
            assert {unit["cost"] for unit in units} == {None}
        jpeg = encoded(Image.fromarray(pixels[0]), "JPEG")
        assert server.predict(jpeg, "image/jpeg").status == 200
        tensors = rng.normal(size=(3, 3, 4, 4)).astype(np.float32)
        said = server.predict({"inputs": tensors.tolist()}).json["units"]
        assert [unit["prediction"] for unit in said] == ready.runtime(torch.from_numpy(tensors)).prediction.tolist()
        for body in (jpeg[:100], b"", b"GIF89a", encoded(Image.new("1", (20_000, 20_000)), "PNG")):
            refused = server.predict(body, "image/png")
            assert (refused.status, refused.json["error"][:28]) == (422, "the image cannot be decoded ")
    ready.runtime.close()


def test_shapes_that_nothing_says_are_asked_for():
    linear = nn.Linear(INPUTS, 3)
    committee = Committee((("a",),))
    with pytest.raises(UsageError, match="a: the shape of an input is not known"):
        deployed(committee, {"a": linear}, device="cpu")
    ready = deployed(committee, {"a": linear}, device="cpu", shape=(INPUTS,))
    with running(ready) as server, torch.no_grad():
        said = server.predict({"inputs": X.tolist()}).json["units"]
    assert [unit["prediction"] for unit in said] == linear(torch.from_numpy(X)).argmax(dim=1).tolist()
    with pytest.raises(WiseCommitteeError, match="a: "), running(deployed(committee, {"a": linear}, shape=(5,))):
        pass
    with pytest.raises(UsageError, match="input_size"):
        wc.serve(wc.Runtime(CASCADE, functions()), settings=Settings(port=0))


@pytest.mark.parametrize("given", [{"port": 0}, {"models": {}}, {"store": "logits"}])
def test_what_a_runtime_would_not_read_is_refused(given):
    with pytest.raises(UsageError, match=f"{next(iter(given))}: a Runtime .* served as it is"):
        wc.serve(wc.Runtime(CASCADE, functions()), input_size=(INPUTS,), settings=Settings(port=0), **given)


def test_code_that_only_a_card_names_is_not_run(store, tmp_path):
    committee = Committee((("stranger",),))
    other = wc.LogitStore(tmp_path / "logits")
    other.add(
        wc.ModelCard("stranger", blocks={"stranger": 1}, origin="payload:net"), "val",
        labels=X[:, 0] > 0, outputs=X[:, :2].copy(),
    )  # fmt: skip
    with pytest.raises(TrustError, match="payload:net"):
        deployed(committee, store=other)
