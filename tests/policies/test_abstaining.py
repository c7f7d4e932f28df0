"""Committees that give no answer where they are not sure: what they answer, and how the thresholds are found."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import isotonic_regression

import wisecommittee as wc
from wisecommittee import Committee, LogitStore, ModelCard, Target, Thresholds
from wisecommittee.committees.policies.abstaining import Abstaining
from wisecommittee.committees.policies.mixing import Mixing, mixture
from wisecommittee.committees.policy import Policy
from wisecommittee.committees.scale import STORED
from wisecommittee.errors import CommitteeError, InfeasibleError, UsageError, WiseCommitteeError
from wisecommittee.searches.certainty import Certainty, abstaining, answering
from wisecommittee.searches.choosing import search_and_choose
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.abstention import abstaining_across
from wisecommittee.searches.resampling.cross_fit import CrossFit, FoldSearches, cross_fit
from wisecommittee.searches.resampling.evidence import Chosen
from wisecommittee.searches.resampling.rules import Always
from wisecommittee.searches.resampling.surest import RiskCoverage, SurestFirst
from wisecommittee.searches.search import solution_of
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.units import evaluate_units
from wisecommittee.searches.workers.execution import Execution

N, CLASSES = 500, 5
COSTS = {"a": 10, "b": 30, "c": 90}
THREE = (("a",), ("b",), ("c",))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def outputs():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, CLASSES, N)
    sharp = {"a": 1.2, "b": 2.0, "c": 3.0}
    rows = {
        m: (2 * rng.normal(size=(N, CLASSES)) + 2 * s * np.eye(CLASSES)[labels]).astype(np.float32)
        for m, s in sharp.items()
    }
    return rows, labels


@pytest.fixture
def store(tmp_path, outputs):
    rows, labels = outputs
    store = LogitStore(tmp_path / "logits")
    for name, logits in rows.items():
        card = ModelCard(name, blocks={name: COSTS[name]})
        store.add(card, "val", outputs=logits, labels=labels)
    return store


@pytest.fixture
def answers(tmp_path):
    """Answers with few distinct confidences: ties everywhere."""
    rng = np.random.default_rng(3)
    labels = [str(label) for label in rng.integers(0, 4, 300)]
    store = LogitStore(tmp_path / "answers")
    for name, share in (("small", 0.6), ("large", 0.85)):
        right = rng.random(300) < share
        said = [label if hit else str((int(label) + 1) % 4) for label, hit in zip(labels, right, strict=True)]
        sure = np.round(np.clip(0.4 * right + 0.6 * rng.random(300), 0, 1), 1)
        card = ModelCard(name, kind="answers", costs={"usd": 1.0 if name == "small" else 9.0})
        store.add(card, "val", labels=labels, answers=said, scores={"confidence": sure})
    return store


def by_definition(rows, labels, stages, thresholds, least):
    """[(answer or -1, last stage, cost)] of every unit: probabilities of the mean logits of the members so far."""
    out = []
    for i in range(len(labels)):
        members = []
        for k, stage in enumerate(stages):
            members += stage
            mean = np.mean([rows[m][i].astype(float) for m in sorted(members)], axis=0)
            p = np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum()
            if k == len(stages) - 1 or p.max() >= thresholds[k]:
                break
        sure = least[k] is not None and p.max() >= least[k]
        out.append((int(p.argmax()) if sure else -1, k, sum(COSTS[m] for m in members)))
    return out


@pytest.mark.parametrize(
    ("stages", "thresholds", "least"),
    [
        ((("a",),), (), (0.7,)),
        ((("a",), ("b",)), (0.8,), (0.9, 0.6)),
        (THREE, (0.9, 0.7), (None, 0.75, 0.0)),
        ((("a", "b"), ("c",)), (0.6,), (0.65, None)),
    ],
)
def test_units_are_answered_as_a_loop_over_the_definition_says(store, outputs, stages, thresholds, least):
    rows, labels = outputs
    committee = Committee(stages, Abstaining(Thresholds(thresholds), least))
    expected = by_definition(rows, labels, stages, thresholds, least)
    e, units = evaluate(committee, store, "val"), evaluate_units(committee, store, "val")
    given = [answer for answer, _, _ in expected]
    assert units["prediction"].fillna(-1).tolist() == given
    assert units["prediction"].isna().tolist() == [answer == -1 for answer in given]
    assert (units["stage"] - 1).tolist() == [k for _, k, _ in expected]
    assert units["cost"].tolist() == [cost for _, _, cost in expected]
    right = [answer == label for answer, label in zip(given, labels.tolist(), strict=True)]
    answered = [answer != -1 for answer in given]
    assert (e.correct, e.answered) == (sum(right), sum(answered))
    figures = e.figures()
    assert figures["answered"] == pytest.approx(np.mean(answered))
    assert figures["answered_quality"] == pytest.approx(sum(right) / sum(answered))
    assert 0 < sum(answered) < N

    members = {name: lambda x, name=name: rows[name][np.asarray(x)[:, 0].astype(int)] for name in committee.models}
    with wc.deploy(committee, members, device="cpu") as run:
        decided = run(torch.arange(N, dtype=torch.float32)[:, None])
    assert decided.prediction.tolist() == given
    assert decided.stage.tolist() == [k for _, k, _ in expected]
    assert decided.names == ["" if answer == -1 else str(answer) for answer in given]


def test_answers_in_text_are_empty_where_none_is_given(answers):
    committee = Committee(
        (("small",), ("large",)), Abstaining(Thresholds((0.8,)), (0.9, 0.5)), "confidence", "last", cost="usd"
    )
    units = evaluate_units(committee, answers, "val")
    single = Committee((("small",),), Thresholds(), "confidence", "last", cost="usd")
    alone = {model: evaluate_units(replace(single, stages=((model,),)), answers, "val") for model in ("small", "large")}
    for i in range(len(units)):
        first = alone["small"]["confidence"][i] >= np.float32(0.8)
        sure = alone["small" if first else "large"]["confidence"][i] >= np.float32(0.9 if first else 0.5)
        said = alone["small" if first else "large"]["prediction"][i]
        assert units["prediction"][i] == (said if sure else "")
        assert units["correct"][i] == (sure and said == units["label"][i])


def test_an_answer_without_a_class_never_is_the_name_of_the_last_class(tmp_path, outputs):
    rows, labels = outputs
    store = LogitStore(tmp_path / "named")
    names = ["n0", "n1", "n2", "n3", "last"]
    store.add(ModelCard("a", blocks={"a": 1}, meta={"class_names": names}), "val", outputs=rows["a"], labels=labels)
    committee = Committee((("a",),), Abstaining(Thresholds(), (0.7,)))
    units = evaluate_units(committee, store, "val")
    given = by_definition(rows, labels, (("a",),), (), (0.7,))
    texts = names if store.class_names("val") is not None else [str(c) for c in range(CLASSES)]
    shown = units["prediction"].astype(object).where(units["prediction"].notna(), "")
    assert [str(p) for p in shown] == ["" if answer == -1 else texts[answer] for answer, _, _ in given]


def test_a_mixture_of_committees_abstains_in_both_parts(store):
    first, second = Committee((("a",),)), Committee((("b",), ("c",)), Thresholds((0.8,)))
    whole = abstaining(mixture(first, second, 0.5), [(0.7, None), (0.9, None), None])
    assert isinstance(whole.policy, Mixing)
    assert [part.policy.least for part in whole.parts] == [(0.7,), (0.9, None)]
    assert answering(whole) == mixture(first, second, 0.5)
    parts = [evaluate_units(part, store, "val")["prediction"].fillna(-1) for part in whole.parts]
    drawn = whole.policy.drawn(np.array([str(i) for i in range(N)]))
    units = evaluate_units(whole, store, "val")
    assert units["prediction"].fillna(-1).tolist() == np.where(drawn == 1, parts[1], parts[0]).tolist()
    assert evaluate(whole, store, "val").answered == int(units["prediction"].notna().sum())


def test_the_file_says_all_and_is_checked(tmp_path):
    committee = Committee(THREE, Abstaining(Thresholds((0.9, 0.7)), (None, 0.75, 0.999999), (None, None, 13.8)))
    committee.save(tmp_path / "committee.json")
    data = json.loads((tmp_path / "committee.json").read_text())
    assert data["thresholds"] is None
    assert data["policy"] == {
        "kind": "abstaining",
        "policy": {"kind": "thresholds", "values": [0.9, 0.7], "log_odds": []},
        "least": [None, 0.75, 0.999999],
        "least_log_odds": [None, None, 13.8],
    }
    assert Committee.load(tmp_path / "committee.json") == committee
    inner = data["policy"]["policy"]
    for damage, message in (
        ({"least": [0.5, 0.5], "least_log_odds": []}, "expected one for each"),
        ({"least": [0.5, True, 0.5]}, "finite float32 number"),
        ({"least": [0.5, 1e39, 0.5]}, "finite float32 number"),
        ({"least": 0.5}, "expected a list of numbers"),
        ({"least_log_odds": [1.0]}, "for each of"),
        ({"least_log_odds": [1.0, None, None]}, "answers nothing"),
        ({"least_log_odds": [None, 20.0, None]}, "log-odds"),
        ({"policy": {"kind": "abstaining", "policy": inner, "least": [1.0]}}, "another kind"),
        ({"policy": {"kind": "mixing", "parts": [], "share": 0.5}}, "another kind"),
        ({"policy": {"kind": "none"}}, "known: "),
        ({"policy": {**inner, "values": ["x", 0.7]}}, "thresholds"),
        ({"policy": {**inner, "values": [1e39, 0.7]}}, "float32"),
        ({"policy": {**inner, "values": [0.5]}}, "expected 2"),
        ({"policy": None}, "an object"),
    ):
        with pytest.raises(CommitteeError, match=message):
            Committee.from_json({**data, "policy": {**data["policy"], **damage}})
    with pytest.raises(CommitteeError, match="this committee has none"):
        Committee((("a",),), Abstaining(Thresholds(), (0.5,)), "none")


class Silent(Policy):
    """Reads no confidence, and answers with the vote of the members."""

    kind = "silent"
    combines = False
    answers = True

    def next(self, state):
        return state.exit_where(np.zeros(len(state), bool))


def test_a_policy_without_a_confidence_cannot_abstain():
    with pytest.raises(CommitteeError, match="no confidence by which it could abstain"):
        Abstaining(Silent(), (0.5,))


# which units are surest


def certain(places, scores):
    return Certainty(np.array(places), np.array(scores, np.float32), dict.fromkeys(set(places), STORED))


@pytest.mark.parametrize("seed", range(5))
def test_one_stage_is_cut_where_brute_force_over_all_thresholds_cuts_it(seed):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(60), 1)  # ties
    right = (rng.random(60) < scores).astype(float)
    sure = certain([0] * 60, scores)
    order = SurestFirst.of(sure, right)
    curve = RiskCoverage.of([order.shares(sure)], [right])
    for cost in (0.05, 0.3, 0.5, 0.9):
        losses = {t: ((scores >= t) * (1 - right) + cost * (scores < t)).sum() for t in {*scores.tolist(), 2.0}}
        share = curve.worth_most(cost)
        if share is None:
            assert min(losses, key=losses.get) == 2.0
            continue
        given = sure.reach(order.least(share, 1))
        assert (given * (1 - right) + cost * ~given).sum() == pytest.approx(min(losses.values()))
        assert given.sum() == max(
            (scores >= t).sum() for t, loss in losses.items() if loss < min(losses.values()) + 1e-9
        )
    for accuracy in (0.6, 0.75, 0.9):
        passing = [(scores >= t).sum() for t in set(scores.tolist())
                   if right[scores >= t].sum() >= accuracy * ((scores >= t).sum() + 1) - 1e-9]  # fmt: skip
        share = curve.widest(accuracy)
        assert (share is None) == (not passing)
        if share is not None:
            assert sure.reach(order.least(share, 1)).sum() == max(passing)


def test_stages_are_put_on_one_scale_by_isotonic_regression_and_the_rule_of_succession():
    rng = np.random.default_rng(4)
    places = rng.integers(0, 3, 400)
    scores = np.round(rng.random(400) * np.array([1.0, 0.2, 5.0])[places], 2).astype(np.float32)
    right = (rng.random(400) < np.array([0.5, 0.9, 0.7])[places] * scores / np.array([1.0, 0.2, 5.0])[places]) * 1.0
    sure = certain(places.tolist(), scores)
    order = SurestFirst.of(sure, right)
    chances = {}
    for place in range(3):
        x, y = scores[places == place], right[places == place]
        values = np.unique(x)
        means = isotonic_regression([y[x == v].mean() for v in values], weights=[(x == v).sum() for v in values]).x
        shrunk = []
        for mean in means:
            block = np.isin(x, values[means == mean])
            shrunk.append((y[block].sum() + 1) / (block.sum() + 2))
        weights = [(x == v).sum() for v in values]
        chances |= {(place, v): c for v, c in zip(values, isotonic_regression(shrunk, weights=weights).x, strict=True)}
    listed = list(zip(order.place.tolist(), order.score, strict=True))
    assert len(listed) == len(chances)
    assert listed == sorted(listed, key=lambda each: (-round(chances[each], 12), each[0], -each[1]))
    for place in range(3):  # within a stage the order is the confidence, so that each first part is a threshold
        assert (np.diff(order.score[order.place == place]) < 0).all()
    for size in (1, 7, 40, len(listed)):
        least = order.least(order.share[size - 1], 3)
        first = set(listed[:size])
        assert sure.reach(least).tolist() == [(p, s) in first for p, s in zip(places.tolist(), scores, strict=True)]


# the choice on new data


QUICK = Query(max_models=2, levels=15)


def test_without_a_fold_thresholds_do_not_depend_on_its_labels(store, outputs, tmp_path):
    rows, labels = outputs
    solution = solution_of(store, QUICK, Execution())
    crossfit = cross_fit(FoldSearches(solution, 5, 1, 0))
    fold = crossfit.repeats[0][2]
    committee, selection = Committee((("b",),)), Selection(abstain_cost=0.2)

    def found(units):
        """The committees of the fold and of all units, with other labels of these units."""
        other = labels.copy()
        other[units] = (labels[units] + 1) % CLASSES
        changed = LogitStore(tmp_path / f"changed-{len(units)}-{units[0]}")
        changed.add(ModelCard("b", blocks={"b": COSTS["b"]}), "val", outputs=rows["b"], labels=other)
        pool = solution_of(changed, QUICK, Execution()).problem.pool
        chosen = abstaining_across(
            CrossFit(pool, None, crossfit.repeats), Chosen(committee, Always(committee)), selection
        )
        return chosen.rule(fold).policy, chosen.committee.policy

    same, moved = found(fold.held_out), found(fold.trained[:100])
    plain = abstaining_across(crossfit, Chosen(committee, Always(committee)), selection)
    assert same[0] == plain.rule(fold).policy
    assert same[1] != plain.committee.policy
    assert moved[0] != plain.rule(fold).policy


def test_the_expected_figures_are_those_of_the_thresholds_of_other_folds(store):
    choice = search_and_choose(
        store, QUICK, Target("target_flops", 60), None, Selection(answered_accuracy=0.9, folds=5)
    )
    expected = choice.evidence.expected
    assert expected.on_answered.quality >= 0.9
    assert expected.to_json()["answered"] == expected.on_answered.share
    assert choice.val.answered is not None
    assert choice.val.committee.expected["answered_quality"] == expected.on_answered.quality
    assert choice.val.figures()["answered"] == choice.val.answered / N
    # the same committee that answers everything is the one of the search without the option
    plain = search_and_choose(store, QUICK, Target("target_flops", 60), None, Selection(folds=5))
    assert answering(choice.val.committee).stages == plain.val.committee.stages
    assert answering(choice.val.committee).policy == plain.val.committee.policy
    assert choice.evidence.comparison == plain.evidence.comparison
    assert choice.speedup == plain.speedup


@pytest.mark.parametrize("folds", [0, 5])
def test_an_accuracy_that_cannot_be_shown_is_refused_with_the_best_that_is(store, folds):
    with pytest.raises(InfeasibleError, match=r"no threshold is expected to make 0.9999 .* the most .* Lower"):
        search_and_choose(store, QUICK, None, None, Selection(answered_accuracy=0.9999, folds=folds))


def test_a_dear_silence_answers_every_unit_and_a_free_one_few(store):
    shares = []
    for cost in (1.0, 0.3, 0.05):
        choice = search_and_choose(store, QUICK, None, None, Selection(abstain_cost=cost, folds=5))
        shares.append(choice.val.answered / N)
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[2] < shares[0]


def test_what_cannot_abstain_is_refused(tmp_path, store):
    with pytest.raises(UsageError, match="each say which units get no answer"):
        Selection(abstain_cost=0.1, answered_accuracy=0.9)
    for name in ("abstain_cost", "answered_accuracy"):
        for value in (-0.1, 1.1, float("nan"), "x", True):
            with pytest.raises(UsageError):
                Selection(**{name: value})
    graded = LogitStore(tmp_path / "graded")
    for name in ("small", "large"):
        graded.add(
            ModelCard(name, kind="answers", costs={"usd": 1.0}),
            "val",
            labels=["x"] * 40,
            answers=["x"] * 40,
            quality=np.linspace(0, 1, 40),
            scores={"confidence": np.linspace(0, 1, 40)},
        )
    with pytest.raises(UsageError, match="right or wrong"):
        search_and_choose(graded, Query(cost="usd"), None, None, Selection(abstain_cost=0.1, folds=0))
    bare = LogitStore(tmp_path / "bare")
    bare.add(ModelCard("small", kind="answers", costs={"usd": 1.0}), "val", labels=["x"] * 40, answers=["x"] * 40)
    with pytest.raises(WiseCommitteeError, match="confidence"):
        search_and_choose(bare, Query(cost="usd"), None, None, Selection(abstain_cost=0.1, folds=0))


def test_a_frontier_file_keeps_how_many_units_are_answered(store, tmp_path):
    committees = [Committee((("a",),), Abstaining(Thresholds(), (0.7,))), Committee((("b",),))]
    evaluations = [evaluate(committee, store, "val") for committee in committees]
    assert evaluations[0].quality < evaluations[1].quality
    frontier = wc.Frontier(tuple(evaluations), (evaluations[1],), QUICK, {"complete": True}, "", "top-1")
    frontier.save(tmp_path / "f.parquet")
    again = wc.Frontier.load(tmp_path / "f.parquet")
    assert [e.answered for e in again] == [e.answered for e in evaluations]
    assert again.evaluations == frontier.evaluations
    frame = pd.read_parquet(tmp_path / "f.parquet")
    assert frame["answered"][0] == evaluations[0].answered
    assert "answered" not in wc.Frontier((evaluations[1],), (evaluations[1],), QUICK).to_frame()


# the command line


@pytest.fixture
def command(monkeypatch, capsys):
    from wisecommittee.cli import console, main

    monkeypatch.setenv("COLUMNS", "80")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["wisecommittee", *map(str, words)])
        monkeypatch.setattr(console.out, "width", 80, raising=False)
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out, shown.err

    return run


def test_the_command_prints_coverage_and_accuracy_of_the_answers_and_saves_the_committee(store, command, tmp_path):
    words = ("search", "--store", store.files.uri, "--max-models", 2, "--levels", 15, "--folds", 5)
    saved = tmp_path / "committee.json"
    code, out, err = command(*words, "--answered-accuracy", 0.9, "--save", saved, "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert printed["query"]["answered_accuracy"] == 0.9
    assert printed["committee"]["policy"]["kind"] == "abstaining"
    assert printed["expected"]["answered_quality"] >= 0.9
    low, high = printed["expected"]["answered_quality_interval"]
    assert low < printed["expected"]["answered_quality"] < high
    again = evaluate(Committee.load(saved), store, "val").figures()
    assert {name: again[name] for name in ("answered", "answered_quality")} == {
        name: printed["val"][name] for name in ("answered", "answered_quality")
    }
    code, out, _ = command(*words, "--abstain-cost", 0.2)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "answered % [95 %]" in out
    assert "answers only if max_prob >=" in out
    assert "before it abstains" in out
    code, out, err = command(
        "evaluate", saved, "--store", store.files.uri, "--split", "val", "--units", tmp_path / "u.csv"
    )
    assert code == 0, err
    assert pd.read_csv(tmp_path / "u.csv")["prediction"].notna().mean() == pytest.approx(again["answered"])


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--answered-accuracy", 0.9, "--abstain-cost", 0.1), 2, "leave one of them out"),
        (("--answered-accuracy", 90), 2, "expected a share from 0 to 1, such as 0.9"),
        (("--abstain-cost", 0.1, "--guarantee", "accuracy >= 0.5"), 2, "answer every unit"),
        (("--answered-accuracy", 1, "--folds", 5), 1, "no threshold is expected to make 1 of the answers right"),
    ],
)
def test_mistakes_are_told_in_one_line(store, command, words, status, message):
    code, _, err = command("search", "--store", store.files.uri, "--max-models", 1, *words)
    assert code == status
    assert message in " ".join(err.split())
    assert "Traceback" not in err


# risk and coverage


def brute_force_aurc(uncertainty, right):
    """The mean over all orders of tied units of the mean selective risk (Jaeger et al. 2023, Eq. 5)."""
    units = range(len(right))
    orders = [
        o
        for o in itertools.permutations(units)
        if all(uncertainty[a] <= uncertainty[b] for a, b in itertools.pairwise(o))
    ]
    areas = [np.mean([np.mean([1 - right[u] for u in order[: k + 1]]) for k in units]) for order in orders]
    return np.mean(areas)


@pytest.mark.parametrize("seed", range(4))
def test_the_area_under_the_curve_is_its_definition_by_brute_force(seed):
    from wisecommittee.analyses.risk_coverage import RiskCoverageCurve, risks

    rng = np.random.default_rng(seed)
    uncertainty, right = rng.integers(0, 3, 7).astype(float), rng.integers(0, 2, 7).astype(float)
    curve = RiskCoverageCurve(Committee((("a",),)), "val", risks(uncertainty, right), risks(-right, right))
    assert curve.aurc == pytest.approx(brute_force_aurc(uncertainty, right))
    assert curve.excess == pytest.approx(curve.aurc - brute_force_aurc(-right, right))
    assert curve.accuracy == pytest.approx(right.mean())
    assert curve.within(1.0) == pytest.approx(right.mean())


def test_the_table_of_risk_and_coverage_orders_a_single_model_by_its_confidence(store, outputs):
    from wisecommittee.analyses.study import study_of
    from wisecommittee.report import tables

    rows, labels = outputs
    frontier = tables.fill("risk-coverage", study_of(store, max_models=2, levels=10))
    for name in ("a", "c"):
        z = rows[name].astype(float)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        wrong = (p.argmax(axis=1) != labels)[np.argsort(-p.max(axis=1), kind="stable")]
        risk = np.cumsum(wrong) / np.arange(1, N + 1)
        row = frontier.column("committee").index(name) if name in frontier.column("committee") else None
        if row is not None:
            assert frontier.column("aurc")[row] == pytest.approx(risk.mean(), rel=1e-3)
            assert frontier.column("within_80")[row] == pytest.approx(1 - risk[int(0.8 * N) - 1], abs=2 / N)
    assert "a" in frontier.column("committee")
    committee = Committee((("a",), ("c",)), Abstaining(Thresholds((0.9,)), (0.92, 0.8)))
    table = tables.fill("risk-coverage", study_of(store, committees=(committee,)))
    e = evaluate(committee, store, "val")
    assert table.column("answered") == [e.answered / N]
    assert table.column("answered_quality") == [pytest.approx(e.correct / e.answered)]
