"""What a search is asked: one value, whose fields are the options of the library and of the command line."""

from __future__ import annotations

import inspect
import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from pools import MemoryStore, random_pool
from typer import Typer
from typer.main import get_command
from wisecommittee.cli.search import search as command

import wisecommittee as wc
from wisecommittee.errors import UnknownNameError, UsageError, WiseCommitteeError, option, options_as_flags
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.methods import STRATEGIES
from wisecommittee.searches.query import Query
from wisecommittee.searches.search import search
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import TARGETS, Target
from wisecommittee.searches.workers.execution import Execution

# Options of the command that ask nothing of the search, and the fields that no command line has.
OF_THE_COMMAND = {"store", "features", "save", "frontier", "as_json", "percentile", *TARGETS}
NOT_ON_THE_COMMAND_LINE = {"progress", "notify"}
CONTRACT = {
    *("split", "models", "max_models", "levels", "shared_threshold", "family", "replicas", "combine", "confidence"),
    *("cost", "axis", "calibrated", "max_worst_cost", "max_percentile_cost", "max_average"),
    *("labels_from", "limit", "parallel", "policy", "router_cost"),
}


def names(*kinds):
    return {each.name for kind in kinds for each in fields(kind)}


def options_of_the_command():
    app = Typer(add_completion=False)
    app.command()(command)
    return {parameter.name: parameter for parameter in get_command(app).params}


def test_the_fields_are_the_options_of_the_command():
    fields_of_options = names(Query, Execution, Selection, GuaranteeOptions) - NOT_ON_THE_COMMAND_LINE
    assert fields_of_options == set(options_of_the_command()) - OF_THE_COMMAND


def test_the_command_says_of_an_option_what_its_field_says():
    shown = options_of_the_command()
    for each in (*fields(Query), *fields(Execution), *fields(Selection), *fields(GuaranteeOptions)):
        if each.name in shown and each.name not in ("max_percentile_cost", "max_average"):
            assert shown[each.name].help == each.metadata["text"]
            assert shown[each.name].default == each.default
            assert shown[each.name].opts == ["--" + each.name.replace("_", "-")]


def test_the_function_shows_its_options():
    parameters = inspect.signature(wc.search).parameters
    assert list(parameters)[:3] == ["store", "query", "execution"]
    assert set(parameters) - {"store", "query", "execution"} == names(Query, Execution)
    for each in (*fields(Query), *fields(Execution)):
        assert parameters[each.name].default == each.default
        assert f"\n{each.name}\n    {each.metadata['text'][:30]}" in wc.search.__doc__


def test_a_misspelt_option_is_told_the_right_one():
    with pytest.raises(UsageError, match="unknown option 'max_model'; did you mean 'max_models'"):
        wc.search(MemoryStore(*random_pool()), max_model=3)


def test_a_query_and_its_keywords_ask_the_same():
    held = MemoryStore(*random_pool(units=60))
    query = Query(levels=7, max_models=2)
    asked = search(held, query)
    assert (
        list(asked) == list(search(held, levels=7, max_models=2)) == list(search(held, Query(levels=7), max_models=2))
    )
    with pytest.raises(FrozenInstanceError):
        query.levels = 8


def test_the_query_of_a_frontier_finds_it_again():
    held = MemoryStore(*random_pool(units=60, models=4))
    frontier = search(held, levels=7, models=["m*", "!m1"], max_worst_flops=40, axis="worst")
    assert frontier.query.models == ("m0", "m2", "m3")
    assert frontier.query.max_worst_cost == 40
    assert (frontier.query.confidence, frontier.query.combine, frontier.query.cost) == (
        "max_prob",
        "mean_logits",
        "flops",
    )
    again = search(held, frontier.query)
    assert list(again) == list(frontier)
    assert again.query == frontier.query


def test_the_query_survives_its_json():
    query = Query(models=("a", "b"), max_models=2, max_percentile_cost=(95, 3.5), max_average={"usd": 2})
    written = json.loads(json.dumps(query.to_json()))
    assert Query.from_json(written) == query
    assert Query.from_json({"levels": 7, "of a later version": 1}) == Query(levels=7)
    assert set(written) == CONTRACT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 1}, "levels=1; expected a whole number from 2 to 4096"),
        ({"levels": 10.5}, r"levels=10\.5; expected a whole number"),
        ({"levels": True}, "levels=True; expected a whole number"),
        ({"max_models": 0}, "max_models=0; expected a whole number from 1"),
        ({"models": "b*"}, r"models='b\*'; expected a list"),
        ({"exact": 1}, "exact=1; expected True or False"),
        ({"exact": True, "method": "beam"}, "exact=True with method='beam'; choose one"),
        ({"axis": "p101"}, "axis='p101'; expected a percentile above p0 and up to p100"),
        ({"replicas": "every"}, "unknown replicas"),
        ({"max_worst_flops": 1.0, "cost": "usd"}, "costs in usd; use max_worst_cost="),
        ({"max_worst_cost": float("inf")}, "max_worst_cost=inf; expected a finite number from 0"),
        ({"max_percentile_cost": (0, 5)}, "percentile 0; expected a number above 0"),
        ({"max_percentile_cost": 5}, "expected a percentile and a limit"),
        ({"max_average": {"usd": -1}}, "limit on the average usd -1; expected a finite number"),
        ({"max_average": ["usd"]}, "expected limits by name"),
        ({"split": 3}, "split=3; expected a text"),
    ],
)
def test_what_no_search_can_be_asked_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Query(**options)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("target_flop", 3, "unknown target 'target_flop'; did you mean 'target_flops'"),
        ("target_cost", -1, "target_cost=-1; expected a finite number from 0"),
        ("target_accuracy", 94, "expected a share from 0 to 1, such as 0.94"),
        ("match", 3, "match=3; expected a text"),
        ("match_ensemble", ["a", "a"], "two different members"),
    ],
)
def test_what_is_no_target_is_refused(kind, value, message):
    with pytest.raises((UsageError, UnknownNameError), match=message):
        Target(kind, value)


def test_of_two_targets_none_is_chosen():
    assert Target.one_of(target_flops=None, match=None) is None
    assert Target.one_of(target_flops=3.0, match=None) == Target("target_flops", 3.0)
    with pytest.raises(UsageError, match="target_flops= and match=: choose one target"):
        Target.one_of(target_flops=3.0, match="a")


# How messages name options


def test_an_option_is_spelt_as_its_caller_gives_it():
    def spelt():
        return (
            option("max_models"),
            option("max_models", 3),
            option("axis", "p99"),
            option("exact", True),
            option("names", placeholder="NAME", flag="name"),
        )

    assert spelt() == ("max_models=", "max_models=3", "axis='p99'", "exact=True", "names=NAME")
    with options_as_flags():
        assert spelt() == ("--max-models", "--max-models 3", "--axis p99", "--exact", "--name NAME")
    assert spelt()[0] == "max_models="


WRONG = {
    "levels": {"levels": 1},
    "axis": {"axis": "p99", "shared_threshold": True},
    "method": {"method": "beam", "family": "ensemble"},
    "max_worst_cost": {"cost": "latency_ms", "max_worst_flops": 3.0},
}


@pytest.mark.parametrize("name", WRONG)
def test_messages_name_keywords_in_python_and_flags_on_the_command_line(name, run, imported_store):
    options = WRONG[name]
    with pytest.raises(WiseCommitteeError) as raised:
        search(wc.LogitStore(imported_store), **options)
    assert f"{name}=" in str(raised.value)
    assert "--" not in str(raised.value)
    given = [word for key, value in options.items() for word in flags(key, value)]
    code, _, err = run("search", "--store", imported_store, *given)
    assert code == 2
    assert f"--{name.replace('_', '-')}" in err
    assert f"{name}=" not in err


def flags(name, value):
    flag = "--" + name.replace("_", "-")
    return [flag] if value is True else [flag, value]


# Strategies


def test_every_strategy_is_found_by_its_name():
    assert {name: strategy.name for name, strategy in STRATEGIES.items()} == {name: name for name in STRATEGIES}
    assert {name for name, strategy in STRATEGIES.items() if not strategy.proves} == {"beam", "greedy"}


def test_a_study_changes_its_query():
    study = wc.Study(MemoryStore(*random_pool(units=60)), Query(levels=7))
    assert study.search(max_models=1).query.max_models == 1
    assert study.search() is study.search()
    assert replace(study, query=replace(study.query, levels=5)).search().query.levels == 5


def test_values_of_another_kind_are_named(imported_store):
    """A store that is none, a committee whose policy is none; a committee may be named by its file."""
    with pytest.raises(WiseCommitteeError, match="store None; expected a LogitStore, a folder"):
        search(None)
    with pytest.raises(WiseCommitteeError, match=r"expected a policy, such as Thresholds"):
        wc.Committee((("a",), ("b",)), (0.5,))
    best = search(imported_store, levels=5).best()
    best.committee.save("committee.json")
    assert wc.evaluate("committee.json", imported_store, "val") == best
