"""The nearest-neighbour estimate of KL(q || p) from samples (Eq. 2).

The paper calls it the kernel estimate.
"""

import warnings

import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.checks import check_choice
from bayes_by_hypernet.divergences.matrices import as_matrices, joined, posterior_matrices
from bayes_by_hypernet.kernels import custom_kernel_kl
from bayes_by_hypernet.kernels import kernel_kl as tensorflow_kernel_kl
from bayes_by_hypernet.kernels.implementation import IMPLEMENTATIONS, use_custom_op
from bayes_by_hypernet.priors import NormalPrior

ESTIMATORS = ("independent", "full")


def nearest_neighbor_kl(
    posterior_samples, prior_samples, estimator: str = "independent", implementation: str = "auto"
) -> tf.Tensor:
    """Nearest-neighbour estimate of KL(q || p) from samples (Eq. 2).

    With `estimator="independent"`, the paper's choice, each weight is a one-dimensional problem:

    ```
    to_prior[i, k] = min over j of |w_q[i, k] - w_p[j, k]|
    to_self[i, k]  = min over j != i of |w_q[i, k] - w_q[j, k]|
    kl = sum over k of (mean over i of log(to_prior / to_self) + log(m / (n - 1)))
    ```

    With `estimator="full"` all weights are one point in a space of `num_weights` dimensions:

    ```
    to_prior[i] = min over j of ||w_q[i] - w_p[j]||
    to_self[i]  = min over j != i of ||w_q[i] - w_q[j]||
    kl = num_weights * mean over i of log(to_prior / to_self) + log(m / (n - 1))
    ```

    Noisy and possibly negative. It approaches the divergence as n and m grow; at n = m = 5,
    `independent` is off by +0.03 nats per weight for q = N(0, 1) = p, +0.09 for N(0, 0.1^2) and
    -0.27 for N(2, 0.1^2), in expectation. `independent` sees the marginals of single weights only.
    `full` needs a density of all weights jointly: where all of them are functions of one shared
    z of dimension 1, that posterior is a curve, its KL is infinite, and the estimate is merely a
    regulariser.

    Distances are `sqrt(d^2 + 1e-8)`, so that the value and the gradient are finite for identical
    samples. Where samples lie closer to each other than 1e-4, the gradient of their distance is
    close to zero: a posterior that is narrower than that is not widened by the estimate. Samples
    at exactly the same distance share the gradient equally. Gradients flow to both arguments.

    Deviation from the authors' code: it adds `log(m / (n - 1))` once per weight in `full` too, and
    it guards the quotient and the logarithm with another 1e-8 each.

    Args:
        posterior_samples: Tensor `(n, num_weights)` or `(n, *weight_shape)`, n >= 2, or a list of
            such tensors, one per weight tensor of a network: `independent` sums over them, `full`
            joins them. Half precision is cast to float32.
        prior_samples: Tensor `(m, num_weights)` or a list, as `posterior_samples`; m >= 1. Cast to
            the dtype of the posterior samples.
        estimator: `"independent"` or `"full"`.
        implementation: `"custom_op"`: the C++ operation, for `independent` only; it runs on the
            CPU and not inside XLA. `"tensorflow"`: TensorFlow's own operations. `"auto"`: what the
            environment variable `BBH_CPP_OPS` says, and without it the C++ operation where there
            is one and neither XLA nor an accelerator; else TensorFlow's.

    Returns:
        Scalar tensor, in nats, scaled by nothing (see `scaled_kl`): float64 where the posterior
        samples are, else float32.

    Raises:
        ValueError: If `estimator` or `implementation` is unknown, n < 2, m < 1, n or m is not known
            statically, samples of one argument disagree on their number, the two arguments disagree
            on the number of weights or of tensors, samples are not floating-point, or
            `implementation="custom_op"` with `estimator="full"`.
        RuntimeError: If `implementation="custom_op"` and there is no C++ operation; says why.

    Example:
        >>> posterior_samples = keras.random.normal((50, 10_000), stddev=0.5, seed=0)
        >>> prior_samples = keras.random.normal((50, 10_000), seed=1)
        >>> kl = bbh.nearest_neighbor_kl(posterior_samples, prior_samples) / 10_000
        >>> bool(abs(kl - 0.318) < 0.05)  # the divergence of these Gaussians, nats per weight
        True
    """
    custom = _use_custom_op(estimator, implementation)
    q = posterior_matrices(posterior_samples)
    p = as_matrices("prior_samples", prior_samples)
    _check_counts(q, p)
    p = [tf.cast(piece, q[0].dtype) for piece in p]
    if estimator == "full":
        return tensorflow_kernel_kl.full_kl(q, p)
    if custom:
        return custom_kernel_kl.independent_kl(q, p)
    return tensorflow_kernel_kl.independent_kl(joined(q), joined(p))


def kernel_kl(
    posterior_samples, prior_samples, estimator: str = "independent", implementation: str = "auto"
) -> tf.Tensor:
    """Deprecated: the old name of `nearest_neighbor_kl`."""
    warnings.warn(
        "`bbh.kernel_kl` is now called `bbh.nearest_neighbor_kl`.",
        DeprecationWarning,
        stacklevel=2,
    )
    return nearest_neighbor_kl(posterior_samples, prior_samples, estimator, implementation)


def nearest_neighbor_kl_to_prior(
    posterior_samples, prior, key, estimator="independent", implementation="auto"
) -> tf.Tensor:
    """Nearest-neighbour estimate of KL(q || p) against as many fresh samples of the prior.

    Each tensor's key follows from `key`. The C++ operation draws the samples of a normal prior
    itself, which takes no memory.

    Args:
        posterior_samples: List of tensors `(n, *weight_shape)`, n >= 2.
        prior: Callable `(shape, seed) -> samples`.
        key: Stateless seed, int32 `(2,)`.
        estimator, implementation: As in `nearest_neighbor_kl`.

    Returns:
        Scalar tensor, in nats, as `nearest_neighbor_kl`'s.

    Raises:
        ValueError, RuntimeError: As `nearest_neighbor_kl`.
    """
    key = randomness.fold_in(key, "prior")
    keys = [randomness.fold_in(key, i) for i in range(len(posterior_samples))]
    # A prior derived from it may draw otherwise.
    if type(prior) is NormalPrior and _use_custom_op(estimator, implementation):
        q = posterior_matrices(posterior_samples)
        return custom_kernel_kl.independent_kl_normal_prior(q, keys, q[0].shape[0], prior.stddev)
    priors = [
        prior(samples.shape, key) for samples, key in zip(posterior_samples, keys, strict=True)
    ]
    return nearest_neighbor_kl(posterior_samples, priors, estimator, implementation)


def _use_custom_op(estimator, implementation):
    """Whether the C++ operation computes the estimate; loads its library if so."""
    check_choice("estimator", estimator, ESTIMATORS)
    if estimator == "independent":
        return use_custom_op(implementation)
    if check_choice("implementation", implementation, IMPLEMENTATIONS) == "custom_op":
        raise ValueError(
            "Argument `implementation` must be 'auto' or 'tensorflow' with estimator='full', "
            "which has no C++ operation. Received: implementation='custom_op'"
        )
    return False


def _check_counts(q, p):
    if p[0].shape[0] < 1:
        raise ValueError(
            "Argument `prior_samples` must hold at least 1 sample. "
            f"Received: num_samples={p[0].shape[0]}"
        )
    widths = [[piece.shape[1] for piece in pieces] for pieces in (q, p)]
    agree = len(q) == len(p) and all(
        a == b or a is None or b is None for a, b in zip(*widths, strict=True)
    )
    if not agree:
        raise ValueError(
            "Arguments `posterior_samples` and `prior_samples` must agree on `num_weights`, for "
            f"each tensor of a list. Received: num_weights={widths[0]} and {widths[1]}"
        )
