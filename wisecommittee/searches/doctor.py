"""What about a store is probably not as its owner thinks: each doubt with the likely cause and the remedy.

What passes every check of the store may still mean something else than it is taken for: labels that are numbered from
1, columns in the order of text, a test split that is a copy of val, costs in different units.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.committees.cards import StoredCard
from wisecommittee.errors import StoreError, counted
from wisecommittee.store import LogitStore
from wisecommittee.store.imports.segmentation import images_of

CHOOSING, REPORTING = "val", "test"
SAMPLE_VALUES = 50_000_000  # outputs looked at in one split; more units than these allow are sampled evenly
SAMPLE_UNITS = 4_096
UNLIKELY = 1e-4  # probability below which an accuracy under chance is no accident
GAIN = 0.1  # of accuracy, by which another order of the classes has to be better
GAIN_ANY = 0.3  # the same where the order is the best of all and fits some units by chance
MANY_TIES = 0.01  # of units
MUCH_IGNORED = 0.05  # of pixels
OFTEN = 0.1  # of the units
SPREAD = 1e5  # largest over least cost in a pool
SPREAD_OF_RATIO = 1e3  # the same of costs per parameter and per multiply-add
SPREAD_OF_TIMES = 300.0  # of means over units, by themselves and per other cost; seconds and milliseconds are 1000
SPREAD_OF_UNITS = 1e4  # the same of prices and counts
TIME = re.compile("latency|second|time|_ms$|_s$", re.IGNORECASE)
MACS_PER_PARAMETER = 1e6  # of a network on large images; more means that parameters are in thousands or millions
PERCENT = 2.0  # confidences from here on are no shares
COPY = 0.5  # of the units that can be told apart: from here a split is a copy of another
LEAK = 0.005
ALIKE = 0.9  # of the units of a split that others of it equal: from here outputs do not tell units apart
MANY_COLUMNS = 64  # outputs of a row that are compared
MOST_MODELS = 3  # that are compared
SHIFTS = (1, -1, 2, -2, 3, -3)  # rows by which half of a file may be out of step
FINE = 64  # steps of the usual distance from the first to the fifth class
_SEED = 20231


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something about a split that is probably not as it is taken for.

    kind : labels, answers, ties, classes, rows (out of order from the middle on), confidences, models (of one content),
    copy (test is val), overlap (some of test is in val) or costs. text : what was seen, what it probably comes from,
    and what to do about it.
    """

    kind: str
    split: str
    text: str


def examine(
    store: LogitStore,
    splits: Sequence[str] | None = None,
    *,
    models: Iterable[str] | None = None,
) -> tuple[Doubt, ...]:
    """All doubts about these splits, default every one; about their relation to other splits too.

    models : look at the outputs of these only.
    """
    named = None if models is None else set(models)
    found: list[Doubt] = []
    everywhere = store.splits()
    for split in everywhere if splits is None else splits:
        cards = store.cards(split)
        looked = [card for card in cards if named is None or card.model in named]
        found += _of_outputs(store, split, looked)
        found += [Doubt("models", split, text) for text in _copies(split, cards, named)]
        found += [Doubt("costs", split, text) for text in [*_costs(looked), *_unit_costs(store, split, looked)]]
        chooses = CHOOSING if split == REPORTING else split
        # Other splits may well be of the same units: what val and test were divided from.
        if {chooses, REPORTING} <= set(everywhere) and (splits is not None or chooses == CHOOSING):
            found += _overlap(store, chooses, REPORTING)
    return tuple(dict.fromkeys(found))


# Outputs and labels


def _of_outputs(store: LogitStore, split: str, cards: Sequence[StoredCard]) -> list[Doubt]:
    if not cards:
        return []
    labels = store.labels(split)
    wrong: dict[str, list[str]] = {}
    unseen: dict[str, list[str]] = {}
    tied: list[tuple[str, float]] = []
    alone: dict[str, tuple[float, float, int]] = {}
    found: list[Doubt] = []
    note = ""
    for card in cards:
        if card.kind == "answers":
            found += [Doubt("confidences", split, text) for text in _mixed_confidences(store, split, card)]
            if not card.contents.graded:
                found += [Doubt("answers", split, text) for text in _of_answers(store, split, card)]
        elif card.kind == "cell_counts":
            if (text := _unseen_classes(store, split, card)) is not None:
                unseen.setdefault(text, []).append(card.model)
        else:
            rows = _sample(len(labels), (card.contents.classes or 1) * len(cards))
            if len(rows) < len(labels):
                note = f" (of {len(rows):,} units at even distances among the {len(labels):,})"
            values = np.asarray(store.outputs(card.model, split)[rows], np.float32)
            said = values.argmax(axis=1)
            ties = ((values == values[np.arange(len(rows)), said][:, None]).sum(axis=1) > 1).mean()
            if ties >= MANY_TIES and ties * len(rows) >= 3:
                tied.append((card.model, float(ties)))
            alone[card.model] = _accuracy(said, labels[rows])
            if _halves_differ(said, labels[rows]):
                found += [Doubt("rows", split, text) for text in _out_of_step(store, split, card)]
            if (doubt := misread(said, labels[rows].astype(np.int64), values.shape[1])) is not None:
                gain = "" if doubt.better is None else f" -> {100 * doubt.better:.1f}"
                text = doubt.text if doubt.better is None else f"right more often if {doubt.text}"
                wrong.setdefault(text, []).append(f"{card.model} ({100 * doubt.right:.1f}{gain} %)")
            elif (odd := _never_a_label(said, labels)) is not None:
                wrong.setdefault(odd, []).append(card.model)
    found += [Doubt("labels", split, text + note) for text in _at_chance(split, alone)]
    for kind, texts in (("labels", wrong), ("classes", unseen)):
        found += [
            Doubt(kind, split, f"{_some(names)} in {split}: {text}{note if kind == 'labels' else ''}")
            for text, names in texts.items()
        ]
    if tied:
        most = max(share for _, share in tied)
        found.append(
            Doubt(
                "ties",
                split,
                f"{_some([name for name, _ in tied])} in {split}: two classes share the top value in up to "
                f"{100 * most:.1f} % of the units, and the lower class is taken; outputs were rounded (bfloat16, a "
                f"large offset); export them as float32, with the largest logit of each row subtracted{note}",
            )
        )
    return found


def _sample(units: int, width: int) -> NDArray[np.int64]:
    """Rows at even distances."""
    most = max(256, min(SAMPLE_UNITS, SAMPLE_VALUES // max(1, width)))
    return np.arange(units) if units <= most else np.linspace(0, units - 1, most).astype(np.int64)


def _accuracy(said: NDArray[np.int64], labels: NDArray[np.generic]) -> tuple[float, float, int]:
    """The share that is right, the share that would be if outputs and labels had nothing in common, and n."""
    classes, n = int(max(said.max(), labels.max())) + 1, len(labels)
    guessed = (np.bincount(labels.astype(np.int64), minlength=classes) / n) @ (np.bincount(said, minlength=classes) / n)
    return float((said == labels).mean()), float(guessed), n


def _at_chance(split: str, alone: dict[str, tuple[float, float, int]]) -> list[str]:
    """Models that are right no more often than chance beside one that is right much more often."""
    best = max((right for right, _, _ in alone.values()), default=0.0)
    lost = [
        model
        for model, (right, guessed, n) in alone.items()
        if n >= 50 and best >= guessed + GAIN_ANY and abs(right - guessed) <= 3 * math.sqrt(guessed * (1 - guessed) / n)
    ]
    if not lost:
        return []
    return [
        f"{_some(lost)} in {split}: right as often as chance, beside a model that is right in {100 * best:.1f} %; are "
        f"the rows in another order than their unit ids say? Import them with the ids they were made for, or leave the "
        f"model out"
    ]


def _halves_differ(said: NDArray[np.int64], labels: NDArray[np.generic]) -> bool:
    """Whether one half of the units is right as often as chance and the other much more often."""
    if len(said) < 100:
        return False
    middle = len(said) // 2
    halves = [_accuracy(said[part], labels[part]) for part in (slice(middle), slice(middle, None))]
    (low, guessed, n), (high, other, _) = sorted(halves)
    return high >= other + GAIN_ANY and low <= guessed + 3 * math.sqrt(guessed * (1 - guessed) / n)


def _out_of_step(store: LogitStore, split: str, card: StoredCard) -> list[str]:
    """Half of the rows against the labels of their neighbours, or against those of the half from its end."""
    labels = store.labels(split)
    outputs = store.outputs(card.model, split)
    step = max(1, (8 << 20) // outputs.shape[1])
    said = np.concatenate([outputs[a : a + step].argmax(axis=1) for a in range(0, len(outputs), step)])
    middle = len(labels) // 2
    halves = (slice(middle), slice(middle, None))
    shares = [float((said[part] == labels[part]).mean()) for part in halves]
    worse = int(np.argmin(shares))
    mine, meant = said[halves[worse]], labels[halves[worse]]
    orders = {"in reverse": mine[::-1]} | {
        f"{counted(abs(by), 'row')} {'later' if by > 0 else 'earlier'} than their labels": np.roll(mine, -by)
        for by in SHIFTS
    }
    fits = {text: float((order == meant).mean()) for text, order in orders.items()}
    best = max(fits, key=fits.__getitem__)
    where = ("first", "second")[worse]
    cause = "are"
    if fits[best] >= shares[worse] + GAIN_ANY:
        cause = f"{100 * fits[best]:.1f} % if they stand {best}; were"
    elif not _alike(labels[halves[0]], labels[halves[1]]):
        return []  # such as classes that the model does not know, in a split in the order of its classes
    return [
        f"{card.model} in {split}: right in {100 * shares[worse]:.1f} % of the {where} half of the units, as often as "
        f"chance, and in {100 * shares[1 - worse]:.1f} % of the other; {cause} the rows of one half in another order "
        f"than their unit ids say? Write and import them again with the ids they were made for"
    ]


def _alike(first: NDArray[np.generic], second: NDArray[np.generic]) -> bool:
    """Whether two halves have most of their classes in common."""
    classes, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(classes)) / len(part) for part in np.split(places, [len(first)])]
    return float(np.minimum(*shares).sum()) >= COPY


def _never_a_label(said: NDArray[np.int64], labels: NDArray[np.generic]) -> str | None:
    """A class that is often said and never a label: a column that is no class, or labels that lack one."""
    often = np.flatnonzero(np.bincount(said) >= OFTEN * len(said))
    never = [int(c) for c in often if not (labels == c).any()]
    if not never:
        return None
    return (
        f"class {never[0]} is the answer for {100 * float((said == never[0]).mean()):.0f} % of the units and the label "
        f"of none; is its column a class? Leave it out if not"
    )


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
    named = max(((share, text) for share, text in fits if share is not None), default=None)
    if n >= 10 * classes and (truth := _best_order(said, labels, classes, right)) is not None:
        better = fit(truth[said], GAIN_ANY)
        if better is not None and (named is None or better >= named[0] + margin):
            moved = [f"column {c} were class {t}" for c, t in enumerate(truth) if t != c]
            return Misread(
                right,
                better,
                f"{', '.join(moved[:3])}{', ..' if len(moved) > 3 else ''}: which class is which column? Import "
                f"outputs and labels by class name, or reorder the columns",
            )
    if named is not None:
        return Misread(right, *named)
    # Agreement of outputs and labels that have nothing in common:
    guessed = float((counts / n) @ (np.bincount(said, minlength=classes) / n))
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


def _of_answers(store: LogitStore, split: str, card: StoredCard) -> list[str]:
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


def _mixed_confidences(store: LogitStore, split: str, card: StoredCard) -> list[str]:
    """A few numbers far above 1 where all others are shares."""
    if "confidence" not in card.contents.scores:
        return []
    sure = store.scores(card.model, split, "confidence")
    above = sure[sure > 1]
    if not 0 < len(above) < len(sure) / 2 or sure.min() < 0 or above.min() < PERCENT:
        return []
    return [
        f"{card.model} in {split}: {counted(len(above), 'confidence')} from {above.min():.6g} to {above.max():.6g}, "
        f"and all {len(sure) - len(above):,} others from 0 to 1; percent among shares? Divide them by 100, or mend "
        f"them, and import the answers with --replace"
    ]


def _unseen_classes(store: LogitStore, split: str, card: StoredCard) -> str | None:
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


def _copies(split: str, cards: Sequence[StoredCard], named: set[str] | None) -> list[str]:
    same: dict[str, list[str]] = {}
    for card in cards:
        same.setdefault(card.contents.content, []).append(card.model)
    return [
        f"{_some(names)} in {split} hold the same outputs, value for value; is one file imported under two names? "
        f"Remove one with `wisecommittee remove`"
        for names in same.values()
        if len(names) > 1 and (named is None or named & set(names))
    ]


def _overlap(store: LogitStore, one: str, other: str) -> list[Doubt]:
    share = shared_units(store, one, other)
    if share is None or share < LEAK:
        return []
    if share >= COPY:
        return [Doubt("copy", other, copy_text(one, other, share))]
    text = (
        f"{100 * share:.1f} % of the units of {other} have the outputs of units of {one}: images or questions that are "
        f"in both make figures of {other} better than on new data; leave them out of one"
    )
    return [Doubt("overlap", other, text)]


def copied(store: LogitStore, one: str, other: str) -> str | None:
    """Why figures of `other` are no test of what was chosen on `one`: it holds the same units; None if it does not."""
    share = shared_units(store, one, other)
    return None if share is None or share < COPY else copy_text(one, other, share)


def copy_text(one: str, other: str, share: float) -> str:
    return (
        f"{one} and {other} hold the same units: a model's outputs for {100 * share:.0f} % of the units of {other} are "
        f"those it has in {one}. Figures of {other} say nothing about new data; import other units as {other}, or "
        f"divide {one} with `wisecommittee split`"
    )


def shared_units(store: LogitStore, one: str, other: str) -> float | None:
    """Which share of the units of `other` stands in `one`, by what the models put out for them.

    The largest share of up to three models; None where no model is in both, or outputs do not tell units apart.

    Outputs may differ by what another machine, batch size or half precision changes. Units that coincide as often
    within `one` do so by chance, as sure or rounded answers do, and are taken off.
    """
    there = {card.model: card for card in store.cards(other)}
    cards = [card for card in store.cards(one) if card.model in there and card.kind == there[card.model].kind]
    if any(_identity(card) == _identity(there[card.model]) for card in cards):
        return 1.0
    cards = sorted(cards, key=lambda card: (card.contents.classes or 0, card.key))
    shares = []
    try:
        pairs = [_signatures(store, (one, other), card) for card in cards[:MOST_MODELS]]
    except StoreError:
        return None  # what cannot be read is for those to say who need it
    joint = [tuple(sum(column) for column in zip(*pairs, strict=True))] if len(pairs) > 1 else []
    for first, second in [*pairs, *joint]:
        if (share := _excess(first, second)) is not None:
            shares.append(share)
    return max(shares, default=None)


def _identity(card: StoredCard) -> tuple[int, str]:
    return card.contents.rows, card.contents.content


def _excess(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float | None:
    """The share of the second that is in the first, beyond the share of the first that is in the rest of it."""
    values, counts = np.unique(first, return_counts=True)
    within = float((counts[counts > 1]).sum() / len(first))
    across = float(np.isin(second, values).mean())
    if within > ALIKE:
        same = len(first) == len(second) >= 20 and bool((np.sort(first) == np.sort(second)).all())
        return 1.0 if same else None
    chance = within + 4 * math.sqrt((within + 1 / len(second)) / len(second))
    return 0.0 if across < max(chance, LEAK) else (across - within) / (1 - within)


def _signatures(store: LogitStore, splits: tuple[str, str], card: StoredCard) -> tuple[NDArray[np.uint64], ...]:
    """uint64 [N] for each of two splits: equal for units of which a model says the same."""
    if card.kind == "answers":
        words = [_of_texts(store.answers(card.model, split)) for split in splits]
        sure = [store.scores(card.model, split, "confidence").view(np.uint32).astype(np.uint64) for split in splits]
        columns = [np.column_stack(pair) for pair in zip(words, sure, strict=True)]
    else:
        outputs = [store.outputs(card.model, split) for split in splits]
        if card.kind == "cell_counts":
            columns = [np.asarray(values, np.uint64) for values in outputs]
        else:
            tops = [_top(values, card.kind) for values in outputs]
            grid = max(float(np.median(tops[0][1][:, -1])) / FINE, 1e-6)
            columns = [np.hstack([top, np.rint(gaps / grid).astype(np.uint64)]) for top, gaps in tops]
    odd = np.random.default_rng([_SEED, hash_text(card.model)]).integers(0, 2**63, columns[0].shape[1], np.uint64)
    return tuple((values * (2 * odd + np.uint64(1))).sum(axis=1, dtype=np.uint64) for values in columns)


def _top(outputs: NDArray[np.floating], kind: str) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """The five highest of at most 64 columns, and how far they lie below the first: [N, k] each."""
    some = np.asarray(outputs[:, :: -(-outputs.shape[1] // MANY_COLUMNS)], np.float64)
    if kind == "probabilities":
        some = np.log(np.maximum(some, 1e-6))
    order = np.argsort(-some, axis=1, kind="stable")[:, :5]
    values = np.take_along_axis(some, order, axis=1)
    return order.astype(np.uint64), np.minimum(values[:, :1] - values, 1e6)


def _of_texts(texts: NDArray[np.str_]) -> NDArray[np.uint64]:
    return np.array([hash_text(text) for text in texts.tolist()], np.uint64)


def hash_text(text: str) -> int:
    """64 bits of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


# Costs


def _costs(cards: Sequence[StoredCard]) -> list[str]:
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
    small = [model for model, count in params.items() if flops.get(model, 0) > MACS_PER_PARAMETER * count]
    if small:
        model = small[0]
        found.append(
            f"{_some(small)}: {params[model]:,} parameters with {flops[model]:,.6g} FLOPs (multiply-adds); are the "
            f"parameters in thousands or millions? Write them out and `wisecommittee import --costs FILE`"
        )
        params = {}
    names = sorted({name for card in written for name in card.costs})
    columns = {"flops": {m: v for m, v in flops.items() if m not in few}}
    columns |= {name: {c.model: float(c.costs[name]) for c in written if c.costs.get(name)} for name in names}
    for name, column in columns.items():
        if len(column) < 2:
            continue
        sized = {model: value / params[model] for model, value in column.items() if model in params}
        worked = {m: v / flops[m] for m, v in column.items() if m in columns["flops"]} if name != "flops" else {}
        ratios = ((sized, SPREAD_OF_RATIO, " per parameter"), (worked, SPREAD_OF_RATIO, " per multiply-add"))
        for values, most, per in (*ratios, (column, SPREAD, "")):
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


def _unit_costs(store: LogitStore, split: str, cards: Sequence[StoredCard]) -> list[str]:
    """Costs of single units whose means differ between models by orders of magnitude, also against all others."""
    columns: dict[str, dict[str, float]] = {}
    for card in cards:
        for name in card.contents.unit_costs:
            if (mean := float(store.unit_costs(card.model, split, name).mean())) > 0:
                columns.setdefault(name, {})[card.model] = mean
    widest = sorted(columns, key=lambda name: -max(columns[name].values()) / min(columns[name].values()))
    for name in widest:  # one is enough: what is mended is looked at again
        column = columns[name]
        ratios = {"": column} | {
            f" per {per}": {model: value / other[model] for model, value in column.items() if model in other}
            for per, other in columns.items()
            if per != name
        }
        spread = {per: max(r.values()) / min(r.values()) for per, r in ratios.items() if len(r) > 1}
        most = SPREAD if len(spread) < 2 else SPREAD_OF_TIMES if TIME.search(name) else SPREAD_OF_UNITS
        if not spread or min(spread.values()) < most:
            continue
        per = max(spread, key=spread.__getitem__)
        least, largest = min(ratios[per], key=ratios[per].__getitem__), max(ratios[per], key=ratios[per].__getitem__)
        return [
            f"{name} of {largest} is {column[largest]:,.6g} for a unit of {split} on average, of {least} "
            f"{column[least]:,.6g}: {spread[per]:,.0f} times as much{per}; are they in the same unit (seconds or "
            f"milliseconds, dollars or cents)? Mend the file and import it with --replace"
        ]
    return []


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {counted(len(names) - 3, 'more model')}"
