"""What a committee was chosen with: recorded by every search, ignored by evaluation, and compared with the store."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from policy_committees import PRICES, TRUNK, N, make_store

import wisecommittee as wc
from wisecommittee import Committee, Frontier, GuaranteeOptions, LogitStore, ModelCard, Query, Selection, Target
from wisecommittee.errors import CommitteeError
from wisecommittee.version import __version__

QUICK = Query(max_models=2, levels=6)
PLAIN = Selection(choose="best", folds=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("provenance"))


def test_a_search_records_versions_store_query_and_claims(store):
    choice = wc.search_and_choose(store, QUICK, Target("target_flops", 40), selection=PLAIN)
    record, committee = choice.val.committee.provenance, choice.val.committee
    assert record["versions"] == {"wisecommittee": __version__, "numpy": np.__version__, "numba": pytest.importorskip("numba").__version__}  # fmt: skip  # noqa: E501
    assert record["query"] == choice.to_json()["query"]
    assert record["query"]["target_flops"] == 40
    searched = choice.to_json()["searched"]
    assert record["searched"] == {name: value for name, value in searched.items() if name != "seconds"}
    assert record["searched"]["complete"]
    contents = {model: store.card(model, "val").contents for model in committee.models}
    assert record["store"]["outputs"] == {model: each.content for model, each in contents.items()}
    assert (record["store"]["split"], record["store"]["units"]) == ("val", N)
    assert record["store"]["units_hash"] == next(iter(contents.values())).units
    assert choice.to_json()["committee"]["provenance"] == json.loads(json.dumps(record))


def test_equal_searches_write_equal_bytes(store, tmp_path):
    for name in ("one", "two"):
        wc.search_and_choose(store, QUICK, Target("target_flops", 40)).val.committee.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_fingerprint_is_that_of_what_was_searched(store, tmp_path):
    def fingerprint(source, **options):
        return wc.search(source, max_models=2, levels=6, **options).best().committee.provenance["store"]["fingerprint"]

    shutil.copytree(store.files.local, tmp_path / "copy")
    copy = LogitStore(tmp_path / "copy")
    assert fingerprint(copy) == fingerprint(store) != fingerprint(store, models=["a", "b"])
    outputs = copy.outputs("a", "val").copy()
    outputs[0, 0] += 1
    copy.add(copy.card("a", "val").without_contents(), "val", outputs=outputs, labels=copy.labels("val"), replace=True,
             unit_costs={"tokens": store.unit_costs("a", "val", "tokens")})  # fmt: skip
    assert fingerprint(copy) != fingerprint(store)


def test_every_committee_of_a_frontier_has_it_also_from_its_file(store, tmp_path):
    found = wc.search(store, QUICK)
    found.save(tmp_path / "f.parquet")
    again = Frontier.load(tmp_path / "f.parquet")
    for one, other in zip((*found, *found.singles), (*again, *again.singles), strict=True):
        assert one.committee.provenance == other.committee.provenance
        assert set(one.committee.provenance["store"]["outputs"]) == set(one.committee.models)
    mixed = found.within(cost=float(np.mean([found.evaluations[0].average_cost, found.evaluations[-1].average_cost])),
                         mix=True).committee  # fmt: skip
    assert set(mixed.provenance["store"]["outputs"]) == set(mixed.models)


def test_a_guarantee_stands_beside_its_query(store):
    asked = GuaranteeOptions(guarantee=["average_flops <= 80"])
    choice = wc.search_with_guarantee(store, asked, QUICK)
    committee = choice.val.committee
    assert committee.guarantee
    assert committee.provenance["query"] == choice.to_json()["query"]
    assert committee.provenance["query"]["guarantee"] == ["average_flops <= 80"]


def test_a_retuned_committee_has_that_of_its_search_too(store):
    chosen = next(e.committee for e in wc.search(store, QUICK) if len(e.committee.stages) > 1)
    once = wc.retune(chosen, store, "test", against="val").committee
    twice = wc.retune(once, store, "val", against="test").committee
    assert once.provenance["retuned"] == {"store": store.files.uri, "split": "test", "against": "val"}
    assert once.provenance["store"]["split"] == "test"
    assert twice.provenance["search"] == once.provenance["search"] == chosen.provenance


def test_evaluation_fingerprint_and_equality_do_not_see_it(store, tmp_path):
    committee = wc.search(store, QUICK).best().committee
    bare = replace(committee, provenance=None)
    assert bare == committee
    assert bare.decides_as(committee)
    assert bare.fingerprint == committee.fingerprint
    assert wc.evaluate(bare, store, "test") == wc.evaluate(committee, store, "test")
    bare.save(tmp_path / "old.json")
    assert Committee.load(tmp_path / "old.json").provenance is None
    assert committee.at(0.5).provenance is None


@pytest.mark.parametrize("value", [3, "text", [], True])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(CommitteeError, match='"provenance" must be an object'):
        Committee.from_json({"version": 1, "stages": [["a"]], "provenance": value})


STRANGE = (
    {},
    {"store": 7},
    {"store": {"split": "../..", "outputs": {"a": 1}}},
    {"store": {"split": "val", "units": "many", "units_hash": [], "outputs": []}},
    {"store": {"split": "val", "units": 1 << 100, "units_hash": 0, "outputs": {"a": {"b": 1}}}},
    {"versions": "\x1b[2J", "query": [1], "store": {"split": "val\u202e", "outputs": {}}},
)


@pytest.mark.filterwarnings("ignore:a may no longer be")
@pytest.mark.parametrize("record", STRANGE)
def test_a_strangers_provenance_is_only_data(record, store, run, tmp_path):
    committee = Committee((("a",),), members={"a": {"blocks": TRUNK["a"]}}, provenance=record)
    committee.save(tmp_path / "c.json")
    uri = store.files.uri
    commands = (["evaluate"], ["explain", "3"], ["diff"], ["monitor", "--split", "test", "--against", "val"])
    for name, *more in commands:
        place = [tmp_path / "c.json", *more] if name == "explain" else [tmp_path / "c.json"]
        code, text, err = run(name, *place, "--store", uri, *(more if name != "explain" else []))
        assert code in (0, 1)
        assert "\x1b" not in text + err
        assert "\u202e" not in text + err
    other = replace(committee, provenance={"store": record})
    other.save(tmp_path / "d.json")
    code, text, _ = run("diff", tmp_path / "c.json", tmp_path / "d.json")
    assert (code, "\x1b" in text) == (0, False)


def warned(call, *arguments, **options):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call(*arguments, **options)
    return [str(each.message) for each in said if "no longer be the best choice" in str(each.message)]


def test_a_choosing_split_that_has_changed_is_a_warning(store, tmp_path):
    """Other outputs of the same models, where it was chosen; another test split is what committees are for."""
    shutil.copytree(store.files.local, tmp_path / "copy")
    copy = LogitStore(tmp_path / "copy")
    chosen = next(e.committee for e in wc.search(copy, QUICK) if len(e.committee.stages) > 1)
    calls = ((wc.evaluate, (chosen, copy)), (wc.explain, (chosen, copy, "3")), (wc.monitor, (chosen, copy, "test")))
    calls += ((wc.retune, (chosen, copy, "test")),)
    rng = np.random.default_rng(0)
    for split, expected in (("test", 0), ("val", 1)):
        for model in chosen.models:
            given = {"unit_costs": {"tokens": copy.unit_costs(model, split, "tokens")}} if model != "c" else {}
            outputs = rng.normal(size=(N, 2)).astype(np.float32)
            card = ModelCard(model, blocks=TRUNK[model], costs={"usd": PRICES[model], "tokens": 7.25})
            copy.add(card, split, outputs=outputs, labels=copy.labels(split), replace=True, **given)
        for call, arguments in calls:
            against = {"against": "val"} if call in (wc.monitor, wc.retune) else {}
            said = warned(call, *arguments, **against)
            assert len(said) == expected, call
            for line in said:
                assert f"the outputs of {', '.join(sorted(chosen.models))} in val are not those that chose it" in line
