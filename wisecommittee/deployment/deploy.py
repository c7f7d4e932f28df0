"""Loads a committee, or its committee.json, into a Deployed that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.deployed import Deployed, OutputChecks
from wisecommittee.deployment.members import Module, load_members
from wisecommittee.deployment.replay import REPLAYED
from wisecommittee.deployment.replay import replay as replay_units
from wisecommittee.errors import UsageError
from wisecommittee.extraction.data.data import Data
from wisecommittee.store import StoreLike, open_store
from wisecommittee.store.staleness import warn_if_stale


def deploy(
    committee: Committee | str | os.PathLike[str],
    models: Mapping[str, Module] | None = None,
    *,
    store: StoreLike | None = None,
    data: str | Data | None = None,
    replay: int = REPLAYED,
    preprocess: str | None = None,
    trust: bool = False,
    force: bool = False,
    **options: Any,
) -> Deployed:
    """Load the members of a committee, so that it runs on real inputs.

    Parameters
    ----------
    committee : Committee or path
        A path is the path of a committee.json.
    models : {member: spec, torch module, function or scikit-learn estimator}, optional
        The cards of the store say where the other members are loaded from.
    store : LogitStore or path, optional
        The store that the committee was searched in.
    data : str or Data, optional
        The data that the replayed split was extracted from; by default the data that the cards name.
    replay : int
        Number of units of the store on which the members run first, to compare their outputs with the stored ones; 0
        for none.
    preprocess : str, optional
        Spec of the model whose preprocessing serves members without one.
    trust : bool
        Run Python modules and programs (.pt2, .ts) that only a card names. Anybody may have written a card.
    force : bool
        Run members whose weights or outputs differ from those the committee was chosen with.
    **options
        device, precision, batch_size, classes: as of `Deployed`; softmax: as of `OutputChecks`.

    Returns
    -------
    Deployed
        To be closed: `with deploy("committee.json") as run: decisions = run(inputs)`.

    Raises
    ------
    CommitteeError
        A member gives other outputs than those in the store, or has other weights than the committee records.
    UsageError
        `replay` is negative, or no spec says where a member is loaded from.
    UnknownNameError
        `models` names a model that is not a member.
    TrustError
        Code would run that only a card names.
    """
    if replay < 0:
        raise UsageError(f"replay {replay}: expected a number of units, 0 for none")
    store = None if store is None else open_store(store)
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    if store is not None:
        warn_if_stale(chosen, store)
    loaded = load_members(
        chosen.models, models, store, preprocess=preprocess, recorded=chosen.members, trust=trust, force=force
    )
    checks = OutputChecks(store, softmax=options.pop("softmax", False), force=force)
    run = Deployed(chosen, loaded, checks=checks, **options)
    if store is not None and replay and not force:
        try:
            replay_units(run, store, data, trust=trust, units=replay)
        except BaseException:
            run.close()
            raise
    return run
