"""Networks with shared blocks against the printed tables, against one network per leaf, and slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hne_paper import PRINTED
from torch import nn

from wisecommittee.errors import ContentError, UnknownNameError, UsageError
from wisecommittee.extraction.models.macs import count_macs
from wisecommittee.train.hne_designs import DESIGNS
from wisecommittee.train.hne_nets import LeafNet
from wisecommittee.train.hne_tree import SCHEDULES, Tree, group_schedule

torch.set_num_threads(1)

# Table 2 of Ruiz and Verbeek 2021: (block, layer, stride, repetitions, input resolution, input channels, output
# channels), channels of one branch.
TABLE_2 = [
    (0, "conv3", 1, 1, 32, 3, 16),
    (0, "conv1", 1, 1, 32, 16, 64),
    (1, "branching", 1, 1, 32, 64, 64),
    (1, "resnet", 1, 2, 32, 64, 64),
    (2, "branching", 2, 1, 32, 64, 128),
    (2, "resnet", 1, 3, 16, 128, 128),
    (3, "branching", 2, 1, 16, 128, 256),
    (3, "resnet", 1, 3, 8, 256, 256),
    (4, "branching", 1, 1, 8, 256, 256),
    (4, "resnet", 1, 4, 8, 256, 256),
    (4, "linear", 1, 1, 1, 256, 0),
]
# Table 3, the printed stride and input resolution of the third branching (2, 28) corrected to (1, 14).
TABLE_3 = [
    (0, "conv3", 2, 1, 224, 3, 24),
    (0, "depthwise3", 1, 1, 112, 24, 24),
    (0, "mb", 2, 1, 112, 24, 32),
    (0, "mb", 1, 1, 56, 32, 32),
    (1, "mb", 2, 1, 56, 32, 48),
    (1, "mb", 1, 2, 28, 48, 48),
    (2, "mb", 2, 1, 28, 48, 88),
    (2, "mb", 1, 3, 14, 88, 88),
    (3, "mb", 1, 1, 14, 88, 136),
    (3, "mb", 1, 2, 14, 136, 136),
    (4, "mb", 2, 1, 14, 136, 224),
    (4, "mb", 1, 2, 7, 224, 224),
    (4, "conv1", 1, 1, 7, 224, 1344),
    (4, "linear", 1, 1, 1, 1344, 1792),
    (4, "linear", 1, 1, 1, 1792, 0),
]


def layer_macs(layer, stride, size, a, b):
    """Multiply-adds of one branch, by hand."""
    out = size // stride
    if layer == "linear":
        return a * b
    if layer in ("conv1", "conv3"):
        return out * out * int(layer[-1]) ** 2 * a * b
    if layer == "depthwise3":
        return out * out * 9 * a
    if layer == "mb":
        return size * size * a * 6 * a + out * out * (9 * 6 * a + 6 * a * b)
    inner = b // 4
    shortcut = out * out * a * b if layer == "branching" else 0
    return size * size * a * inner + out * out * (9 * inner + inner * b) + shortcut


def table_macs(table, classes, divisor, nodes):
    total = 0
    for block, layer, stride, times, size, a, b in table:
        a, b = (a if a == 3 else a // divisor), (b // divisor or classes)
        total += nodes[block] * times * layer_macs(layer, stride, size, a, b)
    return total


def tree_nodes(groups, k):
    """How many nodes of each block the first k leaves pass through, leaf by leaf."""
    return [len({leaf * g // groups[-1] for leaf in range(k)}) for g in groups]


def meta_net(design, schedule, leaves, classes=10):
    with torch.device("meta"):
        groups = group_schedule(schedule, leaves, DESIGNS[design].depth)
        return LeafNet(design, Tree.whole(groups), classes)


@pytest.mark.parametrize(("design", "schedule", "classes"), PRINTED)
def test_multiply_adds_are_those_of_the_paper(design, schedule, classes):
    net = meta_net(design, schedule, 16, classes)
    example = torch.empty(1, *net.shape, device="meta")
    table, divisor = (TABLE_3, 1) if design == "hne-mobilenet" else (TABLE_2, 2 if design == "hne-small" else 1)
    per_node = net.block_macs()
    for k, printed in zip((1, 2, 4, 8, 16), PRINTED[design, schedule, classes], strict=True):
        nodes = tree_nodes(net.tree.groups, k)
        macs = sum(n * macs for n, macs in zip(nodes, per_node, strict=True))
        assert macs == table_macs(table, classes, divisor, nodes)
        assert abs(macs / 1e6 - printed) <= (0.0051 if schedule != "independent" else 0.0005 * k)
        if k == 16 or (schedule, classes, divisor) == ("tree", 10, 2):
            assert count_macs(net.part(range(k)), example) == macs
    if schedule == "tree":
        saves = {"hne": 2.02, "hne-small": 2.05, "hne-mobilenet": 2.42}[design]
        assert 16 * sum(per_node) / macs == pytest.approx(saves, abs=0.005)


@pytest.mark.parametrize(("factor", "printed"), [(1, 26.7), (2, 101.1), (4, 392.6), (8, 1548.1)])
def test_one_leaf_of_a_wide_tree_is_a_wide_resnet(factor, printed):
    net = meta_net(f"wrn16-{factor}", "tree", 1)
    assert count_macs(net, torch.empty(1, 3, 32, 32)) / 1e6 == pytest.approx(printed, abs=0.051)


def test_sharing_saves_what_equation_2_says():
    """R(B) = (B + 1) / (2 - 2^-B) for equal blocks."""
    for depth, printed in enumerate((1, 1.333, 1.714, 2.133, 2.581)):
        leaves = 2**depth
        tree = Tree.whole(group_schedule("tree", leaves, depth + 1))
        ratio = (depth + 1) * leaves / sum(len(tree.nodes(b)) for b in range(depth + 1))
        assert ratio == pytest.approx((depth + 1) / (2 - 2.0**-depth))
        assert ratio == pytest.approx(printed, abs=5e-4)


def trained_like(design, schedule, leaves, seed=0):
    """With batch statistics that differ from node to node, in eval mode."""
    torch.manual_seed(seed)
    net = LeafNet(design, Tree.whole(group_schedule(schedule, leaves, DESIGNS[design].depth)), 10)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def one_by_one(net, images):
    """[n, N, classes]: an ordinary network per leaf, filled with its nodes' share of every tensor."""
    outputs, leaves = [], len(net.tree.leaves)
    for leaf in range(leaves):
        alone = LeafNet(net.design, Tree.whole((1,) * len(net.tree.groups)), net.classes).eval()
        state = {}
        for name, value in net.state_dict().items():
            nodes = net.tree.groups[int(name.split(".")[1])]
            state[name] = value.chunk(nodes)[leaf * nodes // leaves] if value.ndim else value
        alone.load_state_dict(state)
        outputs.append(alone(images))
    return torch.cat(outputs, dim=1)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


CASES = [
    ("digits", "tree", 8),
    ("digits", "tree", 4),
    ("digits", "independent", 3),
    ("digits", "multi-branch", 6),
    ("hne-small", "tree", 16),
    ("hne-small", "multi-branch", 4),
    ("wrn16-1", "tree", 8),
]


@torch.inference_mode()
@pytest.mark.parametrize(("design", "schedule", "leaves"), CASES)
def test_grouped_is_branch_by_branch_is_sliced(design, schedule, leaves):
    net = trained_like(design, schedule, leaves)
    images = torch.randn(2, *net.shape)
    expected = one_by_one(net, images)
    whole = net(images)
    assert whole.shape == (2, leaves, 10)
    close(whole, expected)
    for k in {1, 2, 3, 5, leaves - 1, leaves}:
        if k <= leaves:
            close(net.part(range(k))(images), expected[:, :k])
    assert float(expected.std(dim=1).min()) > 1e-3  # the leaves differ, so their order has been tested


@torch.inference_mode()
def test_any_leaves_and_parts_of_parts():
    net = trained_like("digits", "tree", 8)
    images = torch.randn(3, *net.shape)
    expected = net(images)
    for leaves in ([5], [0, 7], [1, 2, 6], [2, 3, 4, 5]):
        part = net.part(leaves)
        close(part(images), expected[:, leaves])
        close(part.part(leaves[-1:])(images), expected[:, leaves[-1:]])
    with pytest.raises(UsageError, match=r"leaves \[1\]: expected leaves of \[0, 7\]"):
        net.part([0, 7]).part([1])


@torch.inference_mode()
def test_the_first_leaves_share_their_weights():
    net = trained_like("digits", "tree", 8)
    first = net.part(range(3))
    weight = net.blocks[0][0].weight
    assert first.blocks[0][0].weight.data_ptr() == weight.data_ptr()
    assert sum(p.numel() for p in first.parameters()) < sum(p.numel() for p in net.parameters())


@torch.inference_mode()
def test_mobilenet_in_parts():
    net = trained_like("hne-mobilenet", "tree", 4)
    images = torch.randn(1, *net.shape)
    whole = net(images)
    close(whole, one_by_one(net, images))
    close(net.part(range(3))(images), whole[:, :3])


def test_leaves_are_in_depth_first_order():
    """Leaf n of a tree takes node n >> (B - b); neighbours share the most."""
    tree = Tree.whole((1, 2, 4, 8))
    for leaf in range(8):
        assert [tree.part([leaf]).nodes(b) for b in range(4)] == [(leaf >> (3 - b),) for b in range(4)]
    for k in range(1, 9):
        assert [len(tree.part(range(k)).nodes(b)) for b in range(4)] == [-(-k // 2 ** (3 - b)) for b in range(4)]
    assert Tree.whole((4, 4)).part([1, 3]).nodes(0) == (1, 3)
    assert Tree.whole((1, 4)).part([1, 3]).nodes(0) == (0,)
    assert tree.part([2, 3, 6]).parents(3) == (0, 0, 1)


def test_nodes_of_a_block_start_from_weights_of_their_own():
    torch.manual_seed(0)
    net = LeafNet("digits", Tree.whole((1, 2, 4, 8)), 10)
    for name, parameter in net.named_parameters():
        nodes = net.tree.groups[int(name.split(".")[1])]
        if parameter.ndim < 3 or nodes == 1 or "bias" in name:
            continue  # normalisation and biases start alike
        first, *others = parameter.detach().chunk(nodes)
        assert not any(torch.allclose(first, other) for other in others), name
        inputs = parameter[0].numel() if parameter.ndim == 4 else parameter.shape[1]  # of one node
        assert float(parameter.detach().std()) == pytest.approx((3 * inputs) ** -0.5, rel=0.1), name


def test_gradients_reach_every_node_of_a_leaf_and_no_other():
    net = LeafNet("digits", Tree.whole((1, 2, 4, 8)), 10)
    net(torch.randn(4, 1, 8, 8))[:, 5].sum().backward()
    for name, parameter in net.named_parameters():
        nodes = net.tree.groups[int(name.split(".")[1])]
        if parameter.ndim < 3:
            continue
        reached = [bool(part.abs().sum() > 0) for part in parameter.grad.chunk(nodes)]
        assert reached == [node == 5 * nodes // 8 for node in range(nodes)], name


@pytest.mark.parametrize(
    ("schedule", "leaves", "blocks", "groups"),
    [
        ("tree", 16, 5, (1, 2, 4, 8, 16)),
        ("tree", 4, 5, (1, 2, 4, 4, 4)),
        ("tree", 1, 5, (1,) * 5),
        ("independent", 16, 5, (16,) * 5),
        ("multi-branch", 16, 5, (1, 1, 1, 16, 16)),
        ("multi-branch", 6, 4, (1, 1, 6, 6)),
    ],
)
def test_schedules(schedule, leaves, blocks, groups):
    assert group_schedule(schedule, leaves, blocks) == groups
    assert schedule in SCHEDULES


def test_what_does_not_fit_is_refused():
    for leaves in (3, 12, 32):
        with pytest.raises(UsageError, match=rf"^{leaves} leaves: a tree of 5 blocks .*power of two.*up to 16"):
            group_schedule("tree", leaves, 5)
    with pytest.raises(UsageError, match="0 leaves; expected at least 1"):
        group_schedule("independent", 0, 5)
    with pytest.raises(UnknownNameError, match=r"unknown schedule 'three'.*tree"):
        group_schedule("three", 4, 5)
    with pytest.raises(UsageError, match=r"groups \[1, 2, 3\]: expected each a multiple"):
        Tree.whole((1, 2, 3))
    with pytest.raises(UsageError, match=r"groups \[1, 2\]: digits has 4 blocks"):
        LeafNet("digits", Tree.whole((1, 2)), 10)
    with pytest.raises(UnknownNameError, match=r"unknown design 'digit'.*digits"):
        LeafNet("digit", Tree.whole((1, 2)), 10)
    with pytest.raises(ContentError, match="digits: images of 3 x 32 x 32; expected 1 x 8 x 8"):
        LeafNet("digits", Tree.whole((1, 1, 1, 1)), 10)(torch.zeros(1, 3, 32, 32))
