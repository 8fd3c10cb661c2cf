"""The posterior of a finished run: samples of its weights, prediction, configuration."""

import os
import pathlib

import tensorflow as tf

from bayes_by_hypernet import files, randomness
from bayes_by_hypernet.checks import check_choice, check_integer, check_seed, refusal
from bayes_by_hypernet.likelihoods import GaussianPrediction, Prediction
from bayes_by_hypernet.paper.configuration import CONFIG_FILE, read_config
from bayes_by_hypernet.prediction import predict
from bayes_by_hypernet.training.checkpoints import (
    CheckpointError,
    checkpoint_directory,
    find_checkpoints,
    has_failed,
    restore,
    trackable,
)


def load(run_directory: str | os.PathLike) -> "Posterior":
    """Loads the posterior of a run.

    ```
    posterior = bbh.load("runs/mnist")
    prediction = posterior.predict(images, num_samples=100)
    kernels = posterior.sample(1000, names=["conv_1/kernel"])  # a dict of (1000, 5, 5, 1, 20)
    ```

    Args:
        run_directory: What a launcher wrote to, `--workdir`.

    Returns:
        `Posterior`, of the newest readable checkpoint; of an ensemble, those members that have
        one and whose training did not fail.

    Raises:
        FileNotFoundError: If the folder holds no run, or a run without a checkpoint.
        CheckpointError: If none of its checkpoints can be read.
        DamagedFileError: If its configuration cannot be read.
        SchemaError: If a later version of the package wrote the run.
    """
    if not isinstance(run_directory, (str, os.PathLike)):
        raise refusal("run_directory", "the path of a folder", run_directory)
    directory = pathlib.Path(run_directory)
    config = read_config(directory) if os.path.isdir(directory) else None  # False: name too long
    if config is None:
        raise FileNotFoundError(
            f"Argument `run_directory` must be a folder that a launcher wrote to (--workdir). "
            f"Received: {os.fspath(run_directory)!r}, which holds no {CONFIG_FILE}"
        )
    method = config.make_method()
    restored = [
        name for name, member in method.members.items() if _restore(member, directory, name)
    ]
    if not restored:
        raise FileNotFoundError(
            f"The run in {os.fspath(run_directory)!r} has no checkpoint yet; run its launcher "
            "again to go on with it."
        )
    for name in set(method.members) - set(restored):
        method.leave_out(name)
    return Posterior(method, config)


def _restore(member, run_directory, name):
    """Restores a member from its newest readable checkpoint; False if it has none that counts."""
    directory = checkpoint_directory(run_directory, name)
    files.require_folder(checkpoint_directory(run_directory))
    paths = find_checkpoints(directory)
    if not paths or has_failed(run_directory, name):
        return False
    checkpoint = tf.train.Checkpoint(method=trackable(member))
    if any(restore(checkpoint, path) for path in reversed(paths)):
        return True
    raise CheckpointError(
        f"None of the checkpoints in {os.fspath(directory)!r} can be read. Train the run "
        "again, with --overwrite."
    )


class Posterior:
    """A fitted posterior over the weights of a network.

    Attributes:
        config: `RunConfig`.
        method: `Method`.
        keras_model: The fitted `bbh.models.BayesianModel`; of an ensemble the first.
    """

    def __init__(self, method, config):
        self.method = method
        self.config = config
        self.keras_model = next(iter(method.members.values()))
        self._sampler = method.sampler
        self.num_distinct_samples = self._sampler.num_distinct_samples
        self.sample_shapes = self._sampler.sample_shapes
        self.variables = self._sampler.variables
        self.likelihood = method.likelihood
        self.inputs, self.outputs = self._sampler.inputs, self._sampler.outputs
        self.prediction_batch_size = self._sampler.prediction_batch_size

    def sample(self, num_samples: int, seed: int | None = None, names=None) -> dict[str, tf.Tensor]:
        """Draws weights from the posterior.

        Args:
            num_samples: Integer, at least 1.
            seed: Integer: the same samples again. None: fresh ones.
            names: Names of the tensors to return, keys of `sample_shapes`, or None: all. The others
                are not computed, and the values are, to rounding, those among all.

        Returns:
            Dict, name to tensor `(num_samples, *weight_shape)`.

        Raises:
            ValueError: If an argument is none of these.
        """
        num_samples, seed = check_integer("num_samples", num_samples, 1), check_seed(seed, bits=62)
        key = randomness.fresh_key() if seed is None else randomness.seed_key(seed)
        if names is None:
            return self.draw(num_samples, key)
        chosen = [check_choice("names", name, tuple(self.sample_shapes)) for name in names]

        @tf.function  # of what is drawn, TensorFlow keeps what the result needs
        def draw():
            drawn = self.draw(num_samples, key)
            return {name: drawn[name] for name in chosen}

        return draw()

    def logits(self, x, sample: dict) -> tf.Tensor:
        """Computes the network's outputs under posterior samples.

        Args:
            x: Inputs `(N, ...)`.
            sample: What `sample` returned, or that dict at one index of its first axis.

        Returns:
            Logits `(num_samples, N, classes)`; `(N, classes)` for one index.
        """
        x = tf.convert_to_tensor(x, tf.float32)
        sample = {name: tf.convert_to_tensor(weights) for name, weights in sample.items()}
        name, shape = next(iter(self.sample_shapes.items()))
        if len(sample[name].shape) == len(shape):
            return self._sampler.logits(x, sample)
        return tf.map_fn(
            lambda one: self._sampler.logits(x, one), sample, fn_output_signature=tf.float32
        )

    def draw(self, num_samples, key):
        return self._sampler.draw(num_samples, key)

    def predict(self, x, **kwargs) -> Prediction | GaussianPrediction:
        """Returns the posterior predictive of `x`: see `bbh.predict`."""
        return predict(self, x, **kwargs)
