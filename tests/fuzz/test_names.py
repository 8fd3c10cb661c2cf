"""A new public function or class has a fuzz case, or a reason here why it needs none."""

import inspect

import pytest
from fuzz.test_fuzz import CASES

import bayes_by_hypernet as bbh

MODULES = ("calibration", "callbacks", "data", "decisions", "layers", "likelihoods", "metrics")

# Names without a case of their own, and why.
HELD = "holds what a function returns; its checks are that function's"
OURS = "called by this package with what it has checked"
WITHOUT = {
    "GaussianPrediction": HELD,
    "Prediction": HELD,
    "Posterior": "made by `load`; its methods have cases",
    "export": "tests/fuzz/test_served.py",
    "data.Dataset": "checks its arrays by `data.validate_images`",
    "data.Examples": HELD,
    "data.Resolved": HELD,
    "data.validate": "checks its arrays by `data.validate_images`",
    "decisions.Abstention": HELD,
    "decisions.ConformalIntervals": HELD,
    "decisions.ConformalQuantiles": HELD,
    "decisions.ConformalSets": HELD,
    "likelihoods.GaussianPrediction": HELD,
    "likelihoods.Prediction": HELD,
    "likelihoods.Joint": OURS,
    "likelihoods.Likelihood": "the base class, without a loss",
    "likelihoods.known_terms_per_example": OURS,
    "likelihoods.losses_of_outputs": OURS,
    "likelihoods.of_model": OURS,
    "likelihoods.terms_per_example": OURS,
    "metrics.CalibrationBins": HELD,
    "metrics.QuantileCalibration": HELD,
    "metrics.RiskCoverageCurve": HELD,
}


def _public_names():
    names = [name for name in bbh.__all__ if not inspect.ismodule(getattr(bbh, name))]
    for module_name in MODULES:
        module = getattr(bbh, module_name)
        for name, value in vars(module).items():
            own = getattr(value, "__module__", "").startswith("bayes_by_hypernet")
            public = name in getattr(module, "__all__", ()) or (
                not hasattr(module, "__all__")
                and getattr(value, "__module__", "") == module.__name__
            )
            if public and own and callable(value) and not name.startswith("_"):
                names.append(f"{module_name}.{name}")
    return sorted(names)


@pytest.mark.parametrize("name", _public_names())
def test_has_a_case(name):
    tried = {case.name for case in CASES}
    assert (name in tried) != (name in WITHOUT), (
        f"bbh.{name} needs a case in tests/fuzz, or a reason in {__name__}.WITHOUT, not both"
    )


def test_exceptions_are_names():
    assert set(WITHOUT) <= set(_public_names())
