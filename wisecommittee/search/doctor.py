"""What about a store is probably not as its owner thinks: each doubt with the likely cause and the remedy.

What the gate of the store finds sound may still mean something else than it is taken for: labels that are numbered from
1, columns in the order of text, a test split that is a copy of val, costs in different units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import StoreError, counted
from wisecommittee.store import LogitStore
from wisecommittee.store.segmentation import images_of

CHOOSING, REPORTING = "val", "test"
SAMPLE_VALUES = 50_000_000  # outputs looked at in one split; more units than these allow are sampled evenly
SAMPLE_UNITS = 4_096
UNLIKELY = 1e-4  # probability below which an accuracy under chance is no accident
GAIN = 0.1  # of accuracy, by which another order of the classes has to be better
GAIN_ANY = 0.3  # the same where the order is the best of all and fits some units by chance
MANY_TIES = 0.01  # of units
MUCH_IGNORED = 0.05  # of pixels
SPREAD = 1e6  # largest over least cost in a pool; of costs per parameter SPREAD_PER_PARAMETER
SPREAD_PER_PARAMETER = 1e3
COPY = 0.5  # of the units that can be told apart: from here a split is a copy of another
LEAK = 0.005
MANY_COLUMNS = 256  # outputs of a row that are compared bit for bit; as many tell any two units apart
_SEED = 20231


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something about a split that is probably not as it is taken for.

    kind : labels, answers, ties, classes, models (of one content), copy (test is val), overlap (some of test is in val)
    or costs. text : what was seen, what it probably comes from, and what to do about it.
    """

    kind: str
    split: str
    text: str


def examine(
    store: LogitStore,
    splits: Sequence[str] | None = None,
    *,
    models: Iterable[str] | None = None,
    thorough: bool = False,
) -> tuple[Doubt, ...]:
    """All doubts about these splits, default every one; about their relation to other splits too.

    models : look at the outputs of these only. thorough : look for units of one split that are nearly those of another,
    which reads whole arrays.
    """
    named = None if models is None else set(models)
    found: list[Doubt] = []
    everywhere = store.splits()
    for split in everywhere if splits is None else splits:
        cards = [card for card in store.cards(split) if card.contents is not None]
        looked = [card for card in cards if named is None or card.model in named]
        found += _of_outputs(store, split, looked)
        found += [Doubt("models", split, text) for text in _copies(split, cards, named)]
        found += [Doubt("costs", split, text) for text in _costs(looked)]
        chooses = CHOOSING if split == REPORTING else split
        # Other splits may well be of the same units: what val and test were divided from.
        if {chooses, REPORTING} <= set(everywhere) and (splits is not None or chooses == CHOOSING):
            found += _overlap(store, chooses, REPORTING, near=thorough)
    return tuple(dict.fromkeys(found))


# Outputs and labels


def _of_outputs(store: LogitStore, split: str, cards: Sequence[ModelCard]) -> list[Doubt]:
    if not cards:
        return []
    labels = store.labels(split)
    wrong: dict[str, list[str]] = {}
    unseen: dict[str, list[str]] = {}
    tied: list[tuple[str, float]] = []
    found: list[Doubt] = []
    for card in cards:
        assert card.contents is not None
        if card.kind == "answers":
            if not card.contents.graded:
                found += [Doubt("answers", split, text) for text in _of_answers(store, split, card)]
        elif card.kind == "statistics":
            if (text := _unseen_classes(store, split, card)) is not None:
                unseen.setdefault(text, []).append(card.model)
        else:
            rows = _sample(len(labels), (card.contents.classes or 1) * len(cards))
            values = np.asarray(store.outputs(card.model, split)[rows], np.float32)
            said = values.argmax(axis=1)
            ties = ((values == values[np.arange(len(rows)), said][:, None]).sum(axis=1) > 1).mean()
            if ties >= MANY_TIES and ties * len(rows) >= 3:
                tied.append((card.model, float(ties)))
            if (doubt := misread(said, labels[rows].astype(np.int64), values.shape[1])) is not None:
                gain = "" if doubt.better is None else f" -> {100 * doubt.better:.1f}"
                text = doubt.text if doubt.better is None else f"right more often if {doubt.text}"
                wrong.setdefault(text, []).append(f"{card.model} ({100 * doubt.right:.1f}{gain} %)")
    for kind, texts in (("labels", wrong), ("classes", unseen)):
        found += [Doubt(kind, split, f"{_some(names)} in {split}: {text}") for text, names in texts.items()]
    if tied:
        most = max(share for _, share in tied)
        found.append(
            Doubt(
                "ties",
                split,
                f"{_some([name for name, _ in tied])} in {split}: two classes share the top value in up to "
                f"{100 * most:.1f} % of the units, and the lower class is taken; outputs were rounded (bfloat16, a "
                f"large offset); export them as float32, with the largest logit of each row subtracted",
            )
        )
    return found


def _sample(units: int, width: int) -> NDArray[np.int64]:
    """Rows at even distances."""
    most = max(256, min(SAMPLE_UNITS, SAMPLE_VALUES // max(1, width)))
    return np.arange(units) if units <= most else np.linspace(0, units - 1, most).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Misread:
    """right : share of the units whose class is right as the columns are read; better : the same if what `text` says
    were so, None where nothing fits."""

    right: float
    better: float | None
    text: str


def misread(said: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Misread | None:
    """What is wrong with the numbers of classes, if anything is: columns that were said, labels, int64 [n] in 0..C-1.

    Another order has to be right in more units, and in more of each class on average: what always says the same is
    never mistaken for a model whose classes are in another order.
    """
    n = len(labels)
    right = float((said == labels).mean())
    counts = np.bincount(labels, minlength=classes)
    there = counts > 0
    if there.sum() < min(3, classes):
        return None
    margin = max(GAIN, 2 / math.sqrt(n))

    def recall(hits: NDArray[np.bool_]) -> float:
        return float((np.bincount(labels[hits], minlength=classes)[there] / counts[there]).mean())

    def fit(meant: NDArray[np.int64], gain: float) -> float | None:
        """The share that is right if the columns mean this, where it is too good to be chance."""
        hits = meant == labels
        better = float(hits.mean())
        known = recall(hits) >= max(1 / there.sum() + margin, recall(said == labels) + margin)
        return better if known and better >= max(right + gain, min(0.5 + GAIN, 3 / classes)) else None

    fits = [(fit(order.meant(said, classes), margin), order.text) for order in ORDERS if classes >= order.least]
    better, text = max(((share, text) for share, text in fits if share is not None), default=(None, ""))
    if better is not None:
        return Misread(right, better, text)
    confusion = (
        np.bincount(labels * classes + said, minlength=classes**2) if n >= 10 * classes and right < 0.5 else None
    )
    # No order of the columns is right more often than each column is at its best.
    if confusion is not None and confusion.reshape(classes, -1).max(axis=0).sum() / n >= right + GAIN_ANY:
        from scipy.optimize import linear_sum_assignment

        truth, column = linear_sum_assignment(confusion.reshape(classes, -1), maximize=True)
        better = fit(truth[np.argsort(column)][said], GAIN_ANY)
        if better is not None:
            moved = [f"column {c} were class {t}" for t, c in zip(truth, column, strict=True) if t != c]
            return Misread(
                right,
                better,
                f"{', '.join(moved[:3])}{', ..' if len(moved) > 3 else ''}: which class is which column? Import "
                f"outputs and labels by class name, or reorder the columns",
            )
    guessed = float(
        (counts / n) @ (np.bincount(said, minlength=classes) / n)
    )  # agreement of what has nothing in common
    chance = min(1 / classes, guessed)
    if _below(right, chance, n):
        return Misread(
            right,
            None,
            f"accuracy is below chance, {100 * chance:.2f} %: the labels are of other units or other classes than the "
            f"outputs; import them again with unit ids and class names",
        )
    return None


def _best_order(
    said: NDArray[np.int64], labels: NDArray[np.int64], classes: int, right: float
) -> NDArray[np.int64] | None:
    """int64 [C]: the class that each column should be to be right in most units; None if that cannot be much more."""
    confusion = np.bincount(labels * classes + said, minlength=classes**2).reshape(classes, classes)
    if confusion.max(axis=0).sum() / len(labels) < right + GAIN_ANY:  # each column at its best
        return None
    from scipy.optimize import linear_sum_assignment

    truth, column = linear_sum_assignment(confusion, maximize=True)
    return np.asarray(truth, np.int64)[np.argsort(column)]


def _in_order_of_text(said: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    return np.array(sorted(range(classes), key=str))[said]


def _numbered_by_text(said: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    return np.argsort(np.array(sorted(range(classes), key=str)))[said]


@dataclass(frozen=True, slots=True)
class Order:
    """Another meaning of the columns. meant : (columns int64 [n], C) -> the class that each column then is; least :
    classes from which on it differs from the order that stands; text : goes on 'accuracy x % if ..'."""

    text: str
    least: int
    meant: Callable[[NDArray[np.int64], int], NDArray[np.int64]]


ORDERS = (
    Order(
        "every label were 1 higher: column 0 is a class of its own (background), or the labels count other columns; "
        "add 1 to the labels, or leave that column out",
        3,
        lambda said, classes: said - 1,
    ),
    Order(
        "every label were 1 lower: are the labels numbered from 1? Subtract 1 from them",
        3,
        lambda said, classes: said + 1,
    ),
    Order(
        "the columns stand in the order of text (0, 1, 10, 11, .., 2); give them their numbers as headings, or sort "
        "them",
        11,
        _in_order_of_text,
    ),
    Order(
        "the labels are numbered in the order of text (0, 1, 10, 11, .., 2), as folders are that have numbers for "
        "names; number the labels as the model does",
        11,
        _numbered_by_text,
    ),
    Order(
        "the classes are in reverse; exchange the columns, or the labels",
        2,
        lambda said, classes: classes - 1 - said,
    ),
)


def _below(share: float, chance: float, n: int) -> bool:
    """Whether a share of n is too low for chance: Chernoff's bound on the lower tail of a binomial."""
    if share >= chance:
        return False
    divergence = (1 - share) * math.log((1 - share) / (1 - chance)) + (share * math.log(share / chance) if share else 0)
    return math.exp(-n * divergence) < UNLIKELY


def _of_answers(store: LogitStore, split: str, card: ModelCard) -> list[str]:
    labels = store.labels(split).astype(np.str_).tolist()
    answers = store.answers(card.model, split).tolist()
    right = sum(a == b for a, b in zip(answers, labels, strict=True)) / len(labels)
    folded = sum(a.casefold() == b.casefold() for a, b in zip(answers, labels, strict=True)) / len(labels)
    what = f"{card.model} in {split}"
    if folded >= right + GAIN:
        return [
            f"{what}: accuracy {100 * right:.1f} %, but {100 * folded:.1f} % if case does not count; import the "
            f"answers with --ignore-case if it does not"
        ]
    if right == 0 and len(labels) >= 10:
        place = next((i for i, answer in enumerate(answers) if answer), 0)
        return [
            f"{what}: no answer is its label, such as {answers[place][:40]!r} against {labels[place][:40]!r}; are they "
            f"written in two ways? Bring answers to the form of the labels"
        ]
    return []


def _unseen_classes(store: LogitStore, split: str, card: ModelCard) -> str | None:
    """Segmentation: classes without a labelled pixel where many pixels do not count."""
    if len(card.members) > 1 or "pixels" not in card.meta:
        return None
    totals = store.outputs(card.model, split).sum(axis=0, dtype=np.float64)
    tp, _, fn = np.split(totals, 3)
    unseen = np.flatnonzero(tp + fn == 0)
    height, width = card.meta["pixels"]
    images = int(images_of(store.unit_ids(split)).max()) + 1
    ignored = 1 - float((tp + fn).sum()) / (images * height * width)
    if not len(unseen) or ignored < MUCH_IGNORED:
        return None
    most = 1 - len(unseen) / len(tp)
    shown = ", ".join(map(str, unseen[:5])) + (", .." if len(unseen) > 5 else "")
    return (
        f"class {shown} never occurs in the labels while {100 * ignored:.0f} % of the pixels do not count; is the "
        f"ignored label that class? mIoU cannot exceed {100 * most:.0f} %; number the classes from 0, or name the "
        f"label of pixels that do not count with --ignore-label"
    )


# Copies


def _copies(split: str, cards: Sequence[ModelCard], named: set[str] | None) -> list[str]:
    same: dict[str, list[str]] = {}
    for card in cards:
        assert card.contents is not None
        same.setdefault(card.contents.content, []).append(card.model)
    return [
        f"{_some(names)} in {split} hold the same outputs, value for value; is one file imported under two names? "
        f"Remove one with `wisecommittee remove`"
        for names in same.values()
        if len(names) > 1 and (named is None or named & set(names))
    ]


def _overlap(store: LogitStore, one: str, other: str, *, near: bool) -> list[Doubt]:
    share = shared_units(store, one, other, near=near)
    if share is None:
        return []
    if share >= COPY:
        return [Doubt("copy", other, copy_text(one, other, share))]
    if share < LEAK or any(card.kind == "answers" for card in store.cards(other)):
        return []  # an answer and its confidence are alike for different units by chance
    alike = "nearly the same outputs as units" if near else "the outputs of units"
    text = (
        f"{100 * share:.1f} % of the units of {other} have {alike} of {one} in every model: images or questions that "
        f"are in both make figures of {other} better than on new data; leave them out of one"
    )
    return [Doubt("overlap", other, text)]


def copied(store: LogitStore, one: str, other: str) -> str | None:
    """Why figures of `other` are no test of what was chosen on `one`: it holds the same units; None if it does not."""
    share = shared_units(store, one, other)
    return None if share is None or share < COPY else copy_text(one, other, share)


def copy_text(one: str, other: str, share: float) -> str:
    return (
        f"{one} and {other} hold the same units: {100 * share:.0f} % of the outputs of {other} are those of {one}, "
        f"value for value. Figures of {other} say nothing about new data; import other units as {other}, or divide "
        f"{one} with `wisecommittee split`"
    )


def shared_units(store: LogitStore, one: str, other: str, *, near: bool = False) -> float | None:
    """Which share of the units of `other` stands in `one`, by what the models put out for them; None where no model is
    in both, or where outputs do not tell units apart.

    Only units whose outputs are unique in their split count: sure answers look alike for different units. near :
    outputs may differ by what another machine or batch size changes.
    """
    there = {card.model: card for card in store.cards(other)}
    cards = [card for card in store.cards(one) if card.model in there and card.kind == there[card.model].kind]
    if not cards:
        return None
    if any(card.kind == "answers" for card in cards):
        cards, near = [card for card in cards if card.kind == "answers"][:16], False
    else:
        cards = sorted(cards, key=lambda card: ((card.contents.classes or 0) if card.contents else 0, card.key))[:3]
    try:
        first, second = (_signatures(store, split, cards, near=near) for split in (one, other))
    except StoreError:
        return None  # what cannot be read is for those to say who need it
    mine, _ = _unique(first)
    theirs, count = _unique(second)
    if count < max(10, len(second) // 5):
        same = len(first) == len(second) >= 20 and bool((np.sort(first) == np.sort(second)).all())
        return 1.0 if same else None
    return float(np.isin(theirs, mine).sum() / count)


def _unique(signatures: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], int]:
    values, counts = np.unique(signatures, return_counts=True)
    return values[counts == 1], int((counts == 1).sum())


def _signatures(store: LogitStore, split: str, cards: Sequence[ModelCard], *, near: bool) -> NDArray[np.uint64]:
    """uint64 [N]: equal for units of which all these models say the same."""
    total = np.zeros(len(store.labels(split)), np.uint64)
    for number, card in enumerate(cards):
        if card.kind == "answers":
            answers = store.answers(card.model, split)
            confidence = store.scores(card.model, split, "confidence")
            words = np.array([hash_text(text) for text in answers.tolist()], np.uint64)
            columns = np.column_stack([words, confidence.view(np.uint32).astype(np.uint64)])
        else:
            outputs = store.outputs(card.model, split)
            columns = (
                _rounded(outputs, card.kind) if near else _bits(outputs[:, :: -(-outputs.shape[1] // MANY_COLUMNS)])
            )
        odd = np.random.default_rng([_SEED, number]).integers(0, 2**63, columns.shape[1], np.uint64) * np.uint64(
            2
        ) + np.uint64(1)
        step = max(1, (1 << 22) // columns.shape[1])
        for start in range(0, len(columns), step):
            block = columns[start : start + step].astype(np.uint64)
            total[start : start + step] += (block * odd).sum(axis=1, dtype=np.uint64)
    return total


def _bits(outputs: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    return np.ascontiguousarray(outputs).view(np.uint16 if outputs.dtype == np.float16 else np.uint32)


def _rounded(outputs: NDArray[np.floating], kind: str) -> NDArray[np.uint64]:
    """uint64 [N, 2 k]: the k highest classes and how far they lie below the first, to two decimals of a logit."""
    k = min(5, outputs.shape[1])
    found = np.empty((len(outputs), 2 * k), np.uint64)
    step = max(1, (1 << 22) // outputs.shape[1])
    for start in range(0, len(outputs), step):
        block = np.asarray(outputs[start : start + step], np.float32)
        top = (
            np.argpartition(-block, k - 1, axis=1)[:, :k]
            if k < block.shape[1]
            else np.tile(np.arange(k), (len(block), 1))
        )
        values = np.take_along_axis(block, top, axis=1)
        order = np.lexsort((top, -values), axis=1)
        top, values = np.take_along_axis(top, order, axis=1), np.take_along_axis(values, order, axis=1)
        if kind == "probabilities":
            values = np.log(np.maximum(values, 1e-6))
        gaps = np.rint(np.minimum(values[:, :1] - values, 1e6) * 100)
        found[start : start + step] = np.hstack([top.astype(np.uint64), gaps.astype(np.uint64)])
    return found


def hash_text(text: str) -> int:
    """64 bits of a text, the same in every process."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


# Costs


def _costs(cards: Sequence[ModelCard]) -> list[str]:
    """Units of costs that cannot be the same; of cards whose costs somebody wrote, not of counted multiply-adds."""
    written = [card for card in cards if card.origin is None or card.origin.startswith("imported")]
    found = []
    flops = {card.model: float(sum(card.blocks.values())) for card in written if card.blocks}
    params = {card.model: card.params for card in written if card.params}
    few = [model for model, value in flops.items() if value < (params.get(model) or 0)]
    if few:
        model = few[0]
        found.append(
            f"{_some(few)}: {flops[model]:,.6g} FLOPs (multiply-adds) with {params[model]:,} parameters; a network "
            f"that uses each parameter once has more; are the FLOPs in millions or billions? Write them out and "
            f"`wisecommittee import --costs FILE`"
        )
    names = sorted({name for card in written for name in card.costs})
    columns = {"flops": {m: v for m, v in flops.items() if m not in few}}
    columns |= {name: {c.model: float(c.costs[name]) for c in written if c.costs.get(name)} for name in names}
    for name, column in columns.items():
        if len(column) < 2:
            continue
        sized = {model: value / params[model] for model, value in column.items() if model in params}
        for values, most, per in ((sized, SPREAD_PER_PARAMETER, " per parameter"), (column, SPREAD, "")):
            if len(values) < 2:
                continue
            least, largest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
            if values[largest] >= most * values[least]:
                found.append(
                    f"{name} of {largest} is {column[largest]:,.6g}, of {least} {column[least]:,.6g}: "
                    f"{values[largest] / values[least]:,.0f} times as much{per}; are they in the same unit (MACs or "
                    f"GMACs, per call or in total)? Mend the file and `wisecommittee import --costs FILE`"
                )
                break
    return found


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {counted(len(names) - 3, 'more model')}"
