"""Any Keras layer or model with a Gaussian posterior for each weight."""

import math

import keras

from bayes_by_hypernet.checks import check_choice, check_integer, check_log_variance
from bayes_by_hypernet.divergences import sampled_estimator
from bayes_by_hypernet.layers.wrapper import PosteriorWrapper
from bayes_by_hypernet.posteriors.gaussian import GaussianPosterior
from bayes_by_hypernet.priors import NormalPrior

_FROM_SAMPLES = ("independent", "full", "entropy")


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class MeanField(PosteriorWrapper):
    """Wraps any Keras layer or model: each weight gets a Gaussian (Blundell et al., 2015).

    Bayes by Backprop for every layer kind, by reparameterisation: one weight sample computes the
    outputs of a batch. The means start at the layer's own values, and the KL is analytic. For
    dense layers and 2D convolutions `DenseFlipout` and `Conv2DFlipout` have less variance.

    Args:
        layer: As in `Hypernet`.
        initial_log_variance: Log variances start at `N(initial_log_variance, 0.05^2)`.
        prior_stddev: Standard deviation of the normal prior, positive.
        kl_estimator: `"analytic"`, or from `num_samples` samples `"independent"`, `"full"` (Eq. 2)
            or `"entropy"` (`bbh.entropy_kl`); None: no KL.
        num_samples: Integer, samples of a KL that is estimated from samples.
        pretrained: Whether the prior is centred at the layer's own values, not at zero.
        include, exclude, num_likelihood_samples, num_train_examples, max_parameters, seed: As in
            `Hypernet`.

    Call arguments, returns and errors are those of `Hypernet`.

    Example:
        >>> gru = bbh.layers.MeanField(keras.layers.GRU(4), num_train_examples=1000)
        >>> keras.Sequential([keras.Input((28, 28)), gru]).output_shape
        (None, 4)
    """

    KL_ESTIMATORS = ("analytic", *_FROM_SAMPLES, None)

    def __init__(
        self,
        layer,
        initial_log_variance=-9.0,
        prior_stddev=1.0,
        kl_estimator="analytic",
        num_samples=None,
        num_likelihood_samples=1,
        num_train_examples=None,
        pretrained=False,
        include=None,
        exclude=None,
        max_parameters=None,
        seed=None,
        **kwargs,
    ):
        check_choice("kl_estimator", kl_estimator, self.KL_ESTIMATORS)
        num_likelihood_samples = check_integer("num_likelihood_samples", num_likelihood_samples, 1)
        if num_samples is None:
            num_samples = 5 if kl_estimator in _FROM_SAMPLES else 1
            num_samples = max(num_samples, num_likelihood_samples)
        super().__init__(layer, kl_estimator, num_train_examples, seed, **kwargs)
        self.set_posterior(
            include, exclude, pretrained, num_samples, num_likelihood_samples, max_parameters
        )
        self.initial_log_variance = check_log_variance("initial_log_variance", initial_log_variance)
        self.prior_stddev = NormalPrior(prior_stddev).stddev

    def make_posterior(self, names, shapes, values):
        estimator = None
        if self.kl_estimator in _FROM_SAMPLES:
            estimator = sampled_estimator(self.kl_estimator, NormalPrior(self.prior_stddev))
        return GaussianPosterior(
            names,
            shapes,
            values,
            self.initial_log_variance,
            self.prior_stddev,
            estimator,
            self.targets if self.pretrained else None,
            dtype=self.dtype_policy,
            name="posterior",
        )

    def count_parameters(self, names, shapes):
        return {name: 2 * math.prod(shape) for name, shape in zip(names, shapes, strict=True)}

    def get_config(self):
        names = ("initial_log_variance", "prior_stddev")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
