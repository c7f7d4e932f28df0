"""From a committee, or its committee.json, to one that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from wisecommittee.committees.committee import Committee
from wisecommittee.deployment.deployed import Deployed
from wisecommittee.deployment.members import Module, load_members
from wisecommittee.deployment.replay import REPLAYED
from wisecommittee.deployment.replay import replay as replay_units
from wisecommittee.errors import UsageError
from wisecommittee.extraction.data.data import Data
from wisecommittee.store import StoreLike, open_store


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
    """A committee, or its committee.json, ready to run.

    Parameters
    ----------
    committee : Committee or path
    models : {member: spec, torch module, function or scikit-learn estimator}, optional
        The cards of the store say where the other members came from.
    store : LogitStore or path, optional
    data : str or Data, optional
        What the split of the replay was extracted from; by default what the cards say.
    replay : int
        Units of the store whose outputs are compared with those of the members first; 0 for none.
    preprocess : str, optional
        Spec of the model whose preprocessing serves members that bring none.
    trust : bool
        Run Python modules and programs (.pt2, .ts) that only a card names, which anybody may have written.
    force : bool
        Also with other weights and outputs than those it was chosen with.
    **options
        device, precision, batch_size, classes, softmax: as of `Deployed`.

    Returns
    -------
    Deployed
        To be closed: `with deploy("committee.json") as run: decisions = run(inputs)`.

    Raises
    ------
    CommitteeError
        If members give other outputs than those in the store, or cannot be loaded.
    TrustError
        If only a card names code that would run.
    """
    if replay < 0:
        raise UsageError(f"replay {replay}: expected a number of units, 0 for none")
    store = None if store is None else open_store(store)
    chosen = committee if isinstance(committee, Committee) else Committee.load(committee)
    loaded = load_members(
        chosen.models, models, store, preprocess=preprocess, recorded=chosen.members, trust=trust, force=force
    )
    run = Deployed(chosen, loaded, store=store, force=force, **options)
    if store is not None and replay and not force:
        try:
            replay_units(run, store, data, trust=trust, units=replay)
        except BaseException:
            run.close()
            raise
    return run
