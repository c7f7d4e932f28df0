"""Search of IRENE's hyper-parameters (Li et al. 2023, Table 3) with Optuna; the caller judges committees on val.

A folder holds the search: one line per event in journal.log, and a store with the committee of every trial. The same
call continues an interrupted search, within the trial that was running.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any, Unpack

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from wisecommittee.committees.naming import Origin
from wisecommittee.errors import ContentError, DivergedError, UnknownNameError, UsageError
from wisecommittee.extraction.extract import Extracted
from wisecommittee.store import LogitStore
from wisecommittee.store.cache import cache_folder
from wisecommittee.train.backbones import short_name
from wisecommittee.train.irene import Irene
from wisecommittee.train.irene_members import train_irene, with_first
from wisecommittee.train.run import TrainOptions

TRIALS = 24
JOURNAL = "journal.log"


@dataclass(frozen=True, slots=True)
class Between:
    """Any number of a range above 0, uniform in its logarithm."""

    lowest: float
    highest: float


Range = Between | tuple[float, ...]  # or one of several
# Table 3; its learning rate and decay are the selector's, the backbones keep their usual ones (App. A.1.2).
RANGES: dict[str, Range] = {
    "selector_lr": Between(1e-5, 1e-1),
    "selector_factor": (0.1, 0.2, 0.5, 0.8),
    "w1": Between(1e-4, 0.1),
    "w2": Between(1e-5, 0.1),
    "w3": Between(1e-4, 0.1),
}


def usual_ranges(method: Irene) -> dict[str, Range]:
    """RANGES, without the selector's decay where the recipe has no milestones at which it would happen."""
    idle = set() if method.recipe.milestones else {"selector_factor"}
    return {name: given for name, given in RANGES.items() if name not in idle}


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of the search.

    worth : larger is better, from 0; quality, cost : on val, from which worth is computed; None if the training
    diverged.
    """

    number: int
    settings: dict[str, float]
    worth: float
    quality: float | None
    cost: float | None

    def printed(self) -> list[str]:
        """Settings, quality in percent, cost and worth as text."""
        settings = [f"{value:.3g}" for value in self.settings.values()]
        if self.quality is None or self.cost is None:
            return [*settings, "diverged", "-", f"{self.worth:.2f}"]
        return [*settings, f"{100 * self.quality:.2f}", f"{self.cost:.2f}", f"{self.worth:.2f}"]


# (store, members in order) -> worth, quality and cost on val
Judgement = Callable[[LogitStore, Sequence[str]], tuple[float, float, float]]


def tune(
    method: Irene,
    judge: Judgement,
    *,
    folder: Path | None = None,
    trials: int = TRIALS,
    ranges: Mapping[str, Range] | None = None,
    **options: Unpack[TrainOptions],
) -> list[Trial]:
    """Run trials until there are `trials` of them in the folder; returns all of them, the best first.

    ranges : fields of the method and their values, by default `usual_ranges`; folder : folder of the search and its
    networks, by default one for its settings in the user's cache folder. A training that diverges is worth 0.
    """
    if trials < 1:
        raise UsageError(f"{trials} trials: expected at least 1")
    ranges = usual_ranges(method) if ranges is None else ranges
    if "selector_factor" in ranges and "selector_factor" not in usual_ranges(method):
        raise UsageError("selector_factor: the learning rates fall by a cosine here, without milestones; leave it out")
    spaces = {name: _distribution(name, given) for name, given in ranges.items()}
    key = search_key(method, ranges)
    folder = folder or cache_folder() / "tune" / key
    study = _open(folder, key)
    progress = options.get("progress")
    while len(done := study.get_trials(states=(TrialState.COMPLETE,))) < trials:
        if progress:
            progress("tune", len(done), trials)
        # The same proposals, interrupted or not
        study.sampler = optuna.samplers.TPESampler(seed=1000 * method.seed + len(done))
        trial = study.ask(spaces)
        store = LogitStore(folder / "logits")
        if method.first is None:  # the same in every trial
            method = with_first(method, **options)
        try:
            into = train_irene(store, {f"trial={trial.number}": with_fields(method, **trial.params)}, **options)
            worth, quality, cost = judge(store, [item.card.model for item in into if item.split == "val"])
            trial.set_user_attr("quality", quality)
            trial.set_user_attr("cost", cost)
        except DivergedError:
            worth = 0.0
        study.tell(trial, worth)
    if progress:
        progress("tune", trials, trials)
    finished = [_trial(number, trial) for number, trial in enumerate(done)]
    return sorted(finished, key=lambda trial: -trial.worth)


def _trial(number: int, trial: FrozenTrial) -> Trial:
    assert trial.value is not None
    return Trial(number, trial.params, trial.value, trial.user_attrs.get("quality"), trial.user_attrs.get("cost"))


def pool_of(method: Irene) -> Origin:
    """The independent replicas whose single model and ensemble define the utility of a committee."""
    return Origin("pool", method.data.name, short_name(method.backbones[0]), method.seed)


def put_best(method: Irene, trial: Trial, store: LogitStore, **options: Unpack[TrainOptions]) -> list[Extracted]:
    """A trial's committee, which is trained already, as the variant `tuned`."""
    changes: dict[str, Any] = dict(trial.settings)
    return train_irene(store, {"tuned": with_fields(with_first(method, **options), **changes)}, **options)


def search_key(method: Irene, ranges: Mapping[str, Range]) -> str:
    """Changes with everything but the number of trials."""
    fixed = {name: value for name, value in method.settings.items() if name not in ranges}
    facts = [fixed, method.seed, method.data.key, {name: repr(given) for name, given in ranges.items()}]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _open(folder: Path, key: str) -> optuna.Study:
    """The search in a folder, begun if need be. A trial that was interrupted is the next one again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    if others := [name for name in optuna.get_all_study_names(storage) if name != key]:
        raise ContentError(f"{str(folder)!r} holds a search with other settings ({others[0]}); name another folder")
    study = optuna.create_study(storage=storage, study_name=key, direction="maximize", load_if_exists=True)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _distribution(name: str, given: Range) -> optuna.distributions.BaseDistribution:
    if name not in {field.name for field in fields(Irene) if field.type == "float"}:
        raise UnknownNameError("hyper-parameter", name, RANGES)
    if isinstance(given, Between):
        if not 0 < given.lowest < given.highest < math.inf:
            raise UsageError(f"{name} between {given.lowest:g} and {given.highest:g}: expected 0 < lowest < highest")
        return optuna.distributions.FloatDistribution(given.lowest, given.highest, log=True)
    if not given:
        raise UsageError(f"{name}: expected at least one value")
    return optuna.distributions.CategoricalDistribution(given)


def read_range(text: str) -> tuple[str, Range]:
    """'w1=0.01:1' -> a range of w1, 'w1=0.1,0.3' -> one of these."""
    name, _, values = text.partition("=")
    try:
        if ":" in values:
            lowest, highest = values.split(":")
            return name, Between(float(lowest), float(highest))
        return name, tuple(float(value) for value in values.split(","))
    except ValueError:
        raise UsageError(f"range {text!r}: expected NAME=LOWEST:HIGHEST or NAME=VALUE,VALUE,..") from None
