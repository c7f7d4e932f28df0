"""Folders of images, Parquet and npz files: against Pillow and numpy by hand, with every way they can be broken."""

from __future__ import annotations

import io
import json
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from wisecommittee.errors import (
    AbsentError,
    AlignmentError,
    ContentError,
    UnknownNameError,
    UsageError,
    WiseCommitteeError,
)
from wisecommittee.extraction.data.spec import open_data
from wisecommittee.extraction.data.wrap import wrap_data
from wisecommittee.extraction.extract import extract
from wisecommittee.extraction.models.loaded import LoadedModel, wrap_module
from wisecommittee.extraction.models.preprocess import Preprocess
from wisecommittee.store import LogitStore

torch.set_num_threads(1)

SIDE = 6
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISECOMMITTEE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path):
    return LogitStore(tmp_path / "logits")


def pixels(seed, side=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encoded(array, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def to_tensor(image):
    return torch.from_numpy(np.array(image).transpose(2, 0, 1).copy()).float() / 255


def dark(image):
    return to_tensor(image) / 2


class Nothing:
    """Pickled, it would write a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "unpickled")


def model(name="net/0", seed=0, classes=3, whole=to_tensor, key="plain", names=None):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, classes))
    wrapped = wrap_module(module, name)
    fields = {f: getattr(wrapped, f) for f in ("module", "name", "architecture", "replica", "origin", "weights")}
    preprocess = Preprocess(key, (3, SIDE, SIDE), whole)
    given = {"given": names} if names else {}
    return LoadedModel(**fields, input_size=(3, SIDE, SIDE), preprocess=preprocess, classes=given)


def logits_by_hand(loaded, images):
    with torch.no_grad():
        return np.stack([loaded.module(loaded.preprocess.whole(image)[None])[0].numpy() for image in images])


FILES = ["bird/9.png", "bird/a/1.png", "bird/a10.jpg", "cat/2.png", "cat/B.PNG", "dog/ünï.png"]
LABELS = [0, 0, 0, 1, 1, 2]


@pytest.fixture
def folder(tmp_path):
    """Six images of three classes, made in an order that is not theirs."""
    place = tmp_path / "photos"
    for number, name in reversed(list(enumerate(FILES))):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(encoded(pixels(number), "JPEG" if name.endswith("jpg") else "PNG"))
    return place


def opened(folder):
    return [Image.open(folder / name).convert("RGB") for name in FILES]


# imagefolder


@pytest.mark.parametrize(("workers", "batch_size"), [(0, 1), (0, 4), (2, 4), (0, 100)])
def test_an_image_folder(folder, store, workers, batch_size):
    spec = f"imagefolder:{folder}"
    loaded = model(classes=3)
    (item,) = extract([loaded], spec, "val", store, batch_size=batch_size, workers=workers)
    assert store.unit_ids("val") == FILES
    assert store.labels("val").tolist() == LABELS
    np.testing.assert_allclose(store.outputs("net/0", "val"), logits_by_hand(loaded, opened(folder)), atol=1e-6)
    assert item.card.meta["data"] == spec
    assert item.card.meta["preprocess"] == "plain"
    assert store.verify() == []
    assert open_data(spec, "val").classes == ("bird", "cat", "dog")


def test_labels_by_a_file_of_classes(folder, tmp_path):
    def labels(name, text):
        (tmp_path / name).write_text(text)
        data = open_data(f"imagefolder:{folder}?classes={tmp_path / name}", "val")
        return data.classes, data.known()[1].tolist()

    assert labels("c.txt", "dog\ncat\nfish\nbird\n") == (("dog", "cat", "fish", "bird"), [3, 3, 3, 1, 1, 0])
    assert labels("c.json", '{"bird": 2, "cat": 0, "dog": 1}') == (("cat", "dog", "bird"), [2, 2, 2, 0, 0, 1])
    with pytest.raises(ContentError, match=r"class 'bird' \(and 0 more\) is not one of the 2 given"):
        labels("d.txt", "cat\ndog\n")
    with pytest.raises(UnknownNameError, match=r"setting of imagefolder .* 'clases'; did you mean 'classes'"):
        open_data(f"imagefolder:{folder}?clases=x", "val")


def test_what_an_image_folder_must_be(folder, tmp_path):
    def refused(kind, message):
        with pytest.raises(kind, match=message):
            open_data(f"imagefolder:{folder}", "val")

    (folder / "fox").mkdir()
    refused(ContentError, r"class 'fox' has no images.*fill or remove")
    (folder / "fox" / ".hidden.png").write_bytes(b"")
    refused(ContentError, "class 'fox' has no images")
    (folder / "fox" / ".hidden.png").unlink()
    (folder / "fox").rmdir()
    (folder / "loose.png").write_bytes(b"")
    refused(ContentError, r"'loose.png' is in no class")
    (folder / "loose.png").unlink()
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "cat" / "notes.txt").write_text("no image")
    with pytest.warns(UserWarning, match=r"1 files are no images and left out, the first is 'cat/notes.txt'"):
        assert open_data(f"imagefolder:{folder}", "val").known()[0] == FILES
    for place, kind, message in (
        (tmp_path / "none", AbsentError, "No such file"),
        (folder / "cat" / "2.png", UsageError, "Not a directory"),
        (folder / "dog", ContentError, "is in no class"),
    ):
        with pytest.raises(kind, match=message):
            open_data(f"imagefolder:{place}", "val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ContentError, match="no class folders"):
        open_data(f"imagefolder:{tmp_path / 'empty'}", "val")
    with pytest.raises(UsageError, match=r"expected digits.*imagefolder:DIR"):
        open_data("imagefolder:", "val")


def folders(place, names):
    for number, name in enumerate(names):
        (place / name).mkdir(parents=True)
        (place / name / "1.png").write_bytes(encoded(pixels(number), "PNG"))
    return place


@pytest.mark.parametrize(
    ("names", "order", "said"),
    [
        (
            map(str, range(12)),
            map(str, range(12)),
            r"output k is taken to be class k; torchvision.* \(0, 1, 10, \.\.\)",
        ),
        ([f"{k:02}" for k in range(12)], [f"{k:02}" for k in range(12)], None),
        (map(str, range(10)), map(str, range(10)), None),
        (
            map(str, range(1, 13)),
            map(str, range(1, 13)),
            "classes are numbered 1 to 12, and outputs 0 to 11",
        ),
        (["3", "17", "200"], ["3", "17", "200"], r"classes are numbered 3 to 200, .* --classes FILE"),
        (["0", "1", "2", "10", "x"], ["0", "1", "10", "2", "x"], "classes 0, 1, 10, .. are in the order of text"),
        (["b", "a", "C"], ["C", "a", "b"], None),
    ],
)
def test_folders_named_by_numbers_are_in_the_order_of_numbers(names, order, said, tmp_path, store, recwarn):
    names, order = list(names), list(order)
    data = open_data(f"imagefolder:{folders(tmp_path / 'numbered', names)}", "val")
    assert list(data.classes) == order
    ids, labels = data.known()
    assert [order[label] for label in labels] == [unit.partition("/")[0] for unit in ids]
    assert not recwarn.list
    (item,) = extract([model(classes=len(names))], data, "val", store)
    assert list(item.card.class_names) == order
    warned = [str(warning.message) for warning in recwarn.list]
    assert len(warned) == (said is not None)
    if said is not None:
        assert re.search(said, warned[0])
    # A model that knows its classes leaves no doubt.
    recwarn.clear()
    extract([model("known", classes=len(names), names=tuple(order))], data, "val", store)
    assert not recwarn.list


def test_two_folders_of_one_number_are_refused(tmp_path):
    with pytest.raises(ContentError, match=r"classes '01' and '1' are one number; rename one, or join them"):
        open_data(f"imagefolder:{folders(tmp_path / 'numbered', ['0', '1', '01'])}", "val")


def test_links_are_followed_but_not_in_circles(folder):
    (folder / "cat" / "again").symlink_to(folder / "cat")
    (folder / "dog" / "more").symlink_to(folder / "bird" / "a")
    ids = open_data(f"imagefolder:{folder}", "val").known()[0]
    assert ids == sorted([*FILES, "dog/more/1.png"])
    (folder / "cat" / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(WiseCommitteeError, match=r"gone.png.*No such file"):
        list(open_data(f"imagefolder:{folder}", "val").batches(9, preprocess=to_tensor))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK", "I;16"])
def test_images_of_every_mode_become_rgb(tmp_path, mode):
    source = Image.fromarray(pixels(1))
    made = Image.fromarray(np.arange(36, dtype=np.uint16).reshape(6, 6)) if mode == "I;16" else source.convert(mode)
    name = "one.tif" if mode in ("CMYK", "I;16") else "one.png"
    for label in "ab":
        (tmp_path / "d" / label).mkdir(parents=True)
        made.save(tmp_path / "d" / label / name, **({"transparency": b"\x00\x7f"} if mode == "P" else {}))
    (batch,) = open_data(f"imagefolder:{tmp_path / 'd'}", "val").batches(9, preprocess=to_tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = to_tensor(Image.open(tmp_path / "d" / "a" / name).convert("RGB"))
    assert torch.equal(batch.inputs[0], expected)


# Images that cannot be decoded


def breaks(folder, *names):
    """A truncated image, then one that is none, then an empty one."""
    for number, name in enumerate(names):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes([whole[: len(whole) // 2], b"no image at all", b""][number])


def test_a_corrupt_image_is_named_and_counted(folder, store):
    breaks(folder, "bird/a10.jpg", "cat/B.PNG")
    for workers in (0, 1):
        with pytest.raises(ContentError, match=r"2 of the images in rows 0 to 5.*'bird/a10.jpg' .*'cat/B.PNG'.*--skip"):
            extract([model()], f"imagefolder:{folder}", "val", store, workers=workers)
    assert store.models("val") == ()


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_images_are_left_out_for_all_models(folder, store, workers):
    breaks(folder, "bird/9.png", "cat/B.PNG", "dog/ünï.png")
    kept = [name for name in FILES if name not in ("bird/9.png", "cat/B.PNG", "dog/ünï.png")]
    models = [model("a/0"), model("b/0", seed=1, whole=dark, key="dark"), model("c/0", seed=2)]
    with pytest.warns(UserWarning, match=r"3 images cannot be decoded and are left out for every model: 'bird/9.png'"):
        done = extract(models, f"imagefolder:{folder}", "val", store, skip_corrupt=True, batch_size=2, workers=workers)
    assert store.unit_ids("val") == kept
    assert store.labels("val").tolist() == [0, 0, 1]
    images = [Image.open(folder / name).convert("RGB") for name in kept]
    for loaded, item in zip(models, done, strict=True):
        np.testing.assert_allclose(store.outputs(loaded.name, "val"), logits_by_hand(loaded, images), atol=1e-6)
        assert item.card.meta["corrupt"] == {"units": 3, "first": ["bird/9.png", "cat/B.PNG", "dog/ünï.png"]}
    with pytest.warns(UserWarning, match="3 images"):
        (again,) = extract([models[1]], f"imagefolder:{folder}", "val", store, skip_corrupt=True)
    assert again.status == "unchanged"


def test_the_units_of_a_split_agree_about_what_is_corrupt(folder, store):
    whole = (folder / "cat" / "2.png").read_bytes()
    extract([model("a/0")], f"imagefolder:{folder}", "val", store)
    breaks(folder, "cat/2.png")
    with (
        pytest.warns(UserWarning, match="1 images"),
        pytest.raises(AlignmentError, match=r"'cat/2.png' .*but the models of val have seen it"),
    ):
        extract([model("b/0", seed=1)], f"imagefolder:{folder}", "val", store, skip_corrupt=True)
    with pytest.warns(UserWarning, match="1 images"):
        extract([model("b/0", seed=1)], f"imagefolder:{folder}", "test", store, skip_corrupt=True)
    (folder / "cat" / "2.png").write_bytes(whole)
    with pytest.raises(AlignmentError, match=r"test left out 1 .* as 'cat/2.png'; they can now; write to another"):
        extract([model("c/0", seed=2)], f"imagefolder:{folder}", "test", store, skip_corrupt=True)


def test_limit_counts_corrupt_images(folder, store):
    drawn = open_data(f"imagefolder:{folder}", "val", limit=4).known()[0]
    assert len(drawn) == 4
    assert len({unit.partition("/")[0] for unit in drawn}) > 1
    breaks(folder, drawn[1])
    with pytest.warns(UserWarning, match="1 images"):
        extract([model()], f"imagefolder:{folder}", "val", store, skip_corrupt=True, limit=4)
    assert store.unit_ids("val") == [drawn[0], *drawn[2:]]
    with pytest.raises(AlignmentError, match=rf"val left out 1 .* as '{drawn[1]}'; use --skip-corrupt too"):
        extract([model("b/0", seed=1)], f"imagefolder:{folder}", "val", store, limit=4)


def test_nothing_is_left(folder, store):
    for name in FILES:
        (folder / name).write_bytes(b"")
    with pytest.raises(ContentError, match=r"none of its 6 images can be decoded, first 'bird/9.png'"):
        extract([model()], f"imagefolder:{folder}", "val", store, skip_corrupt=True)
    with pytest.raises(UsageError, match="--skip-corrupt is for imagefolder: and parquet:"):
        extract([model()], "digits", "val", store, skip_corrupt=True)


@pytest.mark.parametrize("factor", [1.5, 3])
def test_pillow_s_limit_stays_an_error(folder, store, monkeypatch, factor):
    (folder / "cat" / "2.png").write_bytes(encoded(pixels(0, side=60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(3600 / factor))
    with pytest.raises(ContentError, match=r"'cat/2.png' \(DecompressionBomb(Warning|Error)"):
        extract([model()], f"imagefolder:{folder}", "val", store)


def test_only_plain_image_formats_are_decoded(folder, store):
    buffer = io.BytesIO()
    Image.fromarray(pixels(0)).save(buffer, "EPS")  # its decoder would start another program
    (folder / "cat" / "2.png").write_bytes(buffer.getvalue())
    with pytest.raises(ContentError, match=r"'cat/2.png' \(UnidentifiedImageError"):
        extract([model()], f"imagefolder:{folder}", "val", store)


# Preprocessing


def test_one_pass_per_preprocessing(folder, store, monkeypatch):
    from wisecommittee.extraction.data.images import ImageFolder

    read = []
    picture = ImageFolder.picture
    monkeypatch.setattr(ImageFolder, "picture", lambda self, row: read.append(row) or picture(self, row))
    models = [model("a/0"), model("b/0", 1, whole=dark, key="dark"), model("c/0", 2), model("d/0", 3)]
    extract(models, f"imagefolder:{folder}", "val", store, batch_size=4)
    probes = 2 * [0, 1]
    assert read == probes + 2 * list(range(6))
    images = opened(folder)
    for loaded in models:
        np.testing.assert_allclose(store.outputs(loaded.name, "val"), logits_by_hand(loaded, images), atol=1e-6)


def test_images_need_preprocessing(folder, store):
    bare = wrap_module(nn.Sequential(nn.Flatten(), nn.Linear(108, 3)), "bare/0")
    with pytest.raises(
        UsageError,
        match=r"bare/0 in val: data 'imagefolder:.*gives images.*--preprocess .*`preprocess`",
    ):
        extract([bare], f"imagefolder:{folder}", "val", store)

    def broken(image):
        raise ValueError("no such crop")

    with pytest.raises(WiseCommitteeError, match=r"preprocessing unit 'bird/9.png' raised ValueError: no such crop"):
        extract([model(whole=broken)], f"imagefolder:{folder}", "val", store)


class Pictures(Dataset):
    """A user's Dataset of Pillow images."""

    def __init__(self, n, broken=None):
        self.n, self.broken = n, broken

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i == self.broken:
            raise OSError("the disk is gone")
        return Image.fromarray(pixels(i)), i % 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_of_images(store, workers):
    loaded = model()
    extract([loaded], wrap_data(lambda: Pictures(9), "own"), "val", store, batch_size=4, workers=workers)
    expected = logits_by_hand(loaded, [Image.fromarray(pixels(i)) for i in range(9)])
    np.testing.assert_allclose(store.outputs("net/0", "val"), expected, atol=1e-6)
    with pytest.raises(
        WiseCommitteeError, match=r"data 'own': reading row 7 raised OSError: the disk is gone"
    ) as caught:
        extract([loaded], wrap_data(lambda: Pictures(9, 7), "own"), "test", store, workers=workers)
    assert "Traceback" not in str(caught.value)


# Classes


def test_outputs_are_chosen_by_the_names_of_the_data(folder, store, tmp_path):
    names = ("fish", "dog", "bird", "horse", "cat")
    named = model("named/0", classes=5, names=names)
    extract([named], f"imagefolder:{folder}", "val", store)
    expected = logits_by_hand(named, opened(folder))[:, [2, 4, 1]]
    np.testing.assert_allclose(store.outputs("named/0", "val"), expected, atol=1e-6)
    assert store.card("named/0", "val").meta["chosen_of_outputs"] == 5
    with pytest.raises(ContentError, match=r"plain/0 in val: 5 outputs for 3 classes of the data.*--classes FILE"):
        extract([model("plain/0", 1, classes=5)], f"imagefolder:{folder}", "val", store)
    (tmp_path / "names.txt").write_text("\n".join(names))
    plain = model("plain/0", 1, classes=5)
    extract([plain], f"imagefolder:{folder}", "val", store, classes=tmp_path / "names.txt")
    expected = logits_by_hand(plain, opened(folder))[:, [2, 4, 1]]
    np.testing.assert_allclose(store.outputs("plain/0", "val"), expected, atol=1e-6)
    with pytest.raises(ContentError, match=r"names of 5 classes for 6 outputs"):
        extract([model("p/0", 1, classes=6)], f"imagefolder:{folder}", "val", store, classes=tmp_path / "names.txt")
    with pytest.raises(UsageError, match=r"classes have no names to match"):
        extract([model()], "digits", "test", store, classes=tmp_path / "names.txt")


# Parquet


def huggingface(features):
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def parquet(path, columns, metadata=None, **options):
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path, **options)
    return f"parquet:{path}"


IMAGES = [encoded(pixels(i)) for i in range(7)]
STRUCTS = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(IMAGES)]
NUMBERS = [0, 2, 1, 1, 2, 0, 2]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_parquet_as_hugging_face_writes_it(tmp_path, store, rows, workers):
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["ant", "bee", "cow"]}}
    spec = parquet(
        tmp_path / "v.parquet", {"image": STRUCTS, "label": NUMBERS}, huggingface(features), row_group_size=rows
    )
    loaded = model()
    extract([loaded], spec, "val", store, batch_size=2, workers=workers)
    expected = logits_by_hand(loaded, [Image.fromarray(pixels(i)) for i in range(7)])
    np.testing.assert_allclose(store.outputs("net/0", "val"), expected, atol=1e-6)
    assert store.labels("val").tolist() == NUMBERS
    assert store.unit_ids("val") == list(map(str, range(7)))
    assert open_data(spec, "val").classes == ("ant", "bee", "cow")


def test_parquet_columns(tmp_path):
    places = {
        "pic": IMAGES,
        "kind": [["ant", "bee", "cow"][n] for n in NUMBERS],
        "unit_id": [f"u{i}" for i in range(7)],
    }
    data = open_data(parquet(tmp_path / "a.parquet", places) + "?label=kind", "val")
    assert data.known()[0] == places["unit_id"]
    assert data.known()[1].tolist() == NUMBERS
    both = {"a": IMAGES, "b": IMAGES[::-1], "y": NUMBERS, "n": list(range(10, 17))}
    spec = parquet(tmp_path / "b.parquet", both)
    for query, first, unit in (("?image=a&label=y", 0, "0"), ("?image=b&label=y&id=n", 6, "10")):
        batch = next(open_data(spec + query, "val").batches(4, preprocess=to_tensor))
        assert torch.equal(batch.inputs[0], to_tensor(Image.fromarray(pixels(first))))
        assert batch.unit_ids[0] == unit
    for query, kind, message in (
        ("", ContentError, r"2 columns of images \(a, b\).*\?image=COLUMN"),
        ("?image=a", ContentError, r"no column named label or labels among a, b, y, n; name one with \?label=COLUMN"),
        ("?image=y&label=y", ContentError, "column 'y' is int64"),
        ("?image=a&label=z", UnknownNameError, "unknown column of parquet .*'z'"),
        ("?image=a&lable=y", UnknownNameError, "did you mean 'label'"),
        ("?image=a&label=a", ContentError, "labels are binary"),
    ):
        with pytest.raises(kind, match=message):
            open_data(spec + query, "val")
    (tmp_path / "names.txt").write_text("cow\nant\nbee\n")
    features = {"label": {"names": ["ant", "bee", "cow"]}}
    spec = parquet(tmp_path / "c.parquet", {"image": STRUCTS, "label": NUMBERS}, huggingface(features))
    data = open_data(f"{spec}?classes={tmp_path / 'names.txt'}", "val")
    assert (data.classes, data.known()[1].tolist()) == (("cow", "ant", "bee"), [(n + 1) % 3 for n in NUMBERS])


def test_several_parquet_files(tmp_path, store):
    (tmp_path / "d").mkdir()
    for number, rows in ((1, slice(4, 7)), (0, slice(0, 4))):
        parquet(tmp_path / "d" / f"val-{number}.parquet", {"image": STRUCTS[rows], "label": NUMBERS[rows]})
    for spec in (f"parquet:{tmp_path / 'd'}", f"parquet:{tmp_path / 'd' / 'val-*'}"):
        data = open_data(spec, "val")
        assert data.known()[1].tolist() == NUMBERS
        batches = list(data.batches(3, preprocess=to_tensor))
        assert [len(batch) for batch in batches] == [3, 3, 1]
        expected = torch.stack([to_tensor(Image.fromarray(pixels(i))) for i in range(7)])
        assert torch.equal(torch.cat([batch.inputs for batch in batches]), expected)
    parquet(tmp_path / "d" / "val-2.parquet", {"image": STRUCTS, "other": NUMBERS})
    with pytest.raises(ContentError, match=r"val-2.parquet': no column 'label'"):
        open_data(f"parquet:{tmp_path / 'd'}", "val")


def test_parquet_that_is_refused(tmp_path, store):
    (tmp_path / "text.parquet").write_text("no parquet")
    cases = [
        (f"parquet:{tmp_path / 'none.parquet'}", AbsentError, "no such file"),
        (f"parquet:{tmp_path / 'text.parquet'}", ContentError, "expected a Parquet file"),
    ]
    labels = [
        ([0, None, 1], r"no label in row 1 \(and 0 more\)"),
        ([0, -1, -1], r"label -1 in row 1 \(and 1 more\).*data without labels"),
        ([0.5, 1.0, 2.0], "labels are double"),
    ]
    for number, (given, message) in enumerate(labels):
        spec = parquet(tmp_path / f"{number}.parquet", {"image": STRUCTS[:3], "label": given})
        cases.append((spec, ContentError, message))
    features = huggingface({"label": {"names": ["a", "b"]}})
    columns = {"image": STRUCTS[:3], "label": [0, 1, 2]}
    cases.append((parquet(tmp_path / "l.parquet", columns, features), ContentError, r"label 2 in row 2.*0..1"))
    columns = {"image": STRUCTS[:2], "label": [0, 1], "id": ["a", None]}
    cases.append((parquet(tmp_path / "i.parquet", columns), ContentError, "no id in row 1"))
    columns = {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}
    cases.append((parquet(tmp_path / "e.parquet", columns), ContentError, "no rows"))
    for spec, kind, message in cases:
        with pytest.raises(kind, match=message):
            open_data(spec, "val")
    spec = parquet(tmp_path / "t.parquet", {"image": STRUCTS[:2], "label": [0, 1], "id": ["a", "a"]})
    with pytest.raises(AlignmentError, match="unit id 'a' stands more than once"):
        extract([model()], spec, "val", store)
    spec = parquet(tmp_path / "o.parquet", {"image": STRUCTS[:2], "label": [0, 7]})
    with pytest.raises(ContentError, match=r"label 7 of row 1.*outside the 3 classes"):
        extract([model()], spec, "val", store)


def test_images_beside_a_parquet_file(tmp_path, store):
    (tmp_path / "d" / "img").mkdir(parents=True)
    (tmp_path / "d" / "img" / "0.png").write_bytes(IMAGES[0])
    (tmp_path / "secret.png").write_bytes(IMAGES[1])
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def spec(path):
        images = pa.array([{"bytes": None, "path": path}, {"bytes": IMAGES[1], "path": None}], kind)
        return parquet(tmp_path / "d" / "x.parquet", {"image": images, "label": [0, 1]})

    (batch,) = open_data(spec("img/0.png"), "val").batches(2, preprocess=to_tensor)
    assert torch.equal(batch.inputs[0], to_tensor(Image.fromarray(pixels(0))))
    for path, message in (("../secret.png", "outside its folder"), ("img/9.png", "no such file")):
        with pytest.raises(WiseCommitteeError, match=message):
            list(open_data(spec(path), "val").batches(2, preprocess=to_tensor))
    with (
        pytest.warns(UserWarning, match=r"1 images cannot be decoded.*'0' \(neither bytes nor a path\)"),
    ):
        extract([model()], spec(None), "val", store, skip_corrupt=True)
    assert store.unit_ids("val") == ["1"]


def test_parquet_images_are_turned_upright_as_hugging_face_does(tmp_path):
    array = pixels(3)
    turned = Image.Exif()
    turned[0x0112] = 6
    sideways = encoded(array, "PNG", exif=turned)
    (batch,) = open_data(
        parquet(tmp_path / "x.parquet", {"image": [sideways, IMAGES[0]], "label": [0, 1]}), "val"
    ).batches(2, preprocess=to_tensor)
    assert torch.equal(batch.inputs[0], to_tensor(Image.fromarray(np.rot90(array, -1))))


# npz


def npz(path, **arrays):
    np.savez(path, **arrays)
    return f"npz:{path}"


def test_npz_of_tensors(tmp_path, store):
    x, y = RNG.standard_normal((9, 3, SIDE, SIDE)).astype(np.float32), np.arange(9) % 3
    loaded = model(classes=3)
    extract([loaded], npz(tmp_path / "x.npz", x=x, y=y[:, None], ids=np.arange(9) + 50), "val", store, batch_size=4)
    with torch.no_grad():
        expected = loaded.module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(store.outputs("net/0", "val"), expected, atol=1e-6)
    assert store.unit_ids("val") == [str(i + 50) for i in range(9)]
    assert store.labels("val").tolist() == y.tolist()
    floats = open_data(npz(tmp_path / "f.npz", images=x, labels=y.astype(float)), "val")
    assert not floats.images
    assert torch.equal(next(floats.batches(9)).inputs, torch.from_numpy(x))


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_npz_of_images(tmp_path, store, channels):
    array = (
        np.stack([pixels(i) for i in range(5)])[..., slice(channels)] if channels else RNG.integers(0, 256, (5, 6, 6))
    )
    spec = npz(
        tmp_path / "i.npz", images=array.astype(np.uint8), labels=np.arange(5) % 3, classes=np.array(list("abc"))
    )
    loaded = model()
    extract([loaded], spec, "val", store)
    rgb = np.broadcast_to(array.reshape(5, 6, 6, -1), (5, 6, 6, 3)).astype(np.uint8)
    expected = logits_by_hand(loaded, [Image.fromarray(image) for image in rgb])
    np.testing.assert_allclose(store.outputs("net/0", "val"), expected, atol=1e-6)
    assert open_data(spec, "val").classes == ("a", "b", "c")


def test_npz_that_is_refused(tmp_path):
    x, y = np.zeros((4, 2), np.float32), np.arange(4)
    trap = tmp_path / "trap"
    trapped = np.empty(4, object)
    trapped[:] = [Nothing(trap)] * 4
    np.savez(tmp_path / "objects.npz", x=trapped, y=y)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Nothing(trap)))
    np.save(tmp_path / "single.npy", x)
    whole = Path(npz(tmp_path / "whole.npz", x=x, y=y).removeprefix("npz:")).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npz").write_bytes(b"")
    cases = [
        ("objects.npz", ContentError, "no Python objects"),
        ("pickle.npz", ContentError, "no Python objects"),
        ("half.npz", ContentError, "expected arrays"),
        ("empty.npz", ContentError, "expected arrays"),
        ("single.npy", ContentError, "expected arrays"),
        ("none.npz", AbsentError, "no such file"),
    ]
    arrays = [
        ({"x": x}, "no array named y or labels"),
        ({"y": y}, "no array named x or images"),
        ({"x": x, "images": x, "y": y}, "both x and images"),
        ({"x": x, "y": y[:3]}, r"labels of shape \[3\]"),
        ({"x": x, "y": y / 2}, "labels are float64"),
        ({"x": x, "y": y - 1}, "label -1 in row 0"),
        ({"x": x, "y": y, "classes": np.array(["a", "b"])}, r"label 2 in row 2 \(and 1 more\); expected 0..1"),
        ({"x": x, "y": y, "ids": y[:2]}, r"ids of shape \[2\]"),
        ({"images": np.zeros((4, 2, 2, 5), np.uint8), "y": y}, r"images of shape \[4, 2, 2, 5\]"),
    ]
    for number, (given, message) in enumerate(arrays):
        npz(tmp_path / f"{number}.npz", **given)
        cases.append((f"{number}.npz", (ContentError, AlignmentError), message))
    for name, kind, message in cases:
        with pytest.raises(kind, match=message):
            open_data(f"npz:{tmp_path / name}", "val")
    assert not trap.exists()
