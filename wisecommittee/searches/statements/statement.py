"""A statement about a committee on new units."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wisecommittee.tasks.task import agreement_with

BEST_SINGLE = "best_single"
OF_COST = ("average", "exceeding")


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A statement about a committee on new units: a figure of it is at least, or a cost at most, a number.

    Parameters
    ----------
    figure : str
        'accuracy' (of graded answers, the mean grade); 'agreement': the share of units for which the committee predicts
        what a model by itself predicts; 'precision': the share of units predicted as a class that have it as label;
        'recall': the share of units with a class as label that are predicted as it; 'average': a mean cost;
        'exceeding': the share of units that cost more than `limit`.
    number : float
        The number that the figure is compared with. Of a figure that is compared with a model's, the difference that is
        allowed: -0.01 for "accuracy >= best_single - 0.01".
    subject : str or None
        The model ('best_single': the most accurate by itself), the class, or the cost ('cost': the one searched).
    limit : float or None
        Of 'exceeding', in units of the cost.
    labels_from : str or None
        The model whose predictions are the labels: an accuracy is then agreement with that model.
    factor : float
        Of a figure that is compared with a model's: the multiple of it that is meant.
    reference : str or None
        Of 'average': the model that the mean cost is compared with.

    Examples
    --------
    >>> str(Guarantee("accuracy", -0.01, "best_single"))
    'accuracy >= best_single - 0.01'
    >>> str(Guarantee("average", 0.0, "usd", factor=0.38, reference="best_single"))
    'average_usd <= 0.38 * best_single'
    """

    figure: str
    number: float
    subject: str | None = None
    limit: float | None = None
    factor: float = 1.0
    reference: str | None = None
    labels_from: str | None = None

    @property
    def of_cost(self) -> bool:
        return self.figure in OF_COST

    @property
    def needs_labels(self) -> bool:
        return self.figure in ("accuracy", "precision", "recall")

    @property
    def model(self) -> str | None:
        """The model that the committee is compared with, if the statement names one."""
        return self.subject if self.figure in ("accuracy", "agreement") else self.reference

    def about(self, searched: str) -> str:
        """The name of the cost that the statement is about; 'cost' stands for the cost that is searched."""
        return searched if self.subject == "cost" else str(self.subject)

    def at_margin(self, margin: float) -> Guarantee:
        """The statement with another margin: FIGURE >= LIMIT - margin, or COST <= LIMIT + margin.

        The limit is the model's figure, times the factor, where there is one, and the number of this statement
        elsewhere.
        """
        if self.figure == "accuracy" and self.subject:
            return self.with_number(-margin)
        return self.with_number(self.number + margin if self.of_cost else self.number - margin)

    def with_number(self, number: float) -> Guarantee:
        return replace(self, number=number)

    @property
    def left(self) -> str:
        """The figure, as it stands on the left side."""
        if self.figure == "exceeding":
            return f"P({self.subject} > {_written(self.limit or 0.0)})"
        accuracy = "accuracy" if self.labels_from is None else agreement_with(self.labels_from)
        left = {"accuracy": accuracy, "average": f"average_{self.subject}"}.get(self.figure)
        if left is not None:
            return left
        trusted = f" by labels from {self.labels_from}" if self.labels_from and self.needs_labels else ""
        return f"{self.figure} {'with' if self.figure == 'agreement' else 'of'} {self.subject}{trusted}"

    def __str__(self) -> str:
        sign = "<=" if self.of_cost else ">="
        if self.figure == "agreement" or self.model is None:
            return f"{self.left} {sign} {_written(self.number)}"
        multiple = "" if self.factor == 1 else f"{_written(self.factor)} * "
        margin = f" {'+' if self.number > 0 else '-'} {_written(abs(self.number))}" if self.number else ""
        return f"{self.left} {sign} {multiple}{self.model}{margin}"


def _written(number: float) -> str:
    """A number to twelve digits: 0.01, 4e9."""
    plain = f"{number:.12g}"
    digits, _, power = f"{number:.11e}".partition("e")
    short = f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return short if len(short) < len(plain) and abs(number) >= 1 else plain
