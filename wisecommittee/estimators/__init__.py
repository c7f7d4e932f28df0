"""Committees as scikit-learn estimators: `fit` cross-fits outputs, searches and chooses. Needs the extra `sklearn`.

May be added: an estimator of another kind of prediction. Searches are those of searches/, predictions those of
runtime/.
"""

from wisecommittee.errors import MissingExtraError

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise MissingExtraError("scikit-learn", "sklearn") from error
