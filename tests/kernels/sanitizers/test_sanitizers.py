"""The numerics of the C++ operations under sanitizers; `random_cases.py` is the long form."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
import random_cases  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(harness.SANITIZERS))
def test_random_cases(kind, tmp_path):
    if reason := harness.reason_to_skip(kind, tmp_path):
        pytest.skip(reason)
    sets = harness.available_sets()
    # Races do not depend on the instruction set, and compiling takes most of the time.
    sets = sets if kind == "memory" else sets[-1:]
    program = harness.compile_harness(tmp_path, kind, sets)
    counts, findings = random_cases.fuzz(program, sets, 200, 1, tmp_path)
    assert not findings, "\n".join(findings)
    assert set(counts) == set(harness.OPERATIONS)
