"""Models and data -> store: each model runs once over a split and its logits are kept. Needs the extra `torch`.

May be added: a model source (models.py), a data source (data.py); each is one entry of a dict. No training, no search.
"""

from wisecommittee.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtraError("torch", "torch") from error
