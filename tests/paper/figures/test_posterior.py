"""Figures of posteriors: what stands in them, and the samples that they are drawn from."""

import numpy as np
import pytest
import tensorflow as tf

import bayes_by_hypernet as bbh
from bayes_by_hypernet.paper import configuration
from bayes_by_hypernet.paper.figures import posterior, style
from bayes_by_hypernet.paper.posterior_statistics import weight_statistics
from bayes_by_hypernet.paper.run_directory import RunDirectory
from bayes_by_hypernet.training.checkpoints import checkpoint_directory, trackable

# A warning is how matplotlib says that something has no place.
pytestmark = pytest.mark.filterwarnings("error")


def make_posterior(samples, label="a run", colour="#D55E00"):
    statistics = weight_statistics(samples.reshape(len(samples), -1))
    return posterior.KernelPosterior(label, colour, samples, statistics)


@pytest.fixture
def two_runs():
    """A kernel `(2, 2, 1, 3)` with a weight of two modes, and one that is a point."""
    normal = np.random.default_rng(0).standard_normal((500, 2, 2, 1, 3))
    normal[:, 0, 0, 0, 1] += 10 * np.sign(normal[:, 0, 0, 0, 0])
    point = np.full((1, 2, 2, 1, 3), 0.1)
    return [make_posterior(normal), make_posterior(point, "another", "#000000")]


@pytest.fixture
def kept(monkeypatch):
    """Has figures returned in place of paths."""
    monkeypatch.setattr(style, "save", lambda figure, path: figure)


def test_files_of_one_run_and_of_several(two_runs, tmp_path):
    posterior.posterior_figures(two_runs[:1], tmp_path, num_weights=4)
    posterior.posterior_figures(two_runs, tmp_path, "_compared", 4)
    names = [f"posterior_{name}" for name in ("histograms", "correlations", "stddevs")]
    expected = {f"{name}{suffix}.{kind}" for name in names for suffix in ("", "_compared")
                for kind in ("png", "pdf")}  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_a_panel_for_each_weight_with_its_gaussian(two_runs, kept):
    figure = posterior.weight_histograms(two_runs, None, num_weights=5)
    panels = [axis for axis in figure.get_axes() if axis.axison]
    assert len(panels) == 2 * 5
    captions = [axis.get_title() for axis in panels]
    assert captions[1].endswith("p < 0.001, 2 modes")
    assert captions[0].startswith("p = 0.") and captions[0].endswith("1 mode")
    assert captions[5:] == 5 * ["does not vary"]
    for index, axis in enumerate(panels[:5]):
        [line] = axis.lines
        samples = two_runs[0].samples.reshape(500, -1)[:, index]
        x, density = line.get_data()
        mean, variance = samples.mean(), samples.var()
        expected = np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        np.testing.assert_allclose(density, expected, rtol=1e-9)  # float64, in an exponent
        bars = sum(bar.get_width() * bar.get_height() for bar in axis.patches)
        assert bars == pytest.approx(1)
    assert not any(axis.lines for axis in panels[5:])


def test_correlations_are_ordered_by_filter_and_on_one_scale(kept):
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((200, 1, 1, 1, 3))  # one for each filter, as in MNF
    coupled = factors * np.ones((2, 2, 1, 3))
    coupled[:, 0, 0, 0, 2] = 0.1  # does not vary
    figure = posterior.weight_correlations([make_posterior(coupled)] * 2, None)
    images = [image for axis in figure.axes for image in axis.images]
    assert [image.get_clim() for image in images] == 2 * [(-1, 1)]
    drawn = images[0].get_array()
    for i in range(2):  # blocks of the four weights of a filter
        np.testing.assert_allclose(drawn[4 * i : 4 * i + 4, 4 * i : 4 * i + 4], 1, rtol=1e-12)
    # 200 samples of independent factors: standard deviation 0.07.
    assert np.abs(drawn[:4, 4:8]).max() < 0.3
    assert drawn.mask[8].all() and drawn.mask[:, 8].all() and not drawn.mask[:8, :8].any()


def test_stddevs_of_the_first_weights(two_runs, kept):
    figure = posterior.weight_stddevs(two_runs, None, num_weights=3)
    varying, point = figure.axes[0].lines
    samples = two_runs[0].samples.reshape(500, -1)
    np.testing.assert_allclose(varying.get_ydata(), samples.std(axis=0)[:3])
    assert len(point.get_ydata()) == 0
    assert varying.get_label().startswith("a run: median of the kernel 1")
    assert point.get_label() == "another: none varies"


class TestOfRun:
    """Runs of LeNet, as they are before training."""

    @staticmethod
    def write_run(directory, method, **options):
        config, _ = configuration.resolve("lenet", method=method, dataset="embedded", **options)
        RunDirectory(directory, config).initialize("none")
        for name, member in config.make_method().members.items():
            checkpoint = tf.train.Checkpoint(method=trackable(member))
            folder = checkpoint_directory(directory, name)
            tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=1).save()

    def test_samples_have_the_moments_of_the_posterior(self, tmp_path):
        self.write_run(tmp_path / "first", "bbb", initial_log_variance=-2.0)
        run = posterior.KernelPosterior.of_run(tmp_path / "first", num_samples=1000)
        assert run.samples.shape == (1000, 5, 5, 1, 20) and run.label == "BbB"
        # The log variances start at -2 +- 0.05: four standard deviations of all that is drawn.
        np.testing.assert_allclose(np.log(run.statistics.stddev), -1, atol=0.2)
        other = bbh.load(tmp_path / "first").sample(200, seed=1)["conv_1/kernel"]
        # Both are means of a standard deviation near exp(-1); five times that of their difference.
        limit = 5 * np.exp(-1) * np.sqrt(1 / 1000 + 1 / 200)
        np.testing.assert_allclose(run.statistics.mean, np.mean(other, axis=0).ravel(), atol=limit)
        assert run.statistics.summary()["non_normal_share"] < 0.1  # 5 % +- 1 % of 500

    def test_many_samples_come_in_chunks(self, tmp_path, monkeypatch):
        self.write_run(tmp_path, "bbh", hidden_units=(2, 3))
        monkeypatch.setattr(posterior, "samples_per_chunk", lambda sampler: 7)
        run = posterior.KernelPosterior.of_run(tmp_path, num_samples=20)
        assert run.samples.shape == (20, 5, 5, 1, 20)
        assert len(np.unique(run.samples[:, 0, 0, 0, 0])) == 20  # no chunk repeats another
        again, other = (
            posterior.KernelPosterior.of_run(tmp_path, num_samples=20, seed=seed).samples
            for seed in (42, 1)
        )
        np.testing.assert_array_equal(again, run.samples)
        assert (other != run.samples).any()

    def test_of_few_that_differ_each_is_drawn_once(self, tmp_path):
        self.write_run(tmp_path / "ensemble", "ensemble", num_members=3)
        run = posterior.KernelPosterior.of_run(tmp_path / "ensemble")
        members = bbh.load(tmp_path / "ensemble").sample(3)["conv_1/kernel"]
        drawn = sorted(run.samples[:, 0, 0, 0, 0])
        assert drawn == sorted(members[:, 0, 0, 0, 0].numpy())
        self.write_run(tmp_path / "map", "map")
        run = posterior.KernelPosterior.of_run(tmp_path / "map")
        assert len(run.samples) == 1 and not run.statistics.stddev.any()

    def test_masks_are_no_weights(self, tmp_path):
        self.write_run(tmp_path, "dropout")
        with pytest.raises(
            ValueError, match="holds .'key'. and no conv_1/kernel: as in MC-dropout"
        ):
            posterior.KernelPosterior.of_run(tmp_path)
