"""Arrays or tables of logits and probabilities -> store. Nothing is ever unpickled.

Everything is read and checked before anything is written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace as with_fields
from pathlib import Path

from wisecommittee.errors import UsageError
from wisecommittee.store.feature_table import FeatureTable
from wisecommittee.store.features import table_of
from wisecommittee.store.groups import write_groups
from wisecommittee.store.imports.class_order import class_numbers, class_order, in_class_order
from wisecommittee.store.imports.models_csv import read_cards
from wisecommittee.store.imports.putting import origin, put_together, warn_of_numbering
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.readers.classes import read_class_list
from wisecommittee.store.readers.labels import no_labels, pair, read_labels
from wisecommittee.store.readers.outputs import read_outputs
from wisecommittee.store.rows import ModelRows


def import_outputs(
    store: LogitStore,
    split: str,
    files: Sequence[tuple[str, str, str | os.PathLike[str]]],
    *,
    labels: str | os.PathLike[str] | None,
    costs: str | os.PathLike[str],
    classes: str | os.PathLike[str] | None = None,
    by_position: bool = False,
    dtype: str = "float32",
    replace: bool = False,
    features: str | os.PathLike[str] | FeatureTable | None = None,
) -> dict[str, str]:
    """Import logits or probabilities of one model or several.

    Parameters
    ----------
    store : LogitStore
    split : str
        The split to write to.
    files : sequence of (kind, model, path)
        Kind is 'logits' or 'probabilities'. The path is that of a .npy or .npz array [N, C], or of a .csv or .parquet
        table with unit_id and one column per class, aligned by name.
    labels : path or None
        .npy [N], or a table with unit_id and label; class numbers or class names. None for a split without labels,
        which `monitor` and `retune` take.
    costs : path
        models.csv (models_csv.py).
    classes : path, optional
        A file that names the classes (store/readers/classes.py); needed if the names in the files do not fix the number
        of each class.
    by_position : bool
        Pair rows and labels in order although only one of the two files has unit ids.
    dtype : str
        'float32', or 'float16' for half the disk.
    replace : bool
        Replace models and features that have other content in the store.
    features : path, optional
        Columns of the units that are known before any model runs, as of `import_features`.

    Returns
    -------
    {model: str}
        'added', 'unchanged', 'card updated' or 'replaced'.

    Raises
    ------
    WiseCommitteeError
        Its subclasses are in errors.py. The message names the file, the row and the remedy; then nothing was written.
    """
    names = [model for _, model, _ in files]
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise UsageError(f"{', '.join(twice)} is given more than once")
    known = None if labels is None else read_labels(labels)
    cards = read_cards(costs, names)
    certain = frozenset() if known is None or known.numbers is not None else frozenset(known.texts)
    outputs = {model: read_outputs(file, kind, certain) for kind, model, file in files}
    if known is None:
        first = outputs[names[0]]
        known = no_labels(first.unit_ids, len(first.values))
    listed = class_order(store, split, known, outputs, None if classes is None else read_class_list(Path(classes)))
    numbered = class_numbers(known, listed)
    with store.adding_many(split):
        ready = []
        for kind, model, file in files:
            values, class_names = in_class_order(outputs[model], listed, f"{model} ({Path(file).name})")
            card = with_fields(cards[model], kind=kind, class_names=class_names, origin=origin(file))
            ids, label_rows = pair(known, outputs[model].unit_ids, len(values), model, by_position=by_position)
            ready.append(store.checked(card, split, ModelRows(ids, values), numbered[label_rows], dtype))
        done = put_together(store, split, lambda: ready, replace=replace, features=table_of(features))
    if known.groups:
        write_groups(store, split, ids, known.groups_of(label_rows))
    warn_of_numbering(store, split, names)
    return done
