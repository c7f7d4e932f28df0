"""IRENE: survival algebra and losses against loops over the definitions, gradient routes, and a small trained run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.train import irene_losses as losses
from wisecommittee.train.backbones import build
from wisecommittee.train.irene_selector import FEATURES, HaltingCommittee, MemberOutcome, Selector, TwoHeads

torch.set_num_threads(1)

T, N, L = 4, 64, 5


def outcomes(models=T, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(models, 2, N, L, generator=generator) * 2
    return [MemberOutcome(*functional.log_softmax(pair, dim=2)) for pair in logits]


def hard_halts(models=T, seed=0):
    return torch.randint(0, 2, (N, models), generator=torch.Generator().manual_seed(seed)).double()


def soft_halts(models=T, seed=0):
    return torch.rand(N, models, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = torch.randint(0, L, (N,), generator=torch.Generator().manual_seed(9))


# Survival algebra


@pytest.mark.parametrize("halts", [hard_halts(), soft_halts()], ids=["hard", "soft"])
def test_survival(halts):
    alive, stops = losses.survival(halts), losses.halting_distribution(halts)
    assert alive.shape == (N, T + 1)
    for unit in range(N):
        left = 1.0
        for i in range(T):
            assert alive[unit, i].item() == pytest.approx(left)
            assert stops[unit, i].item() == pytest.approx(float(halts[unit, i]) * left)
            left *= 1 - float(halts[unit, i])
        assert alive[unit, T].item() == pytest.approx(left)
    # Eq. 2: S(t) = 1 - sum of p before t, and Eq. 3: h_t = (S(t) - S(t + 1)) / S(t)
    torch.testing.assert_close(alive, 1 - functional.pad(stops.cumsum(dim=1), (1, 0)))
    torch.testing.assert_close(alive[:, :-1] * halts, alive[:, :-1] - alive[:, 1:])


@pytest.mark.parametrize("halts", [hard_halts(), soft_halts()], ids=["hard", "soft"])
def test_with_the_last_halt_forced_every_unit_halts_once(halts):
    halts[:, -1] = 1
    alive, stops = losses.survival(halts), losses.halting_distribution(halts)
    torch.testing.assert_close(stops.sum(dim=1), torch.ones(N, dtype=torch.float64))
    torch.testing.assert_close((stops * torch.arange(1, T + 1)).sum(dim=1), alive[:, :T].sum(dim=1))
    assert (alive[:, T] == 0).all()


def test_the_running_prediction_at_hard_halts_is_the_mean_up_to_the_halt():
    """Eq. 9 equals Eq. 7 at every t from the halt on; before it, the mean of all so far."""
    halts, said = hard_halts(), torch.stack([outcome.log_y.exp() for outcome in outcomes()], dim=1)
    for t in range(1, T + 1):
        found = losses.running_prediction(losses.survival(halts)[:, :t], said[:, :t])
        for unit in range(N):
            stop = next((i + 1 for i in range(T) if halts[unit, i] == 1), T)
            torch.testing.assert_close(found[unit].float(), said[unit, : min(t, stop)].mean(dim=0))


def test_halts_are_sampled_in_zero_and_one():
    logits = torch.randn(N, T, 2, requires_grad=True)
    for temperature, threshold in ((1.0, 0.5), (0.3, 0.2), (5.0, 0.6)):
        halts = losses.sampled_halts(logits, temperature, threshold)
        assert set(halts.detach().flatten().tolist()) == {0.0, 1.0}
    torch.manual_seed(3)
    halts = losses.sampled_halts(logits, 2.0, 0.5)
    (gradient,) = torch.autograd.grad(halts.sum(), logits)
    torch.manual_seed(3)
    noise = -torch.empty_like(logits).exponential_().log()  # as the Gumbel softmax draws it
    soft = functional.softmax((logits + noise) / 2, dim=2)[..., 0]
    torch.testing.assert_close(halts, (soft > 0.5).float())
    torch.testing.assert_close(gradient[..., 0], (soft * (1 - soft) / 2).detach())  # through the binariser unchanged
    torch.testing.assert_close(gradient[..., 1], -gradient[..., 0])


def test_halts_are_as_frequent_as_the_logits_say():
    logits = torch.tensor([0.3, 0.7]).log().expand(40_000, 1, 2)
    torch.manual_seed(0)
    assert losses.sampled_halts(logits, 1.0, 0.5).mean().item() == pytest.approx(0.3, abs=0.01)


# Losses


def nll(probabilities, label):
    return -math.log(float(probabilities[label]))


@pytest.mark.parametrize("t", [2, 3, 4])
@pytest.mark.parametrize("halts", [hard_halts(), soft_halts()], ids=["hard", "soft"])
def test_losses_follow_their_definitions(halts, t):
    halts, some = halts[:, :t], outcomes()[:t]
    costs = torch.tensor([0.5, 0.5, 1.0, 2.0])
    said = [outcome.log_y.exp() for outcome in some]
    ensemble, cost, rank = [], [], []
    for unit in range(N):
        alive = [1.0]
        for i in range(t):
            alive.append(alive[-1] * (1 - float(halts[unit, i])))
        label = int(LABELS[unit])

        def running(k, alive=alive, unit=unit):
            weighted = sum(alive[i] * said[i][unit] for i in range(k))
            return weighted / sum(alive[:k])

        ensemble.append(nll(running(t), label))
        to_come = sum(float(c) for c in costs[t:])
        cost.append(sum(alive[i] * float(costs[i]) for i in range(t)) + to_come * alive[t])
        rank.append(max(0.0, alive[t - 1] * (nll(said[t - 1][unit], label) - nll(running(t - 1), label))))
    halts = halts.float()
    assert losses.ensemble_loss(halts, some, LABELS).item() == pytest.approx(np.mean(ensemble), rel=1e-5)
    assert losses.cost_loss(halts, costs).item() == pytest.approx(np.mean(cost), rel=1e-5)
    assert losses.rank_loss(halts, some, LABELS).item() == pytest.approx(np.mean(rank), rel=1e-4)
    assert np.mean(rank) > 0


def test_cost_of_always_and_never_stopping():
    costs = torch.ones(T)
    for t in range(1, T + 1):
        assert losses.cost_loss(torch.ones(N, t), costs) == 1
        assert losses.cost_loss(torch.zeros(N, t), costs) == T  # Eq. 11 as printed makes this free


def test_base_loss():
    (outcome,) = outcomes(1)
    a, b = outcome.log_a.exp(), outcome.log_b.exp()
    expected = [
        (nll(a[i], LABELS[i]) + nll(b[i], LABELS[i])) / 2 - 0.1 * float((a[i] - b[i]).abs().sum()) for i in range(N)
    ]
    assert losses.base_loss(outcome, LABELS, 0.1).item() == pytest.approx(np.mean(expected), rel=1e-5)


# Networks


def test_two_heads():
    backbone = build("digits-cnn", 10, 1)
    model = TwoHeads(backbone).eval()
    images = torch.randn(7, 1, 8, 8)
    outcome = model(images)
    torch.testing.assert_close(outcome.log_a.exp(), functional.softmax(backbone(images), dim=1))
    second = functional.softmax(model.second(backbone.features(images)), dim=1)
    torch.testing.assert_close(outcome.log_b.exp(), second)
    torch.testing.assert_close(outcome.log_y.exp(), (outcome.log_a.exp() + second) / 2)
    extra = count_macs(model, images) - count_macs(backbone, images)
    assert extra == backbone.width * 10


def test_features_follow_their_definitions():
    (outcome,) = outcomes(1)
    a, b, y = (np.exp(value.double().numpy()) for value in (outcome.log_a, outcome.log_b, outcome.log_y))
    top = np.sort(y, axis=1)
    raw = {
        "kl": (a * np.log(a / b)).sum(axis=1),
        "confidence": 1 - y.max(axis=1),
        "margin": 1 - (top[:, -1] - top[:, -2]),
        "entropy": -(y * np.log(y)).sum(axis=1),
    }
    assert set(raw) == set(FEATURES)
    for name, values in raw.items():
        np.testing.assert_allclose(FEATURES[name](outcome).numpy(), np.log10(values + 1e-6), atol=2e-4)


def test_features_of_certain_predictions_are_finite():
    sure = functional.log_softmax(torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]]), dim=1)
    for outcome in (MemberOutcome(sure, sure), MemberOutcome(sure, sure.flip(0))):
        for feature in FEATURES.values():
            assert torch.isfinite(feature(outcome)).all()
        assert torch.isfinite(outcome.log_y).all()


def test_the_selector_is_a_recurrence_from_zero():
    """Against LSTM cells by hand; a step does not know the steps after it, nor the other units."""
    torch.manual_seed(0)
    selector, some = Selector(("kl", "confidence"), 8), outcomes()
    selector(some)  # moves the running statistics
    selector.eval()
    cell = nn.LSTMCell(2, 8)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in selector.lstm.state_dict().items()})
    state, shift, scale = None, selector.standardise.running_mean, selector.standardise.running_var
    found = selector(some)
    for t, outcome in enumerate(some):
        seen = torch.stack([FEATURES[name](outcome) for name in ("kl", "confidence")], dim=1)
        state = cell((seen - shift) / (scale + 1e-5).sqrt(), state)
        torch.testing.assert_close(found[:, t], selector.decide(state[0]))
        torch.testing.assert_close(selector(some[: t + 1]), found[:, : t + 1])
    part = [MemberOutcome(outcome.log_a[3:5], outcome.log_b[3:5]) for outcome in some]
    torch.testing.assert_close(selector(part), found[3:5])


def test_standardisation_is_over_units_and_steps():
    selector, some = Selector(("kl",), 2).train(), outcomes()
    seen = []
    selector.lstm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    selector(some)
    assert seen[0].shape == (N, T, 1)
    assert seen[0].mean().item() == pytest.approx(0, abs=1e-5)
    assert seen[0].std().item() == pytest.approx(1, abs=1e-2)
    values = [FEATURES["kl"](outcome).mean().item() for outcome in some]
    assert np.argmax(values) == int(seen[0].mean(dim=(0, 2)).argmax())  # steps keep their differences


def test_the_selector_is_as_small_as_the_paper_says():
    """0.000004 of the parameters of ResNet-18."""
    assert sum(p.numel() for p in Selector(("kl",), 2).parameters()) == 46
    resnet = sum(p.numel() for p in build("resnet18").parameters())
    assert round(46 / resnet, 6) == 0.000004
    for features, hidden in ((("kl",), 2), (("kl", "confidence", "entropy"), 8)):
        selector = Selector(features, hidden)
        lstm = count_macs(nn.LSTM(len(features), hidden, batch_first=True), torch.zeros(1, 1, len(features)))
        assert selector.macs == lstm + 2 * hidden


def test_inference_is_deterministic_and_without_noise():
    torch.manual_seed(0)
    committee = HaltingCommittee([TwoHeads(build("digits-cnn", 10, 1)) for _ in range(3)], Selector(("kl",), 2)).eval()
    images = torch.randn(9, 1, 8, 8)
    with torch.inference_mode():
        first, state = committee(images), torch.random.get_rng_state()
        second = committee(images)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    log_y, stop = first
    assert (log_y.shape, stop.shape) == ((9, 3, 10), (9, 3))
    torch.testing.assert_close(log_y.exp().sum(dim=2), torch.ones(9, 3))
    assert ((stop > 0) & (stop < 1)).all()
    with torch.inference_mode():
        logits = committee.selector([model(images) for model in committee.models])
    torch.testing.assert_close(stop, 1 / (1 + (logits[..., 1] - logits[..., 0]).exp()))
