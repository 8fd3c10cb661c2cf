"""Any Keras layer or model with weights that are samples from hypernetworks, w = G(z)."""

import keras

from bayes_by_hypernet import priors
from bayes_by_hypernet.checks import check_integer, check_neighbours
from bayes_by_hypernet.divergences import sampled_estimator
from bayes_by_hypernet.hypernetworks import HIDDEN_UNITS
from bayes_by_hypernet.kernels import library
from bayes_by_hypernet.layers.wrapper import PosteriorWrapper
from bayes_by_hypernet.posteriors.hypernet import (
    GENERATOR_SETTINGS,
    HypernetPosterior,
    check_settings,
    count_parameters,
)


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Hypernet(PosteriorWrapper):
    """Wraps any Keras layer or model: its weights become samples from hypernetworks (Section 2).

    In training every forward pass draws `num_samples` samples of z and so of the weights. All
    enter the KL, in Eq. 2 with as many fresh prior samples; the first one computes the outputs.
    The wrapper adds `factor * KL / num_train_examples`, in nats, to the loss; the factor is 1
    unless `bbh.callbacks.KLAnnealing` sets it. Outside training one fresh sample is used, so
    predictions vary from call to call: average them with `bbh.predict`.

    A draw belongs to the outermost call: a layer that is called twice, or that loops, keeps its
    weights within one forward pass, and its KL counts once.

    Args:
        layer: Keras layer or model without posteriors inside. Recurrent cells are refused: wrap
            `keras.layers.RNN(cell)`.
        architecture: `"layerwise"`, `"sliced"`, `"single"` (Table 1) or `"chunked"`; see
            `ChunkedHypernetwork`.
        noise: `"independent"` (a z for each weight tensor) or `"shared"` (one for all; Table 2);
            None: independent, and shared where one hypernetwork makes all tensors.
        noise_dim: Integer, dimension d of z.
        num_samples: Integer, at least 2 for a KL, the number n of weight samples of a step.
        hidden_units: Hidden units of the hypernetworks.
        num_slices: Integer, slices of each tensor (`"sliced"`; None: the size of its output axis)
            or of all weights (`"single"`; None: see `SingleHypernetwork`).
        chunk_size, embedding_dim: Integers, of `"chunked"`.
        kl_estimator: `"independent"`, `"full"` (joint over all weights of the wrapped layer),
            `"entropy"` (`bbh.entropy_kl` in place of Eq. 2), or None for no KL.
        prior: Callable `(shape, seed) -> samples`, for `"entropy"` an object with a density,
            `log_prob(weights)`; None: standard normal.
        num_likelihood_samples: How many of the samples the batch is divided among.
        num_train_examples: Integer N; needed in training unless `kl_estimator` is None.
        pretrained: Whether w = w0 + G(z), with w0 the layer's values when it is wrapped. The
            hypernetworks then start near zero, and the prior is centred at w0: it is the prior of
            the change from w0.
        include, exclude: Which layers get a posterior: names or patterns, layer classes, functions
            of a layer, or lists of them. The others keep their variables, which training changes
            as ever. By default all but the normalisation layers inside a model.
        max_parameters: The largest number of parameters allowed; None: what half of the free
            memory holds with Adam's moments.
        seed: Integer or None. Layers of the same seed draw the same z: give each its own.

    Call arguments:
        inputs and others: The wrapped layer's.
        training: Boolean. As for Keras's dropout, a subclassed model must take `training` in its
            `call`, or `fit` calls its layers as outside training: without the KL.

    Returns:
        What the wrapped layer returns.

    Raises:
        ValueError: If an argument is not allowed, nothing is selected, or the hypernetworks would
            have more than `max_parameters` parameters.

    Example:
        >>> lstm = bbh.layers.Hypernet(
        ...     keras.layers.LSTM(4), num_train_examples=60000, hidden_units=(8, 16)
        ... )
        >>> model = keras.Sequential([keras.Input((28, 28)), lstm, keras.layers.Dense(10)])
        >>> model.output_shape
        (None, 10)
    """

    KL_ESTIMATORS = ("independent", "full", "entropy", None)

    def __init__(
        self,
        layer,
        architecture="layerwise",
        noise=None,
        noise_dim=1,
        num_samples=5,
        hidden_units=HIDDEN_UNITS,
        num_slices=None,
        chunk_size=4096,
        embedding_dim=64,
        kl_estimator="independent",
        prior=None,
        num_likelihood_samples=1,
        num_train_examples=None,
        pretrained=False,
        include=None,
        exclude=None,
        max_parameters=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(layer, kl_estimator, num_train_examples, seed, **kwargs)
        self.set_posterior(
            include, exclude, pretrained, num_samples, num_likelihood_samples, max_parameters
        )
        if kl_estimator is not None:
            check_neighbours("num_samples", num_samples)
        settings = check_settings(architecture, noise, noise_dim, hidden_units)
        self.architecture, self.noise, self.noise_dim, self.hidden_units = settings
        self.num_slices = None if num_slices is None else check_integer("num_slices", num_slices, 1)
        self.chunk_size = check_integer("chunk_size", chunk_size, 1)
        self.embedding_dim = check_integer("embedding_dim", embedding_dim, 1)
        self.prior = priors.get(prior, density=kl_estimator == "entropy")
        # By default the KL does not use the C++ operation inside XLA. BBH_CPP_OPS=custom_op
        # requires the operation, so XLA is disabled: `compile` reads this to set `jit_compile`.
        forced = kl_estimator in ("independent", "entropy") and library.choice() == "custom_op"
        self.supports_jit = not forced and layer.supports_jit

    @property
    def _generator(self):
        """The settings of the hypernetworks, as `HypernetPosterior` names them."""
        return {name: getattr(self, name) for name in GENERATOR_SETTINGS}

    @property
    def estimator(self):
        """Function `(samples, key) -> nats`, or None."""
        if self.kl_estimator is None:
            return None
        return sampled_estimator(self.kl_estimator, self.prior)

    def make_posterior(self, names, shapes, values):
        return HypernetPosterior(
            names,
            shapes,
            self.estimator,
            **self._generator,
            centres=self.targets if self.pretrained else None,
            dtype=self.dtype_policy,
            name="posterior",
        )

    def count_parameters(self, names, shapes):
        counts = count_parameters(shapes, **self._generator)
        return dict(zip(names if len(counts) == len(names) else ["all"], counts, strict=True))

    def get_config(self):
        prior = keras.saving.serialize_keras_object(self.prior)
        return {**super().get_config(), **self._generator, "prior": prior}
