"""Numbers in names: replicas where those of an architecture are 0, 1, 2, .., architectures of their own where not."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import cases

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.families import FAMILIES
from wisecommittee.committees.replicas import Numbers, numbering_notes, resolve_replicas, same_replica
from wisecommittee.errors import StoreError
from wisecommittee.searches.search import search
from wisecommittee.searches.stages.pool import select_cards
from wisecommittee.store import LogitStore
from wisecommittee.store.imports.outputs import import_outputs


def places(*names: str) -> dict[str, tuple[str, int]]:
    cards = sorted((ModelCard(name) for name in names), key=lambda card: card.key)
    return {card.model: (card.architecture, card.replica) for card in resolve_replicas(cards)}


@pytest.mark.parametrize(
    "names",
    [
        ("run/1000", "run/3000"),
        ("run/0", "run/1000"),
        ("run/1", "run/2", "run/3"),
        ("b/0", "b/1", "b/3"),
        ("run", "run/500"),
        ("b/1",),
        ("b/17",),
        ("b/٠", "b/١"),  # no digits 0 to 9
        ("a-1", "a-2", "a.3"),
        ("deep/er/7", "deep/er/9"),
        ("run/20240101120000123456789",),
    ],
)
def test_models_whose_numbers_do_not_count_from_0_are_architectures_of_their_own(names):
    assert places(*names) == {name: (name, 0) for name in names}


def test_numbers_from_0_on_are_replicas():
    assert places("b/0", "b/1", "b/2") == {"b/0": ("b", 0), "b/1": ("b", 1), "b/2": ("b", 2)}
    assert places("b", "b/1", "c/0") == {"b": ("b", 0), "b/1": ("b", 1), "c/0": ("c", 0)}
    assert places("x/b/0", "x/b/1", "x/0") == {"x/b/0": ("x/b", 0), "x/b/1": ("x/b", 1), "x/0": ("x", 0)}
    assert places(*(f"b/{k}" for k in range(12)))["b/11"] == ("b", 11)
    assert places("run/2", "run/9", "b/0", "b/1")["b/1"] == ("b", 1)  # one architecture says nothing of another


@cases(200)
@given(st.sets(st.tuples(st.sampled_from(["a", "b", "a/b"]), st.sampled_from([None, 0, 1, 2, 3, 10]))))
def test_what_a_name_says_depends_on_all_names(chosen):
    """By hand: of an architecture the numbers, an unnumbered name being 0, have to be 0 to r - 1."""
    names = {(a if k is None else f"{a}/{k}"): (a, k) for a, k in chosen}
    expected = {}
    for name, (architecture, number) in names.items():
        numbers = {0 if k is None else k for a, k in chosen if a == architecture}
        counts = number is not None and numbers == set(range(len(numbers)))
        expected[name] = (architecture, number) if counts else (name, 0)
    assert places(*names) == expected


def test_what_was_given_beside_the_name_counts():
    cards = [
        ModelCard("run/1000", "run", 0),
        ModelCard("late", "run", 1),
        ModelCard("run/3000", "run", 3000, replica_given=True),
    ]
    assert [(c.architecture, c.replica) for c in resolve_replicas(cards)] == [("run", 0), ("run", 1), ("run", 3000)]
    # A name counts together with what is given: x is b/0.
    cards = [ModelCard("x", "b", 0), ModelCard("b/1"), ModelCard("b/2")]
    assert [(c.architecture, c.replica) for c in resolve_replicas(cards)] == [("b", 0), ("b", 1), ("b", 2)]


def test_the_order_of_sums_does_not_depend_on_the_pool():
    """The float32 sum over members has to be the same in a search, on another split and in deployment."""
    names = ["run/1000", "run/300", "run-b", "run", "a/10", "a/2"]
    for some in itertools.chain.from_iterable(itertools.combinations(names, n) for n in range(1, 7)):
        cards = [ModelCard(name) for name in some]
        assert [c.key for c in resolve_replicas(cards)] == [c.key for c in cards]
    assert sorted(names, key=lambda name: ModelCard(name).key) == ["a/2", "a/10", "run", "run/300", "run/1000", "run-b"]
    assert all(resolve_replicas(resolve_replicas(c)) == resolve_replicas(c) for c in [[ModelCard(n) for n in names]])


def test_two_models_cannot_be_the_same_replica():
    def both(*cards):
        found = same_replica(cards)
        return None if found is None else sorted(found[:2])

    assert both(ModelCard("b"), ModelCard("b/0")) == ["b", "b/0"]
    assert both(ModelCard("b/0"), ModelCard("x", "b", 0)) == ["b/0", "x"]
    assert both(ModelCard("x", "b", 5), ModelCard("y", "b", 5)) == ["x", "y"]
    assert both(ModelCard("run"), ModelCard("run/5"), ModelCard("run/05")) is None
    assert both(ModelCard("b/1"), ModelCard("x", "b", 1)) is None
    assert both(ModelCard("b/1"), ModelCard("x", "b", 1), ModelCard("b/0")) == ["b/1", "x"]


def test_what_does_not_count_is_said_once():
    def notes(*names, of=None):
        return numbering_notes([ModelCard(name) for name in names], of or names)

    (note,) = notes("run/1000", "run/3000", "small")
    assert "run/1000, run/3000" in note
    assert "not as a replica of 'run'" in note
    assert notes("b/0", "b/1", "run/5") == []  # one of its kind, nothing to mistake it for
    assert len(notes("a/1", "a/2", "b/5", "b/6")) == 2
    assert notes("a/1", "a/2", "b/0", of=["b/0"]) == []
    (many,) = notes(*(f"run/{k}" for k in range(100, 2000, 100)))
    assert "run/100, run/200, run/300, run/400 and 15 more" in many


# In a store


N, C = 240, 5


@pytest.fixture
def files(tmp_path):
    """A late and an early step of one training, and a small model."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, C, N)
    np.save(tmp_path / "y.npy", labels)
    for name, strength in (("early", 0.6), ("late", 4), ("small", 2)):
        logits = rng.normal(size=(N, C)) + strength * np.eye(C)[labels]
        np.save(tmp_path / f"{name}.npy", logits.astype(np.float32))
    (tmp_path / "m.csv").write_text("model,flops\nrun/1000,5000\nrun/3000,5000\nsmall,1000\nb/0,7\nb/1,7\n")
    return tmp_path


def put(files, **models):
    given = [("logits", name.replace("_", "/"), files / f"{file}.npy") for name, file in models.items()]
    store = LogitStore(files / "S")
    return store, import_outputs(store, "val", given, labels=files / "y.npy", costs=files / "m.csv")


def test_steps_of_a_training_are_searched_as_models_of_their_own(files):
    with pytest.warns(UserWarning, match="run/1000, run/3000: their numbers are not 0, 1, 2"):
        store, _ = put(files, run_1000="early", run_3000="late", small="small")
    found = search(store, threads=1)
    assert {tuple(e.committee.stages) for e in found} >= {(("small",), ("run/3000",))}  # without run/1000 before it
    assert found.searched["combinations"] == 3 + 6 + 6
    assert found.searched["left_out"] == 0


def test_names_are_read_anew_when_more_models_have_come(files):
    store, _ = put(files, b_1="late")
    assert [(c.architecture, c.replica) for c in select_cards(store, "val", None)] == [("b/1", 0)]
    put(files, b_0="early")
    assert [(c.architecture, c.replica) for c in select_cards(store, "val", None)] == [("b", 0), ("b", 1)]
    # Of some models of the pool the whole pool decides.
    assert [(c.architecture, c.replica) for c in select_cards(store, "val", ["b/1"])] == [("b", 1)]
    put(files, run_1000="early")
    with pytest.warns(UserWarning, match="run/1000, run/3000"):
        put(files, run_3000="late")


def test_columns_of_the_cost_file_decide(files):
    (files / "m.csv").write_text("model,flops,architecture,replica\nrun/1000,5000,run,0\nrun/3000,5000,run,3000\n")
    store, _ = put(files, run_1000="early", run_3000="late")
    cards = select_cards(store, "val", None)
    assert [(c.architecture, c.replica) for c in cards] == [("run", 0), ("run", 3000)]
    written = json.loads((files / "S" / "val" / "model=run%2F3000" / "card.json").read_text())
    assert (written["architecture"], written["replica"], written["replica_given"]) == ("run", 3000, True)
    assert len(FAMILIES["cascade"].combinations(cards, 2)) == 1
    assert store.card("run/3000", "val").replica_given
    (files / "m.csv").write_text("model,flops,architecture,replica\nx,5000,run,0\n")
    with pytest.raises(StoreError, match="run/1000 is architecture 'run' replica 0 already"):
        put(files, x="late")


@cases(300)
@given(
    st.lists(st.tuples(st.sampled_from([None, 0, 1, 2, 3, 10]), st.booleans(), st.booleans()), min_size=1, max_size=8)
)
def test_numbers_that_are_kept_up_to_date_say_what_fresh_ones_do(steps):
    """Cards come and go; whether their numbers count, and whether two share one, is worked out by hand."""
    numbers, pool = Numbers(), []
    for k, (number, given_beside, goes) in enumerate(steps):
        if goes and pool:
            numbers.remove(pool.pop(k % len(pool)))
        elif given_beside:
            pool.append(ModelCard(f"c{k}", "b", number or 0, replica_given=True))
            numbers.add(pool[-1])
        elif f"b/{number}" not in (card.model for card in pool):
            pool.append(ModelCard("b" if number is None else f"b/{number}"))
            numbers.add(pool[-1])
        taken = [(card.key[1], card.placed_by_name and card.model != "b") for card in pool]
        every = sorted(number for number, _ in taken)
        count = bool(pool) and set(every) == set(range(len(set(every))))
        assert numbers.count == count
        apart = every if count else sorted(number for number, read in taken if not read)
        twice = [number for number in set(apart) if apart.count(number) > 1]
        found = numbers.shared()
        assert (found is None) == (not twice)
        assert found is None or found[2] == min(twice)
