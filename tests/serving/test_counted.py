"""What a server counts, and the pages that show it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from linear_members import CASCADE, X, served
from servers import running

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.serving.metrics import Counter as Counted
from wisecommittee.serving.metrics import Gauge, Histogram, exposition

LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\["\\n])*)"')
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def parsed(text):
    """{(name, labels): number} by the grammar of the format; every sample stands below the TYPE of its family."""
    assert text.endswith("\n")
    samples, family, kinds = {}, "", {}
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            kinds[name] = kind
        else:
            head, number = line.rsplit(" ", 1)
            name, _, inner = head.partition("{")
            assert name in (family, *(f"{family}{part}" for part in ("_bucket", "_sum", "_count")))
            labels = {key: re.sub(r'\\["\\n]', lambda m: ESCAPES[m[0]], value) for key, value in LABEL.findall(inner)}
            assert inner == "" or LABEL.sub("", inner).strip(",") == "}"
            assert (name, tuple(sorted(labels.items()))) not in samples
            samples[name, tuple(sorted(labels.items()))] = float(number.replace("+Inf", "inf"))
    return samples, kinds


def test_labels_and_help_are_escaped():
    counter, gauge = Counted("a_total", "one \\ two\nthree"), Gauge("b", "x", lambda: 0.25)
    counter.add(2, name='quote " back \\ line \n end')
    counter.add(0.5, name='quote " back \\ line \n end')
    samples, kinds = parsed(exposition([counter, gauge]))
    assert kinds == {"a_total": "counter", "b": "gauge"}
    assert samples == {
        ("a_total", (("name", 'quote " back \\ line \n end'),)): 2.5,
        ("b", ()): 0.25,
    }


def test_histograms_count_what_is_at_most_each_bound():
    values = np.random.default_rng(0).choice([0.5, 1, 1.5, 2, 7], 40)
    histogram = Histogram("h", "x", (1, 2))
    for value in values:
        histogram.observe(float(value), kind="k")
    samples, _ = parsed(exposition([histogram]))
    for bound, text in ((1, "1"), (2, "2"), (np.inf, "+Inf")):
        assert samples["h_bucket", (("kind", "k"), ("le", text))] == (values <= bound).sum()
    assert samples["h_sum", (("kind", "k"),)] == values.sum()
    assert samples["h_count", (("kind", "k"),)] == 40


def test_counts_are_those_of_the_answers():
    committee = replace(CASCADE, policy=Abstaining(CASCADE.policy, (0.95, None, 0.7)))
    units = []
    with running(served(committee), max_wait_ms=0) as server:
        for size in (1, 2, 40):
            units += server.predict({"inputs": X[:size].tolist()}).json["units"]
        server.predict(b"{", "application/json")
        samples, kinds = parsed(server.ask("GET", "/metrics").body.decode())
    prefix = "wisecommittee_"
    for stage, count in Counter(unit["stage"] for unit in units).items():
        assert samples[prefix + "exits_total", (("stage", str(stage)),)] == count
    assert samples[prefix + "unanswered_total", ()] == sum(unit["prediction"] is None for unit in units) > 0
    assert samples[prefix + "cost_total", (("cost", "flops"),)] == sum(unit["cost"] for unit in units)
    assert samples[prefix + "requests_total", (("status", "200"),)] == 3
    assert samples[prefix + "requests_total", (("status", "400"),)] == 1
    assert samples[prefix + "failures_total", (("reason", "request"),)] == 1
    assert samples[prefix + "request_seconds_count", (("status", "200"),)] == 3
    for stage in range(1, 4):
        reached = sum(unit["stage"] >= stage for unit in units)
        assert samples[prefix + "batch_units_sum", (("stage", str(stage)),)] == reached
        batches = samples[prefix + "batch_units_count", (("stage", str(stage)),)]
        assert samples[prefix + "stage_seconds_count", (("stage", str(stage)),)] == batches <= reached
    assert samples[prefix + "waiting_units", ()] == 0
    assert set(kinds.values()) == {"counter", "gauge", "histogram"}


# The page


class Seen(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


HOSTILE = '<script src="http://evil.example/x.js"></script>&\x1b[2J'


@pytest.fixture(scope="module")
def page():
    committee = replace(
        CASCADE,
        stages=(("a",), ("b",), (HOSTILE,)),
        members={},
        chosen_on=HOSTILE,
        guarantee=({"statement": f"accuracy >= 0.9 {HOSTILE}", "delta": 0.1, "method": HOSTILE, "n": 5},),
        expected={"quality": 0.912345, "interval": [0.9, 0.92], "average_cost": 25.5, "cost_interval": "none"},
    )
    with running(served(committee, **{HOSTILE: lambda x: x[:, :3]})) as server:
        server.predict({"inputs": X[:10].tolist()})
        server.predict(b"{", "application/json")
        yield server.ask("GET", "/")


def test_the_page_loads_nothing_and_runs_nothing(page):
    seen = Seen(page.body.decode())
    names = {tag for tag, _ in seen.tags}
    assert not names & {"script", "iframe", "object", "embed", "form", "base", "meta-refresh", "img"}
    for tag, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")]
        assert tag != "link" or attributes == {"rel": "icon", "href": "data:,"}
        assert attributes.get("href", "/").startswith(("/", "data:,"))
        assert attributes.get("http-equiv") is None
    (style,) = re.findall(r"<style>(.*?)</style>", page.body.decode(), re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert "\x1b" not in page.body.decode()


def test_the_policy_of_the_page_allows_its_style_alone(page):
    import base64
    import hashlib

    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    (style,) = re.findall(r"<style>(.*?)</style>", page.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert "script-src" not in policy


def test_the_page_says_what_is_served(page):
    text = re.sub(r"\s+", " ", " ".join(Seen(page.body.decode()).text))
    assert "max_prob >= 0.9" in text
    assert '<script src="http://evil.example/x.js"></script>&\\x1b[2J' in text
    assert "91.23 % [90, 92]" in text
    assert "expected average flops 25.5" in text
    assert "units 10" in text
    assert "requests answered with 200 1" in text
    assert "requests without decisions: request 1" in text
    assert "No authentication" in text


def test_committee_json_is_the_committee(server):
    assert Committee.from_json(server.ask("GET", "/committee.json").json) == server.service.served.committee
    described = server.ask("GET", "/openapi.json").json["paths"]
    assert {*described} == {"/predict", "/health", "/metrics", "/committee.json"}
    assert {*described["/predict"]["post"]["responses"]} >= {"200", "413", "422", "503", "504"}
