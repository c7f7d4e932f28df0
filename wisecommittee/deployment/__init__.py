"""A committee at work: its torch modules on real inputs, stage by stage on the units that are left, and how fast.

May be added: another way to run the same decisions. What a committee decides is defined by searches/evaluate.py; the two
are compared unit for unit in the tests. Needs the extra `torch`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """This package is also the public function of the same name: `wc.deploy(committee)`."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from wisecommittee.deployment.deploy import deploy

        return deploy(*args, **options)


sys.modules[__name__].__class__ = _Callable
