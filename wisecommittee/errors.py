"""Everything that can go wrong, as one tree. Messages name the thing, the value, the expectation and the remedy.

WiseCommitteeError            exit code 1: it could not be done
├── UsageError                exit code 2: the request is wrong, whatever the store holds
│   └── UnknownNameError      a name that is not in its dict; lists the known ones, suggests the nearest
├── AbsentError               what was named or is needed is not there: a file, a replica, a calibration
│   └── AbsentNameError       a name that the store (or a file) does not hold; lists those it does
├── StoreError                the store, or something on its way into it, is not as it must be
│   ├── AlignmentError        units of a model and of its split do not correspond one to one
│   ├── ContentError          the values are wrong: NaN, another number of classes, rows that are no probabilities
│   │   └── MemberError       a member of a running committee raised, ran out of time, or gave wrong values
│   └── BusyError             another process is writing the same model
├── CommitteeError            a committee.json that is malformed or belongs to other models
├── InfeasibleError           no committee meets the constraints
│   └── StoppedError          exit code 130: none that was found before Ctrl-C does
├── CostError                 a cost is missing, not a number, not positive, or too large to count exactly
├── CorruptImageError         bytes that are no image, or not a whole one, or one larger than Pillow's limit
├── OutOfMemoryError          a device has no room for the weights of a model
├── DivergedError             a training's loss is no number any more
├── OverloadError             more units wait for a running committee than may, or it takes no more of them
├── TrustError                code named by a file, not by the caller, would run
└── MissingExtraError         an optional dependency is not installed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_flags = False  # whether messages name options as the command line does


def option(name: str, value: object = None, *, placeholder: str = "", flag: str = "") -> str:
    """An option as the caller gives it: in Python `max_models=`, on the command line `--max-models`.

    Parameters
    ----------
    name
        The parameter's name in Python.
    value
        The value to show with it: `axis='p99'` or `--axis p99`; True is shown as `exact=True` or `--exact`.
    placeholder
        A word that stands for a value: `macs=N` or `--macs N`.
    flag
        Its name on the command line, if another one: `names=` is `--name`, of "name".
    """
    flag = "--" + (flag or name).replace("_", "-")
    if value is None:
        text = f"{flag} {placeholder}" if _flags else f"{name}={placeholder}"
    elif value is True:
        text = flag if _flags else f"{name}=True"
    else:
        text = f"{flag} {value}" if _flags else f"{name}={value!r}"
    return text.rstrip()


@contextmanager
def options_as_flags() -> Iterator[None]:
    """A block in which messages name options as the command line does."""
    global _flags
    before, _flags = _flags, True
    try:
        yield
    finally:
        _flags = before


class WiseCommitteeError(Exception):
    """Base of all errors a user can cause or mend; the command line prints it as one line."""

    exit_code = 1


class UsageError(WiseCommitteeError, ValueError):
    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not in its dict.

    >>> raise UnknownNameError("confidence", "maxprob", ["max_prob", "prob_gap"])
    Traceback (most recent call last):
    wisecommittee.errors.UnknownNameError: unknown confidence 'maxprob'; did you mean 'max_prob'? Known: max_prob,
    prob_gap
    """

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        super().__init__(_unknown(noun, name, known))


class AbsentError(WiseCommitteeError):
    pass


class AbsentNameError(AbsentError):
    """As UnknownNameError, for names that depend on the content of a store or file."""

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        super().__init__(_unknown(noun, name, known))


def _unknown(noun: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = nearest(name, names)
    hint = f"did you mean {near!r}? " if near else ""
    shown = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    return f"unknown {noun} {name!r}; {hint}Known: {shown or '(none)'}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that is likely meant."""
    import difflib

    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.4)), None)


class StoreError(WiseCommitteeError):
    pass


class AlignmentError(StoreError):
    pass


class ContentError(StoreError):
    pass


class MemberError(ContentError):
    pass


class BusyError(StoreError):
    pass


class CommitteeError(WiseCommitteeError):
    pass


class InfeasibleError(WiseCommitteeError):
    pass


class StoppedError(InfeasibleError):
    exit_code = 130


class CostError(WiseCommitteeError):
    pass


class CorruptImageError(WiseCommitteeError):
    pass


class OutOfMemoryError(WiseCommitteeError):
    pass


class DivergedError(WiseCommitteeError):
    pass


class OverloadError(WiseCommitteeError):
    pass


class TrustError(WiseCommitteeError):
    pass


class MissingExtraError(WiseCommitteeError):
    """An optional dependency is missing; names the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'wisecommittee[{extra}]'")


def first_line(error: BaseException) -> str:
    """The first line of the message of another library's error, for quotation; the name of its class if it has no
    message."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """'1 model', '25,000 models'."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
