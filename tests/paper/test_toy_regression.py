"""The toy regression in small: settings, fits, measures, and the folder that keeps them."""

import json

import numpy as np
import pytest
from scipy import special, stats

from bayes_by_hypernet.data import toy
from bayes_by_hypernet.likelihoods import Gaussian
from bayes_by_hypernet.paper import methods, toy_regression
from bayes_by_hypernet.paper.networks import TOY
from bayes_by_hypernet.paper.toy_regression import GRID, Results, make_settings
from bayes_by_hypernet.prediction import GaussianPrediction
from bayes_by_hypernet.training import NonFiniteLossError

GAUSSIAN = Gaussian(3.0)
CURVES = {"mean": np.zeros(len(GRID)), "std": np.ones(len(GRID))}


class TestSettings:
    def test_are_the_protocols(self):
        bbh, dropout, mnf = (
            make_settings(name, None, 42, 100) for name in ("bbh", "dropout", "mnf")
        )
        assert (bbh["num_steps"], bbh["learning_rate"]) == (20_000, 1e-4)
        for settings in (dropout, mnf):
            assert (settings["num_steps"], settings["learning_rate"]) == (5000, 1e-2)
        assert (mnf["annealing_start_step"], mnf["annealing_steps"]) == (500, 1500)
        assert dropout["annealing_start_step"] is dropout["annealing_steps"] is None
        assert make_settings("ensemble", 5000, 42, 100)["options"]["num_members"] == 10
        assert bbh["options"]["kl_estimator"] == "kernel_independent"
        assert dropout["options"]["rate"] == 0.5

    def test_annealing_keeps_its_share_of_a_shorter_training(self):
        settings = make_settings("mnf", 100, 42, 100)
        assert (settings["annealing_start_step"], settings["annealing_steps"]) == (10, 30)


class TestMeasures:
    def test_log_likelihood_is_that_of_a_mixture_of_gaussians(self):
        rng = np.random.default_rng(0)
        labels, samples = rng.normal(0, 9, (7, 1)), rng.normal(0, 9, (5, 7, 1))
        densities = [
            np.mean([stats.norm.pdf(y, sample[i, 0], 3) for sample in samples])
            for i, y in enumerate(labels[:, 0])
        ]
        ours = toy_regression.log_likelihood(GAUSSIAN, labels, samples)
        np.testing.assert_allclose(ours, np.mean(np.log(densities)), rtol=1e-12)

    def test_log_likelihood_of_what_no_float_holds(self):
        samples = np.array([0.0, 300.0]).reshape(2, 1, 1)  # densities of e^-5000 and 0
        ours = toy_regression.log_likelihood(GAUSSIAN, np.full((1, 1), -300.0), samples)
        logs = stats.norm.logpdf(-300, [0, 300], 3)
        np.testing.assert_allclose(ours, special.logsumexp(logs) - np.log(2), rtol=1e-12)

    def test_of_the_true_function_is_the_noises_entropy_and_has_no_band(self):
        def predict(x):
            y = toy.true_function(x.astype(np.float64))
            return GaussianPrediction(y, 0 * y, np.stack([y, y]))

        measures = toy_regression.measure(GAUSSIAN, predict, toy.load(0))
        entropy = stats.norm.entropy(scale=3)
        for region in ("inside", "outside"):
            # Five standard errors of half a squared normal, sqrt(1 / 2) each, over 200 points.
            assert abs(measures[f"log_likelihood_{region}"] + entropy) < 5 * np.sqrt(0.5 / 200)
            assert measures[f"band_{region}"] == 0

    def test_bands_are_of_their_region(self):
        def predict(x):
            std = np.where(np.abs(x) > 4, 7.0, 2.0)
            return GaussianPrediction(0 * std, std, np.zeros((1, *x.shape)))

        measures = toy_regression.measure(GAUSSIAN, predict, toy.load(0))
        assert (measures["band_inside"], measures["band_outside"]) == (2, 7)


class TestRun:
    def test_map_learns_and_has_no_band(self, tmp_path):
        settings = make_settings("map", 400, 3, 2)
        numbers, curves = toy_regression.run("map", settings, tmp_path)
        assert not list(tmp_path.iterdir())
        y = toy.load(42).inside.labels
        of_the_mean = stats.norm.logpdf(y, y.mean(), 3).mean()
        assert numbers["log_likelihood_inside"] > of_the_mean / 2
        assert numbers["train_nll"] < -of_the_mean / 2
        assert numbers["band_inside"] == 0 and not curves["std"].any()
        assert curves["mean"].shape == (len(GRID),)
        assert curves["mean"][-1] > curves["mean"][0]
        json.dumps(numbers)

    def test_follows_from_its_seed(self, tmp_path):
        def run(seed):
            return toy_regression.run("dropout", make_settings("dropout", 5, seed, 3), tmp_path)[1]

        first, again, other = run(3), run(3), run(4)
        for name in ("mean", "std"):
            np.testing.assert_array_equal(first[name], again[name])
            assert (first[name] != other[name]).any()
        assert first["std"].min() >= 0 and first["std"].max() > 0

    def test_every_member_of_an_ensemble_is_fitted(self, tmp_path):
        method = methods.get("ensemble")
        ensemble = method(TOY, method.Options(num_members=2))
        variables = [v for m in ensemble.members.values() for v in m.fitted_variables]
        before = [v.numpy() for v in variables]
        settings = make_settings("ensemble", 3, 3, 2)
        nll = toy_regression.fit("ensemble", ensemble, settings, toy.load(0).train, tmp_path)
        assert nll > 0
        for old, new in zip(before, variables, strict=True):
            assert (old != new.numpy()).any()

    def test_a_loss_that_is_not_finite_is_an_error(self, tmp_path):
        settings = make_settings("map", 5, 3, 2) | {"learning_rate": 1e30}
        with pytest.raises(NonFiniteLossError, match="map: .* between steps 0 and 5"):
            toy_regression.run("map", settings, tmp_path)


WHOLE = dict.fromkeys(toy_regression.MEASURES, 1.0)  # what each method's numbers hold


class TestFolder:
    @pytest.fixture
    def runs(self, monkeypatch):
        """Names of the methods that were run; 'mnf' fails, the others give a number and curves."""
        names = []

        def run(name, settings, directory):
            names.append(name)
            if name == "mnf":
                raise NonFiniteLossError("broken")
            return {**WHOLE, "settings": settings, "number": len(names)}, CURVES

        monkeypatch.setattr(toy_regression, "run", run)
        return names

    def test_a_failure_loses_no_other_method(self, tmp_path, runs):
        results, errors = toy_regression.run_all(tmp_path, ["map", "mnf", "bbh"])
        assert runs == ["map", "mnf", "bbh"] and list(errors) == ["mnf"]
        assert list(results.numbers) == ["map", "bbh"]
        there = Results(tmp_path)
        assert there.numbers["bbh"]["number"] == 3
        assert set(there.curves) == {"map_mean", "map_std", "bbh_mean", "bbh_std"}

    def test_what_is_finished_is_skipped_unless_settings_change_or_overwrite(self, tmp_path, runs):
        toy_regression.run_all(tmp_path, ["map", "bbh"])
        toy_regression.run_all(tmp_path, ["map", "mnf", "bbh"])
        assert runs == ["map", "bbh", "mnf"]
        toy_regression.run_all(tmp_path, ["map", "bbh"], overwrite=True)
        assert runs[3:] == ["map", "bbh"]
        toy_regression.run_all(tmp_path, ["bbh"], seed=1)
        assert runs[5:] == ["bbh"]

    def test_a_method_replaces_its_own_part_only(self, tmp_path, runs):
        toy_regression.run_all(tmp_path, ["map", "bbh"])
        results = Results(tmp_path)
        before = results.numbers["map"]
        results.add("bbh", WHOLE, {"mean": CURVES["mean"] + 5, "std": CURVES["std"]})
        there = Results(tmp_path)
        assert there.numbers == {"map": before, "bbh": WHOLE}
        np.testing.assert_array_equal(there.curves["map_mean"], CURVES["mean"])
        np.testing.assert_array_equal(there.curves["bbh_mean"], CURVES["mean"] + 5)

    def test_numbers_without_their_curves_are_not_finished(self, tmp_path, runs):
        toy_regression.run_all(tmp_path, ["map"])
        (tmp_path / toy_regression.PREDICTIONS_FILE).unlink()
        toy_regression.run_all(tmp_path, ["map"])
        assert runs == ["map", "map"]
