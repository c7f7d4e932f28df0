"""Models and data -> store: each model runs once over a split and its logits are kept. Needs the extra `torch`.

May be added: a model source (models/spec.py), a data source (data/spec.py); each is one entry of a dict. No training,
no search.
"""

from wisecommittee.errors import MissingExtraError

try:
    import PIL  # noqa: F401
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    packages = {"torch": "torch", "PIL": "pillow"}
    if error.name not in packages:
        raise
    raise MissingExtraError(packages[error.name], "torch") from error
