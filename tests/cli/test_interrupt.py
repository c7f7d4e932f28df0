"""Ctrl-C at every stage of a search, as real processes get it: the best so far, or one line and exit code 130.

A hook says on stderr that a stage is reached and stays there, so that the signal comes in the middle of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from processes import HUNG, ended

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.search import search
from wisecommittee.searches.workers.threads import Interrupts, Workers, interruptible, interrupts
from wisecommittee.store import LogitStore

START = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it

def here(text="here"):
    os.write(2, (text + "\\n").encode())

def stay():
    while True:
        time.sleep(0.01)

def stay_until(number):
    from wisecommittee.searches.workers import threads
    while threads._active.number < number:  # in any thread
        time.sleep(0.01)
"""
RUN = """
sys.argv = ["wisecommittee", *sys.argv[1:]]
from wisecommittee.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def as_in_the_foreground():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    found = LogitStore(tmp_path / "S")
    for k, name in enumerate("abc"):
        logits = (rng.normal(size=(200, 4)) + (1 + k) * np.eye(4)[labels]).astype(np.float32)
        found.add(ModelCard(name, blocks={name: 10 * 4**k}), "val", labels=labels, outputs=logits)
    return found


def interrupted(hook: str, *arguments: str, signals: int = 1) -> tuple[int, str, list[str]]:
    """(exit code, stdout, lines of stderr) of a search that is interrupted wherever the hook says 'here'."""
    code = START + hook + RUN
    command = [sys.executable, "-c", code, "search", "--store", "S", *arguments]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    told: list[str] = []
    with ended(run):
        for _ in range(signals):
            for line in run.stderr:
                if line == "here\n":
                    break
                told.append(line)
            os.killpg(run.pid, signal.SIGINT)  # as a terminal sends it
        out, err = run.communicate(timeout=HUNG)
    lines = [line for line in [*told, *err.splitlines(keepends=True)] if line != "here\n" and "compiling" not in line]
    return run.returncode, out, [line.rstrip("\n") for line in lines]


BEFORE = {
    "when the program is found": """
import wisecommittee.__main__
here(); stay()
""",
    "while the program loads": """
import importlib.abc
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            here(); stay()
sys.meta_path.insert(0, Slow())
""",
    "before the command is read": """
import wisecommittee.cli as module
module.use_any_text = lambda: (here(), stay())
""",
    "while the search loads": """
import importlib.abc
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "wisecommittee.searches.choosing":
            here(); stay()
sys.meta_path.insert(0, Slow())
""",
    "while cards are read": """
from wisecommittee.store import LogitStore
LogitStore.cards = lambda *_: (here(), stay())
""",
    "while outputs are decoded, in threads": """
from wisecommittee.searches.stages.pool import Pool
Pool.summands = lambda *_: (here(), stay())
""",
    "while stage tables are made": """
import wisecommittee.searches.strategies.prepare as module
module.stage_tables = lambda *_, **__: (here(), stay())
""",
    "in a place that swallows exceptions": """
import wisecommittee.searches.strategies.prepare as module
make = module.stage_tables
def swallows(*arguments, **options):
    try:
        here(); stay()
    except BaseException:
        pass
    return make(*arguments, **options)
module.stage_tables = swallows
""",
}


@pytest.mark.parametrize("where", BEFORE)
def test_where_nothing_is_found_one_line_says_so(where, store):
    code, out, err = interrupted(BEFORE[where], "--frontier", "f.parquet", "--json")
    assert (code, out) == (130, "")
    assert len(err) == 1, err
    assert err[0].startswith("error: interrupted")
    assert set(os.listdir()) <= {"S", "cache"}


ALONE = {
    "while stage tables are made": """
import wisecommittee.searches.stages.stage_tables as module
walk = module.walk_blocks
def slow(*arguments, **options):
    module.walk_blocks = walk
    here(); stay()
module.walk_blocks = slow
""",
    "in a thread that makes a part of them": """
import wisecommittee.searches.stages.blocks as module
make = module._products
def slow(*arguments):
    module._products = make
    walk = make(*arguments)
    def held(*block):
        here(); stay_until(1)
        walk(*block)
    return held
module._products = slow
""",
    "while confidences are put into levels": """
from wisecommittee.searches.grid import levels
bin_row = levels.bin_units
def slow(*arguments):
    here(); stay_until(1)
    return bin_row(*arguments)
levels.bin_units = slow
""",
}


@pytest.mark.parametrize("options", [(), ("--exact",)], ids=["grid", "exact"])
@pytest.mark.parametrize("where", ALONE)
def test_before_the_first_cascade_the_single_models_are_the_answer(where, options, store):
    code, out, err = interrupted(ALONE[where], "--frontier", "f.parquet", "--json", *options)
    found = json.loads(out)
    searched = found["searched"]
    assert code == 0, err
    assert (searched["complete"], searched["exact"], searched["stopped_by"]) == (False, False, "interrupt")
    assert searched["combinations"] == 3
    assert searched["threshold_vectors"] == 3
    assert searched["unfinished_combinations"] == 12
    kept = Frontier.load("f.parquet")
    assert list(kept) == list(search(store, max_models=1))
    assert [e["committee"]["stages"] for e in found["frontier"]] == [[list(e.committee.models)] for e in kept]
    assert [line for line in err if line.startswith("stopping")] == [
        "stopping: the best found so far follows; Ctrl-C again ends at once"
    ]
    assert any("this is the best found so far, with 12 combinations not finished" in line for line in err)


def test_the_second_interrupt_ends_a_kernel_that_is_being_compiled(store):
    hook = """
from wisecommittee.searches.grid.sweep import GridSearch
GridSearch.chunk = lambda *_: (here(), stay_until(1), here(), stay())
"""
    code, out, err = interrupted(hook, "--frontier", "f.parquet", "--json", signals=2)
    assert (code, out, err[-1]) == (130, "", "error: interrupted")


PAIRS = """
from wisecommittee.searches.grid.sweep import GridSearch
chunk = GridSearch.chunk
def slow(self, before, part, control):
    if part.sequences.shape[1] == 2:
        here()
        while not control.stopped():
            time.sleep(0.01)
    return chunk(self, before, part, control)
GridSearch.chunk = slow
"""
AFTER = {
    "in the grid": (PAIRS, ()),
    "in the proof": (
        PAIRS.replace("grid.sweep import GridSearch", "exact.proof import ExactSearch as GridSearch"),
        ("--exact",),
    ),
    "in the grid of a shared threshold": (PAIRS, ("--shared-threshold",)),
    "in a beam": (
        """
from wisecommittee.searches.heuristic.refine import Refinement
def slow(self):
    here(); stay_until(1)
Refinement.run = slow
""",
        ("--method", "beam"),
    ),
    "in greedy search": (
        """
from wisecommittee.searches.heuristic.greedy import Greedy
step = Greedy.step
def slow(self, states, last):
    here(); stay_until(1)
    return step(self, states, last)
Greedy.step = slow
""",
        ("--method", "greedy"),
    ),
}


@pytest.mark.parametrize("where", AFTER)
def test_what_was_found_is_the_answer(where, store):
    hook, options = AFTER[where]
    code, out, err = interrupted(hook, *options, "--json", "--max-models", "3", "--frontier", "f.parquet")
    found = json.loads(out)
    assert (code, found["searched"]["complete"], found["searched"]["stopped_by"]) == (0, False, "interrupt"), err
    assert len(Frontier.load("f.parquet")) == len(found["frontier"]) > 0
    assert any("stopping: the best found so far follows" in line for line in err)
    assert any("stopped before the end; this is the best found so far" in line for line in err)
    if "grid" in where:
        assert found["searched"]["combinations"] == found["searched"]["threshold_vectors"] == 3
        assert found["searched"]["unfinished_combinations"] == 6 + 6
        assert {len(e["committee"]["stages"]) for e in found["frontier"]} == {1}


REPORT = """
from wisecommittee.searches.reporter import Reporter
report = Reporter.report
def slow(self, points):
    here(); stay_until(1)
    return report(self, points)
Reporter.report = slow
"""
SAVING = """
from wisecommittee.committees.committee import Committee
save = Committee.save
def slow(self, path):
    here(); stay_until(1)
    save(self, path)
Committee.save = slow
"""
PRINTING = """
import wisecommittee.cli.search as module
show = module.show_choice
def slow(*arguments):
    here(); stay_until(1)
    show(*arguments)
module.show_choice = slow
"""


@pytest.mark.parametrize("hook", [REPORT, SAVING, PRINTING], ids=["report", "saving", "printing"])
def test_a_search_that_is_done_is_reported_whole(hook, store):
    code, out, err = interrupted(hook, "--match", "c", "--choose", "best", "--save", "c.json")
    assert code == 0, err
    plain = search(store).matching(search(store, models=["c"]).best().quality)
    assert replace(Committee.load("c.json"), expected=None) == plain.committee
    assert "searched 15 combinations" in out
    assert plain.committee.label() in out
    assert err == ([] if hook == SAVING else ["the search has ended: its answer follows; Ctrl-C again ends at once"])


def test_an_interrupt_that_comes_too_late_to_stop_anything_is_said(store):
    hook = """
from wisecommittee.searches.grid.sweep import GridSearch
points = GridSearch.points
def slow(self):
    here(); stay_until(1)
    return points(self)
GridSearch.points = slow
"""
    code, out, err = interrupted(hook, "--json")
    assert (code, json.loads(out)["searched"]["complete"]) == (0, True), err
    assert err[-1] == "the search was at its end: the answer is complete"


def test_the_second_interrupt_ends_at_once(store):
    hook = REPORT.replace("stay_until(1)", "stay_until(1); here(); stay()")
    code, out, err = interrupted(hook, "--json", "--frontier", "f.parquet", signals=2)
    assert (code, out) == (130, "")
    assert err[-1] == "error: interrupted"
    assert not os.path.exists("f.parquet")


def test_what_is_being_written_at_the_second_interrupt_is_written_whole(store):
    hook = SAVING.replace("here(); stay_until(1)", "here(); stay_until(1); here(); stay_until(2)")
    code, _, err = interrupted(hook, "--match", "c", "--save", "c.json", signals=2)
    assert (code, err[-1]) == (130, "error: interrupted")
    assert Committee.load("c.json").cost == "flops"
    assert [name for name in os.listdir() if name.endswith(".tmp")] == []


def test_a_target_that_nothing_found_so_far_meets_is_said(store):
    code, out, err = interrupted(PAIRS, "--target-accuracy", "1", "--max-models", "2")
    assert (code, out) == (130, "")
    assert err[-1].startswith("error: no committee reaches 1 on val; the best is c")
    assert err[-1].endswith("of the committees found before the search was stopped")


def test_a_part_of_a_frontier_is_not_drawn(store):
    """Commands with several searches end at the first interrupt."""
    command = [sys.executable, "-c", START + PAIRS + RUN, "tables", "frontier", "--store", "S"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with ended(run):
        assert "here\n" in iter(run.stderr.readline, "")
        os.killpg(run.pid, signal.SIGINT)
        out, err = run.communicate(timeout=HUNG)
    assert (run.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("error: interrupted")


# In Python


def test_a_python_program_gets_a_keyboard_interrupt(store, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(
        "wisecommittee.searches.strategies.prepare.stage_tables", lambda *_, **__: signal.raise_signal(signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        search(store)
    assert signal.getsignal(signal.SIGINT) is before


def test_threads_are_not_waited_for_after_an_interrupt():
    from threading import Event

    release, began = Event(), Event()

    def compiling():
        began.set()
        release.wait()

    def run():
        with Workers(1) as workers:
            workers.submit(compiling)
            began.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()  # comes back though the thread has not
    assert not release.is_set()
    release.set()


def test_a_handler_of_the_programs_own_is_left_alone():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("mine"))
    try:
        with interruptible() as inside:
            inside.keep(lambda: heard.append("stopped"))
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["mine"]


def test_a_search_within_another_one_shares_its_interrupts():
    with interruptible() as outer, interruptible() as inner:
        assert inner is outer is interrupts()
    assert interrupts() is not outer
    assert isinstance(interrupts(), Interrupts)
