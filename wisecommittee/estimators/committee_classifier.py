"""CommitteeClassifier: classifiers of scikit-learn, run one after another until one of them is sure enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble._base import _BaseHeterogeneousEnsemble
from sklearn.model_selection import check_cv
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from wisecommittee.committees.committee import Committee
from wisecommittee.errors import UsageError, WiseCommitteeError, option
from wisecommittee.estimators.fitting import fit_committee
from wisecommittee.estimators.table import frontier_table
from wisecommittee.runtime import Decisions, Runtime
from wisecommittee.searches.every_budget import EveryBudget
from wisecommittee.searches.expected import Expected

if TYPE_CHECKING:
    import pandas as pd


class CommitteeClassifier(ClassifierMixin, _BaseHeterogeneousEnsemble):
    """A cascade or an ensemble of classifiers, the most accurate within an average cost of a sample.

    `fit` computes what every estimator says of samples that it was not fitted to, searches all cascades and ensembles
    of these outputs, keeps the one that is chosen within every budget, and fits the estimators to all samples.
    `predict` runs an estimator only on the samples that reach its stage.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Classifiers with `predict_proba`; 'drop' in place of one leaves it out.
    costs : {name: number}, optional
        Cost of one sample of each estimator, in any unit. By default it is measured once in `fit`: milliseconds of
        `predict_proba` for each of up to 1,000 samples in one call. What is then chosen depends on the machine.
    max_cost : float, optional
        The most that a sample may cost on average. `set_params(max_cost=..)` chooses anew without fitting anything.
        By default there is no limit: the most accurate committee.
    target_accuracy : float, optional
        Instead of `max_cost`: the cheapest committee that is expected to reach this accuracy, 0 to 1.
    cv : int, splitter, iterable or 'prefit', optional
        Folds that each sample's outputs are computed without; by default 5, stratified. 'prefit': the estimators are
        fitted already, and `fit` is given samples that none of them has seen.
    policy : str
        What decides when a sample exits: 'thresholds', or another policy of `wisecommittee.Query`.
    confidence, combine : str
        As of `wisecommittee.Query`: 'max_prob', 'prob_gap', 'logit_gap' or 'neg_entropy'; 'mean_probs', 'mean_logits'
        or 'last'.
    max_models : int
        Most estimators of a committee.
    levels : int
        Thresholds that are tried for each stage.
    random_state : int, RandomState or None
        Of the division of the samples into the folds that `expected_` rests on.
    n_jobs : int, optional
        Processes that fit the estimators, and threads of the search.

    Attributes
    ----------
    classes_ : [C]
    estimators_ : list of estimator
        Fitted to all samples, without those that are dropped.
    named_estimators_ : {name: estimator}
    costs_ : {name: float}
    committee_ : Committee
        The choice for the present `max_cost` or `target_accuracy`; `committee_.save(path)` writes a committee.json.
    expected_ : Expected or None
        Accuracy and average cost of the choice on new samples, cross-fitted, with 95 % intervals. They are of
        estimators that were fitted without a fold, to fewer samples than `estimators_`, and mostly a little low.
        Intervals are of new samples and of the choice, not of fitting anew, as is usual of cross-validation: they hold
        somewhat less often than they say (docs/scikit-learn.md). Samples are taken to be independent. None with fewer
        than 4 samples.
    frontier_ : DataFrame
        Every choice that some `max_cost` leads to, and every estimator by itself (estimators/table.py).
    n_features_in_ : int
    feature_names_in_ : text [n_features_in_]
        Where X is a table with names.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_digits(return_X_y=True)
    >>> estimators = [("nb", GaussianNB()), ("lr", LogisticRegression(max_iter=5000))]
    >>> committee = CommitteeClassifier(estimators, {"nb": 1, "lr": 10}, max_cost=6).fit(X, y)
    >>> committee.committee_.label()
    'nb | lr'
    >>> bool(committee.cost(X).mean() <= committee.set_params(max_cost=None).cost(X).mean())
    True
    """

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        costs: Mapping[str, float] | None = None,
        *,
        max_cost: float | None = None,
        target_accuracy: float | None = None,
        cv: Any = None,
        policy: str = "thresholds",
        confidence: str = "max_prob",
        combine: str = "mean_probs",
        max_models: int = 4,
        levels: int = 100,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(estimators)
        self.costs = costs
        self.max_cost, self.target_accuracy = max_cost, target_accuracy
        self.cv = cv
        self.policy, self.confidence, self.combine = policy, confidence, combine
        self.max_models, self.levels = max_models, levels
        self.random_state, self.n_jobs = random_state, n_jobs

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Search the committees of the estimators, and fit the estimators.

        Parameters
        ----------
        X : n samples
            Whatever the estimators take: an array, a sparse matrix, a table, a list of texts.
        y : [n]
            Classes.
        **fit_params
            `sample_weight` [n] goes to the fit of every estimator. The choice of the committee and its figures count
            every sample once. Where metadata routing is enabled, what the estimators and `cv` request; `groups` of a
            splitter stay whole in the folds of `expected_` too.

        Returns
        -------
        self

        Raises
        ------
        UsageError
            An estimator has no `predict_proba`, a cost is missing, or an option is not valid; a ValueError.
        InfeasibleError
            No committee keeps `max_cost` or is expected to reach `target_accuracy`.
        """
        self._validate_estimators()
        validate_data(self, X, skip_check_array=True)
        done = fit_committee(self, X, y, fit_params)
        self.classes_, self.named_estimators_, self.costs_ = done.classes, done.members, done.costs
        self.estimators_ = list(done.members.values())
        self._every_budget = done.every_budget
        self._choice()
        return self

    @property
    def committee_(self) -> Committee:
        return self._every_budget_of_fit().committee(self._choice())

    @property
    def expected_(self) -> Expected | None:
        every, place = self._every_budget_of_fit(), self._choice()
        return every.expected[place] if every.expected else None

    @property
    def frontier_(self) -> pd.DataFrame:
        return frontier_table(self._every_budget_of_fit())

    def decide(self, X: Any) -> Decisions:
        """Run the committee, each stage on the samples that no earlier stage was sure of.

        Parameters
        ----------
        X : n samples

        Returns
        -------
        Decisions
            `prediction` int64 [n] into `classes_`, `stage` [n] from 0, `confidence` [n], `probabilities` [n, C], `ran`
            [n, K].
        """
        check_is_fitted(self)
        (rows,) = indexable(X)
        samples = _num_samples(rows)
        if not samples:
            raise UsageError("X has 0 sample(s); a minimum of 1 is required")
        chosen = self.committee_
        members = {name: self.named_estimators_[name] for name in chosen.models}
        try:
            return Runtime(chosen, members, batch_size=samples)(rows)
        except WiseCommitteeError as error:
            raise _of_estimator(error) from None

    def predict(self, X: Any) -> NDArray[Any]:
        """[n]: the classes of n samples."""
        prediction = self.decide(X).prediction
        return np.asarray(self.classes_[prediction])

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """float32 [n, C]: for each sample the combined probabilities of the estimators that ran on it."""
        probabilities = self.decide(X).probabilities
        assert probabilities is not None, "members give probabilities"
        return probabilities

    def stages(self, X: Any) -> NDArray[np.int64]:
        """int64 [n]: the stage of `committee_`, from 0, at which each sample exits."""
        return self.decide(X).stage

    def cost(self, X: Any) -> NDArray[np.float64]:
        """float64 [n]: the cost of the estimators that run on each sample."""
        decisions = self.decide(X)
        of_stage = [sum(self.costs_[name] for name in stage) for stage in self.committee_.stages]
        return np.asarray(decisions.ran @ np.array(of_stage), np.float64)

    def get_metadata_routing(self) -> MetadataRouter:
        """What the estimators and the splitter request (scikit-learn's metadata routing)."""
        router, fits = MetadataRouter(owner=self), MethodMapping().add(caller="fit", callee="fit")
        for name, estimator in self.estimators:
            if not isinstance(estimator, str):
                router.add(**{name: estimator}, method_mapping=fits)
        if self.cv != "prefit":
            router.add(splitter=check_cv(self.cv), method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router

    def _choice(self) -> int:
        """The place of the present choice among those for every budget."""
        if self.max_cost is not None and self.target_accuracy is not None:
            raise UsageError(
                f"{option('max_cost', self.max_cost)} and {option('target_accuracy', self.target_accuracy)}: choose one"
            )
        every = self._every_budget_of_fit()
        if self.target_accuracy is not None:
            return every.reaching(self.target_accuracy)
        return len(every.choices) - 1 if self.max_cost is None else every.within(self.max_cost)

    def _every_budget_of_fit(self) -> EveryBudget:
        check_is_fitted(self)
        return self._every_budget


def _of_estimator(error: BaseException) -> BaseException:
    """The error that an estimator raised, which the runtime wraps; else the error itself."""
    while isinstance(error, WiseCommitteeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
