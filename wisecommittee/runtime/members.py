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
    """A callable that computes the outputs of a model, and how a runtime calls it.

    Parameters
    ----------
    call : callable or scikit-learn estimator
        Takes the inputs of n units and returns float [n, C], n answers, or `Outputs`. A coroutine function needs
        `Runtime.decide` or `Queues`, which await it and run other callables in threads.
    softmax : bool
        Apply a softmax to what `call` returns: for a committee that was chosen on probabilities of a model that returns
        logits.
    columns : tuple of int, optional
        The columns of [n, C] that the committee uses, in its order of the classes; by default all.
    batch_size : int, optional
        Most units in one call; by default the batch size of the runtime.
    each : bool
        Call it for one unit at a time, with an element of a list or a row of an array or table. It then returns
        float [C], an answer, or `Outputs` of that one unit.
    at_once : int, optional
        Most calls at the same time, in `Runtime.decide` and `Queues`; by default 8 for a coroutine function and 1 for
        another callable, since few models may be called from several threads.
    timeout : float, optional
        Most seconds for one call, after which the call has failed; by default no limit. A coroutine is cancelled then.
        Another function cannot be stopped: it goes on in its thread, and its result is thrown away.
    retries : int
        How many times a call is repeated that raised or ran out of time. A TypeError, AttributeError, NameError or
        NotImplementedError is not repeated, and neither are outputs of the wrong shape or that are not finite.
    backoff : float or callable
        Seconds before the first repetition, doubled for each further one and multiplied by a random number from 1/2 to
        1; or a function that takes the number of the repetition (1, 2, ..) and returns seconds.

    Raises
    ------
    UsageError
        A number is out of its range.
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
        """The member for a value of a runtime's `members`; kind : of its outputs, as of `Membership`."""
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
        """Whether the callable is a coroutine function (`async def`)."""
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
        """Seconds to wait before a repetition; repetition : its number, from 1."""
        if callable(self.backoff):
            return self.backoff(repetition)
        return self.backoff * 2 ** (repetition - 1) * (1 + random.random()) / 2
