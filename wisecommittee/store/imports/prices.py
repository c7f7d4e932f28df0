"""Prices per token in models.csv, with the tokens of each unit -> dollars of each unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import CostError

TOKENS = ("prompt_tokens", "completion_tokens")
# {column of models.csv: (per-unit cost that it is the price of, how many of it the price buys)}
PRICES = {
    f"usd_per_{size}_{tokens}": (tokens, number) for tokens in TOKENS for size, number in (("1k", 1e3), ("1m", 1e6))
}


@dataclass(frozen=True, slots=True)
class Prices:
    """What the tokens of a model cost.

    Attributes
    ----------
    what : str
        Where the prices stand, for messages.
    usd : {per-unit cost: float}
        Dollars for one prompt token and for one completion token.
    """

    what: str
    usd: Mapping[str, float]

    def dollars(self, unit_costs: Mapping[str, NDArray[np.float64]], log: str) -> NDArray[np.float64]:
        """Dollars of each unit, float64 [n], NaN where its tokens are.

        CostError if the log has no tokens, or has dollars already. log : the name of the log in messages.
        """
        if "usd" in unit_costs:
            raise CostError(
                f"{log} has usd of each unit, and {self.what} prices for its tokens; leave one out: the usd of the "
                f"log, or the prices"
            )
        if lacking := [tokens for tokens in self.usd if tokens not in unit_costs]:
            raise CostError(
                f"{self.what}: prices per token, but {log} has no {lacking[0]} of each unit; expected a column "
                f"{lacking[0]}, or usd in place of the prices"
            )
        return np.asarray(sum(unit_costs[tokens] * price for tokens, price in self.usd.items()))


def prices_in(row: Mapping[str, float], what: str) -> Prices | None:
    """The prices of a row of models.csv; None if it has none.

    row : {column: number} of the columns in PRICES that are filled. CostError unless each kind of token has one price.
    """
    usd: dict[str, float] = {}
    for column, price in row.items():
        tokens, number = PRICES[column]
        if tokens in usd:
            raise CostError(f"{what}: two prices of {tokens}; leave one out")
        usd[tokens] = price / number
    if usd and (lacking := set(TOKENS) - set(usd)):
        raise CostError(f"{what}: a price of {next(iter(usd))} and none of {lacking.pop()}; expected both, 0 if free")
    return Prices(what, usd) if usd else None
