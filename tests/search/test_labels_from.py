"""Quality as agreement with a trusted model: the same as in a store whose labels are that model's predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest

import wisecommittee as wc
from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, AbsentNameError, StoreError, UsageError
from wisecommittee.store import LogitStore
from wisecommittee.store.checks import NO_LABEL

# Ties between classes, and answers that are refused, are on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*(two classes share the top value|gives no answer)")

SIZES = {"val": 240, "test": 160, "live": 200}
MODELS = {"small": (1.0, 10), "medium": (1.6, 30), "big": (2.6, 100)}
SAID = ("labels_from", "left_out", "statement", "sentence", "seconds", "store", "guarantee")  # texts, names and times


def stores(folder, make):
    """A store without labels (or with those that are true), and one whose labels are the predictions of 'big'."""
    plain, replaced = LogitStore(folder / "plain"), LogitStore(folder / "replaced")
    for split in SIZES:
        for name, (card, labels, trusted, arrays) in make(split).items():
            ids = np.array([f"{split}{i}" for i in range(len(labels))])
            plain.add(card, split, labels=labels, unit_ids=ids, **arrays)
            kept = np.flatnonzero(np.asarray(trusted) != "") if isinstance(trusted, list) else slice(None)
            given = {name: cut(values, kept) for name, values in arrays.items() if name != "quality"}
            replaced.add(card, split, labels=np.asarray(trusted)[kept], unit_ids=ids[kept], **given)
    return plain, replaced


def cut(values, rows):
    return {k: v[rows] for k, v in values.items()} if isinstance(values, dict) else np.asarray(values)[rows]


def logits(split):
    rng = np.random.default_rng(SIZES[split])
    truth = rng.integers(0, 5, SIZES[split])
    outputs = {
        name: (np.round(2 * (rng.normal(size=(len(truth), 5)) + sharp * np.eye(5)[truth])) / 2).astype(np.float32)
        for name, (sharp, _) in MODELS.items()
    }
    none = np.full(len(truth), NO_LABEL)
    return {
        name: (
            ModelCard(name, blocks={name: cost}, costs={"usd": cost / 7}),
            none,
            outputs["big"].argmax(axis=1),
            {"outputs": outputs[name]},
        )
        for name, (_, cost) in MODELS.items()
    }


def answers(split, graded=False):
    rng = np.random.default_rng(SIZES[split])
    truth, said = rng.integers(0, 4, SIZES[split]), {}
    for name, (sharp, _) in MODELS.items():
        right = rng.random(len(truth)) < sharp / 3
        said[name] = [str(t if hit else (t + 1) % 4) for t, hit in zip(truth, right, strict=True)]
        said[name] = [
            "" if refused else text for text, refused in zip(said[name], rng.random(len(truth)) < 0.1, strict=False)
        ]
    made = {}
    for name, (_, cost) in MODELS.items():
        arrays = {
            "answers": said[name],
            "scores": {"confidence": np.round(rng.random(len(truth)), 2)},
            "unit_costs": {"usd": np.round(cost * (0.5 + rng.random(len(truth))), 3)},
        }
        arrays |= {"quality": np.round(rng.random(len(truth)), 2)} if graded else {}
        made[name] = ModelCard(name, kind="answers"), [str(t) for t in truth], said["big"], arrays
    return made


@pytest.fixture(scope="module", params=["logits", "answers", "graded"])
def pair(request, tmp_path_factory):
    make = {"logits": logits, "answers": answers, "graded": lambda split: answers(split, graded=True)}
    return request.param, stores(tmp_path_factory.mktemp(request.param), make[request.param])


def figures(value):
    """A JSON value without what names the quality, or differs at each run."""
    if isinstance(value, dict):
        return {k: figures(v) for k, v in value.items() if k not in SAID or (k == "guarantee" and k in value)}
    return [figures(each) for each in value] if isinstance(value, list) else value


def printed(run, *arguments):
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


SMALL = ("--levels", "8", "--max-models", "2")
COMMANDS = (
    ("search", *SMALL, "--folds", "3"),
    ("search", *SMALL, "--target-accuracy", "0.6", "--choose", "best", "--folds", "0"),
    ("search", *SMALL, "--match", "big", "--folds", "4"),
    ("search", *SMALL, "--policy", "labels", "--target-cost", "40", "--folds", "2"),
    ("search", *SMALL, "--target-cost", "40", "--reference", "medium", "--folds", "3", "--seed", "3"),
    ("search", *SMALL, "--guarantee", "accuracy >= best_single - 0.2"),
    ("search", *SMALL, "--guarantee", "accuracy >= 0.5", "--guarantee-split", "live"),
    ("compare-policies", *SMALL, "--policies", "labels", "--folds", "2"),
    ("models",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_figures_are_those_of_a_store_whose_labels_are_the_predictions(run, pair, command):
    same_figures(run, *pair[1], command)


def test_every_policy_is_fitted_to_the_predictions(run, tmp_path):
    command = ("search", *SMALL, "--policy", "auto", "--target-cost", "40", "--folds", "2")
    same_figures(run, *stores(tmp_path, answers), command)


def same_figures(run, plain, replaced, command):
    seen = printed(run, *command, "--store", plain.files.uri, "--labels-from", "big")
    other = printed(run, *command, "--store", replaced.files.uri)
    for value in (seen, other):
        for model in value.get("models", ()):
            del model["contents"]  # of what is stored, grades too
        value.get("query", {}).pop("guarantee", None)
        if command[0] == "compare-policies":
            del value["quality"]  # its name
    assert shared(figures(seen), figures(other))


def shared(seen, other):
    """Whether two values are equal; the cards of a committee's members differ in nothing that it uses."""
    text = json.dumps(seen, sort_keys=True), json.dumps(other, sort_keys=True)
    return text[0] == text[1] or pytest.fail(f"{text[0][:2000]}\n{text[1][:2000]}")


def saved(pair, tmp_path):
    plain, replaced = pair
    files = []
    for store, trusted in ((plain, "big"), (replaced, None)):
        query = wc.Query(levels=8, max_models=2, labels_from=trusted)
        selection = wc.Selection(folds=3)
        choice = wc.search_and_choose(store, query, wc.Target("target_cost", 40.0), None, selection)
        files.append(tmp_path / f"{trusted}.json")
        choice.val.committee.save(files[-1])
    return files


def test_a_committee_is_evaluated_watched_and_audited_as_in_that_store(run, pair, tmp_path):
    kind, (plain, replaced) = pair
    seen, other = saved((plain, replaced), tmp_path)
    assert Committee.load(seen).labels_from == "big"
    assert Committee.load(other).labels_from is None
    for command in (
        ("evaluate", "FILE", "--split", "test", "--by", "class"),
        ("evaluate", "FILE", "--split", "live"),
        ("monitor", "FILE", "--split", "live", "--cost", "usd"),
        ("audit", "--policy", "FILE"),
        *([("retune", "FILE", "--split", "live")] if kind == "logits" else []),
    ):
        one, two = (
            printed(
                run, *[str(file) if word == "FILE" else word for word in command], "--store", store.files.uri, *more
            )
            for file, store, more in ((seen, plain, ("--labels-from", "big")), (other, replaced, ()))
        )
        for watched in one.get("watched", ()):
            watched["name"] = watched["name"].replace("agreement with big", "accuracy")
        assert shared(figures(one), figures(two))


def test_without_labels_a_committee_is_judged_by_the_model_it_was_chosen_to_agree_with(tmp_path, run):
    plain, replaced = stores(tmp_path, logits)
    seen, _ = saved((plain, replaced), tmp_path)
    alone = printed(run, "evaluate", seen, "--store", plain.files.uri)
    assert alone["labels_from"] == "big"
    assert alone == printed(run, "evaluate", seen, "--store", plain.files.uri, "--labels-from", "big")
    assert "accuracy" not in run("evaluate", seen, "--store", plain.files.uri)[1]
    live = printed(run, "monitor", seen, "--store", plain.files.uri)
    assert [each["name"] for each in live["watched"]][-1] == "agreement with big"


def test_with_labels_a_committee_is_judged_by_them_and_a_warning_says_what_it_was_chosen_for(tmp_path):
    store, _ = stores(tmp_path, answers)
    seen, _ = saved((store, store), tmp_path)
    from cli.evaluate import evaluate as command

    with pytest.warns(
        UserWarning, match="chosen for agreement with big, and this is another quality; labels_from='big'"
    ):
        command(seen, store.files.uri, split="test", as_json=True)
    right = wc.evaluate(seen, store, "test")
    assert right.measure == "accuracy"
    assert right.n == SIZES["test"]


def test_units_that_the_trusted_model_refuses_are_left_out_and_counted(tmp_path, run):
    store, _ = stores(tmp_path, answers)
    view = store.with_labels_from("big")
    said = store.answers("big", "val")
    with pytest.warns(UserWarning, match=rf"big gives no answer to {(said == '').sum()} units of 240 in val"):
        assert view.labels("val").tolist() == said[said != ""].tolist()
    assert view.unit_ids("val") == [unit for unit, text in zip(store.unit_ids("val"), said, strict=True) if text]
    assert view.scores("small", "val", "confidence").shape == view.labels("val").shape
    assert view.left_out("val") == (said == "").sum()
    assert store.left_out("val") == 0
    (big,) = [e for e in wc.search(view, levels=5).singles if e.committee.models == ("big",)]
    assert (big.quality, big.n) == (1.0, (said != "").sum())
    out = printed(
        run, "search", "--store", store.files.uri, "--labels-from", "big", "--target-cost", "40", "--folds", "0"
    )
    assert out["left_out"] == {split: int((store.answers("big", split) == "").sum()) for split in ("val", "test")}


def test_a_model_that_answers_nothing_cannot_be_trusted(tmp_path):
    store = LogitStore(tmp_path / "s")
    store.add(ModelCard("mute", kind="answers"), "val", labels=["a", "b"], answers=["", ""])
    with pytest.raises(StoreError, match="mute answers no unit of val"):
        store.with_labels_from("mute").labels("val")


def test_every_sentence_and_heading_names_the_agreement(tmp_path, run):
    store, _ = stores(tmp_path, logits)
    uri, page, figure = store.files.uri, tmp_path / "page.html", tmp_path / "f.svg"
    option = ("--labels-from", "big", "--max-models", "2", "--levels", "8")
    target = run("search", "--store", uri, *option, "--target-cost", "40", "--guarantee", "accuracy >= big - 0.3")[1]
    assert "agreement with big >= big - 0.3" in target
    assert "accura" not in target
    shown = run("search", "--store", uri, *option, "--target-cost", "40", "--reference", "medium")[1]
    assert "agreement with big" in shown.split("\n")[0]
    assert "accura" not in shown
    for command in (
        ("search", "--store", uri, *option),
        ("models", "--store", uri, *option[:2]),
        ("tables", "frontier", "--store", uri, *option[:4]),
        ("compare-policies", "--store", uri, *option, "--policies", "agreement", "--folds", "2"),
    ):
        out = run(*command)[1]
        assert "agreement" in out, command
        assert "accura" not in out, command
    assert run("report", "--store", uri, *option[:4], "--out", page)[0] == 0
    html = page.read_text()
    assert "Agreement with big and cost" in html
    assert "--labels-from big" in html
    assert run("plot", "frontier", "--store", uri, *option[:4], "--out", figure)[0] == 0


def test_a_frontier_that_was_saved_is_shown_with_its_labels(tmp_path, run):
    store, _ = stores(tmp_path, logits)
    uri, file = store.files.uri, tmp_path / "f.parquet"
    assert run("search", "--store", uri, "--labels-from", "big", "--max-models", "2", "--frontier", file)[0] == 0
    shown = run("tables", "frontier", "--store", uri, "--frontier", file)[1]
    assert "agreement" in shown
    assert "test" in shown
    code, _, err = run("tables", "frontier", "--store", uri, "--frontier", file, "--labels-from", "small")
    assert code == 2
    assert "--labels-from" in err


def test_what_cannot_be_asked_is_refused_by_name(tmp_path, run):
    store, _ = stores(tmp_path, logits)
    with pytest.raises(AbsentNameError, match="unknown model to take labels from 'bigg'; did you mean 'big'"):
        store.with_labels_from("bigg")
    with pytest.raises(UsageError, match="calibrat"):
        wc.Query(calibrated=True, labels_from="big")
    store.remove("big", "live")
    view = store.with_labels_from("big")
    assert not view.has_labels("live")
    assert view.has_labels("val")
    with pytest.raises(AbsentNameError, match="unknown model in live to take labels from 'big'"):
        view.labels("live")
    with pytest.raises(UsageError, match="only read"):
        view.remove("small")
    with pytest.raises(AbsentError, match="no labels"):
        store.labels("val")


def test_a_test_split_without_the_trusted_model_reports_nothing_and_says_why(tmp_path):
    store, _ = stores(tmp_path, logits)
    store.remove("big", "test")
    query = wc.Query(levels=12, models=("small", "medium"), labels_from="big")
    choice = wc.search_and_choose(store, query, wc.Target("target_cost", 40.0))
    assert choice.test is None
    assert choice.lacking == ("big",)
    assert choice.best_single.committee.models == ("medium",)


def test_counts_of_pixels_hold_no_prediction_to_agree_with(tmp_path):
    counts = np.tile(np.array([3, 4, 1, 0, 0, 1], np.float32), (6, 1))
    store = LogitStore(tmp_path / "s")
    store.add(ModelCard("seg", kind="cell_counts", blocks={"seg": 1}), "val", labels=np.full(6, 8), outputs=counts)
    with pytest.raises(UsageError, match="counts of pixels"):
        store.with_labels_from("seg").labels("val")


def test_features_are_those_of_the_units_that_are_left(tmp_path):
    store, _ = stores(tmp_path, answers)
    file = tmp_path / "features.csv"
    file.write_text("unit_id,length\n" + "".join(f"{unit},{i}\n" for i, unit in enumerate(store.unit_ids("val"))))
    length = store.with_features(file).with_labels_from("big").features("val")["length"]
    assert length.tolist() == np.flatnonzero(store.answers("big", "val") != "").tolist()
