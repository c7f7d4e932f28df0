"""Evaluation logs -> store. All is read and checked before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_fields

from wisecommittee.errors import UsageError
from wisecommittee.store.feature_table import FeatureTable, described
from wisecommittee.store.features import table_of
from wisecommittee.store.imports.missing import check_option
from wisecommittee.store.imports.putting import check_all, put_together, warn_of_numbering
from wisecommittee.store.incoming import CheckedModel
from wisecommittee.store.logit_store import LogitStore
from wisecommittee.store.logs.imported import ImportedLog
from wisecommittee.store.logs.intake import Progress, read_logs
from wisecommittee.store.logs.planning import cards_of, kept_units, names_of, unanswered_in
from wisecommittee.store.logs.pool import LogPool, ModelSummary
from wisecommittee.store.logs.records import LogOptions
from wisecommittee.store.logs.spec import LogSpec, log_spec
from wisecommittee.store.logs.spill import spilling
from wisecommittee.store.logs.survey import survey
from wisecommittee.store.logs.truth import labels_of_file, labels_of_log, truth_of
from wisecommittee.tasks.text import answer_form


def import_log(
    store: LogitStore,
    split: str,
    logs: Sequence[str | LogSpec],
    *,
    labels: str | os.PathLike[str] | None = None,
    costs: str | os.PathLike[str] | None = None,
    features: str | os.PathLike[str] | FeatureTable | None = None,
    missing: str | None = None,
    options: LogOptions | None = None,
    unlabelled: bool = False,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportedLog:
    """Import evaluation logs of several models: files or folders, in the formats of LOG_FORMATS.

    Memory holds one model at a time; records wait in temporary files (TMPDIR), which are removed at every end.

    Parameters
    ----------
    store : LogitStore
    split : str
        The split to write to.
    logs : sequence of str or LogSpec
        [FORMAT:]PATH of each; without FORMAT it is recognised.
    labels : path, optional
        True answers, in the formats of `import_outputs`; by default those of the logs.
    costs : path, optional
        models.csv (models_csv.py); not needed if the logs have costs of each unit. Its columns
        usd_per_1k_prompt_tokens and usd_per_1k_completion_tokens (or 1m) make usd of the tokens of each unit.
    features : path, optional
        Columns of the units that are known before any model runs, as of `import_features`, in place of those of the
        logs.
    missing : str, optional
        What becomes of units that not every model answered: 'escalate', 'wrong' or 'skip' (imports/missing.py). By
        default they are an error. For log-likelihoods and probabilities only 'skip'.
    options : LogOptions, optional
    unlabelled : bool
        The split has no labels; `monitor` and `retune` take it.
    replace : bool
        Replace models and features that have other content in the store.
    dry_run : bool
        Read and check, and write nothing.
    progress : callable, optional
        Called with (task, done, in total or None).

    Returns
    -------
    ImportedLog

    Raises
    ------
    WiseCommitteeError
        Its subclasses are in errors.py. The message names the file, the line and the remedy; then nothing was written.
    """
    check_option(missing)
    if unlabelled and labels is not None:
        raise UsageError(f"labels {os.fspath(labels)!r} of a split without labels; leave one out")
    options = with_fields(options or LogOptions(), split=split)
    progress = progress or (lambda task, done, total: None)
    specs = [each if isinstance(each, LogSpec) else log_spec(each) for each in logs]
    with spilling() as spill:
        free_form = read_logs(spill, specs, options, progress)
        models = names_of(spill)
        every = survey(spill, labelled=labels is None and not unlabelled)
        unanswered = unanswered_in(spill, every, models)
        units, fate = kept_units(every, unanswered, missing, dry_run=dry_run)
        ids = units.unit_ids.to_pylist()
        if labels is None:
            given = labels_of_log(units)
        else:
            names = spill.class_names
            given = labels_of_file(labels, units, ids, free_form=free_form, class_names=names)
        truth = truth_of(spill, units, given, unlabelled=unlabelled)
        cards, prices = cards_of(models, costs, [f"{spec.format.name} {spec.path.name}" for spec in specs])
        if (name := answer_form(free_form=free_form, ignore_case=options.ignore_case)) is not None:
            cards = {model: with_fields(card, meta={**card.meta, "answer_form": name}) for model, card in cards.items()}
        pool = LogPool(spill, models, units, ids, truth, fate, cards, prices, needs_cost=not dry_run)
        table = pool.features() if features is None else table_of(features)
        making = _Making(store, split, pool, progress)
        if dry_run:
            check_all(store, split, making(), replace=replace, features=table)
            done = dict.fromkeys(models, "would be added")
        else:
            with store.adding_many(split):
                done = put_together(store, split, making, replace=replace, features=table)
            warn_of_numbering(store, split, done)
        return ImportedLog(
            done,
            making.summaries,
            len(units),
            unanswered,
            missing,
            {} if table is None else described(table.columns),
            tuple(dict.fromkeys(pool.notes)),
        )


@dataclass
class _Making:
    """Makes and checks the models of logs one after the other; called to check them, and again to write them."""

    store: LogitStore
    split: str
    pool: LogPool
    progress: Progress
    summaries: dict[str, ModelSummary] = field(default_factory=dict)

    def __call__(self) -> Iterator[CheckedModel]:
        pool, task = self.pool, "models written" if self.summaries else "models checked"
        labels = pool.truth.stored()
        for number, name in enumerate(pool.models):
            card, rows = pool.model(name)
            if name not in self.summaries:
                self.summaries[name] = pool.summary(name, card, rows)
            yield self.store.checked(card, self.split, rows, labels)
            self.progress(task, number + 1, len(pool.models))
