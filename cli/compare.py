"""wisecommittee compare: trained committees against their baselines, over the seeds in a store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from wisecommittee.searches.query import Query

from . import options
from .console import out, print_json
from .fields import parameters, with_parameters
from .show import show_table


@partial(with_parameters, makers={"chosen": (dict, parameters(Query, ("models", "cost")))})
def compare(
    store: options.Store = None,
    split: Annotated[str, typer.Option(help="Split that chooses thresholds; test reports.")] = "val",
    published: options.Published = False,
    form: options.Form = None,
    out_file: options.TableFile = None,
    as_json: options.Json = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Accuracy, cost and utility of what `train` made (IRENE, Tables 1 and 2): the single model, the average ensemble,
    snapshots, FGE, mixtures of experts, WoC and IRENE, as mean ± standard deviation over seeds.

    The paper's rows for the same data and backbone stand below; --published adds all of them.

    **Example** (for more than one seed, train again with --seed 1, 2, ..)

    `wisecommittee train pool --backbone digits-cnn; wisecommittee train irene; wisecommittee compare`
    """
    from wisecommittee.analyses.study import study_of
    from wisecommittee.report.formats import form_of, write
    from wisecommittee.report.table_compare import fill
    from wisecommittee.store import LogitStore

    layout = form_of(form, out_file)
    filled = fill(study_of(LogitStore(store), split=split, published=published, **chosen))
    if out_file:
        out.print(f"wrote {write(filled, layout, out_file)}", markup=False)
    if as_json:
        print_json(filled.to_json())
    elif not out_file:
        show_table(filled, layout)
