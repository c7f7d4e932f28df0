"""Members as callables, and how they are called."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from wisecommittee.errors import UsageError
from wisecommittee.runtime.estimators import called, is_estimator
from wisecommittee.runtime.outputs import Outputs

__all__ = ["Member", "Outputs"]
COROUTINE = 0x80  # flag of the code of a coroutine function (inspect.CO_COROUTINE)
CALLS_AT_ONCE = 8  # of a coroutine function


@dataclass(frozen=True, slots=True)
class Member:
    """A model of a committee: a callable, and how it is called.

    A time-out ends a call of a coroutine function. A call of another function cannot be ended: it goes on in its
    thread, and what it returns is not used.

    Parameters
    ----------
    call : callable or scikit-learn estimator
        From the inputs of n units to float [n, C], to n answers, or to `Outputs`. A coroutine function is awaited
        (`Runtime.decide`, `Queues`); others run in threads there.
    softmax : bool
        Put a softmax behind a model that was chosen on its probabilities and gives logits.
    columns : sequence of int, optional
        The outputs that the committee uses; by default all.
    batch_size : int, optional
        Most units in a call; by default that of the runtime.
    each : bool
        Call it for each unit by itself: with an element of a list, a row of an array or a table; it returns float [C],
        an answer, or `Outputs` of that unit.
    at_once : int, optional
        Most calls at the same time; by default 8 of a coroutine function, and 1 of another, since few models may be
        called from several threads.
    timeout : float, optional
        Most seconds of a call; by default no limit.
    retries : int
        How often a failed call is repeated: one that raised or ran out of time. Not after a TypeError, AttributeError,
        NameError or NotImplementedError, nor after outputs that cannot be used.
    backoff : float or callable
        Seconds before the first repetition, doubled before each further one, times a random number from 1/2 to 1; or a
        function from the number of the repetition, from 1, to seconds.
    """

    call: Callable[[Any], Any]
    softmax: bool = False
    columns: tuple[int, ...] | None = None
    batch_size: int | None = None
    each: bool = False
    at_once: int | None = None
    timeout: float | None = None
    retries: int = 0
    backoff: float | Callable[[int], float] = 0.5

    def __post_init__(self) -> None:
        for name in ("batch_size", "at_once"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"{name} {value}: expected at least 1")
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise UsageError(f"timeout {self.timeout}: expected seconds above 0, or None")
        if self.retries < 0 or (not callable(self.backoff) and not 0 <= self.backoff < math.inf):
            raise UsageError(f"retries {self.retries}, backoff {self.backoff}: expected numbers from 0")

    @classmethod
    def of(cls, name: str, given: Any, kind: str) -> Member:
        """A member from what the caller of a runtime names; kind : 'logits', 'probabilities' or 'answers'."""
        member = given if isinstance(given, Member) else cls(given)
        if is_estimator(member.call):
            return replace(member, call=called(name, member.call, kind))
        if not callable(member.call):
            raise UsageError(
                f"{name}: a {type(member.call).__name__}; expected a callable from inputs to outputs, or an estimator "
                f"with predict_proba or decision_function"
            )
        return member

    @property
    def is_coroutine(self) -> bool:
        """Whether the callable is a coroutine function."""
        call: Any = self.call
        while hasattr(call, "func") and not hasattr(call, "__code__"):
            call = call.func  # functools.partial
        code = getattr(call, "__code__", None) or getattr(type(call).__call__, "__code__", None)
        return bool(getattr(code, "co_flags", 0) & COROUTINE)

    @property
    def most_calls(self) -> int:
        """Most calls at the same time."""
        return self.at_once or (CALLS_AT_ONCE if self.is_coroutine else 1)

    def pause(self, repetition: int) -> float:
        """Seconds before the repetition of that number, from 1."""
        if callable(self.backoff):
            return self.backoff(repetition)
        return self.backoff * 2 ** (repetition - 1) * (1 + random.random()) / 2
