"""The published tables: well-formed, consistent with themselves and each other, and reproduced by the cost arithmetic.

What one printed number says about another is recomputed from the printed digits; the exceptions are listed by name.
"""

import csv
import math
import subprocess
import sys
from decimal import Decimal
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from wisecommittee.published import load, names

from wisecommittee.committees.cards import ModelCard
from wisecommittee.committees.cost import cost_model
from wisecommittee.errors import UnknownNameError

FOLDER = files("wisecommittee.published")
ROWS = {
    f"wisdom_table{n}": rows for n, rows in enumerate([4, 4, 6, 6, 6, 3, 5, 14, 14, 8, 5, 4, 14, 2, 20, 9, 4, 12], 1)
}
ROWS |= {"irene_table1": 16, "irene_table2": 17, "irene_table3": 5, "hne_table1": 60, "small_models_wide_resnets": 5}
PAPERS = {"wisdom-2022", "small-models-2020", "irene-2023", "hne-2021"}
TEXT = {"paper", "table", "note", "model", "matches", "compared_with", "self_cascade", "family", "confidence"}
TEXT |= {
    "cascade",
    "worst_case_guarantee",
    "committees",
    "quantity",
    "backbone",
    "method",
    "hyper_parameter",
    "choices",
}
TEXT |= {"dataset", "network", "loss"}


def printed(name):
    """The rows of a table with their cells as printed, digits included."""
    with FOLDER.joinpath(f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def span(text):
    """Smallest and largest value that rounds to the printed digits."""
    half = Decimal(1).scaleb(Decimal(text).as_tuple().exponent) / 2
    return Decimal(text) - half, Decimal(text) + half


def is_quotient(quotient, numerator, denominator):
    """Whether some unrounded numerator and denominator give a quotient that rounds to the printed one."""
    (low, high), above, below = span(quotient), span(numerator), span(denominator)
    return above[0] / below[1] <= high and low <= above[1] / below[0]


def by(name, *columns, **where):
    """{cell or cells of the columns: row} of the rows that match."""
    rows = [row for row in printed(name) if all(row[column] == value for column, value in where.items())]
    keys = [row[columns[0]] if len(columns) == 1 else tuple(row[column] for column in columns) for row in rows]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, rows, strict=True))


# ---- the files


def test_names_are_the_files():
    assert names() == sorted(entry.name[:-4] for entry in FOLDER.iterdir() if entry.name.endswith(".csv"))
    assert names() == sorted(ROWS)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_table_is_well_formed(name):
    table = load(name)
    assert len(table) == ROWS[name]
    assert list(table.columns[:3]) == ["paper", "table", "page"]
    assert table.columns[-1] == "note"
    assert set(table.paper) <= PAPERS
    assert table.paper.nunique() == table.table.nunique() == 1
    assert table.table.str.match(r"Table \d+$|Sec\. ").all()
    assert table.page.notna().all() == (table.paper[0] == "wisdom-2022")
    assert not table.drop(columns="note").duplicated().any()
    numeric = [column for column in table.columns[3:] if column not in TEXT]
    assert numeric
    for column in numeric:
        assert pd.api.types.is_numeric_dtype(table[column]), column
        assert table[column].notna().any(), column
        assert np.isfinite(table[column].dropna()).all(), column
        assert (table[column].dropna() >= 0).all(), column
        if column.endswith("percent") and not column.startswith(("exit", "delta")):
            assert table[column].dropna().between(45, 100).all(), column


@pytest.mark.parametrize("name", sorted(ROWS))
def test_file_is_clean(name):
    raw = FOLDER.joinpath(f"{name}.csv").read_bytes()
    assert raw.isascii()
    assert raw.endswith(b"\n")
    assert b"\r" not in raw
    for row in printed(name):
        assert None not in row  # more cells than columns
        assert all(cell is not None and cell == cell.strip() for cell in row.values())


@pytest.mark.parametrize("name", ["wisdom_table99", "", "../published/wisdom_table1", "wisdom_table1.csv"])
def test_unknown_name(name):
    with pytest.raises(UnknownNameError, match="unknown published table"):
        load(name)


def test_pandas_is_imported_only_to_load():
    code = "import sys, wisecommittee.published as p; p.names(); sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- golden: exit ratios times single-model FLOPs, through the cost model of the search

AVERAGES = {
    "B0+B1": 0.537,
    "B0+B1+B3": 0.672,
    "B0+B3+B3": 1.067,
    "B1+B3+B4": 2.007,
    "B2+B4+B4+B4": 3.411,
    "B2+B4+B4": 3.578,
    "B2+B4+B5+B5": 4.125,
    "B3+B4+B4+B4": 4.211,
    "B3+B5+B5+B5": 6.878,
}
WORST = {"B2+B4+B4+B4": 14.2, "B2+B4+B4": 9.8, "B2+B4+B5+B5": 26.0, "B3+B4+B4+B4": 15.0}
RATIOS_NOT_100 = {"B0+B3+B3": Decimal("100.1")}
WORST_MISPRINTED = {"B2+B4+B5+B5": "25.9"}
UNITS = 1000  # ratios are printed in tenths of a percent


def efficientnet_flops():
    """{name: FLOPs} of B0 (Table 15) to B7 (Table 13)."""
    billions = {
        name: row["single_flops_billion"] for name, row in by("wisdom_table13", "model").items() if name[0] == "B"
    }
    billions["B0"] = by("wisdom_table15", "model")["EfficientNet-B0"]["flops_billion"]
    assert sorted(billions) == [f"B{i}" for i in range(8)]
    return {name: int(Decimal(value) * 10**9) for name, value in billions.items()}


def costs_of(cascade):
    """The cost model of 'B2+B4+B4': one card per member, replicas as models of their own."""
    flops, seen, cards = efficientnet_flops(), {}, []
    for architecture in cascade.split("+"):
        name = f"{architecture}/{seen.setdefault(architecture, 0)}"
        seen[architecture] += 1
        cards.append(ModelCard(name, blocks={name: flops[architecture]}))
    return cost_model(cards, "flops", UNITS), len(cards)


def exit_ratios(row):
    return [Decimal(row[f"exit{k}_percent"]) for k in range(1, 5) if row[f"exit{k}_percent"]]


def test_table16_has_the_nine_cascades():
    rows = by("wisdom_table16", "cascade")
    assert list(rows) == list(AVERAGES)
    assert {name: sum(exit_ratios(row)) for name, row in rows.items() if sum(exit_ratios(row)) != 100} == RATIOS_NOT_100


@pytest.mark.parametrize("cascade", AVERAGES)
def test_golden_average(cascade):
    row = by("wisdom_table16", "cascade")[cascade]
    costs, members = costs_of(cascade)
    exits = [int(ratio * UNITS / 100) for ratio in exit_ratios(row)]
    assert len(exits) == members
    exits[-1] = UNITS - sum(exits[:-1])  # the last stage takes what the others leave
    total = np.array(exits) @ costs.stages([[k] for k in range(members)])
    average = costs.true(total, UNITS) / 1e9
    assert average == pytest.approx(AVERAGES[cascade], abs=0.0005)
    low, high = span(row["flops_billion"])
    assert low <= Decimal(average) <= high


@pytest.mark.parametrize("cascade", WORST)
def test_golden_worst_case(cascade):
    costs, members = costs_of(cascade)
    worst = costs.true(costs.worst(np.arange(members))) / 1e9
    assert worst == pytest.approx(WORST[cascade], abs=1e-9)
    assert worst == costs.true(costs.stages([[k] for k in range(members)])[-1]) / 1e9
    row = by("wisdom_table16", "cascade")[cascade]
    model = "cascade with guarantee" if row["worst_case_guarantee"] == "yes" else "cascade w/o guarantee"
    shown = by("wisdom_table4", "matches", "model")[row["matches"], model]
    assert shown["worst_flops_billion"] == WORST_MISPRINTED.get(cascade, str(WORST[cascade]))
    assert shown["average_flops_billion"] == row["flops_billion"]
    assert shown["top1_percent"] == row["top1_percent"]


def test_worst_case_guarantee_holds():
    single = by("wisdom_table4", "matches", "model")
    for target in ("B5", "B6"):
        bound = float(single[target, target]["worst_flops_billion"])
        assert float(single[target, "cascade with guarantee"]["worst_flops_billion"]) < bound
        assert float(single[target, "cascade w/o guarantee"]["worst_flops_billion"]) > bound


# ---- one column against another

SPEEDUPS_OFF = {("wisdom_table18", "B4+B4")}
DELTAS_OFF = {("wisdom_table13", "R200"), ("wisdom_table13", "1.0@160")}


def speedups():
    """(table, row, printed speedup, numerator, denominator) of every printed speedup."""
    for name, column in [
        ("wisdom_table1", "latency_ms"),
        ("wisdom_table2", "throughput_images_per_s"),
        ("wisdom_table4", "average_flops_billion"),
        ("wisdom_table8", "latency_ms"),
        ("wisdom_table9", "throughput_images_per_s"),
        ("wisdom_table18", "flops_billion"),
    ]:
        single = {row["matches"]: row for row in printed(name) if row["matches"] == row["model"]}
        for row in printed(name):
            if row["model"] == row["matches"]:
                assert row["speedup"] == ""
                continue
            pair = single[row["matches"]][column], row[column]
            yield name, row["model"], row["speedup"], *(pair[::-1] if "throughput" in column else pair)
    for name, above, below in [
        ("wisdom_table5", "flops_billion", "self_cascade_flops_billion"),
        ("wisdom_table6", "single_flops_billion_per_clip", "similar_accuracy_flops_billion_per_clip"),
        ("wisdom_table13", "single_flops_billion", "similar_accuracy_flops_billion"),
        ("wisdom_table14", "similar_accuracy_throughput_images_per_s", "single_throughput_images_per_s"),
    ]:
        for row in printed(name):
            yield name, row["model"], row["speedup"], row[above], row[below]
    segmentation = by("wisdom_table7", "model")
    for model, row in segmentation.items():
        if row["speedup"]:
            yield (
                "wisdom_table7",
                model,
                row["speedup"],
                segmentation["ResNet-101"]["flops_billion"],
                row["flops_billion"],
            )


def test_speedups_are_ratios():
    checked = list(speedups())
    assert len(checked) == sum((load(name).get("speedup", pd.Series(dtype=float)).notna()).sum() for name in names())
    assert {(name, row) for name, row, *numbers in checked if not is_quotient(*numbers)} == SPEEDUPS_OFF


def test_deltas_are_differences():
    off = {}
    for name, better in [
        ("wisdom_table6", "similar_flops_top1_percent"),
        ("wisdom_table13", "similar_flops_top1_percent"),
        ("wisdom_table14", "similar_throughput_top1_percent"),
    ]:
        for row in printed(name):
            slip = Decimal(row[better]) - Decimal(row["single_top1_percent"]) - Decimal(row["delta_top1_percent"])
            off |= {(name, row["model"]): slip} if slip else {}
    family = by("wisdom_table15", "model")
    for model, row in family.items():
        if model == row["compared_with"]:
            assert row["delta_top1_percent"] == ""
            continue
        difference = Decimal(family[row["compared_with"]]["top1_percent"]) - Decimal(row["top1_percent"])
        assert difference == Decimal(row["delta_top1_percent"]), model
    assert set(off) == DELTAS_OFF
    assert all(abs(slip) <= Decimal("0.1") for slip in off.values())  # no more than rounding explains


def test_cascades_match_their_single_models():
    for row in printed("wisdom_table13"):
        assert float(row["similar_accuracy_top1_percent"]) >= float(row["single_top1_percent"])
        assert float(row["similar_accuracy_flops_billion"]) < float(row["single_flops_billion"])
    over = load("wisdom_table13").query("similar_flops_billion > single_flops_billion").model
    assert list(over) == ["B7", "R101"]  # chosen on held-out images, reported on others


def test_self_cascades():
    singles = by("wisdom_table13", "model", family="EfficientNet")
    for row in printed("wisdom_table5"):
        assert int(row["self_cascade"][1:]) == int(row["model"][1:]) - 1
        assert int(row["self_cascade_low_resolution"]) < int(row["self_cascade_high_resolution"])
        assert row["top1_percent"] == singles[row["model"]]["single_top1_percent"]
        assert float(row["self_cascade_top1_percent"]) >= float(row["top1_percent"])


# ---- one table against another


def test_single_efficientnets_agree_everywhere():
    singles = by("wisdom_table13", "model", family="EfficientNet")
    seen = 0
    for name in (f"wisdom_table{n}" for n in (1, 2, 4, 5, 8, 9, 11, 15, 16, 18)):
        for row in printed(name):
            model = row.get("model", row.get("matches", "")).removeprefix("EfficientNet-")
            if model not in singles:
                continue
            seen += 1
            top1 = row["single_top1_percent"] if "single_top1_percent" in row else row["top1_percent"]
            assert top1 == singles[model]["single_top1_percent"], name
            for column in ("single_flops_billion", "average_flops_billion", "flops_billion"):
                if column in row:
                    assert row[column] == singles[model]["single_flops_billion"], name
                    break
    assert seen == 2 + 2 + 2 + 6 + 7 + 7 + 2 + 7 + 9 + 4


def test_cascades_of_equal_accuracy_agree_everywhere():
    expected = {
        model: (row["similar_accuracy_top1_percent"], row["similar_accuracy_flops_billion"])
        for model, row in by("wisdom_table13", "model", family="EfficientNet").items()
    }
    for name in ("wisdom_table1", "wisdom_table2", "wisdom_table8", "wisdom_table9"):
        for target, row in by(name, "matches", model="cascade").items():
            assert row["top1_percent"] == expected[target][0], (name, target)
    for target, row in by("wisdom_table4", "matches", model="cascade w/o guarantee").items():
        assert (row["top1_percent"], row["average_flops_billion"]) == expected[target]
    found = {}
    for target, row in by("wisdom_table16", "matches", worst_case_guarantee="no").items():
        assert (row["top1_percent"], row["flops_billion"]) == expected[target]
        found[row["cascade"]] = expected[target]
    again = {row["model"]: (row["top1_percent"], row["flops_billion"]) for row in printed("wisdom_table18")}
    shared = found.keys() & again.keys()
    assert {name: again[name] for name in shared} == {name: found[name] for name in shared}
    assert len(shared) == 4


def test_short_tables_are_rows_of_the_long_ones():
    for short, long, column in [
        ("wisdom_table1", "wisdom_table8", "latency_ms"),
        ("wisdom_table2", "wisdom_table9", "throughput_images_per_s"),
    ]:
        whole = by(long, "matches", "model")
        for key, row in by(short, "matches", "model").items():
            assert [row[c] for c in ("top1_percent", column, "speedup")] == [
                whole[key][c] for c in ("top1_percent", column, "speedup")
            ]
    nas, family = by("wisdom_table3", "model"), by("wisdom_table15", "model")
    for model in nas.keys() & family.keys():
        assert [nas[model][c] for c in ("top1_percent", "flops_billion")] == [
            family[model][c] for c in ("top1_percent", "flops_billion")
        ]
    assert len(nas.keys() & family.keys()) == 4
    singles = by("wisdom_table13", "model")
    for model in ("B1", "B2"):
        row = nas[f"cascade ({model} FLOPs)"]
        assert row["top1_percent"] == singles[model]["similar_flops_top1_percent"]
        assert row["flops_billion"] == singles[model]["similar_flops_billion"]


def test_training_days_of_ensembles_are_sums():
    days = {name: int(row["training_tpuv3_days"]) for name, row in by("wisdom_table10", "model").items()}
    for row in printed("wisdom_table11"):
        assert int(row["training_tpuv3_days"]) == sum(days[member] for member in row["model"].split("+"))


def test_b5_is_slightly_below_its_printed_flops():
    """Every sum with several B5 fits one unrounded B5."""
    low, high = span("10.3")
    ensembles = by("wisdom_table11", "model")
    for members in (2, 3):
        bottom, top = span(ensembles["+".join(["B5"] * members)]["flops_billion"])
        low, high = max(low, bottom / members), min(high, top / members)
    assert (low, high) == (Decimal("10.25"), Decimal("10.275"))
    bottom, top = span(WORST_MISPRINTED["B2+B4+B5+B5"])
    assert span("1.0")[0] + span("4.4")[0] + 2 * low <= top
    assert span("1.0")[1] + span("4.4")[1] + 2 * high >= bottom


def test_replica_statistics():
    table = load("wisdom_table17")
    assert (table["min"] <= table["mean"]).all()
    assert (table["mean"] <= table["max"]).all()
    assert (table["std"] <= (table["max"] - table["min"])).all()
    assert table["count"].tolist() == [8, math.comb(8, 2), math.perm(8, 2), math.perm(8, 2)]
    pair = by("wisdom_table18", "model")["B5+B5"]
    assert table["min"][3] <= float(pair["flops_billion"]) <= table["max"][3]


# ---- the other papers


@pytest.mark.parametrize("name", ["irene_table1", "irene_table2"])
@pytest.mark.parametrize("backbone", ["ResNet-32", "ResNet-18"])
def test_irene_utilities(name, backbone):
    """exp(100 (U / U_single - 1)) with U = accuracy^tau / cost^0.01 and tau set by the average ensemble."""
    rows = load(name).query("backbone == @backbone").set_index("method")
    single, average = rows.loc["Single model"], rows.loc["Average ensemble"]
    tau = 0.01 * math.log(average.cost_models) / math.log(average.top1_percent / single.top1_percent)
    gain = (rows.top1_percent / single.top1_percent) ** tau / rows.cost_models**0.01 - 1
    of_twenty = ["Snapshot ensemble", "FGE", "MoE"] if (name, backbone) == ("irene_table2", "ResNet-32") else []
    factor = pd.Series(100.0, rows.index)
    factor[of_twenty] = 20.0
    assert np.exp(factor * gain).to_numpy() == pytest.approx(rows.utility.to_numpy(), abs=0.02)
    assert (abs(np.exp(100 * gain) - rows.utility) > 0.02).sum() == len(of_twenty)


def test_irene_text_agrees_with_its_tables():
    rows = pd.concat([load("irene_table1"), load("irene_table2")]).query("method == 'IRENE'")
    assert (rows.cost_models / 3 * 100).round(2).tolist() == [73.67, 44.00, 84.33, 62.67]
    assert (rows.utility.mean() - 1) * 100 == pytest.approx(78.25)


def test_irene_search_ranges():
    table = load("irene_table3").set_index("hyper_parameter")
    assert (table.lowest < table.highest).all()
    choices = [float(choice) for choice in table.choices["learning rate decay"].split()]
    assert choices == sorted(choices)
    assert [choices[0], choices[-1]] == table.loc["learning rate decay", ["lowest", "highest"]].tolist()


def test_hne_losses():
    table = load("hne_table1").pivot(
        index=["dataset", "network", "models_evaluated"], columns="loss", values="top1_percent"
    )
    assert (table.LS < table.LI).all()
    assert (table.LI <= table.LHD).all()
    ties = table[table.LI == table.LHD]
    assert ties.index.tolist() == [("CIFAR-100", "HNE", 8)]  # the text says better everywhere
    gains = table.groupby(["dataset", "network"]).diff().dropna()
    assert (gains[["LI", "LHD"]] > 0).all(axis=None)
    assert gains[gains.LS < 0].index.tolist() == [("CIFAR-10", "HNE", 4)]


def wide_resnet_16(width, classes=10, pixels=32):
    """Multiply-adds of Wide ResNet 16: three groups of two blocks, 1 x 1 shortcuts where the width changes."""
    channels, total = 16, 9 * 3 * 16 * pixels**2
    for group in range(3):
        wide, area = 16 * width * 2**group, (pixels // 2**group) ** 2
        total += 9 * (channels * wide + 3 * wide * wide) * area
        total += channels * wide * area if channels != wide else 0
        channels = wide
    return total + channels * classes


def test_wide_resnet_costs_follow_from_the_layers():
    for row in printed("small_models_wide_resnets"):
        assert (row["model"], row["depth"]) == (f"Wide ResNet 16-{row['width']}", "16")
        assert (row["top1_percent"] == "95") == (row["printed_flops_million"] != "")
        low, high = span(row["computed_multiply_adds_million"])
        assert low <= Decimal(wide_resnet_16(int(row["width"])) * int(row["members"])) / 10**6 <= high
        if row["printed_flops_million"]:  # ten times too small, and rounded
            factor = float(row["computed_multiply_adds_million"]) / float(row["printed_flops_million"])
            assert factor == pytest.approx(10, rel=0.05)
