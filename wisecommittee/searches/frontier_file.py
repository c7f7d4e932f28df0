"""Reading the Parquet file of a frontier. Every figure is checked: committees are chosen by them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, StoreError, WiseCommitteeError
from wisecommittee.reading import FRONTIER, parse_json, recognised
from wisecommittee.searches.distribution import Distribution
from wisecommittee.searches.evaluation import FIGURES, Cost, Evaluation
from wisecommittee.searches.expected import Expected
from wisecommittee.searches.expected_columns import has_expected, read_expected
from wisecommittee.searches.file_checks import is_flag, is_number, is_text, is_texts, is_whole, number, share, sound
from wisecommittee.searches.provenance import Record, all_recorded, is_record
from wisecommittee.searches.query import Query
from wisecommittee.store.parquet.tables import read_parquet


@dataclass(frozen=True, slots=True)
class FrontierFile:
    """The fields of a Frontier."""

    evaluations: tuple[Evaluation, ...]
    singles: tuple[Evaluation, ...]
    query: Query
    searched: Mapping[str, Any]
    store: str
    quality: str
    expected: tuple[Expected, ...] = ()
    record: Record | None = None


def read_frontier(path: str | os.PathLike[str]) -> FrontierFile:
    """The fields of a frontier that `Frontier.save` wrote; StoreError for anything else."""
    file = os.fspath(path)
    try:
        table = read_parquet(file)
        about = parse_json((table.schema.metadata or {})[FRONTIER])
        asked, searched = _fields(about, "query", _ASKED), _fields(about, "searched", _SEARCHED)
        query = Query.from_json(asked)
        further = sound(about.get("further", []), "further", is_texts)
        record = sound(about.get("record"), "record", is_record)
        rows: dict[str, list[Evaluation]] = {"frontier": [], "single": []}
        committees = _Committees()
        expected: list[Expected] = []
        estimated = has_expected(table.column_names)
        for row in table.to_pylist():
            evaluation = _evaluation(row, committees.parse(row["json"]), further)
            rows[row["kind"]].append(evaluation)
            if estimated and row["kind"] == "frontier":
                expected.append(read_expected(row, evaluation))
    except AbsentError:
        raise AbsentError(f"{file}: no such file; write one with `wisecommittee search --frontier {file}`") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, WiseCommitteeError) as error:
        what = recognised(path) if os.path.isfile(file) else None
        if what is not None and not what.startswith("a frontier"):
            raise StoreError(f"{file}: {what}; expected a frontier, as `search --frontier` writes it") from error
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise StoreError(
            f"{file!r} is not a frontier written by `search --frontier` ({reason[:300]}); write it again"
        ) from error
    if not rows["frontier"]:
        raise StoreError(f"{file!r} holds no committee; write it again with `wisecommittee search --frontier`")
    if not rows["single"]:
        raise StoreError(f"{file!r} holds no single model, which committees are compared with; write it again")
    evaluations, singles = (all_recorded(rows[kind], record) for kind in ("frontier", "single"))
    return FrontierFile(
        evaluations, singles, query, searched, asked.get("store", ""), asked.get("quality", ""), tuple(expected), record
    )


class _Committees:
    """Reads the committees of a frontier; members that several committees share are parsed and checked once.

    The JSON of a committee ends in its members and their fingerprint, and this tail is the same text for all committees
    of the same members. A committee without such a tail is parsed as a whole.
    """

    MEMBERS = '"members": {'

    def __init__(self) -> None:
        self._checked: dict[tuple[str, frozenset[str]], Mapping[str, Mapping[str, Any]]] = {}

    def parse(self, text: str) -> Committee:
        """As `Committee.from_json(parse_json(text))`, with the same errors."""
        head, mark, tail = text.partition(f", {self.MEMBERS}")
        bare = self._bare(head) if mark else None
        if bare is None:
            return Committee.from_json(parse_json(text))
        key = tail, frozenset(bare.models)
        if key not in self._checked:
            committee = Committee.from_json(parse_json(text))
            if parse_json("{" + self.MEMBERS + tail).keys() <= {"members", "fingerprint"}:
                self._checked[key] = committee.members
            return committee
        return replace(bare, members=self._checked[key])

    def _bare(self, head: str) -> Committee | None:
        """The committee without its members; None unless `head` ends between two fields of its JSON."""
        try:
            data = parse_json(head + "}")
            return None if data.keys() & {"members", "fingerprint"} else Committee.from_json(data)
        except (ValueError, WiseCommitteeError):
            return None


def _evaluation(row: Mapping[str, Any], committee: Committee, further: list[str]) -> Evaluation:
    ratios = tuple(share(r, "an exit ratio") for r in row["exit_ratios"])
    if len(ratios) != len(committee.stages):
        raise ValueError(f"{len(ratios)} exit ratios of {len(committee.stages)} stages")
    low, high = (share(row[name], name) for name in ("low", "high"))
    if low > high:
        raise ValueError(f"an interval from {low:g} to {high:g}")
    n, correct = sound(row["n"], "n", is_whole), number(row["correct"], "correct")
    quality, measure = share(row["quality"], "quality"), sound(row["measure"], "measure", is_text)
    if n < 1:
        raise ValueError(f"figures of {n} units")
    if measure != "mIoU" and abs(correct - quality * n) > 1e-6 * n:
        raise ValueError(f"{correct:g} of {n} units right, and a quality of {quality:g}")
    return Evaluation(
        committee=committee,
        split=sound(row["split"], "split", is_text),
        n=n,
        correct=int(correct) if correct.is_integer() else correct,
        quality=quality,
        costs={committee.cost: _cost(row, "cost"), **{name: _cost(row, name) for name in further}},
        exit_ratios=ratios,
        graded_interval=(low, high) if sound(row["graded"], "graded", is_flag) else None,
        measure=measure,
        answered=_answered(row, committee, n, correct),
        distributions=_distributions(row),
    )


def _distributions(row: Mapping[str, Any]) -> dict[str, Distribution]:
    """From the column of JSON, where there is one."""
    every = parse_json(row["distributions"]) if "distributions" in row else {}
    return {name: Distribution.from_json(each) for name, each in every.items()}


def _answered(row: Mapping[str, Any], committee: Committee, n: int, correct: float) -> int | None:
    """The number of units with an answer, of a committee that abstains."""
    if not committee.abstains:
        return None
    answered = number(row["answered"], "answered")
    if not answered.is_integer() or not correct <= answered <= n:
        raise ValueError(f"{answered:g} of {n} units answered, and {correct:g} right")
    return int(answered)


def _cost(row: Mapping[str, Any], name: str) -> Cost:
    """From its columns, such as average_usd."""
    return Cost(**{field: number(row[figure.of(name)], figure.of(name)) for field, figure in FIGURES.items()})


_ASKED: dict[str, Callable[[Any], bool]] = dict.fromkeys(("store", "quality"), is_text)  # beside the query's own
_SEARCHED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("combinations", "threshold_vectors"), is_whole),
    **dict.fromkeys(("exact", "complete"), is_flag),
    **dict.fromkeys(("seconds", "gap"), is_number),
    "method": is_text,
}


def _fields(about: Any, name: str, known: Mapping[str, Callable[[Any], bool]]) -> Mapping[str, Any]:
    """The object `name` of the metadata, after its known fields have been checked."""
    if not isinstance(about, dict) or not isinstance(about.get(name), dict):
        raise ValueError(f"no {name} in its metadata")
    values: dict[str, Any] = about[name]
    for field, test in known.items():
        if field in values:
            sound(values[field], f"{name}.{field}", test)
    return values
