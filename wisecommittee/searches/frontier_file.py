"""Reading the Parquet file of a frontier. Every figure is checked: committees are chosen by them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import AbsentError, StoreError, WiseCommitteeError
from wisecommittee.reading import FRONTIER, parse_json, recognised
from wisecommittee.searches.evaluation import FIGURES, Cost, Evaluation
from wisecommittee.searches.query import Query
from wisecommittee.store.parquet.tables import read_parquet

LARGEST = 1e300  # above it, sums and axes overflow


@dataclass(frozen=True, slots=True)
class FrontierFile:
    """The fields of a Frontier."""

    evaluations: tuple[Evaluation, ...]
    singles: tuple[Evaluation, ...]
    query: Query
    searched: Mapping[str, Any]
    store: str
    quality: str


def read_frontier(path: str | os.PathLike[str]) -> FrontierFile:
    """The fields of a frontier that `Frontier.save` wrote; StoreError for anything else."""
    file = os.fspath(path)
    try:
        table = read_parquet(file)
        about = parse_json((table.schema.metadata or {})[FRONTIER])
        asked, searched = _fields(about, "query", _ASKED), _fields(about, "searched", _SEARCHED)
        query = Query.from_json(asked)
        further = _sound(about.get("further", []), "further", _is_texts)
        rows: dict[str, list[Evaluation]] = {"frontier": [], "single": []}
        committees = _Committees()
        for row in table.to_pylist():
            rows[row["kind"]].append(_evaluation(row, committees.parse(row["json"]), further))
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
    evaluations, singles = tuple(rows["frontier"]), tuple(rows["single"])
    return FrontierFile(evaluations, singles, query, searched, asked.get("store", ""), asked.get("quality", ""))


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
    ratios = tuple(_share(r, "an exit ratio") for r in row["exit_ratios"])
    if len(ratios) != len(committee.stages):
        raise ValueError(f"{len(ratios)} exit ratios of {len(committee.stages)} stages")
    low, high = (_share(row[name], name) for name in ("low", "high"))
    if low > high:
        raise ValueError(f"an interval from {low:g} to {high:g}")
    n, correct = _sound(row["n"], "n", _is_whole), _number(row["correct"], "correct")
    quality, measure = _share(row["quality"], "quality"), _sound(row["measure"], "measure", _is_text)
    if n < 1:
        raise ValueError(f"figures of {n} units")
    if measure != "mIoU" and abs(correct - quality * n) > 1e-6 * n:
        raise ValueError(f"{correct:g} of {n} units right, and a quality of {quality:g}")
    return Evaluation(
        committee=committee,
        split=_sound(row["split"], "split", _is_text),
        n=n,
        correct=int(correct) if correct.is_integer() else correct,
        quality=quality,
        costs={committee.cost: _cost(row, "cost"), **{name: _cost(row, name) for name in further}},
        exit_ratios=ratios,
        graded_interval=(low, high) if _sound(row["graded"], "graded", _is_flag) else None,
        measure=measure,
    )


def _cost(row: Mapping[str, Any], name: str) -> Cost:
    """From its columns, such as average_usd."""
    return Cost(**{field: _number(row[figure.of(name)], figure.of(name)) for field, figure in FIGURES.items()})


def _number(value: Any, name: str) -> float:
    if not _is_number(value) or not 0 <= value < LARGEST:
        raise ValueError(f"{name} is {str(value)[:60]}; expected a number from 0")
    return float(value)


def _share(value: Any, name: str) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {str(value)[:60]}; expected a number from 0 to 1")
    return float(value)


def _sound(value: Any, name: str, test: Callable[[Any], bool]) -> Any:
    if not test(value):
        raise ValueError(f"{name} is {str(value)[:60]!r}")
    return value


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


_ASKED: dict[str, Callable[[Any], bool]] = dict.fromkeys(("store", "quality"), _is_text)  # beside the query's own
_SEARCHED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("combinations", "threshold_vectors"), _is_whole),
    **dict.fromkeys(("exact", "complete"), _is_flag),
    **dict.fromkeys(("seconds", "gap"), _is_number),
    "method": _is_text,
}


def _fields(about: Any, name: str, known: Mapping[str, Callable[[Any], bool]]) -> Mapping[str, Any]:
    """The object `name` of the metadata, after its known fields have been checked."""
    if not isinstance(about, dict) or not isinstance(about.get(name), dict):
        raise ValueError(f"no {name} in its metadata")
    values: dict[str, Any] = about[name]
    for field, test in known.items():
        if field in values:
            _sound(values[field], f"{name}.{field}", test)
    return values
