"""The inputs that a served committee takes, checked before they meet those of other requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wisecommittee.errors import ContentError, CorruptImageError
from wisecommittee.serving.refusal import Refusal


class Taken(NamedTuple):
    """inputs : of n units, as the runtime takes them; units : n; size : bytes in memory."""

    inputs: Any
    units: int
    size: int


@dataclass(frozen=True, slots=True)
class Takes:
    """The inputs that a committee takes.

    Parameters
    ----------
    shape : tuple of int or None
        Of the numbers of one unit; None if its members do not take the same numbers.
    pictures : bool
        Whether its members prepare images.
    of_numbers : callable
        From float32 [n, *shape] to the inputs of the runtime.
    """

    shape: tuple[int, ...] | None
    pictures: bool = False
    of_numbers: Callable[[NDArray[np.float32]], Any] = lambda numbers: numbers

    def numbers(self, given: NDArray[Any]) -> Taken:
        """Inputs from the numbers of n units; Refusal (422) for others than the members take."""
        is_picture = given.dtype == np.uint8 and (given.ndim == 3 or (given.ndim == 4 and given.shape[-1] in (1, 3, 4)))
        if self.pictures and is_picture and given.shape[1:] != self.shape:
            self._check(given, len(given) > 0)
            return Taken(list(given), len(given), given.nbytes)
        fits = given.dtype.kind in "fiu" and self.shape is not None and given.shape[1:] == self.shape
        self._check(given, fits and len(given) > 0)
        with np.errstate(over="ignore"):
            numbers = np.array(given, np.float32, order="C")  # a copy, since torch takes no read-only arrays
        if not np.isfinite(numbers).all():
            unit = int(np.flatnonzero(~np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1))[0])
            raise Refusal(422, f"inputs: unit {unit} has numbers that are not finite in 32 bits")
        return Taken(self.of_numbers(numbers), len(numbers), numbers.nbytes)

    def picture(self, body: bytes) -> Taken:
        """Inputs from an encoded image; Refusal: 415 where the members prepare no images, 422 where it is damaged."""
        if not self.pictures:
            raise Refusal(415, f"the members prepare no images; send {self.words}")
        from wisecommittee.extraction.data.images import decode

        try:
            image = decode(body)
        except CorruptImageError as error:
            raise Refusal(422, f"the image cannot be decoded ({error})") from error
        return Taken([image], 1, 3 * image.width * image.height)

    def example(self, units: int) -> Any:
        """Inputs of so many units, all of them zeros or black."""
        if self.shape is not None:
            return self.of_numbers(np.zeros((units, *self.shape), np.float32))
        return [np.zeros((256, 256, 3), np.uint8)] * units

    @property
    def words(self) -> str:
        """What to send."""
        kinds = [] if self.shape is None else [f"numbers of shape {['n', *self.shape]}".replace("'", "")]
        kinds += ["images (image/jpeg, image/png, or uint8 [n, H, W, 3] in .npy)"] if self.pictures else []
        return " or ".join(kinds)

    def _check(self, given: NDArray[Any], fits: bool) -> None:
        if not fits:
            empty = ", which holds no unit" if given.shape[:1] == (0,) else ""
            raise Refusal(422, f"inputs: {given.dtype} of shape {list(given.shape)}{empty}; expected {self.words}")


def numbers_of_json(value: Any) -> NDArray[Any]:
    """An array of nested lists of numbers; Refusal (422) for anything else."""
    try:
        numbers = np.array(value)
    except (ValueError, OverflowError):
        raise Refusal(422, "inputs: lists of different lengths; expected the same shape for every unit") from None
    if not isinstance(value, list) or numbers.dtype.kind not in "fiu":
        raise Refusal(422, "inputs: expected nested lists of numbers, one list for each unit")
    return numbers


def numbers_of_npy(body: bytes) -> NDArray[Any]:
    """The array in a .npy file; Refusal (422) for anything else. Nothing is unpickled."""
    from wisecommittee.store.readers.arrays import npy_in

    try:
        return npy_in(body, "inputs")
    except ContentError as error:
        raise Refusal(422, str(error)) from error
