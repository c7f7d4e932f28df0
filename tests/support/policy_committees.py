"""A small store of two classes, and a committee of every kind of policy on it."""

from __future__ import annotations

import numpy as np

import wisecommittee as wc
from wisecommittee import LogitStore, ModelCard, Query
from wisecommittee.committees.policies.mixing import mixture
from wisecommittee.searches.certainty import abstaining

N = 240
TRUNK = {"a": {"trunk": 8, "a": 2}, "b": {"trunk": 8, "b": 15}, "c": {"c": 61.5}}
PRICES = {"a": 0.0007, "b": 0.0013, "c": 0.011}
SEARCHED = ("thresholds", "agreement", "window", "labels", "router", "deferral", "adaptive")
KINDS = (*SEARCHED, "mixing", "abstaining")


def make_store(folder, seed=3):
    """Three models of val and test; a and b share a trunk. `tokens` varies per unit, of a and b alone. Short units are
    easy for all models, long ones for c."""
    rng = np.random.default_rng(seed)
    store = LogitStore(folder / "logits")
    for split in ("val", "test"):
        labels, length = rng.integers(0, 2, N), rng.normal(size=N)
        for sharp, name in enumerate(TRUNK, start=1):
            ease = np.where(length < 0, 2, 0.3 * sharp)
            logits = (rng.normal(size=(N, 2)) + ease[:, None] * np.eye(2)[labels]).astype(np.float32)
            card = ModelCard(name, blocks=TRUNK[name], costs={"usd": PRICES[name], "tokens": 7.25})
            varying = {} if name == "c" else {"unit_costs": {"tokens": rng.integers(1, 90, N) / 4}}
            store.add(card, split, outputs=logits, labels=labels, **varying)
        table = folder / f"{split}.csv"
        rows = [f"{unit},{value}" for unit, value in zip(range(N), length, strict=True)]
        table.write_text("\n".join(["unit_id,length", *rows]) + "\n")
        wc.import_features(store, split, table)
    return store


def searched(store, policy, cost="flops", **options):
    """The committee of most stages on the frontier of a policy."""
    fee = {"router_cost": 0.25 if cost == "flops" else 0.00003} if policy == "router" else {}
    found = wc.search(store, Query(policy=policy, cost=cost, max_models=3, levels=6, **fee, **options))
    return max((e.committee for e in found if e.committee.policy.kind == policy), key=lambda c: len(c.stages))


def every_kind(store):
    """{kind: committee}"""
    out = {policy: searched(store, policy) for policy in SEARCHED}
    several = [e.committee for e in wc.search(store, max_models=3, levels=6) if len(e.committee.stages) > 1]
    out["mixing"] = mixture(several[0], several[-1], 0.4)
    out["abstaining"] = abstaining(several[-1], [(0.7, None)] * len(several[-1].stages))
    return out
