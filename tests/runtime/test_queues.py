"""Queues decide as the runtime does on each request alone, whatever arrives when; no unit is lost or answered twice."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import COMMITTEES, FUNCTIONS, same, slow, units
from virtual_time import run

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import MemberError, OverloadError, UsageError
from wisecommittee.runtime import Member, Outputs, Runtime
from wisecommittee.runtime.queues import Queues

CASCADE = Committee((("a",), ("b",)), Thresholds((0.7,)))


def expected_of(kind):
    """The synchronous runtime."""
    return Runtime(COMMITTEES[kind], {name: FUNCTIONS[name] for name in COMMITTEES[kind].models})


async def asked(queues, x, ids, features, rows, at=0.0):
    await asyncio.sleep(at)
    columns = {name: values[rows] for name, values in features.items()}
    return await queues.decide(x[rows], [ids[i] for i in rows], columns)


def test_there_are_units_at_every_stage_of_every_kind():
    x, ids, features = units(300)
    for kind in COMMITTEES:
        decisions = expected_of(kind)(x, ids, features)
        stages = {tuple(row) for row in decisions.ran.tolist()}
        assert len(stages) >= 2, kind
        assert (decisions.prediction == -1).any() == (kind in ("abstaining", "unsure adaptive"))


@pytest.mark.parametrize("kind", COMMITTEES)
@settings(max_examples=6, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    max_batch=st.integers(1, 9),
    wait=st.sampled_from([0.0, 5.0, 40.0, np.inf]),
    each=st.sets(st.sampled_from("abc")),
    seed=st.integers(0, 99),
)
def test_requests_get_the_decisions_of_the_runtime_whatever_arrives_when(kind, sizes, max_batch, wait, each, seed):
    rng = np.random.default_rng(seed)
    x, ids, features = units(sum(sizes), seed)
    members = {
        name: slow(name, lambda: float(rng.exponential(0.01)), name in each, at_once=int(rng.integers(1, 4)))
        for name in COMMITTEES[kind].models
    }
    runtime = Runtime(COMMITTEES[kind], members, batch_size=int(rng.integers(1, 5)))
    splits = np.split(np.arange(len(x)), np.cumsum(sizes)[:-1])

    async def main():
        async with Queues(runtime, max_batch=max_batch, max_wait_ms=wait) as queues:
            arrivals = rng.exponential(0.01, len(splits))
            return await asyncio.gather(
                *(asked(queues, x, ids, features, rows, at) for rows, at in zip(splits, arrivals, strict=True))
            )

    for rows, decisions in zip(splits, run(main()), strict=True):
        columns = {"size": features["size"][rows]}
        same(decisions, expected_of(kind)(x[rows], [ids[i] for i in rows], columns))


@pytest.mark.parametrize("kind", COMMITTEES)
def test_a_request_alone_is_decided_as_by_a_call(kind):
    x, ids, features = units(40)
    members = {name: slow(name) for name in COMMITTEES[kind].models}
    decisions = run(Runtime(COMMITTEES[kind], members, batch_size=7).decide(x, ids, features))
    same(decisions, expected_of(kind)(x, ids, features))


@pytest.mark.parametrize("call", [FUNCTIONS["a"], lambda x: slow("a").call(x), partial(slow("a").call)])
def test_members_may_block_and_coroutines_may_hide_in_functions(call):
    x, _, _ = units(30)
    runtime = Runtime(CASCADE, {"a": call, "b": FUNCTIONS["b"]})
    before = threading.active_count()
    same(asyncio.run(runtime.decide(x)), Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x))
    assert threading.active_count() <= before + 2  # threads that end


def test_a_stage_runs_when_it_is_full_or_its_oldest_unit_has_waited():
    x, _, _ = units(1)
    x[:] = [0, 0, 0, 9, 0]  # goes on to b
    calls = []
    loop = asyncio.get_running_loop

    def member(name):
        async def call(rows):
            calls.append((name, len(rows), round(loop().time(), 3)))
            return FUNCTIONS[name](rows)

        return call

    runtime = Runtime(CASCADE, {m: member(m) for m in "ab"})

    async def main():
        async with Queues(runtime, max_batch=3, max_wait_ms=100) as queues:
            first = [asyncio.create_task(queues.decide(x)) for _ in range(4)]
            await asyncio.sleep(0.05)
            assert queues.waiting() == [1, 0]
            await asyncio.gather(*first)
            return queues.statistics()

    statistics = run(main())
    assert calls == [("a", 3, 0.0), ("b", 3, 0.0), ("a", 1, 0.1), ("b", 1, 0.2)]
    assert [(s.units, s.batches, s.mean_batch, s.exits) for s in statistics.stages] == [(4, 2, 2, 0), (4, 2, 2, 4)]
    assert (statistics.waiting, statistics.requests["answered"]) == (0, 4)


def test_units_that_come_while_the_member_is_busy_run_together_once_it_is_free():
    x, _, _ = units(1)
    sizes = []

    async def call(rows):
        sizes.append(len(rows))
        await asyncio.sleep(1.0)
        return FUNCTIONS["a"](rows)

    runtime = Runtime(CASCADE, {"a": Member(call, at_once=1), "b": slow("b")})

    async def main():
        async with Queues(runtime, max_wait_ms=0) as queues:
            requests = []
            for _ in range(5):
                requests.append(asyncio.create_task(queues.decide(x)))
                await asyncio.sleep(0.2)
            await asyncio.gather(*requests)

    run(main())
    assert sizes == [1, 4]


def test_units_of_several_requests_share_the_batches_of_the_later_stage():
    x, _, _ = units(64)
    sizes = []

    async def large(rows):
        sizes.append(len(rows))
        return FUNCTIONS["b"](rows)

    runtime = Runtime(CASCADE, {"a": slow("a"), "b": large})

    async def main():
        async with Queues(runtime, max_batch=8, max_wait_ms=50) as queues:
            await asyncio.gather(*(queues.decide(x[i : i + 1]) for i in range(64)))

    run(main())
    late = int((Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x).stage == 1).sum())
    assert late > 16
    assert sizes == [8] * (late // 8) + [late % 8] * (late % 8 > 0)


def test_each_unit_is_called_by_itself_and_no_more_at_once_than_may():
    running, most = Counter(), Counter()

    def member(name):
        async def ask(text):
            running[name] += 1
            most[name] = max(most[name], running[name])
            await asyncio.sleep(len(text))
            running[name] -= 1
            return Outputs(answers=text.upper(), scores={"sure": len(text) / 10}, costs={"usd": 0.5})

        return Member(ask, each=True, at_once=2)

    committee = Committee((("x",), ("y",)), Thresholds((0.3,)), "sure", members={m: {"kind": "answers"} for m in "xy"})
    decisions = run(Runtime(committee, {m: member(m) for m in "xy"}).decide(["a", "bbb", "cc", "dddd", "e"]))
    assert decisions.names == ["A", "BBB", "CC", "DDDD", "E"]
    assert decisions.stage.tolist() == [1, 0, 1, 0, 1]
    assert decisions.costs["usd"].tolist() == [1, 0.5, 1, 0.5, 1]
    assert most == {"x": 2, "y": 2}


def test_inputs_of_different_forms_run_apart_and_those_of_one_form_together():
    x, _, _ = units(6)
    shapes = []

    async def call(rows):
        shapes.append(type(rows).__name__ + str(len(rows)))
        return FUNCTIONS["a"](np.array(rows))

    async def last(rows):
        return FUNCTIONS["b"](np.array(rows))

    runtime = Runtime(CASCADE, {"a": call, "b": last})
    expected = Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x)

    async def main():
        async with Queues(runtime, max_wait_ms=1) as queues:
            parts = [x[:2], x[2:3].tolist(), tuple(x[3:4].tolist()), x[4:6]]
            return await asyncio.gather(*map(queues.decide, parts))

    decisions = run(main())
    assert sorted(shapes) == ["list2", "ndarray4"]
    assert np.concatenate([each.stage for each in decisions]).tolist() == expected.stage.tolist()


def test_containers_are_joined_as_they_are():
    import pandas as pd
    import scipy.sparse as sp
    import torch

    from wisecommittee.runtime.rows import form, joined

    x = np.arange(12.0).reshape(4, 3)
    rows = np.array(["a", "bb", "ccc", "d"])
    for make in (np.asarray, torch.tensor, sp.csr_matrix, sp.csr_array, lambda v: pd.DataFrame(v, columns=list("pqr"))):
        one, other = make(x[:1]), make(x[1:])
        both = joined([one, other])
        assert type(both) is type(one)
        assert form(both) == form(one) == form(other)
        assert np.array_equal(both.toarray() if sp.issparse(both) else np.asarray(both), x)
    assert joined([rows[:1], rows[1:]]).tolist() == rows.tolist()
    assert form(x) != form(x[:, :2]) != form(torch.tensor(x))
    assert joined([[1], (2, 3)]) == [1, 2, 3]


def test_an_empty_request_has_empty_decisions():
    runtime = Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})

    async def main():
        async with Queues(runtime) as queues:
            return await queues.decide(np.empty((0, 5)))

    assert len(run(main())) == 0


def test_more_units_than_may_wait_are_refused_at_once_with_the_numbers():
    x, _, _ = units(12)
    runtime = Runtime(CASCADE, {m: slow(m, lambda: 1.0) for m in "ab"})

    async def main():
        async with Queues(runtime, max_waiting=10) as queues:
            accepted = asyncio.create_task(queues.decide(x[:8]))
            await asyncio.sleep(0)
            with pytest.raises(OverloadError, match="4 units more than the 8 that wait; at most 10 may"):
                await queues.decide(x[8:])
            decisions = await accepted
            assert len(await queues.decide(x[:10])) == 10  # there is room again
            return decisions, queues.statistics().requests

    decisions, requests = run(main())
    same(decisions, Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x[:8]))
    assert (requests["answered"], requests["refused"]) == (2, 1)


@pytest.mark.parametrize("drain", [True, False])
def test_closing_answers_or_ends_the_requests_that_wait(drain):
    x, _, _ = units(5)
    runtime = Runtime(CASCADE, {m: slow(m, lambda: 1.0) for m in "ab"})

    async def main():
        queues = Queues(runtime, max_wait_ms=1e6)
        waiting = asyncio.create_task(queues.decide(x))
        await asyncio.sleep(0.5)
        await queues.close(drain=drain)
        with pytest.raises(OverloadError, match="the queues are closed"):
            await queues.decide(x)
        assert asyncio.get_running_loop().time() == (2.5 if drain else 0.5)
        return await waiting

    if drain:
        same(run(main()), Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x))
    else:
        with pytest.raises(OverloadError, match="closed before the request was answered"):
            run(main())


def test_a_cancelled_request_leaves_the_queues_and_disturbs_nobody():
    x, _, _ = units(6)
    seen = []

    async def call(rows):
        seen.append(len(rows))
        return FUNCTIONS["a"](rows)

    runtime = Runtime(CASCADE, {"a": call, "b": slow("b", lambda: 1.0)})

    async def main():
        async with Queues(runtime, max_batch=100, max_wait_ms=1000) as queues:
            gone, stays = asyncio.create_task(queues.decide(x[:4])), asyncio.create_task(queues.decide(x[4:]))
            await asyncio.sleep(0.5)
            gone.cancel()
            decisions = await stays
            with pytest.raises(asyncio.CancelledError):
                await gone
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(queues.decide(x[:1]), 0.1)
            return decisions, queues.statistics()

    decisions, statistics = run(main())
    same(decisions, Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x[4:]))
    assert seen == [2]
    assert (statistics.waiting, statistics.requests["cancelled"]) == (0, 2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("on_failure", ["raise", "escalate"])
def test_no_unit_is_lost_or_answered_twice(seed, on_failure):
    """Requests of all sizes come, fail and are cancelled at random: each ends once, by its own units' decisions or by
    an error, and nothing is left waiting."""
    rng = np.random.default_rng(seed)
    x, ids, features = units(400, seed)

    def member(name, each):
        async def call(rows):
            await asyncio.sleep(float(rng.exponential(0.02)))
            if rng.random() < 0.1:
                raise rng.choice([ConnectionError, ValueError, TypeError])("down")
            return FUNCTIONS[name](rows)

        return Member(call, each=each, timeout=0.08, retries=1, backoff=lambda n: 0.01, at_once=2)

    members = {name: member(name, name == "c") for name in "abc"}
    runtime = Runtime(COMMITTEES["thresholds"], members, on_failure=on_failure)
    ends = {"decisions": 0, "error": 0, "cancelled": 0}

    async def client(queues, rows):
        await asyncio.sleep(float(rng.exponential(0.1)))
        request = asyncio.create_task(asked(queues, x, ids, features, rows))
        if rng.random() < 0.2:
            await asyncio.sleep(float(rng.exponential(0.02)))
            request.cancel()
        try:
            decisions = await request
        except asyncio.CancelledError:
            ends["cancelled"] += 1
        except MemberError:
            ends["error"] += 1
        else:
            ends["decisions"] += 1
            assert len(decisions) == len(rows)
            alone = expected_of("thresholds")(x[rows], [ids[i] for i in rows], None)
            sound = ~decisions.failed.any(axis=1)
            assert decisions.prediction[sound].tolist() == alone.prediction[sound].tolist()
            assert decisions.stage[sound].tolist() == alone.stage[sound].tolist()

    async def main():
        async with Queues(runtime, max_batch=16, max_wait_ms=5) as queues:
            order = rng.permutation(400)
            requests = np.split(order, np.sort(rng.choice(np.arange(1, 400), 60, replace=False)))
            await asyncio.gather(*(client(queues, rows) for rows in requests))
            assert queues.waiting() == [0, 0, 0]
            return queues.statistics()

    statistics = run(main())
    assert sum(ends.values()) == 61
    assert (ends["error"] > 0) == (on_failure == "raise")
    assert ends["decisions"] > 10
    assert statistics.waiting == 0
    assert statistics.requests["answered"] == ends["decisions"]


def test_a_coroutine_function_needs_an_event_loop():
    runtime = Runtime(CASCADE, {m: slow(m) for m in "ab"})
    with pytest.raises(UsageError, match=r"a: a coroutine function; await Runtime\.decide"):
        runtime(units(3)[0])


@pytest.mark.parametrize(
    "wrong", [{"max_batch": 0}, {"max_wait_ms": -1}, {"max_wait_ms": float("nan")}, {"max_waiting": 0}]
)
def test_settings_of_queues_are_checked(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Queues(Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"}), **wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"at_once": 0}, {"timeout": 0}, {"timeout": float("inf")}, {"retries": -1}, {"backoff": -1}],
)
def test_settings_of_members_are_checked(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Member(len, **wrong)


def test_importing_the_runtime_loads_no_event_loop():
    import subprocess
    import sys

    code = "import sys, wisecommittee.runtime; print(*({'asyncio', 'concurrent.futures', 'logging'} & {*sys.modules}))"
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("inputs", [None, 3.0, np.float32(3), np.array(3)])
def test_inputs_that_hold_no_units_are_refused_with_what_is_expected(inputs):
    runtime = Runtime(CASCADE, {name: FUNCTIONS[name] for name in "ab"})
    message = f"inputs: a {type(inputs).__name__}; expected n units, in a list"
    with pytest.raises(UsageError, match=message):
        runtime(inputs)
    with pytest.raises(UsageError, match=message):
        run(runtime.decide(inputs))


def test_ids_and_features_are_counted_whether_or_not_the_policy_reads_them():
    runtime, (x, ids, _) = Runtime(CASCADE, {name: FUNCTIONS[name] for name in "ab"}), units(6)
    with pytest.raises(UsageError, match="5 unit ids for 6 units; expected one each"):
        runtime(x, ids[:5])
    with pytest.raises(UsageError, match=r"feature 'length': shape \[7\] for 6 units; expected one each"):
        runtime(x, features={"length": np.arange(7.0)})
