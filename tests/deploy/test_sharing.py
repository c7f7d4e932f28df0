"""Members that begin with the same blocks: decisions as the evaluator has them, and no block runs twice for a unit."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.deployment.chains import blocks_of, chains_of, equal_modules
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.multiply_adds import MultiplyAdds
from wisecommittee.deployment.units import Units
from wisecommittee.errors import UnknownNameError
from wisecommittee.extraction.data.digits import digits
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import wrap_module
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.searches.evaluate import evaluate
from wisecommittee.searches.exits import exit_rows
from wisecommittee.searches.members import members_pool
from wisecommittee.searches.stages.exit_table import committee_tables
from wisecommittee.store import LogitStore
from wisecommittee.train.data import open_training_data
from wisecommittee.train.hne import make_hierarchy

torch.set_num_threads(1)
UNITS = 48
HNE = "hne-digits-digits"
STAGES = {
    "the leaves of an HNE one by one": [[f"{HNE}/{leaf}"] for leaf in range(4)],
    "leaves in tiers, out of order": [[f"{HNE}/2"], [f"{HNE}/3", f"{HNE}/0"], [f"{HNE}/1"]],
    "the exits of a network": [["exit/0"], ["exit/1"], ["exit/2"]],
    "exits from the last to the first": [["exit/2"], ["exit/1"], ["exit/0"]],
    "several exits at one block": [["exit/0"], ["exit/3", "exit/1"], ["exit/2"]],
    "exits that skip one, and leaves": [["exit/0"], [f"{HNE}/0"], ["exit/2", f"{HNE}/1"]],
}


class Shift(nn.Module):
    """Adds a number to its input, in place."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x.add_(self.by)


def early_exits():
    """Exits of one network: Sequentials that hold the same blocks, some of which change their input in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = [
            nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)),
            nn.Sequential(Shift(0.5), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, padding=1)),
            nn.Sequential(Shift(-0.5), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, padding=1)),
        ]
        heads = [
            nn.Sequential(Shift(1.0 + number), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64 * width, 10))
            for number, width in enumerate((6, 8, 8, 6))
        ]
    models, image = [], torch.zeros(1, 1, 8, 8)
    for k, (head, deep) in enumerate(zip(heads, (1, 2, 3, 1), strict=True)):
        loaded, blocks, x = wrap_module(nn.Sequential(*trunk[:deep], head), f"exit/{k}"), {}, image
        for name, block in [*((f"trunk{t}", trunk[t]) for t in range(deep)), (f"head{k}", head)]:
            blocks[f"exit:{name}"] = count_macs(block, x)
            x = block(x)
        models.append(replace(loaded, blocks=blocks))
    return models


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """{member: LoadedModel}, the images, and a store with the outputs for them."""
    hierarchy = make_hierarchy(open_training_data("digits"))
    models = [*hierarchy.models(hierarchy.start().eval()), *early_exits()]
    store = LogitStore(tmp_path_factory.mktemp("sharing") / "logits")
    extract(models, "digits", "val", store, limit=UNITS, device="cpu")
    images = {unit: image for image, _, unit in zip(*digits("val"), strict=True)}
    inputs = torch.from_numpy(np.stack([images[unit] for unit in store.unit_ids("val")]))
    return {model.name: model for model in models}, inputs, store


def committee_of(stages, store, share=0.4):
    """Thresholds at which that share of the units exits at each stage, midway between two confidences."""
    committee = Committee(tuple(map(tuple, stages)), Thresholds((0.5,) * (len(stages) - 1)))
    table = committee_tables(members_pool([committee], store, "val", force=True), [committee])[0]
    values = []
    for score in table.score[:-1]:
        ordered = np.sort(np.unique(score))
        at = int(len(ordered) * (1 - share))
        values.append(float(np.float32((ordered[at - 1] + ordered[at]) / 2)))
    return replace(committee, policy=Thresholds(tuple(values)))


def counted(run, inputs):
    """The decisions, and the multiply-adds that torch counts while they are taken."""
    with FlopCounterMode(display=False) as counter:
        decisions = run(inputs)
    return decisions, counter.get_total_flops() / 2


@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("batch_size", [UNITS, 7])
def test_the_multiply_adds_of_a_walk_are_those_that_evaluate_charges(stages, batch_size, pool):
    models, inputs, store = pool
    committee = committee_of(stages, store)
    (table,) = committee_tables(members_pool([committee], store, "val"), [committee], predict=True)
    exits = exit_rows(table, committee)
    with Deployed(committee, models, device="cpu", batch_size=batch_size) as run:
        assert set(run.sharing) == set(committee.models)
        decisions, macs = counted(run, inputs)
        assert len(set(decisions.stage.tolist())) > 1
        np.testing.assert_array_equal(decisions.stage, exits)
        np.testing.assert_array_equal(decisions.prediction, table.prediction[exits, np.arange(UNITS)])
        assert macs == evaluate(committee, store, "val").average_cost * UNITS
        figures = MultiplyAdds.of(run, store, Units.of_tensors({None: inputs}), decisions)
        assert [figures.run, figures.charged] == [pytest.approx(macs / UNITS, rel=1e-12)] * 2
        for unit in range(0, UNITS, 6):
            one, macs = counted(run, inputs[unit : unit + 1])
            assert macs == table.cost[one.stage[0]] * float(members_pool([committee], store, "val").cost.unit)


def test_channels_last_decides_alike_and_shares_alike(pool):
    models, inputs, store = pool
    committee = committee_of(STAGES["the exits of a network"], store)
    with Deployed(committee, models, device="cpu") as run:
        expected = run(inputs)
    with Deployed(committee, models, device="cpu", layout="channels_last") as run:
        decisions, macs = counted(run, inputs)
    np.testing.assert_array_equal(decisions.prediction, expected.prediction)
    np.testing.assert_allclose(decisions.probabilities, expected.probabilities, atol=1e-5)
    assert macs == evaluate(committee, store, "val").average_cost * UNITS
    with pytest.raises(UnknownNameError, match="unknown layout 'fast'"):
        Deployed(committee, models, layout="fast")


def test_members_without_common_blocks_run_whole(pool):
    models, inputs, store = pool
    committee = committee_of([[f"{HNE}/0"], ["exit/1"]], store)
    with Deployed(committee, models, device="cpu") as run:
        assert not run.sharing
        assert counted(run, inputs)[1] == evaluate(committee, store, "val").average_cost * UNITS


def test_modules_that_do_not_say_their_blocks_run_whole(pool):
    models, inputs, store = pool

    class Opaque(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    committee = committee_of(STAGES["the exits of a network"], store)
    wrapped = {name: replace(models[name], module=Opaque(models[name].module)) for name in committee.models}
    with Deployed(committee, wrapped, device="cpu") as run:
        assert not run.sharing
        decisions, macs = counted(run, inputs)
        figures = MultiplyAdds.of(run, store, Units.of_tensors({None: inputs}), decisions)
    assert figures.run == pytest.approx(macs / UNITS)
    assert figures.charged == pytest.approx(evaluate(committee, store, "val").average_cost)
    whole = np.array([sum(models[name].blocks.values()) for name in committee.models])
    assert macs == (decisions.ran * whole).sum()
    assert macs > evaluate(committee, store, "val").average_cost * UNITS


def test_only_equal_blocks_in_the_same_place_are_shared():
    torch.manual_seed(1)
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    head = nn.Linear(4, 2)
    same = copy.deepcopy(first)
    assert equal_modules(first, same)
    assert not equal_modules(first, second)
    assert not equal_modules(nn.ReLU(), nn.LeakyReLU())
    assert not equal_modules(nn.LeakyReLU(0.1), nn.LeakyReLU(0.2))
    assert not equal_modules(nn.Conv2d(1, 1, 1, padding=(1, 1)), nn.Conv2d(1, 1, 1, padding=(1, 2)))
    kinds = [nn.Sequential(first), nn.ModuleList([first])]
    assert not equal_modules(*kinds)
    named = {"a": nn.Sequential(first, head), "b": nn.Sequential(same, nn.ReLU()), "c": nn.Sequential(second, head)}
    models = {name: wrap_module(module, name) for name, module in named.items()}
    chains = chains_of(models)
    assert set(chains) == {"a", "b"}
    assert chains["a"].numbers[0] == chains["b"].numbers[0]
    without = {name: wrap_module(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), name) for name in "ab"}
    assert not chains_of(without)  # a block without weights is not worth keeping what it gives


def test_a_module_with_a_hook_or_a_forward_of_its_own_is_one_block():
    class Doubled(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert len(blocks_of(nn.Sequential(inner, nn.Linear(2, 2)))) == 3
    inner.register_forward_hook(lambda module, inputs, output: output + 1)
    assert len(blocks_of(nn.Sequential(inner, nn.Linear(2, 2)))) == 2
    assert len(blocks_of(Doubled(nn.Linear(2, 2)))) == 1
