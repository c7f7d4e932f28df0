"""A cluster of processes finds what threads find, bit for bit, also when a worker is killed in the middle."""

from __future__ import annotations

import os
import pickle
import signal
import time

import numpy as np
import pytest
from pools import MemoryStore, pieces, random_pool

from wisecommittee.errors import WiseCommitteeError
from wisecommittee.searches.exact.proof import ExactSearch
from wisecommittee.searches.search import search
from wisecommittee.searches.workers.threads import Control, Threads

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of workers that were killed
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_searches_pickle():
    """What travels to workers is plain: no locks, callbacks or stores inside."""
    models, labels = random_pool(units=60, models=3)
    sweep, ready = pieces(MemoryStore(models, labels))
    sweep.run(Threads(1))
    for work in (sweep, ExactSearch(sweep, ready)):
        again = pickle.loads(pickle.dumps(work))
        assert again.run(Threads(1)) == []
        assert work.run(Threads(2)) == []
        for a, b in zip(work.envelope, again.envelope, strict=True):
            assert np.array_equal(a, b)


@pytest.fixture(scope="module")
def address():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


def test_cluster_equals_threads(address):
    models, labels = random_pool(units=300, models=4)
    store = MemoryStore(models, labels)
    for options in ({"levels": 15}, {"levels": 10, "exact": True, "max_average": {"flops": 60}}):
        here, there = search(store, threads=1, **options), search(store, scheduler=address, **options)
        assert list(there) == list(here)
        assert {**there.searched, "seconds": 0} == {**here.searched, "seconds": 0}
    stopped = search(store, scheduler=address, levels=15, time_limit=0)
    assert stopped.searched["complete"] is False
    assert all(len(e.committee.models) == 1 for e in stopped)


class Slow:
    """A search whose chunks take long enough to be killed in."""

    def __init__(self, sweep):
        self.sweep = sweep

    def chunk(self, before, groups, control: Control):
        time.sleep(0.15)
        return self.sweep.chunk(before, groups, control)


@pytest.mark.parametrize("everybody", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_killed_worker_changes_nothing(everybody):
    """Also if all workers die, and with them everything that was shared."""
    from wisecommittee.searches.workers.cluster import Cluster

    models, labels = random_pool(units=200, models=4)
    sweep, _ = pieces(MemoryStore(models, labels))
    plain, _ = pieces(MemoryStore(models, labels))
    assert plain.run(Threads(1)) == []
    slow = Slow(sweep)
    pids, killed = [], []

    def kill(task, done, total):
        if not killed and task.endswith("2 stages") and done:
            for pid in pids if everybody else pids[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    with Cluster("local", kill) as cluster:
        pids += cluster.client.run(os.getpid).values()
        original = cluster.map
        cluster.map = lambda function, *arguments: original(slow.chunk, *arguments)
        assert sweep.run(cluster) == []
    assert killed
    for a, b in zip(plain.envelope, sweep.envelope, strict=True):
        assert np.array_equal(a, b)


def test_a_wrong_address_is_said(monkeypatch):
    monkeypatch.setattr("wisecommittee.searches.workers.cluster.CONNECT", 1.0)
    models, labels = random_pool(units=20, models=2)
    with pytest.raises(WiseCommitteeError, match="no workers behind"):
        search(MemoryStore(models, labels), scheduler="tcp://127.0.0.1:9")
