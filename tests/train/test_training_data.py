"""Training data against what was written into its files: splits, labels, augmentation, and files from strangers."""

from __future__ import annotations

import io
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from cifar_files import N, small_cifar

from wisecommittee.errors import AbsentError, ContentError, UnknownNameError, UsageError
from wisecommittee.extraction.data.digits import digits
from wisecommittee.train import cifar, data_cifar
from wisecommittee.train.data import open_training_data
from wisecommittee.train.data_folder import crop_box
from wisecommittee.train.parts import shifted_crops


@pytest.mark.parametrize("version", ["python", "binary"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("inside", [False, True])
def test_cifar_is_what_was_written(name, version, inside, tmp_path):
    place, written = small_cifar(tmp_path, name, version)
    found = cifar.read_cifar(name, str(place if inside else tmp_path))
    for split, expected in (("train", written[:-1]), ("test", written[-1:])):
        images, labels = found[split]
        np.testing.assert_array_equal(images, np.concatenate([pixels for pixels, _ in expected]))
        np.testing.assert_array_equal(labels, np.concatenate([labels for _, labels in expected]))
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64


def test_batches_pickled_by_python_2_are_read(tmp_path):
    """Protocol 2 of Python 2: byte strings, and numpy's reconstruct with a one-byte code."""
    place, written = small_cifar(tmp_path)
    text = (place / "data_batch_1").read_bytes()
    old = text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != text or b"numpy.core.multiarray" in text
    (place / "data_batch_1").write_bytes(old)
    np.testing.assert_array_equal(cifar.read_cifar("cifar10", str(place))["train"][0][:N], written[0][0])


class Evil:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        (print, ("executed",)),
        (np.load, ("x", None, True)),
        (np.zeros, (10**12,)),
        (np.ndarray, ((10**9,),)),
        (eval, ("1/0",)),
    ],
)
def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(call, tmp_path, capsys):
    place, _ = small_cifar(tmp_path)
    (place / "data_batch_2").write_bytes(pickle.dumps({b"data": Evil(call), b"labels": [1]}, protocol=2))
    with pytest.raises(ContentError, match=r"data_batch_2.* is no batch of CIFAR"):
        cifar.read_cifar("cifar10", str(place))
    assert capsys.readouterr().out == ""


def test_the_names_a_pickle_may_use_are_the_four_that_arrays_need():
    for module, name in [("numpy", "ufunc"), ("os", "system"), ("builtins", "getattr"), ("numpy.core.multiarray", "x")]:
        stream = io.BytesIO(f"c{module}\n{name}\n.".encode())
        with pytest.raises(pickle.UnpicklingError, match="no plain value"):
            cifar._Plain(stream).load()


@pytest.mark.parametrize("damage", ["cut", "label", "float", "rows", "record"])
def test_damaged_batches_are_named(damage, tmp_path):
    version = "binary" if damage == "record" else "python"
    place, _ = small_cifar(tmp_path, version=version)
    file = place / cifar.LAYOUTS["cifar10"][version == "binary"].train[3]
    if damage in ("cut", "record"):
        file.write_bytes(file.read_bytes()[:-7])
    else:
        pixels = np.zeros((3, 3072), np.float32 if damage == "float" else np.uint8)
        labels = [0, 1, 10] if damage == "label" else [0, 1] if damage == "rows" else [0, 1, 2]
        file.write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2))
    with pytest.raises(ContentError, match="data_batch_4"):
        cifar.read_cifar("cifar10", str(place))


def test_cifar_splits_are_disjoint_stratified_and_normalised(tmp_path, monkeypatch):
    place, written = small_cifar(tmp_path)
    monkeypatch.setattr(data_cifar, "CIFAR_VAL", 50)
    opened = open_training_data(f"cifar10:{place}")
    pixels = np.concatenate([pixels for pixels, _ in written[:-1]])
    ids = {split: opened.parts[split].unit_ids for split in opened.parts}
    assert {split: len(some) for split, some in ids.items()} == {"train": 250, "val": 50, "test": 60}
    assert set(ids["train"]) | set(ids["val"]) == {f"train-{i}" for i in range(300)}
    assert Counter(opened.labels("val").tolist()) == dict.fromkeys(range(10), 5)
    images, _ = opened.tensors("val")
    row = int(ids["val"][7].removeprefix("train-"))
    for c, (mean, deviation) in enumerate(zip(*data_cifar.CIFAR_PIXELS["cifar10"], strict=True)):
        np.testing.assert_allclose(images[7, c], (pixels[row, c] / 255 - mean) / deviation, rtol=1e-4, atol=1e-5)
    assert opened.shape == (3, 32, 32)
    assert opened.tensors("test")[1].tolist() == written[-1][1].tolist()


def test_crops_are_cut_from_the_image_with_a_border():
    """Every augmented image is one of the 81 cuts of its padded original, mirrored or not; all kinds occur."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(1500, 3, 6, 6, generator=generator)
    moved = shifted_crops(images, 4, generator)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)))
    places = set()
    for unit in range(len(images)):
        found = [
            (y, x) for y in range(9) for x in range(9)
            if np.array_equal(padded[unit, :, y : y + 6, x : x + 6], moved[unit])
        ]  # fmt: skip
        assert found
        places |= set(found)
    assert len(places) == 81


def test_digits_have_their_usual_units_and_redrawn_labels_are_a_share():
    plain, noisy = open_training_data("digits"), open_training_data("digits", label_noise=0.25, seed=1)
    images, labels, ids = digits("val")
    np.testing.assert_array_equal(plain.tensors("val")[0], images)
    np.testing.assert_array_equal(plain.tensors("val")[1], labels)
    assert plain.parts["val"].unit_ids == tuple(ids)
    changed = int((plain.labels("train") != noisy.labels("train")).sum())
    assert 0.15 * 597 < changed < 0.25 * 597  # a tenth of the redrawn ones are the same again
    assert torch.equal(noisy.labels("val"), plain.labels("val"))
    again = open_training_data("digits", label_noise=0.25, seed=1)
    other = open_training_data("digits", label_noise=0.25, seed=2)
    assert torch.equal(noisy.labels("train"), again.labels("train"))
    assert not torch.equal(noisy.labels("train"), other.labels("train"))
    assert len({plain.key, noisy.key, other.key}) == 3


def test_what_is_held_out_is_not_trained_on():
    opened = open_training_data("digits", held_out=0.25, label_noise=0.25)
    train, held_out = opened.parts["train"], opened.parts["held_out"]
    assert set(train.unit_ids) | set(held_out.unit_ids) == set(open_training_data("digits").parts["train"].unit_ids)
    assert not set(train.unit_ids) & set(held_out.unit_ids)
    assert abs(len(held_out.labels) - 0.25 * 597) < 5
    with pytest.raises(UsageError, match="held_out"):
        open_training_data("digits").batches(10, split="held_out")


def test_batches_say_which_rows_they_are():
    opened = open_training_data("digits", pixel_noise=0.0)
    labels = opened.labels("train")
    seen = []
    for images, some, rows in opened.batches(50).epoch(torch.Generator().manual_seed(0)):
        assert torch.equal(labels[rows], some)
        assert images.dtype == torch.float32
        seen += rows.tolist()
    assert sorted(seen) == list(range(597))


def test_ranks_share_every_minibatch():
    batches = open_training_data("digits").batches(50, augment=False)
    whole = [rows for _, _, rows in batches.epoch(torch.Generator().manual_seed(1))]
    shares = [[rows for _, _, rows in batches.epoch(torch.Generator().manual_seed(1), r, 3)] for r in range(3)]
    for minibatch, *parts in zip(whole, *shares, strict=True):
        assert sorted(torch.cat(parts).tolist()) == sorted(minibatch.tolist())


# Folders of images


@pytest.fixture
def folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for split, n in (("train", 9), ("val", 4), ("test", 2)):
        for label, name in enumerate(("ant", "bee", "cow")):
            place = tmp_path / "photos" / split / name
            place.mkdir(parents=True)
            for i in range(n):
                pixels = random.integers(0, 60, (20 + i, 30, 3), dtype=np.uint8)
                pixels[..., label] += 180
                image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_is_read_in_batches(folder, workers):
    opened = open_training_data(f"imagefolder:{folder}?size=16", workers=workers)
    assert (opened.classes, opened.shape) == (3, (3, 16, 16))
    first = list(opened.batches(10).epoch(torch.Generator().manual_seed(4)))
    assert [len(rows) for _, _, rows in first] == [10, 10, 7]
    assert sorted(torch.cat([rows for _, _, rows in first]).tolist()) == list(range(27))
    images, labels, _ = first[0]
    assert images.shape == (10, 3, 16, 16)
    assert torch.equal(images.mean(dim=(2, 3)).argmax(dim=1), labels)  # a class is a colour
    again = list(opened.batches(10).epoch(torch.Generator().manual_seed(4)))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    other = list(opened.batches(10).epoch(torch.Generator().manual_seed(5)))
    assert not torch.equal(first[0][0], other[0][0])
    shares = [list(opened.batches(10).epoch(torch.Generator().manual_seed(4), rank, 2)) for rank in range(2)]
    assert torch.equal(torch.cat([shares[0][0][0], shares[1][0][0]]).sort(0)[0], first[0][0].sort(0)[0])


def test_a_folder_without_its_parts_is_refused(folder, tmp_path):
    with pytest.raises(AbsentError, match="no folder train/"):
        open_training_data(f"imagefolder:{tmp_path}")
    with pytest.raises(UsageError, match="size=x"):
        open_training_data(f"imagefolder:{folder}?size=x")
    with pytest.raises(UsageError, match="does not divide"):
        next(open_training_data(f"imagefolder:{folder}").batches(9).epoch(torch.Generator(), 0, 2))


def test_random_crops_lie_in_the_image_and_have_the_areas_asked_for():
    random = np.random.default_rng(0)
    areas = []
    for _ in range(2000):
        left, upper, right, lower = crop_box(240, 200, random)
        assert 0 <= left < right <= 240
        assert 0 <= upper < lower <= 200
        areas.append((right - left) * (lower - upper) / 48000)
        assert 0.7 < (right - left) / (lower - upper) < 1.4
    assert 0.07 < min(areas) < 0.1
    assert 0.9 < max(areas) <= 1


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("digits:val", {}, "write digits"),
        ("imagefolder:", {}, "name the folder"),
        ("digits", {"label_noise": 1.5}, "label noise 1.5"),
        ("digits", {"held_out": -0.1}, "held-out share -0.1"),
        ("digits", {"pixel_noise": -1.0}, "pixel noise -1.0"),
        ("cifar10", {"pixel_noise": 0.1}, "for digits"),
    ],
)
def test_wrong_requests(spec, options, message):
    with pytest.raises(UsageError, match=message):
        open_training_data(spec, **options)


def test_absent_data_say_what_to_unpack():
    with pytest.raises(AbsentError, match=r"unpack cifar-10-batches-py/ \(from cifar-10-python.tar.gz\)"):
        open_training_data("cifar10:nowhere")


def test_an_unknown_scheme_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'cifar100'"):
        open_training_data("cifar1000")
