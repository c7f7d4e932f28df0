"""Numbers printed in the papers, one CSV file per table; data/README.md says what each holds."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from wisecommittee.errors import UnknownNameError

if TYPE_CHECKING:
    import pandas


def names() -> list[str]:
    """Names of all tables, sorted."""
    return sorted(entry.name.removesuffix(".csv") for entry in files(__name__).iterdir() if entry.name.endswith(".csv"))


def load(name: str) -> pandas.DataFrame:
    """One table: `paper`, `table` and `page` first, `note` last ('' where there is none), the printed values between.

    >>> load("wisdom_table10").training_tpuv3_days.sum()
    np.int64(428)
    """
    import pandas

    known = names()
    if name not in known:
        raise UnknownNameError("published table", name, known)
    with files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return pandas.read_csv(file, dtype={"page": "Int64"}, converters={"note": str})
