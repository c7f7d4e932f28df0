"""Parquet files <-> aligned arrays. Everything that enters or leaves is checked at this gate, and nowhere else.

May be added: another way in (importing.py) or another file system (files.py); no analysis, no torch.
"""

from wisecommittee.store.logit_store import LogitStore

__all__ = ["LogitStore"]
