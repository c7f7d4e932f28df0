"""Parquet files <-> aligned arrays. Rows are checked once on their way in (incoming.py), and when they are decoded.

May be added: a file format (readers/formats.py), another way in (imports/), a file system (storage/); no analysis, no
torch.
"""

from wisecommittee.reading import check_address_space

check_address_space(130 << 20, "the libraries of the store")  # with less, loading Arrow fails or aborts the process

from wisecommittee.store.logit_store import LogitStore, StoreLike, open_store  # noqa: E402

__all__ = ["LogitStore", "StoreLike", "open_store"]
