"""The factorised Gaussian posterior, for any tensor (Blundell et al., 2015)."""

import keras
import tensorflow as tf

from bayes_by_hypernet import compat, randomness
from bayes_by_hypernet.divergences import gaussian_kl
from bayes_by_hypernet.posteriors.base import Posterior


class GaussianPosterior(Posterior):
    """Every weight is `N(mean, exp(log_variance))`, independently of the others.

    Args:
        names, shapes: Of the weight tensors.
        means: Tensors `(*shape)` at which the means start.
        initial_log_variance: Log variances start at `N(initial_log_variance, 0.05^2)`.
        prior_stddev: Standard deviation of the normal prior.
        kl_estimator: None: the analytic KL; else a function `(samples, key) -> nats`.
        centres: Tensors at which the prior is centred; None: zero.
    """

    def __init__(
        self,
        names,
        shapes,
        means,
        initial_log_variance=-9.0,
        prior_stddev=1.0,
        kl_estimator=None,
        centres=None,
        **kwargs,
    ):
        super().__init__(names, shapes, **kwargs)
        self._initial_means = means
        self.initial_log_variance = initial_log_variance
        self.prior_stddev = prior_stddev
        self.kl_estimator = kl_estimator
        self.centres = centres

    def build(self, input_shape=None):
        self.means, self.log_variances = [], []
        for name, shape, mean in zip(self.names, self.shapes, self._initial_means, strict=True):
            name = name.replace("/", "_")
            log_variance = keras.initializers.RandomNormal(self.initial_log_variance, 0.05)
            # Not cast to the compute dtype: an exponential's argument needs its precision.
            self.means.append(self.add_weight(shape, "zeros", name=f"{name}_mean", autocast=False))
            self.log_variances.append(
                self.add_weight(shape, log_variance, name=f"{name}_log_variance", autocast=False)
            )
            if mean is not None:
                self.means[-1].assign(mean)
        self._initial_means = None
        compat.attach(self, dict(enumerate([*self.means, *self.log_variances])))
        self.built = True

    def sample(self, num_samples, key, matmul=None):
        samples = []
        for i, (mean, log_variance) in enumerate(zip(self.means, self.log_variances, strict=True)):
            mean, stddev = tf.convert_to_tensor(mean), tf.exp(0.5 * log_variance.value)
            shape = tf.concat([[num_samples], mean.shape], axis=0)
            noise = tf.random.stateless_normal(shape, randomness.fold_in(key, i), dtype=mean.dtype)
            sample = mean + stddev * noise
            if isinstance(num_samples, int):
                sample = tf.ensure_shape(sample, (num_samples, *mean.shape))
            samples.append(sample)
        return samples

    def kl(self, samples, key):
        centres = self.centres or [0.0] * len(self.means)
        if self.kl_estimator is not None:
            centred = [s - tf.cast(c, s.dtype) for s, c in zip(samples, centres, strict=True)]
            return self.kl_estimator(centred, key)
        return tf.add_n(
            [
                gaussian_kl(
                    mean.value - tf.cast(centre, mean.dtype),
                    tf.exp(0.5 * log_variance.value),
                    self.prior_stddev,
                )
                for mean, log_variance, centre in zip(
                    self.means, self.log_variances, centres, strict=True
                )
            ]
        )
