"""A long table of answers, one row for each unit and model -> store. All is checked before anything is written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace as with_fields

import numpy as np
from numpy.typing import ArrayLike

from wisecommittee.committees.cards import ModelCard
from wisecommittee.errors import CostError, option
from wisecommittee.store import checks
from wisecommittee.store.feature_table import FeatureTable
from wisecommittee.store.features import table_of
from wisecommittee.store.groups import write_groups
from wisecommittee.store.imports.answers_table import (
    AnswersTable,
    check_headings,
    check_same_units,
    labels_of_answers,
    read_answers,
)
from wisecommittee.store.imports.missing import (
    SKIP,
    answered_by_all,
    check_option,
    filled,
    on_all_units,
    recorded,
    said_of,
)
from wisecommittee.store.imports.models_csv import read_priced_cards
from wisecommittee.store.imports.prices import Prices
from wisecommittee.store.imports.putting import origin, put_together, warn_of_numbering
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.rows import ModelRows
from wisecommittee.tasks.text import answer_form, form_of_answers


def import_answers(
    store: LogitStore,
    split: str,
    answers: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    costs: str | os.PathLike[str] | None = None,
    by_position: bool = False,
    ignore_case: bool = False,
    free_form: bool = False,
    missing: str | None = None,
    unlabelled: bool = False,
    replace: bool = False,
    features: str | os.PathLike[str] | FeatureTable | None = None,
) -> dict[str, str]:
    """Import a table of answers of several models.

    Parameters
    ----------
    store : LogitStore
    split : str
        The split to write to.
    answers : path
        A .csv or .parquet table with columns unit_id, model and answer, then per-unit costs (usd, tokens), and
        optionally confidence, which policies such as thresholds compare, and score: graded quality in [0, 1] instead
        of answer == label. Lists of log-probabilities in token_logprobs (csv: as JSON) give the confidences
        mean_logprob, min_logprob and first_logprob.
    labels : path, optional
        True answers, in the formats of `import_outputs`; by default the column label of `answers`. An answer is right
        if it equals its label by the rule of tasks/text.py; an empty answer is never right.
    costs : path, optional
        models.csv (models_csv.py); not needed if the table has per-unit costs. Its columns usd_per_1k_prompt_tokens and
        usd_per_1k_completion_tokens (or 1m) make usd of the table's prompt_tokens and completion_tokens.
    by_position : bool
        Pair units and labels in order although only one of the two files has unit ids.
    ignore_case : bool
        Take 'Yes' and 'yes' for the same answer.
    free_form : bool
        Answers are free text, compared by `voting_form` (tasks/text.py).
    missing : str, optional
        Empty answers, and units without a row of a model, are units without an answer: 'escalate', 'wrong' or 'skip'
        says what becomes of them (imports/missing.py). By default every model needs a row for every unit.
    unlabelled : bool
        The split has no labels; `monitor` and `retune` take it. Graded answers need none in any case.
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
    check_option(missing)
    form = form_of_answers(free_form=free_form, ignore_case=ignore_case)
    table = read_answers(answers, form)
    unlabelled = unlabelled and not table.graded
    truth: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    if not unlabelled:
        truth, groups = labels_of_answers(table, table.units, labels, by_position=by_position)
    check_headings(table)
    cards = {model: ModelCard(model) for model in table.models}
    prices: dict[str, Prices] = {}
    if costs:
        cards, prices = read_priced_cards(costs, {model: model for model in table.models})
    elif not table.costs:
        raise CostError(
            f"{answers}: no cost column, and no {option('costs')}; committees cannot be compared without a cost"
        )
    with store.adding_many(split):
        ready = []
        for model, rows, unanswered in _answered(table, prices, missing):
            card = with_fields(cards[model], kind="answers", origin=origin(answers))
            if (name := answer_form(free_form=free_form, ignore_case=ignore_case)) is not None:
                card = with_fields(card, meta={**card.meta, "answer_form": name})
            known: ArrayLike = np.full(len(rows), checks.NO_LABEL, np.int64)
            if not unlabelled:
                known = [form(truth[unit]) for unit in rows.unit_ids]
            ready.append(store.checked(recorded(card, unanswered, missing), split, rows, known))
        check_same_units(ready, table.file)
        done = put_together(store, split, lambda: ready, replace=replace, features=table_of(features))
    if groups:
        write_groups(store, split, list(truth), groups)
    warn_of_numbering(store, split, table.models)
    return done


def _answered(
    table: AnswersTable, prices: Mapping[str, Prices], missing: str | None
) -> Iterator[tuple[str, ModelRows, int]]:
    """(model, rows as they are stored, number of units without an answer) of every model."""
    every = []
    for model, rows in table.each_model():
        if model in prices:
            dollars = prices[model].dollars(rows.unit_costs, table.file)
            rows = with_fields(rows, unit_costs={**rows.unit_costs, "usd": dollars})
        every.append((model, rows))
    if missing is None:
        yield from ((model, rows, 0) for model, rows in every)
        return
    units = table.units
    for model, rows in every:
        checks.check_unit_ids(rows.unit_ids, model)
    if missing == SKIP:
        units = answered_by_all([rows for _, rows in every], units)
    for model, rows in every:
        wide, unanswered = on_all_units(rows, units)
        wide, used = filled(wide, unanswered, missing)
        if used:
            warnings.warn(said_of(model, used, int(unanswered.sum())), stacklevel=3)
        yield model, wide, int(unanswered.sum())
