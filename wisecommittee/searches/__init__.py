"""From stored outputs to the exact frontier: exit tables, exhaustive search, evaluation, honest intervals.

May be added: another search method over the same tables. A cascade is evaluated in one place only, evaluate.py.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """This package is also the public function of the same name: `wc.search(store)` is `search(store)`.

    Importing any module below would otherwise put the package in the function's place.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        from wisecommittee.searches.search import search

        return search(*args, **options)


sys.modules[__name__].__class__ = _Callable
