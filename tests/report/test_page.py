"""The report page: what is written on it, that texts of a stranger stay texts, and how it behaves in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from processes import HUNG

from wisecommittee.analyses.study import study_of
from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import AbsentNameError, InfeasibleError, StoreError, UsageError, WiseCommitteeError
from wisecommittee.report.page import chosen_for, page, write_page
from wisecommittee.report.page_answer import _much
from wisecommittee.report.page_chart import PixelScale, plain
from wisecommittee.report.table import Column, Table
from wisecommittee.searches.choosing import choose, search_and_choose
from wisecommittee.searches.frontier import Frontier
from wisecommittee.searches.guarantees.options import GuaranteeOptions
from wisecommittee.searches.query import Query
from wisecommittee.searches.resampling.verdict import WORDS
from wisecommittee.searches.selection import Selection
from wisecommittee.searches.target import Target
from wisecommittee.searches.workers.execution import Execution
from wisecommittee.store import LogitStore

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def filled(folder, names=("small/0", "medium/0", "large/0"), splits=("val", "test")):
    store = LogitStore(folder)
    for split, seed in zip(splits, (1, 2), strict=False):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 4, 300)
        for m, name in enumerate(names):
            logits = rng.standard_normal((300, 4)).astype(np.float32)
            logits[np.arange(300), labels] += np.float32(1.0 + 0.8 * m)
            store.add(ModelCard(name, blocks={name: 10**6 * 5**m}), split, labels=labels, outputs=logits)
    return store


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return study_of(filled(tmp_path_factory.mktemp("page") / "logits"), max_models=3, levels=20, threads=1)


@pytest.fixture(scope="module")
def text(study):
    return page(study)


class Structure(HTMLParser):
    """Which elements there are, that they are closed in order, and what they refer to."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.references, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action", "data")]
        self.ids += [v for k, v in attrs if k == "id"]
        assert not [k for k, _ in attrs if k.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(text):
    structure = Structure()
    structure.feed(text)
    assert structure.open == []
    return structure


def test_the_page_is_whole_and_needs_no_network(text):
    structure = parsed(text)
    assert structure.tags.count("script") == 2
    assert [r for r in structure.references if not r.startswith(("#", "data:,"))] == []
    assert len(set(structure.ids)) == len(structure.ids)
    for name in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text):
        assert (name[0] or name[1]) in structure.ids
    assert "default-src 'none'" in text
    addresses = set(re.findall(r"https?://[^\"'\s<]+", text))
    assert {a for a in addresses if "w3.org" not in a} == set()


def test_the_answer_is_that_of_the_search(study, text):
    query = Query(max_models=3, levels=20)
    found = search_and_choose(study.store, query, Target("match", "large/0"), Execution(threads=1))
    plain_text = unescape(re.sub(r"<[^>]+>", "", text))
    rows = [unescape(re.sub(r"<[^>]+>", "|", row)) for row in re.findall(r"<tr.*?</tr>", text)]
    assert f"<b>{found.val.committee.label()}</b>" in text
    assert plain_text.index(f"{WORDS[found.evidence.verdict.word]}: {found.evidence.verdict.sentence}.") < (
        plain_text.index(found.val.committee.label())
    )
    single = found.matched
    for what, e in (
        ("on val, if nobody had chosen", found.val),
        ("on test, if looked at once", found.test),
        ("to be matched, large/0, on val", single),
        ("on test", found.on_test(single)),
    ):
        row = next(row for row in rows if f"||{what}||" in row)
        assert f"|{100 * e.quality:.2f} [{100 * e.interval[0]:.2f}, {100 * e.interval[1]:.2f}]|" in row
        assert f"|{plain(e.average_cost, 'flops')} FLOPs|" in row
    expected = found.evidence.expected
    assert any("expected on new data" in row and f"|{100 * expected.quality:.2f} [" in row for row in rows)
    assert f"answer if max_prob >= {found.val.committee.thresholds.values[0]:.6g}" in plain_text
    again = f"wisecommittee search --store {study.store.files.uri} --max-models 3 --levels 20 --match large/0 --save"
    assert again in plain_text


def test_every_point_says_its_committee_and_lies_where_it_belongs(study, text):
    said = json.loads(re.search(r'id="points">(.*?)</script>', text)[1])
    frontier = study.frontier()
    labels = [line.split("\n")[0] for line in said]
    for e in (*frontier, *frontier.singles):
        assert e.committee.label() in labels
    marks = re.findall(
        r'<g class="mark (\w+)" data-i="(\d+)" tabindex="0" transform="translate\(([\d.]+) ([\d.]+)\)', text
    )
    assert len(marks) == len(said)
    places = {}
    for kind, i, x, y in marks:
        quality = float(re.search(r"accuracy ([\d.]+) %", said[int(i)])[1])
        places[int(i)] = (kind, float(x), float(y), quality)
    for _, _, y, quality in places.values():
        for _, _, other, less in places.values():
            assert (y <= other) or quality <= less  # higher is better
    assert {kind for kind, *_ in places.values()} >= {"single", "committee", "test"}


def test_the_cost_that_was_searched_is_drawn_and_compared(study):
    found = study.search(axis="worst")
    chosen = next(e for e in found if e.committee.shape == "cascade")
    text = page(replace(study, given=found), Target("target_accuracy", chosen.quality))
    plain_text = unescape(re.sub(r"<[^>]+>", "", text))
    assert "worst-case FLOPs (multiply-adds) per unit" in plain_text
    places = {}
    for i, x in re.findall(r'data-i="(\d+)" tabindex="0" transform="translate\(([\d.]+) ', text):
        said = json.loads(re.search(r'id="points">(.*?)</script>', text)[1])[int(i)]
        places.setdefault(re.search(r"worst case (\S+) FLOPs", said)[1], set()).add(float(x))
    assert {len(x) for x in places.values()} == {1}  # one place for one worst case
    assert len(places) > 3
    against = found.cheapest_single_matching(chosen.quality) or found.best_single()
    times = against.worst_case_cost / chosen.worst_case_cost
    words = f"{times:.2f} times less than" if times >= 1 else f"{1 / times:.2f} times as much as"
    assert "No verdict: the frontier was given." in plain_text
    assert re.search(f"in the worst case (the committee )?costs {words}", plain_text, re.IGNORECASE)
    assert "models are matched by their average cost, and this frontier was searched over the worst cost" in plain_text


def test_the_page_says_how_its_search_was_asked(study):
    found = study.search(
        models=("small/*", "large/0"), combine="mean_probs", exact=True, max_percentile_cost=(95, 2.6e7), replicas="all"
    )
    text = unescape(page(study_of(study.store, found)))
    command = next(line for line in re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1].split("\n") if "search" in line)
    asked = command.split(" --store ")[1].split(" ", 1)[1]
    assert asked == (
        "--models large/0 --models small/0 --max-models 3 --levels 20 --replicas all --combine mean_probs "
        "--method exact --percentile 95 --max-percentile-cost 26000000.0 --choose best --match large/0 "
        "--save committee.json --frontier frontier.parquet"
    )


def test_a_target_chooses_another_committee(study):
    cheap = page(study, Target("target_flops", 2e6))
    query, target = Query(max_models=3, levels=20), Target("target_flops", 2e6)
    found = search_and_choose(study.store, query, target, Execution(threads=1))
    assert f"<b>{found.val.committee.label()}</b>" in unescape(cheap)
    with pytest.raises(InfeasibleError):
        page(study, Target("target_flops", 10.0))


def test_names_from_a_store_stay_text(tmp_path):
    store = filled(tmp_path / "logits", names=("small/0", EVIL, "big & <b>bold</b>"))
    text = page(study_of(store, max_models=2, levels=5, threads=1), command=f"wisecommittee report {EVIL}")
    structure = parsed(text)
    assert structure.tags.count("script") == 2
    assert structure.tags.count("img") == 0
    assert any(line.startswith(EVIL) for line in json.loads(re.search(r'id="points">(.*?)</script>', text)[1]))


def test_without_test_the_page_says_so(tmp_path):
    text = page(study_of(filled(tmp_path / "logits", splits=("val",)), max_models=2, levels=5, threads=1))
    assert "no test split to report on" in text
    assert 'class="mark test"' not in text


def test_what_a_pool_lacks_is_said_in_its_place(tmp_path):
    text = page(study_of(filled(tmp_path / "logits", names=("only/0",)), max_models=2, levels=5, threads=1))
    assert "Not shown: " in text
    parsed(text)


def test_tables_keep_their_cells():
    columns = (Column("a", "name"), Column("b", "accuracy", "percent", "val"), Column("c", "cost", "cost", "val"))
    made = Table("Some & <table>", columns, (("x<y", 0.5, 2e6), ("z", None, 3e6)), ("a note",))
    text = made.to_html()
    assert made._repr_html_() == text
    parsed(text)
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", text)]
    assert cells == [cell for row in made.cells() for cell in row]
    assert '<th class="over" colspan="2">val</th>' in text
    assert "<summary>Some &amp; &lt;table&gt;</summary>" in made.to_html(folded=True)


@pytest.mark.parametrize(("low", "high", "logarithmic"), [(0.3, 0.9, False), (1e6, 3e9, True), (5.0, 5.0, False)])
def test_axes_map_their_ends_and_have_ticks_inside(low, high, logarithmic):
    axis = PixelScale.over([low, high], 100, 500, logarithmic)
    assert 100 <= axis(low) <= axis(high) <= 500
    assert len(axis.ticks()) >= 2
    assert all(100 <= axis(t) <= 500 for t in axis.ticks())
    middle = np.sqrt(low * high) if logarithmic else (low + high) / 2
    assert axis(middle) == pytest.approx(300)


@pytest.mark.parametrize(
    ("value", "cost", "expected"),
    [(93.7e6, "flops", "93.7M"), (1e9, "flops", "1G"), (1337e6, "flops", "1.34G"), (640, "flops", "640"),
     (0.00052, "usd", "0.00052"), (12.5, "latency_ms", "12.5")],
)  # fmt: skip
def test_costs_without_markup(value, cost, expected):
    assert plain(value, cost) == expected


def test_the_file_is_written_whole_or_not_at_all(study, tmp_path):
    assert write_page(study, tmp_path / "r.html").read_text().endswith("</html>\n")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    with pytest.raises(WiseCommitteeError, match="cannot write"):
        write_page(study, tmp_path / "nowhere" / "r.html")


PROBE = """<script>
const problems = [];
addEventListener("error", (event) => problems.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => problems.push(event.violatedDirective));
addEventListener("load", () => {
  const drawing = document.querySelector("#chart svg");
  const mark = document.querySelector(".mark.committee");
  const box = mark.getBoundingClientRect();
  const at = {clientX: box.left + box.width / 2 + 3, clientY: box.top + box.height / 2, bubbles: true};
  const tip = document.getElementById("tip");
  const before = getComputedStyle(tip).display;
  drawing.dispatchEvent(new MouseEvent("mousemove", at));
  const during = getComputedStyle(tip).display, said = tip.textContent, inside = tip.getBoundingClientRect();
  drawing.dispatchEvent(new MouseEvent("mouseleave", at));
  const after = getComputedStyle(tip).display;
  dispatchEvent(new Event("beforeprint"));
  const unfolded = [...document.querySelectorAll("details")].every((part) => part.open);
  const wide = document.documentElement.scrollWidth > innerWidth;
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({before, during, after, said, problems, unfolded, wide,
    visible: inside.left >= 0 && inside.right <= innerWidth && inside.top >= 0});
  document.body.append(out);
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_in_a_browser_the_frontier_answers_the_pointer(study, text, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(text.replace("<body>", "<body>" + PROBE, 1))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
               "--no-first-run", "--disable-sync", "--disable-component-update", f"--user-data-dir={tmp_path}/profile",
               "--window-size=1100,900", "--enable-logging=stderr", "--dump-dom", file.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=HUNG, check=True)
    assert "CONSOLE" not in done.stderr
    found = json.loads(unescape(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert (found["before"], found["during"], found["after"]) == ("none", "block", "none")
    assert found["problems"] == []
    assert found["unfolded"] is True
    assert found["visible"] is True
    assert found["wide"] is False
    labels = {e.committee.label() for e in study.frontier()}
    assert found["said"].split("\n")[0] in labels


def test_a_best_single_that_is_no_first_replica_is_found(tmp_path):
    """Canonical committees use replica 0 first; here replica 1 is the most accurate model."""
    store = filled(tmp_path / "logits", names=("large/0", "large/1"))
    text = page(study_of(store, max_models=1, levels=5, threads=1))
    assert "to be matched, large/1, on val" in text
    assert "<b>large/1</b>" in text
    assert "the committee is large/1 by itself" in text


def test_a_best_single_beyond_the_limit_is_no_obstacle(tmp_path):
    store = filled(tmp_path / "logits", names=("small/0", "large/0"))
    most = min(sum(card.blocks.values()) for card in store.cards("val"))
    study = study_of(store, levels=5, threads=1)
    text = page(replace(study, given=study.search(max_worst_cost=most)))
    assert "The best single model is large/0" in text
    assert "<b>small/0</b>" in text
    assert "--save" not in text  # there is no target to save the committee of


@pytest.mark.parametrize(
    ("cost", "other", "words"),
    [
        (100.0, 100.0, "as much as"),
        (100.0, 127.0, "1.27 times less than"),
        (103.0, 100.0, "1.03 times as much as"),
        (100.0, 100.2, "0.2 % less than"),
        (100.2, 100.0, "0.2 % more than"),
    ],
)
def test_words_about_costs_are_true_as_printed(cost, other, words):
    assert _much(cost, other) == words


def test_what_looks_implausible_comes_first(tmp_path, text):
    assert "Doctor: nothing about val and test looks implausible." in text
    store = filled(tmp_path / "logits", splits=("val",))
    labels = store.labels("val")
    for name in ("small/0", "medium/0", "large/0"):
        card = store.card(name, "val").without_contents()
        store.add(card, "test", labels=labels, outputs=store.outputs(name, "val"))
    with pytest.warns(UserWarning, match="no figures of test"):
        shown = page(study_of(store, max_models=2, levels=20, threads=1))
    assert "Doctor</h2>" in shown
    assert shown.index("val and test hold the same units") < shown.index("<table")


def test_what_stands_for_single_models_need_not_be_one(study):
    """A frontier put together in Python: the target is then an accuracy, not the name of a model."""
    frontier = study.frontier()
    cascades = tuple(e for e in frontier if e.committee.shape == "cascade")[:2]
    text = page(replace(study, given=replace(frontier, singles=cascades)))
    assert f"--target-accuracy {max(e.quality for e in cascades)}" in unescape(text)
    with pytest.raises(AbsentNameError, match=r"unknown model 'small/0'; Known: .none."):
        choose(replace(frontier, singles=cascades), study.store, Target("match", "small/0"))


def test_a_frontier_without_single_models_is_refused(study, tmp_path):
    replace(study.frontier(), singles=()).save(tmp_path / "f.parquet")
    with pytest.raises(StoreError, match="holds no single model"):
        Frontier.load(tmp_path / "f.parquet")


def test_the_chart_has_a_line_and_a_band_to_expect(study, text):
    found = study.frontier_with_expected()
    expected_line = re.search(r'<path class="expected" d="M([^"]+)"/>', text)[1].split("L")
    line = re.search(r'<path class="line" d="M([^"]+)"/>', text)[1].split("L")
    assert [point.split()[0] for point in expected_line] == [point.split()[0] for point in line]
    for drawn, on_val, e, expected in zip(expected_line, line, found, found.expected, strict=True):
        lower = float(drawn.split()[1]) >= float(on_val.split()[1])  # pixels count from the top
        assert lower == (expected.quality <= e.quality) or abs(expected.quality - e.quality) < 1e-3
    band = re.search(r'<path class="band" d="M([^"]+)Z"/>', text)[1].split("L")
    assert len(band) == 2 * len(line)
    assert "expected on new data, 95 % band" in text


def test_a_tooltip_says_what_to_expect(study, text):
    found = study.frontier_with_expected()
    said = json.loads(re.search(r'id="points">(.*?)</script>', text)[1])
    for e, expected in zip(found, found.expected, strict=True):
        words = f"expected on new data: top-1 accuracy {100 * expected.quality:.2f} % ["
        cost = f"average {plain(e.average_cost, 'flops')} FLOPs"
        if e.committee.shape != "single":  # a model by itself is no choice of thresholds
            assert any(line.startswith(e.committee.label()) and words in line and cost in line for line in said)


def test_without_folds_the_page_claims_no_saving(study):
    text = page(replace(study, selection=Selection(folds=0)))
    plain_text = unescape(re.sub(r"<[^>]+>", "", text))
    assert "No verdict: no folds were searched" in plain_text
    assert "on val, which chose it and flatters it" in plain_text
    assert not re.search(r"<b>[^<]*times less", text)
    assert 'class="expected"' not in text
    assert "--folds 0" in plain_text


def test_only_a_shown_saving_is_bold(study):
    easy = page(replace(study, selection=Selection(margin=0.5)), Target("target_flops", 2e6))
    assert re.search(r'<p class="verdict use"><b>USE</b>: <b>[^<]*times cheaper', easy)
    hard = page(replace(study, selection=Selection(margin=0.0)), Target("target_flops", 2e6))
    assert re.search(r'<p class="verdict (do_not_use|not_shown)"><b>[A-Z ]+</b>: [^<]*times cheaper', hard)


def test_the_page_states_what_is_guaranteed_and_which_units_tested_it(study):
    asked = GuaranteeOptions(guarantee=["accuracy >= 0.6", "average_flops <= 2e7"])
    sure = replace(study, guarantees=asked)
    choice, text = chosen_for(sure, None), unescape(re.sub(r"<[^>]+>", " ", page(sure)))
    certificate = choice.certificate
    assert certificate.holds
    assert re.search(r"GUARANTEED *: accuracy >= 0\.6 and average_flops <= 2e7 \(delta 0\.05\)", text)
    shown = certificate.statements[0].strongest
    assert f"exact binomial on {certificate.figures.n} units, which would show {shown}" in text
    assert "on val, the units that tested" in text
    assert "--guarantee 'accuracy >= 0.6' --guarantee 'average_flops <= 2e7' --delta 0.05" in text
    never = page(replace(study, guarantees=GuaranteeOptions(guarantee=["accuracy >= 0.9999"])))
    assert '<p class="verdict not_shown"><b>NOT SHOWN</b>: accuracy &gt;= 0.9999' in never
    with pytest.raises(UsageError, match="a frontier that was given"):
        page(replace(sure, given=study.frontier()))


def test_the_command_prints_what_stands_on_the_page(study, run, tmp_path):
    file = tmp_path / "page.html"
    asked = ("--store", study.store.files.uri, "--max-models", "2", "--folds", "2", "--out", file)
    code, out, err = run("report", *asked, "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert printed["page"] == str(file)
    assert f"{printed['verdict']['sentence']}" in unescape(re.sub(r"<[^>]+>", "", file.read_text()))
    assert printed["expected"]["folds"] == 2
