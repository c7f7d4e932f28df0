"""wisecommittee compare-policies: what each kind of policy gives at equal cost."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from wisecommittee.searches.query import Query
from wisecommittee.searches.workers.execution import Execution

from . import options
from .console import out, print_json, progress, say
from .fields import parameters, with_parameters
from .show import show_table

NAMES = (
    "split",
    "labels_from",
    "models",
    "max_models",
    "levels",
    "combine",
    "confidence",
    "cost",
    "calibrated",
    "max_worst_cost",
)


@partial(
    with_parameters,
    makers={"query": (Query, parameters(Query, NAMES)), "execution": (Execution, parameters(Execution, ("threads",)))},
)
def compare_policies(
    store: options.Store = None,
    policies: Annotated[
        list[str] | None,
        typer.Option(help="Policies beside thresholds, as labels,adaptive; may be repeated.", show_default="all"),
    ] = None,
    budgets: Annotated[
        list[str] | None,
        typer.Option(
            help="Average costs to compare at, as 2.5,5; may be repeated.",
            show_default="25, 50, 75 and 100 % of the way from the cheapest to the best single model",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts of the units, each measured by a search without it.")] = 5,
    repeats: Annotated[int, typer.Option(help="How often the units are divided into folds anew.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the folds and of mixtures.")] = 0,
    group_by: options.GroupBy = None,
    form: options.Form = None,
    out_file: options.TableFile = None,
    features: options.Features = None,
    as_json: options.Json = False,
    *,
    query: Query,
    execution: Execution,
) -> None:
    """What each kind of policy is expected to give on new data, at equal average cost.

    One threshold per stage is the policy of `search`; the others look at the answers too (`search --policy`). Gains are
    paired, with 95 % intervals. Every search is repeated without each fold of the units.

    **Examples**

    `wisecommittee compare-policies --store S --cost usd`

    `wisecommittee compare-policies --budgets 1e9,2e9 --json`
    """
    from dataclasses import replace

    from wisecommittee.analyses.policies import compare_policies as compare
    from wisecommittee.report.formats import form_of, write
    from wisecommittee.report.table_policies import fill
    from wisecommittee.store import LogitStore

    layout = form_of(form, out_file)
    limits = options.numbers("--budgets", budgets)
    source = LogitStore(store).with_features(features)
    kinds = options.several("--policies", policies) or None
    with progress() as update:
        execution = replace(execution, progress=update, notify=say)
        compared = compare(
            source,
            query,
            execution,
            kinds=kinds,
            budgets=limits,
            folds=folds,
            repeats=repeats,
            seed=seed,
            group_by=group_by,
        )
    if as_json:
        print_json(compared.to_json())
        return
    filled = fill(compared)
    if out_file:
        out.print(f"wrote {write(filled, layout, out_file)}", markup=False)
    else:
        show_table(filled, layout)
