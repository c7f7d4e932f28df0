"""The files of a store: in a folder, or on an object store named by a URI."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wisecommittee.errors import UsageError, option
from wisecommittee.store.storage.files import Files
from wisecommittee.store.storage.local import LocalFiles
from wisecommittee.store.storage.object_store import ObjectFiles


def open_files(root: str | os.PathLike[str]) -> Files:
    """The files below a folder, or below an s3:// or gs:// URI."""
    given = os.fspath(root)
    if not given or "\0" in given:
        raise UsageError(f"store {given!r}: expected a folder or a URI; name one with {option('store')}")
    uri = _without_credentials(given)
    try:
        if "://" in given and not given.startswith("file://"):
            return ObjectFiles(uri, given)
        path = unquote(urlsplit(given).path) if given.startswith("file://") else given
        return LocalFiles(uri, Path(path).expanduser().absolute())
    except Exception as error:  # pyarrow raises its own and OSError kinds, pathlib RuntimeError
        reason = str(error).replace(given, uri)
        raise UsageError(f"store {uri!r}: {reason}; expected a folder or s3://BUCKET/FOLDER") from error


def _without_credentials(uri: str) -> str:
    return re.sub("^([^/]+://)[^/@]*@", r"\1", uri)
