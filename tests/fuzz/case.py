"""A function with good arguments, of which one at a time is replaced by an odd value."""

import dataclasses
from collections.abc import Callable

import numpy as np
from fuzz.judge import Refused, answer_of, numbers_in


@dataclasses.dataclass(frozen=True)
class Case:
    """What is called.

    Attributes:
        name: As users write it, without `bbh.`.
        function: Called with keywords.
        arguments: Dict, good values.
        reference: Function of the same arguments that computes the answer in another way, from
            float64 arrays where arrays are given; None: there is none.
        kept: Names of arguments that are never replaced.
        also_named: Names that errors may use for the arguments.
        may_be_nan: Whether answers may hold NaN where all is well.
        refuses: Labels of clothes in which good numbers may be refused.
        rtol: How far answers may be from the plain value's, by rounding.
    """

    name: str
    function: Callable
    arguments: dict
    reference: Callable | None = None
    kept: tuple = ()
    also_named: tuple = ()
    may_be_nan: bool = False
    rtol: float = 1e-6
    refuses: tuple = ()

    @property
    def replaced(self):
        """The arguments that may be replaced."""
        return [name for name in self.arguments if name not in self.kept]

    def try_one(self, argument, odd):
        """Calls the function; returns "answered" or "refused", AssertionError where it is wrong."""
        names = (*self.arguments, *self.also_named)
        arguments = {**self.arguments, argument: odd.value}
        answer = answer_of(lambda: self.function(**arguments), names)
        if isinstance(answer, Refused):
            assert not odd.same or odd.label in self.refuses, (
                f"refused what holds the same numbers: {answer.error}"
            )
            return "refused"
        if odd.same:
            plain = answer_of(lambda: self.function(**self.arguments), names)
            for one, other in zip(numbers_in(answer), numbers_in(plain), strict=True):
                np.testing.assert_allclose(one, other, self.rtol, 1e-6)
        elif not self.may_be_nan:
            assert not any(np.isnan(array).any() for array in numbers_in(answer)), (
                f"answered NaN: {answer}"
            )
        if self.reference is not None:
            self._compare(answer, arguments)
        return "answered"

    def _compare(self, answer, arguments):
        as_numbers = {name: _like(self.arguments[name], value) for name, value in arguments.items()}
        with np.errstate(all="ignore"):
            expected = np.asarray(self.reference(**as_numbers), np.float64)
        # What large numbers leave of small ones is rounding.
        numbers = [value for value in as_numbers.values() if isinstance(value, np.ndarray)]
        largest = max(
            np.abs(value, where=np.isfinite(value), out=np.ones(value.shape)).max(initial=1.0)
            for value in numbers
        )
        if np.isfinite(expected).all():
            answer = np.asarray(answer, np.float64)
            np.testing.assert_allclose(answer, expected, 1e-6, 1e-6 + 1e-12 * largest)


def _like(good, value):
    """Returns what a reference computes with: arrays and floats, no fractions or frames."""
    if isinstance(good, np.ndarray):
        return np.asarray(value, np.float64)
    return float(value) if isinstance(good, float) else value
