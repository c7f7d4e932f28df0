"""Requests that get no decisions: the status says why, one line says what is expected, and the next one is answered."""

from __future__ import annotations

import io
import pickle
import socket
import threading
import time

import numpy as np
import pytest
from linear_members import CASCADE, INPUTS, WEIGHTS, X, served
from servers import running, until

from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.serving.body import Room
from wisecommittee.serving.refusal import Refusal

ROW = X[0].tolist()


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def announcing(shape):
    """A .npy of one number whose head announces more."""
    return npy(np.zeros((1, 1))).replace(b"(1, 1), }" + b" " * (len(str(shape)) - 6), f"{shape}, }}".encode())


JSON, NPY = "application/json", "application/x-npy"
REFUSED = {
    "no JSON": (400, b"{", JSON, "not JSON"),
    "not UTF-8": (400, b"\xff\xfe", JSON, "not JSON"),
    "NaN": (400, b'{"inputs": [[NaN]]}', JSON, "NaN is not finite"),
    "infinity": (400, b'{"inputs": [[-Infinity]]}', JSON, "Infinity is not finite"),
    "too large for 64 bits": (400, b'{"inputs": [[1e999]]}', JSON, "not finite"),
    "a field twice": (400, b'{"inputs": [], "inputs": []}', JSON, "stands twice"),
    "nested without end": (400, b'{"inputs": ' + b"[" * 60_000, JSON, "nested more than"),
    "too large for 32 bits": (422, {"inputs": [ROW, [1e300] * INPUTS]}, JSON, "unit 1 has numbers that are not finite"),
    "no inputs": (422, {"unit_ids": []}, JSON, 'an object with "inputs"'),
    "no object": (422, [ROW], JSON, 'an object with "inputs"'),
    "an unknown field": (422, {"inputs": [ROW], "input_ids": []}, JSON, "unknown field 'input_ids'"),
    "no units": (422, {"inputs": []}, JSON, "which holds no unit; expected numbers of shape [n, 8]"),
    "one unit without its list": (422, {"inputs": ROW}, JSON, "float64 of shape [8]; expected numbers of shape [n, 8]"),
    "another shape": (422, {"inputs": [ROW[:7]]}, JSON, "shape [1, 7]; expected numbers of shape [n, 8]"),
    "ragged lists": (422, {"inputs": [ROW, ROW[:7]]}, JSON, "lists of different lengths"),
    "texts": (422, {"inputs": [list("12345678")]}, JSON, "nested lists of numbers"),
    "booleans": (422, {"inputs": [[True] * INPUTS]}, JSON, "nested lists of numbers"),
    "no number": (422, {"inputs": [[None] * INPUTS]}, JSON, "nested lists of numbers"),
    "an object in place of lists": (422, {"inputs": {"a": ROW}}, JSON, "nested lists of numbers"),
    "ids that are no texts": (422, {"inputs": [ROW], "unit_ids": [1]}, JSON, "unit_ids: expected a list of texts"),
    "too few ids": (422, {"inputs": [ROW, ROW], "unit_ids": ["a"]}, JSON, "unit_ids: 1 for 2 units"),
    "features in a list": (422, {"inputs": [ROW], "features": [1]}, JSON, "features: expected an object of lists"),
    "too few features": (422, {"inputs": [ROW], "features": {"x": []}}, JSON, "feature 'x': 0 values for 1 units"),
    "features of no kind": (422, {"inputs": [ROW], "features": {"x": [None]}}, JSON, "expected finite numbers"),
    "another kind of body": (415, b"a,b", "text/csv", "expected one of application/json, application/x-npy"),
    "no kind": (415, b"{}", None, "Content-Type 'missing'"),
    "an image for numbers": (415, b"\xff\xd8", "image/jpeg", "the members prepare no images"),
    "no array": (422, b"no array", NPY, "inputs: "),
    "a pickle": (422, pickle.dumps(ROW), NPY, "inputs: "),
    "an array of objects": (422, npy(np.array([{}]), allow_pickle=True), NPY, "never loaded"),
    "an array of text": (422, npy(np.array(["a"])), NPY, "expected numbers of shape [n, 8]"),
    "a single value": (422, npy(np.float32(1)), NPY, "a single value"),
    "an array cut short": (422, npy(X)[:-1], NPY, "bytes announced"),
    "an array with more behind it": (422, npy(X) + b"\0", NPY, "bytes announced"),
    "an array that claims much": (422, announcing((99999999, 99999999)), NPY, "bytes announced"),
    "NaN in an array": (422, npy(np.full((1, INPUTS), np.nan)), NPY, "not finite"),
    "an array of no units": (422, npy(X[:0]), NPY, "shape [0, 8], which holds no unit"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, server):
    status, body, kind, says = REFUSED[case]
    answer = server.predict(body, kind)
    assert (answer.status, [*answer.json]) == (status, ["error"])
    assert says in answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert "Traceback" not in answer.json["error"]
    assert len(answer.json["error"]) <= 500
    assert server.predict({"inputs": [ROW]}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "headers"),
    [
        ("GET", "/predict", 405, {}),
        ("POST", "/health", 405, {}),
        ("GET", "/docs", 404, {}),
        ("GET", "/redoc", 404, {}),
        ("GET", "/../committee.json", 404, {}),
        ("GET", "/", 421, {"Host": "evil.example"}),
        ("GET", "/", 421, {"Host": "127.0.0.1.evil.example:80"}),
        ("GET", "/committee.json", 200, {"Host": "localhost:1"}),
        ("GET", "/committee.json", 200, {"Host": "[::1]:80"}),
    ],
)
def test_paths_methods_and_hosts(method, path, status, headers, server):
    answer = server.ask(method, path, **headers)
    assert answer.status == status
    assert status == 200 or [*answer.json] == ["error"]
    assert status not in (404, 405) or "POST /predict" in answer.json["error"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_policy_that_needs_ids_says_so():
    with running(served(mixture(CASCADE, CASCADE, 0.5))) as server:
        answer = server.predict({"inputs": [ROW]})
    assert answer.status == 422
    assert "decides by unit ids" in answer.json["error"]


# Limits


def test_a_body_is_refused_by_its_announced_length_before_it_is_sent(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_counted_while_it_is_read(server):
    def chunks():
        for _ in range(40):
            yield b" " * 10_000

    answer = server.ask("POST", "/predict", chunks(), JSON)
    assert answer.status == 413
    assert "0.2 MB" in answer.json["error"]
    assert server.service.room.taken == 0
    assert server.predict({"inputs": [ROW] * 2}).status == 200


def test_a_body_that_does_not_come_is_not_waited_for():
    with (
        running(served(), timeout=0.2) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection,
    ):
        head = (
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        connection.sendall(head + b"{")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_units_beyond_those_that_may_wait_are_refused_for_good():
    with running(served(), max_waiting=5) as server:
        answer = server.predict({"inputs": [ROW] * 6})
        assert (answer.status, answer.headers.get("Retry-After")) == (413, None)
        assert "5 at a time" in answer.json["error"]
        assert server.predict({"inputs": [ROW] * 5}).status == 200


def test_memory_of_all_requests_is_bounded():
    room = Room(100)
    with room.share() as one:
        one.take(60)
        with room.share() as other:
            other.take(30)
            with pytest.raises(Refusal, match="too many large requests") as refused:
                other.take(30)
        assert (refused.value.status, refused.value.retry, room.taken) == (503, 1, 60)
    assert room.taken == 0


class Gate:
    """A member that may be told to wait before it answers, and notes how many units it gets."""

    def __init__(self):
        self.open, self.sizes = threading.Event(), []
        self.open.set()

    def __call__(self, x):
        self.sizes.append(len(x))
        assert self.open.wait(60)
        return x @ WEIGHTS["a"]


def ask_aside(server, answers):
    thread = threading.Thread(target=lambda: answers.append(server.predict({"inputs": [ROW]}).status))
    thread.start()
    return thread


def test_requests_that_overload_are_refused_and_the_others_answered():
    gate, answers = Gate(), []
    with running(served(a=gate), max_waiting=2, max_wait_ms=0) as server:
        gate.open.clear()
        seen = len(gate.sizes)
        threads = [ask_aside(server, answers)]
        until(lambda: len(gate.sizes) > seen)
        threads.append(ask_aside(server, answers))
        until(lambda: server.service.waiting() == 2)
        refused = server.predict({"inputs": [ROW]})
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        gate.open.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert server.predict({"inputs": [ROW]}).status == 200


def test_a_request_that_takes_too_long_is_given_up():
    gate = Gate()
    with running(served(a=gate), timeout=0.2) as server:
        gate.open.clear()
        answer = server.predict({"inputs": [ROW]})
        gate.open.set()
        assert answer.status == 504
        assert "within 0.2 s" in answer.json["error"]
        assert server.predict({"inputs": [ROW]}).status == 200
        assert server.service.counts.failures.values[("reason", "timeout"),] == 1


def test_a_member_that_hangs_does_not_keep_the_server():
    gate, answers = Gate(), []
    with running(served(a=gate), drain_s=0.1, max_wait_ms=0) as server:
        gate.open.clear()
        seen = len(gate.sizes)
        thread = ask_aside(server, answers)
        until(lambda: len(gate.sizes) > seen)
    thread.join()
    gate.open.set()
    assert answers == [503]
    assert server.said[1:] == ["gave up 1 request without an answer after 0.1 s"]


def test_a_client_that_has_gone_takes_its_units_along():
    gate = Gate()
    with running(served(a=gate), max_wait_ms=0) as server:
        gate.open.clear()
        seen, answers = len(gate.sizes), []
        thread = ask_aside(server, answers)
        until(lambda: len(gate.sizes) > seen)  # the member is busy, so the next units wait
        body = b'{"inputs": [[1, 2, 3, 4, 5, 6, 7, 8]]}'
        head = (
            f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(head.encode() + body)
            until(lambda: server.service.waiting() == 2)
        until(lambda: server.service.waiting() == 1)
        gate.open.set()
        thread.join()
        assert answers == [200]
        assert len(gate.sizes) == seen + 1
        assert server.service.counts.failures.values[("reason", "disconnected"),] == 1


def test_a_client_that_goes_within_its_body_is_counted(server):
    counts = server.service.counts.failures.values
    before = counts.get((("reason", "disconnected"),), 0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.05)
    until(lambda: counts.get((("reason", "disconnected"),), 0) == before + 1)


# Members that fail


def raising(x):
    if x[0, 0] == 7:
        raise RuntimeError("no\nluck")
    return x @ WEIGHTS["a"]


def without_numbers(x):
    return np.where(x[:, :1] == 7, np.nan, x @ WEIGHTS["a"])


def of_another_shape(x):
    return (x @ WEIGHTS["a"])[: 1 if x[0, 0] == 7 else None, :]


@pytest.mark.parametrize(
    ("member", "says"), [(raising, "RuntimeError: no luck"), (without_numbers, "nan"), (of_another_shape, "shape")]
)
def test_a_member_that_fails_is_named_and_the_server_goes_on(member, says, caplog):
    with running(served(a=member)) as server:
        answer = server.predict({"inputs": [[7] * INPUTS] * 2})
        assert answer.status == 500
        assert answer.json["error"].startswith("a: ")
        assert says in answer.json["error"]
        assert "\n" not in answer.json["error"]
        assert server.predict({"inputs": [ROW]}).status == 200
    assert [record.exc_info for record in caplog.records] == [None]


def test_a_defect_of_the_server_tells_its_log_and_not_the_client(caplog, monkeypatch):
    monkeypatch.setattr("wisecommittee.serving.service.answer", None)
    with running(served()) as server:
        answer = server.predict({"inputs": [ROW]})
    assert (answer.status, answer.json) == (500, {"error": "the server failed on this request; its log says more"})
    assert any(record.exc_info for record in caplog.records)


def test_nothing_is_decided_before_the_members_are_warm(server):
    server.service.ready = False
    try:
        refused = server.predict({"inputs": [ROW]})
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert server.ask("GET", "/health").status == 503
    finally:
        server.service.ready = True
    assert server.ask("GET", "/health").json == {"status": "ready", "committee": "a | b | c"}
