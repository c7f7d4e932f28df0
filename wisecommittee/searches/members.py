"""The members of a committee in a store, checked to be the models it was chosen with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wisecommittee.committees.cards import StoredCard
from wisecommittee.committees.committee import Committee
from wisecommittee.committees.policies.thresholds import Thresholds
from wisecommittee.errors import CommitteeError, WiseCommitteeError, counted, option
from wisecommittee.searches.stages.calibrated import as_chosen, recorded
from wisecommittee.searches.stages.pool import Pool, open_pool
from wisecommittee.store import LogitStore


def members_alone(committee: Committee) -> list[Committee]:
    """A committee of one for every member, with its calibration; none if the committee is a single model."""
    if committee.shape == "single":
        return []
    return [
        committee.altered(
            stages=((model,),),
            policy=Thresholds(),
            members={model: committee.members[model]} if model in committee.members else {},
        )
        for model in committee.models
    ]


def members_pool(
    committees: Sequence[Committee],
    store: LogitStore,
    split: str,
    *,
    force: bool = False,
    cost: str | None = None,
    labelled: bool = True,
) -> Pool:
    """The pool of all members of these committees, checked to be the models they were chosen with.

    labelled : whether the split must have labels.

    Raises
    ------
    CommitteeError
        If the store lacks a member, holds other weights, multiply-adds or outputs of it (unless force), or if the
        committees do not share confidence, rule, cost and calibrations.
    """
    store.require_split(split)
    first = committees[0]
    if len({(c.confidence, c.combine, c.cost, c.parallel) for c in committees}) > 1:
        raise CommitteeError(
            "committees with different confidence, rule, cost or parallel costs cannot share one evaluation"
        )
    members = sorted({model for committee in committees for model in committee.models})
    known = set(store.models(split))
    if missing := [model for model in members if model not in known]:
        raise CommitteeError(
            f"the committee has {', '.join(missing)}, which {store.files.uri!r} does not hold in split {split!r} "
            f"({counted(len(known), 'model')} there); extract or import it, or name the store it was chosen from"
        )
    cards = {model: store.card(model, split) for model in members}
    chosen_with: dict[str, Mapping[str, Any]] = {}
    for committee in committees:
        for model in committee.models:
            member = committee.members.get(model, {})
            if not force:
                check_identity(cards[model], member)
            if chosen_with.setdefault(model, member).get("calibration") != member.get("calibration"):
                raise CommitteeError(f"committees with different calibrations of {model} cannot share one evaluation")
    cards = {model: as_chosen(cards[model], chosen_with[model], store, split, force=force) for model in members}
    ordered = sorted(cards.values(), key=lambda card: card.key)
    try:
        pool = open_pool(
            store, split, ordered, combine=first.combine, confidence=first.confidence, cost=cost or first.cost,
            labelled=labelled, compared=any(map(_compares, committees)), parallel=first.parallel,
        )  # fmt: skip
        return pool.with_fees(part.policy.fee(pool.cost.name) for c in committees for part in c.parts)
    except WiseCommitteeError as error:
        raise CommitteeError(f"this committee cannot be evaluated on {store.files.uri!r}: {error}") from error


def _compares(committee: Committee) -> bool:
    """Whether the committee reads a confidence."""
    policy = committee.policy
    several = len(committee.stages) > 1
    return "last_score" in policy.needs or (several and (policy.combines or "member_scores" in policy.needs))


def judged(committees: Sequence[Committee], store: LogitStore, split: str) -> LogitStore:
    """The store; where its split has no labels, with those from the model that the committees were chosen to agree
    with."""
    trusted = {committee.labels_from for committee in committees}
    if store.labels_from is not None or len(trusted) != 1 or trusted == {None} or store.has_labels(split):
        return store
    (model,) = trusted
    return store.with_labels_from(model) if model in store.models(split) else store


def identity(card: StoredCard) -> dict[str, Any]:
    """{"kind", "blocks", "weights", "calibration"}: the fields in which a model of another store must be equal to be
    the same model.

    weights is None where unknown; calibration is missing where there is none.
    """
    out: dict[str, Any] = {"kind": card.kind, "blocks": dict(card.blocks), "weights": card.weights}
    if card.calibration is not None:
        out["calibration"] = recorded(card)
    return out


def check_identity(card: StoredCard, recorded: Mapping[str, Any]) -> None:
    """Raise if the store's model is not the one the committee was chosen with."""
    if not recorded:
        return
    now = identity(card)
    for name, noun in (("weights", "weights"), ("blocks", "multiply-adds"), ("kind", "kind of outputs")):
        before = recorded.get(name)
        if before and now[name] and before != now[name]:
            raise CommitteeError(
                f"{card.model}: its {noun} differ from those the committee was chosen with "
                f"({_short(before)}, now {_short(now[name])}); search again, or evaluate anyway with "
                f"{option('force', True)}"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
