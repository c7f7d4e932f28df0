"""Parquet files <-> aligned arrays. Everything that enters or leaves is checked at this gate, and nowhere else.

May be added: another way in (importing.py) or another file system (files.py); no analysis, no torch.
"""

from wisecommittee.reading import check_address_space

check_address_space(130 << 20, "the libraries of the store")  # where it is not to be had, loading Arrow fails or aborts

from wisecommittee.store.logit_store import LogitStore, StoreLike, open_store  # noqa: E402

__all__ = ["LogitStore", "StoreLike", "open_store"]
