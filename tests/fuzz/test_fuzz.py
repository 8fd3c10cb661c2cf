"""Odd values in place of every argument: the right answer, or a sentence on what is wrong."""

import pytest
from fuzz import arrays, calls, constructors
from fuzz.odd import odd_values
from hypothesis import given, note, settings
from hypothesis import strategies as st

CASES = [*arrays.CASES, *constructors.CASES, *calls.CASES]
PAIRS = [(case, name) for case in CASES for name in case.replaced]
# Functions that take a microsecond are tried more often than those that build networks.
FAST = ("metrics", "decisions", "calibration")


@pytest.mark.parametrize("case, argument", PAIRS, ids=[f"{c.name}-{a}" for c, a in PAIRS])
def test_answers_or_says_what_is_wrong(case, argument):
    factor = 3 if case.name.split(".")[0] in FAST else 1

    @settings(max_examples=factor * settings().max_examples)
    @given(data=st.data())
    def run(data):
        odd = data.draw(odd_values(case.arguments[argument]))
        note(f"{case.name}({argument}={odd.value!r}), {odd.label}")
        case.try_one(argument, odd)

    run()
