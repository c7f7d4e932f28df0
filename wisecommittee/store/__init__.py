"""Parquet files <-> aligned arrays. Everything that enters or leaves is checked at this gate, and nowhere else.

May be added: another way in (importing.py) or another file system (files.py); no analysis, no torch.
"""

from wisecommittee.reading import check_address_space

check_address_space(256 << 20)  # what pyarrow takes; with less it ends the process without a word

from wisecommittee.store.logit_store import LogitStore  # noqa: E402

__all__ = ["LogitStore"]
