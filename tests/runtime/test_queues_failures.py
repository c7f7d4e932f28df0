"""Members that fail: calls are repeated, requests end with an error that says why, or units go on without them."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from running import COMMITTEES, FUNCTIONS, same, slow, units
from virtual_time import run

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import CommitteeError, MemberError, UnknownNameError
from wisecommittee.runtime import Member, Outputs, Runtime
from wisecommittee.runtime.queues import Queues

CASCADE = Committee((("a",), ("b",)), Thresholds((0.7,)))
LEAST = -float(np.finfo(np.float32).max)
KINDS = sorted(COMMITTEES)


def broken(rows):
    raise ConnectionError("the service is away")


def with_broken(names, committee, **options):
    """The runtime in which the members of these names fail."""
    calls = {name: broken if name in names else FUNCTIONS[name] for name in committee.models}
    return Runtime(committee, calls, on_failure="escalate", **options)


def test_an_error_names_member_stage_units_and_cause():
    x, _, _ = units(20)
    runtime = Runtime(CASCADE, {"a": FUNCTIONS["a"], "b": broken})
    message = r"b: calling it raised ConnectionError: the service is away \(stage 2, \d+ units\)"
    with pytest.raises(MemberError, match=message) as raised:
        runtime(x)
    assert isinstance(raised.value.__cause__.__cause__, ConnectionError)
    with pytest.raises(MemberError, match=message):
        asyncio.run(runtime.decide(x))
    with pytest.raises(UnknownNameError, match="on_failure"):
        Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"}, on_failure="ignore")


@pytest.mark.parametrize("poison", [np.nan, 7.0])
def test_the_inputs_of_one_request_do_not_spoil_another_one(poison):
    """NaN among the outputs, and a call that raises for a unit: only its request ends with an error."""
    x, _, _ = units(30)
    bad = x[:2].copy()
    bad[1, 1] = poison

    async def call(rows):
        if (rows == 7.0).any():
            raise ValueError("seven")
        return FUNCTIONS["a"](rows)

    runtime = Runtime(CASCADE, {"a": call, "b": slow("b")})

    async def main():
        async with Queues(runtime) as queues:
            waiting = [queues.decide(x[i : i + 3]) for i in range(0, 30, 3)]
            return await asyncio.gather(queues.decide(bad), *waiting, return_exceptions=True)

    error, *decisions = run(main())
    assert isinstance(error, MemberError)
    text = "a: nan in row 1, class 1; expected numbers (stage 1, 1 unit)"
    assert str(error) == text if np.isnan(poison) else "ValueError: seven (stage 1, 2 units)" in str(error)
    for number, each in enumerate(decisions):
        same(each, Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x[3 * number : 3 * number + 3]))


@pytest.mark.parametrize("combine", ["mean_logits", "last"])
def test_another_number_of_classes_is_a_failure_of_the_member(combine):
    """With the rule 'last' nothing would add the rows up, and the classes of the members would be mixed unseen."""
    x, _, _ = units(30)
    committee = replace(CASCADE, combine=combine)
    members = {"a": FUNCTIONS["a"], "b": lambda rows: FUNCTIONS["b"](rows)[:, :2]}
    with pytest.raises(MemberError, match=r"b: gave 2 classes, a 3; .* \(stage 2, \d+ units\)"):
        Runtime(committee, members)(x)
    decisions = Runtime(committee, members, on_failure="escalate")(x)
    assert decisions.failed[:, 1].any()
    assert (decisions.prediction == FUNCTIONS["a"](x).argmax(axis=1)).all()


def test_failed_calls_are_repeated_after_doubled_pauses():
    times, failures = [], 3

    async def call(rows):
        times.append(asyncio.get_running_loop().time())
        if len(times) <= failures:
            raise ConnectionError("down")
        return FUNCTIONS["a"](rows)

    x, _, _ = units(4)
    runtime = Runtime(CASCADE, {"a": Member(call, retries=3, backoff=1.0), "b": slow("b")})
    same(run(runtime.decide(x)), Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x))
    pauses = np.diff(times)
    assert ((pauses >= [0.5, 1, 2]) & (pauses <= [1, 2, 4])).all()
    times, failures = [], 9
    with pytest.raises(MemberError, match="ConnectionError: down, in 4 calls"):
        run(runtime.decide(x))


@pytest.mark.parametrize(
    ("error", "calls"), [(TypeError, 1), (NameError, 1), (MemberError, 1), (ValueError, 3), (OSError, 3)]
)
def test_errors_that_would_come_again_are_not_repeated(error, calls):
    made, pauses = [], []

    def call(rows):
        made.append(len(rows))
        raise error("no")

    def pause(number):
        pauses.append(number)
        return 0.0

    member = Member(call, retries=2, backoff=pause)
    with pytest.raises(MemberError):
        Runtime(CASCADE, {"a": member, "b": FUNCTIONS["b"]})(units(3)[0])
    assert made == [3] * calls
    assert pauses == list(range(1, calls))


def test_a_call_that_takes_too_long_is_cancelled_and_repeated():
    calls, cancelled = 0, 0

    async def call(rows):
        nonlocal calls, cancelled
        calls += 1
        try:
            await asyncio.sleep(60 if calls < 3 else 1)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return FUNCTIONS["a"](rows)

    x, _, _ = units(4)
    member = Member(call, timeout=30.0, retries=2, backoff=lambda number: 5.0)
    runtime = Runtime(CASCADE, {"a": member, "b": slow("b")})

    async def main():
        decisions = await runtime.decide(x)
        return decisions, asyncio.get_running_loop().time()

    decisions, time = run(main())
    same(decisions, Runtime(CASCADE, {m: FUNCTIONS[m] for m in "ab"})(x))
    assert (calls, cancelled, time) == (3, 2, 30 + 5 + 30 + 5 + 1)
    with pytest.raises(MemberError, match=r"a: no answer within 0.5 s \(stage 1, 4 units\)"):
        run(Runtime(CASCADE, {"a": Member(slow("a", lambda: 1.0).call, timeout=0.5), "b": slow("b")}).decide(x))


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_blocking_call_that_does_not_return_is_left_behind(in_loop):
    release = threading.Event()

    def hangs(rows):
        release.wait()
        return FUNCTIONS["a"](rows)

    x, _, _ = units(4)
    member = Member(hangs, timeout=0.01)
    runtime = Runtime(CASCADE, {"a": member, "b": FUNCTIONS["b"]}, on_failure="escalate")
    try:
        decisions = asyncio.run(runtime.decide(x)) if in_loop else runtime(x)
    finally:
        release.set()
    assert decisions.stage.tolist() == [1] * 4
    assert decisions.failed.tolist() == [[True, False]] * 4
    assert decisions.prediction.tolist() == FUNCTIONS["b"](x).argmax(axis=1).tolist()


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_whatever_a_member_raises_its_requests_end(error):
    def call(rows):
        raise error("out")

    async def cancels(rows):
        raise asyncio.CancelledError("out")

    for given in (call, cancels) if error is asyncio.CancelledError else (call,):
        runtime = Runtime(CASCADE, {"a": given, "b": FUNCTIONS["b"]})
        with pytest.raises(MemberError, match="a: calling it raised"):
            asyncio.run(runtime.decide(units(3)[0]))


# Escalation, by what the policy does without the member that fails


def relabelled(decisions, stages):
    """The stage of each unit, in another committee's numbers."""
    return np.array(stages)[decisions.stage].tolist()


@pytest.mark.parametrize(
    ("lost", "left", "thresholds", "stages"), [("a", "bc", (0.8,), (1, 2)), ("b", "ac", (0.7,), (0, 2))]
)
def test_a_cascade_with_a_failed_member_is_the_cascade_of_the_others(lost, left, thresholds, stages):
    x, _, _ = units(200)
    others = Committee(tuple((name,) for name in left), Thresholds(thresholds))
    expected = Runtime(others, {name: FUNCTIONS[name] for name in left})(x)
    decisions = with_broken(lost, COMMITTEES["thresholds"])(x)
    assert decisions.prediction.tolist() == expected.prediction.tolist()
    assert decisions.stage.tolist() == relabelled(expected, stages)
    assert decisions.confidence.tolist() == expected.confidence.tolist()
    assert decisions.probabilities.tolist() == expected.probabilities.tolist()
    assert decisions.failed.tolist() == (decisions.ran & [name == lost for name in "abc"]).tolist()


def test_a_failed_member_leaves_out_of_the_combination_those_beside_it_stay():
    """b and c run together, and b fails: a unit that a is unsure of is answered by a and c."""
    x, _, _ = units(200)
    others = Committee((("a",), ("c",)), Thresholds((0.7,)))
    expected = Runtime(others, {name: FUNCTIONS[name] for name in "ac"})(x)
    decisions = with_broken("b", COMMITTEES["together"])(x)
    assert decisions.prediction.tolist() == expected.prediction.tolist()
    assert decisions.stage.tolist() == expected.stage.tolist()


def test_units_go_on_even_where_the_policy_lets_every_unit_exit():
    x, _, _ = units(20)
    committee = Committee((("a",), ("b",)), Thresholds((LEAST,)))
    assert not Runtime(committee, {m: FUNCTIONS[m] for m in "ab"})(x).stage.any()
    assert with_broken("a", committee)(x).stage.all()


def test_policies_that_need_all_outputs_run_the_rest_in_order_and_the_combination_answers():
    x, ids, features = units(100)
    mean = Runtime(Committee((("b", "c"),), Thresholds()), {name: FUNCTIONS[name] for name in "bc"})(x)
    for kind in ("deferral", "weights", "adaptive"):
        decisions = with_broken("a", COMMITTEES[kind])(x, ids, features)
        assert decisions.ran.all()
        assert decisions.prediction.tolist() == mean.prediction.tolist()
    for kind in ("unsure adaptive", "abstaining"):
        decisions = with_broken("c", COMMITTEES[kind])(x, ids, features)
        last = decisions.failed[:, 2]
        assert (decisions.prediction[last] == -1).all()
        assert (decisions.prediction[~last] >= 0).any()


def test_votes_leave_out_a_member_that_failed():
    """After a fails, b alone cannot agree with anybody; after b fails, a and c vote, and c is preferred where they
    differ."""
    x, _, _ = units(200)
    decisions = with_broken("b", COMMITTEES["agreement"])(x)
    late = decisions.stage == 2
    assert late.any()
    assert set(decisions.stage.tolist()) == {0, 2}
    assert decisions.prediction[late].tolist() == FUNCTIONS["c"](x).argmax(axis=1)[late].tolist()
    first = with_broken("a", COMMITTEES["agreement"])(x)
    softmax = np.exp(FUNCTIONS["b"](x).astype(np.float32))
    sure = (softmax / softmax.sum(axis=1, keepdims=True)).max(axis=1) >= 0.9
    assert (first.stage == 1).tolist() == sure.tolist()


def test_a_router_whose_only_member_failed_runs_the_others_in_order():
    x, _, features = units(200)
    chosen = Runtime(COMMITTEES["router"], FUNCTIONS)(x, features=features)
    only_b = (chosen.ran == [False, True, False]).all(axis=1)
    assert only_b.any()
    cards = {name: {"kind": "logits", "blocks": {name: cost}} for name, cost in (("a", 1), ("b", 10), ("c", 100))}
    decisions = with_broken("b", replace(COMMITTEES["router"], members=cards))(x, features=features)
    assert decisions.costs["flops"].tolist() == (decisions.ran @ [1, 10, 100]).tolist()
    assert decisions.ran[only_b].tolist() == [[True, True, False]] * int(only_b.sum())
    assert decisions.prediction[only_b].tolist() == FUNCTIONS["a"](x).argmax(axis=1)[only_b].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_units_go_on_after_a_failure_and_get_no_answer_only_if_nobody_gave_one(kind):
    x, ids, features = units(60)
    committee = COMMITTEES[kind]
    for size in (1, 2, 3):
        for names in combinations("abc", size):
            decisions = with_broken(names, committee)(x, ids, features)
            broken_stages = np.array([bool(set(stage) & set(names)) for stage in committee.stages])
            assert decisions.failed.tolist() == (decisions.ran & broken_stages).tolist()
            members = np.array([[name in stage for stage in committee.stages] for name in committee.models])
            said = (decisions.ran[:, None] & members).any(axis=2)[:, [name not in names for name in committee.models]]
            none = ~said.any(axis=1)
            assert (decisions.confidence[none] == np.float32(LEAST)).all()
            assert (decisions.prediction[none] == -1).all()
            if not committee.abstains:
                assert (decisions.prediction[~none] >= 0).all()
            part_of_all = committee.models if kind != "mixing" else "ab"
            assert none.sum() == (len(x) if size == 3 else none.sum())
            assert (decisions.ran[none].sum(axis=1) >= len(part_of_all) - (kind == "together")).all()

            async def alone(names=names):
                runtime = with_broken(names, committee, batch_size=9)
                async with Queues(runtime, max_batch=9, max_wait_ms=1) as queues:
                    return await queues.decide(x, ids, features)

            if size == 1:
                same(asyncio.run(alone()), decisions)


def test_the_parts_of_a_mixture_escalate_by_themselves():
    x, ids, _ = units(100)
    decisions = with_broken("a", COMMITTEES["mixing"])(x, ids)
    drawn = COMMITTEES["mixing"].policy.drawn(np.array(ids))
    assert decisions.stage.tolist() == [1 + part for part in drawn]


def test_units_whose_outputs_are_not_finite_go_on_alone():
    x, _, _ = units(40)
    x[::4, 0] = np.inf
    decisions = Runtime(COMMITTEES["thresholds"], FUNCTIONS, on_failure="escalate")(x)
    lost = np.arange(40) % 4 == 0
    assert decisions.failed[:, 0].tolist() == lost.tolist()
    expected = Runtime(COMMITTEES["thresholds"], FUNCTIONS)(x[~lost])
    assert decisions.prediction[~lost].tolist() == expected.prediction.tolist()
    assert decisions.stage[~lost].tolist() == expected.stage.tolist()
    assert (decisions.stage[lost] > 0).all()


def test_texts_without_any_answer_are_empty():
    committee = Committee((("x",), ("y",)), Thresholds((0.3,)), "sure", members={m: {"kind": "answers"} for m in "xy"})
    decisions = Runtime(committee, {"x": broken, "y": broken}, on_failure="escalate")(["q", "r"])
    assert decisions.names == ["", ""]
    assert decisions.ran.all()
    assert decisions.prediction.dtype.kind == "U"
    assert decisions.confidence.tolist() == [np.float32(LEAST)] * 2


def test_what_failed_calls_cost_is_counted():
    """An error may carry what its call has cost, shared by the units of the call; outputs that cannot be used too."""
    calls = 0

    def call(rows):
        nonlocal calls
        calls += 1
        if calls < 3:
            error = ConnectionError("cut off")
            error.costs = {"usd": 1.0}
            raise error
        bad = np.where(np.arange(4)[:, None] == 3, np.nan, 9.0 * np.eye(4)[:, :3] + 1e-3)
        return Outputs(bad, costs={"usd": [0.1, 0.2, 0.3, 0.4]})

    members = {"a": Member(call, retries=2, backoff=lambda number: 0.0), "b": FUNCTIONS["b"]}
    decisions = Runtime(CASCADE, members, on_failure="escalate")(units(4)[0])
    assert decisions.failed[:, 0].tolist() == [False, False, False, True]
    np.testing.assert_allclose(decisions.costs["usd"], [0.6, 0.7, 0.8, 0.9])


def test_outputs_of_another_kind_than_the_committee_was_chosen_on_raise_in_any_case():
    members = {m: {"kind": "probabilities"} for m in "ab"}
    committee = Committee((("a",), ("b",)), Thresholds((0.7,)), members=members)
    runtime = Runtime(committee, {m: FUNCTIONS[m] for m in "ab"}, on_failure="escalate")
    for decide in (runtime, lambda x: asyncio.run(runtime.decide(x))):
        with pytest.raises(CommitteeError, match="it gives logits here"):
            decide(units(3)[0])


def test_statistics_count_failed_calls_repeated_ones_and_units():
    calls = 0

    async def call(rows):
        nonlocal calls
        calls += 1
        if calls <= 3:
            raise ConnectionError("down")
        return FUNCTIONS["a"](rows)

    x, _, _ = units(4)
    member = Member(call, retries=1, backoff=lambda number: 1.0)
    runtime = Runtime(CASCADE, {"a": member, "b": slow("b")}, on_failure="escalate")

    async def main():
        async with Queues(runtime, max_batch=2) as queues:
            await queues.decide(x)
            return queues.statistics()

    first = run(main()).stages[0]
    assert (first.failures, first.retries, first.failed, first.units, first.batches) == (3, 2, 2, 4, 2)
    assert first.seconds > 0
