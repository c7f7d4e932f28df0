"""Answers of a server, unit for unit beside the evaluation of the same outputs."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from linear_members import CASCADE, IDS, MEMBERS, NAMES, UNITS, X, served
from servers import running

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policies.agreement import Agreement
from wisecommittee.committees.policies.labels import Labels
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.committees.policies.router import Router
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.searches.units import evaluate_units

LENGTHS = (np.linalg.norm(X, axis=1) - 3).round(4)
COLUMN = {"name": "length", "center": 0.0, "scale": 1.0, "low": -3.0, "high": 3.0, "knots": ()}
PARTS = (
    {"stages": (0, 1), "thresholds": (0.9,), "log_odds": (), "start": 0.0, "weights": (0.0,)},
    {"stages": (2,), "thresholds": (), "log_odds": (), "start": 0.0, "weights": (1.0,)},
)
ALONE = Committee((("c",),), members={"c": MEMBERS["c"]})
COMMITTEES = {
    "thresholds": CASCADE,
    "an ensemble within": Committee((("a", "b"), ("c",)), Thresholds((0.9,)), "logit_gap", members=MEMBERS),
    "dollars": replace(CASCADE, cost="usd", costs={"a": 0.001, "b": 0.003, "c": 0.009}),
    "mixing": mixture(CASCADE, ALONE, 0.4),
    "abstaining": replace(CASCADE, policy=Abstaining(CASCADE.policy, (0.9, None, 0.7))),
    "agreement": replace(CASCADE, policy=Agreement(((None,), (0.4, -3.4028234663852886e38)), ("c", "b", "a"))),
    "labels": replace(CASCADE, policy=Labels((0,), ((0,), (0, 1), (0, 2)),
                      ((0.5, 0.95), (0.6, 0.9), (0.7, 0.9)), ((2, 1), (2, 2), (1, 1)))),
    "router": replace(CASCADE, policy=Router((COLUMN,), PARTS, {"flops": 1.0})),
}  # fmt: skip


@pytest.fixture(scope="module")
def featured(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "features.csv"
    lines = [f"{unit},{length}" for unit, length in zip(IDS, LENGTHS.tolist(), strict=True)]
    path.write_text("\n".join(["unit_id,length", *lines]) + "\n")
    return store.with_features(path)


def expected_rows(committee, store):
    """The rows of `evaluate --units`, in the form of answers; members by the definition of a stage."""
    table = evaluate_units(committee, store, "val")
    for row in table.to_dict("records"):
        name = str(row["prediction"])
        number = NAMES.index(name) if name in NAMES else None
        yield row["unit_id"], number, number if number is None else NAMES[number], row["stage"], row["cost"], row


@pytest.mark.parametrize("kind", COMMITTEES)
def test_answers_are_those_of_the_evaluation(kind, featured):
    committee = COMMITTEES[kind]
    asked = {"inputs": X.tolist(), "unit_ids": IDS, "features": {"length": LENGTHS.tolist()}}
    with running(served(committee)) as server:
        answer = server.predict(asked)
    assert answer.status == 200
    units = answer.json["units"]
    assert answer.json["cost"] == committee.cost
    assert len(units) == UNITS
    assert len({unit["stage"] for unit in units}) > 1
    for unit, (unit_id, prediction, name, stage, cost, row) in zip(
        units, expected_rows(committee, featured), strict=True
    ):
        assert (unit["unit_id"], unit["prediction"], unit["class"]) == (unit_id, prediction, name)
        assert (unit["stage"], unit["cost"]) == (stage, cost)
        if "confidence" in row:
            assert unit["confidence"] == pytest.approx(row["confidence"], rel=1e-5)
        if committee.nested:
            assert unit["members"] == [name for names in committee.stages[:stage] for name in names]


def test_requests_at_the_same_time_get_the_answers_to_their_own_units(server):
    whole = server.predict({"inputs": X.tolist()}).json["units"]
    with ThreadPoolExecutor(16) as pool:
        alone = list(pool.map(lambda row: server.predict({"inputs": [row]}).json["units"], X.tolist()))
    for (one,), unit in zip(alone, whole, strict=True):
        assert one.pop("confidence") == pytest.approx(unit.pop("confidence"), rel=1e-5)
        assert one == unit


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_are_taken_as_numpy_writes_them(dtype, fortran, server):
    given = X[:9].astype(dtype)
    given = np.asfortranarray(given) if fortran else given
    file = io.BytesIO()
    np.save(file, given)
    answer = server.predict(file.getvalue(), "application/x-npy", "?unit_id=" + "&unit_id=".join(IDS[:9]))
    expected = server.predict({"inputs": given.astype(float).tolist(), "unit_ids": IDS[:9]})
    assert answer.status == 200
    assert answer.json == expected.json


def test_features_of_arrays_stand_in_the_query(featured):
    committee = COMMITTEES["router"]
    file = io.BytesIO()
    np.save(file, X[:3])
    with running(served(committee)) as server:
        query = "?features=%7B%22length%22%3A%20%5B" + ",".join(map(str, LENGTHS[:3].tolist())) + "%5D%7D"
        answer = server.predict(file.getvalue(), "application/x-npy", query)
    rows = [*expected_rows(committee, featured)][:3]
    assert [unit["prediction"] for unit in answer.json["units"]] == [row[1] for row in rows]


def test_costs_that_nothing_says_are_null():
    bare = replace(CASCADE, cost="usd")
    with running(served(bare)) as server:
        assert {unit["cost"] for unit in server.predict({"inputs": X.tolist()}).json["units"]} == {None}
        assert 'cost="usd"' not in server.ask("GET", "/metrics").body.decode()


def test_a_cost_that_some_stages_do_not_say_is_null_where_a_unit_ran_them():
    partly = replace(CASCADE, cost="usd", costs={"a": 0.5, "b": 2.0, "c": None})
    with running(served(partly)) as server:
        answer = server.predict({"inputs": X.tolist()})
        counted = server.ask("GET", "/metrics").body.decode()
    assert answer.status == 200
    costs = [{1: 0.5, 2: 2.5, 3: None}[unit["stage"]] for unit in answer.json["units"]]
    assert [unit["cost"] for unit in answer.json["units"]] == costs
    assert f'cost_total{{cost="usd"}} {sum(cost or 0.0 for cost in costs):g}' in counted
