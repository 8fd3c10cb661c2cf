"""The paper's implicit posterior: weights are samples from hypernetworks, w = G(z)."""

import math

import tensorflow as tf

from bayes_by_hypernet import compat, randomness
from bayes_by_hypernet.checks import check_choice, check_integer
from bayes_by_hypernet.hypernetworks import (
    HIDDEN_UNITS,
    ChunkedHypernetwork,
    HypernetworkKernel,
    SingleHypernetwork,
    check_hidden_units,
)
from bayes_by_hypernet.posteriors.base import Posterior

ARCHITECTURES = ("layerwise", "sliced", "single", "chunked")
NOISES = ("independent", "shared")
GENERATOR_SETTINGS = (
    "architecture",
    "noise",
    "noise_dim",
    "hidden_units",
    "num_slices",
    "chunk_size",
    "embedding_dim",
)
JOINT = ("single", "chunked")  # one hypernetwork makes all weights from one z
# A pretrained layer starts next to its weights: the output matrices are scaled by this.
PRETRAINED_SCALE = 0.01


class HypernetPosterior(Posterior):
    """z ~ N(0, I), w = G(z) (paper, Section 2), with the architectures of Table 1 and a fourth.

    Args:
        names, shapes: Of the weight tensors.
        kl_estimator: Function `(samples, key) -> nats`, or None for no KL.
        architecture: `"layerwise"` (a hypernetwork for each tensor), `"sliced"` (the same, made
            slice by slice along the output axis; vectors are not sliced), `"single"` (one for all,
            slices told apart by one-hot codes) or `"chunked"` (one for all, chunks told apart by
            learned embeddings).
        noise: `"independent"` (a z for each tensor) or `"shared"` (Table 2); None: independent,
            and shared where one hypernetwork makes all tensors.
        noise_dim: Dimension d of z.
        hidden_units: Hidden units of the hypernetworks.
        num_slices: Of `"single"`, and of every sliced tensor; None: see `SingleHypernetwork`, and
            the length of the output axis.
        chunk_size, embedding_dim: Of `"chunked"`.
        centres: Tensors w0 `(*shape)`: w = w0 + G(z), and the prior is centred at w0. None: zero.

    Raises:
        ValueError: If an argument is not allowed, or `"independent"` noise is asked for where one
            hypernetwork makes all tensors.
    """

    def __init__(
        self,
        names,
        shapes,
        kl_estimator,
        architecture="layerwise",
        noise=None,
        noise_dim=1,
        hidden_units=HIDDEN_UNITS,
        num_slices=None,
        chunk_size=4096,
        embedding_dim=64,
        centres=None,
        **kwargs,
    ):
        super().__init__(names, shapes, **kwargs)
        settings = check_settings(architecture, noise, noise_dim, hidden_units)
        architecture, self.noise, self.noise_dim, units = settings
        self.kl_estimator = kl_estimator
        self.centres = centres
        self._makes_all = architecture in JOINT
        own_names = [f"{architecture}_hypernetwork"]
        if not self._makes_all:
            own_names = ["hypernetwork_" + name.replace("/", "_") for name in self.names]
        generators = _generators(
            self.shapes, architecture, units, num_slices, chunk_size, embedding_dim
        )
        self.hypernetworks = [
            kind(*arguments, dtype=self.dtype_policy, name=name)
            for name, (kind, arguments) in zip(own_names, generators, strict=True)
        ]
        compat.attach(self, dict(enumerate(self.hypernetworks)))

    def build(self, input_shape=None):
        for hypernetwork in self.hypernetworks:
            hypernetwork.build((None, self.noise_dim))
            if self.centres is not None:
                kernel = hypernetwork.generator.linear.kernel
                kernel.assign(kernel * PRETRAINED_SCALE)
        self.built = True

    def z(self, num_samples, key):
        """Returns z `(n, d)` for each hypernetwork: one tensor for all where noise is shared."""
        keys = [randomness.fold_in(key, "noise")] * len(self.hypernetworks)
        if self.noise == "independent":
            keys = [randomness.fold_in(key, i) for i, key in enumerate(keys)]
        shape = (num_samples, self.noise_dim)
        return [tf.random.stateless_normal(shape, key) for key in keys]

    def generate(self, z, matmul=None):
        """Returns weight samples `(n, *shape)` of every tensor: w = w0 + G(z)."""
        weights = [g(one, matmul=matmul) for g, one in zip(self.hypernetworks, z, strict=True)]
        weights = weights[0] if self._makes_all else weights
        if self.centres is None:
            return weights
        return [w + tf.cast(c, w.dtype) for w, c in zip(weights, self.centres, strict=True)]

    def sample(self, num_samples, key, matmul=None):
        return self.generate(self.z(num_samples, key), matmul)

    def kl(self, samples, key):
        if self.centres is not None:
            samples = [s - tf.cast(c, s.dtype) for s, c in zip(samples, self.centres, strict=True)]
        return self.kl_estimator(samples, key)


def check_settings(architecture, noise, noise_dim, hidden_units):
    """Returns the settings of a `HypernetPosterior`, checked, with the default noise filled in."""
    check_choice("architecture", architecture, ARCHITECTURES)
    if noise is None:
        noise = "shared" if architecture in JOINT else "independent"
    check_choice("noise", noise, NOISES)
    if architecture in JOINT and noise == "independent":
        raise ValueError(
            f'Argument `noise` must be "shared" with architecture={architecture!r}: one '
            "hypernetwork makes every weight from the same z. Received: noise='independent'"
        )
    noise_dim = check_integer("noise_dim", noise_dim, 1)
    return architecture, noise, noise_dim, check_hidden_units(hidden_units)


def count_parameters(
    shapes,
    architecture="layerwise",
    noise=None,
    noise_dim=1,
    hidden_units=HIDDEN_UNITS,
    num_slices=None,
    chunk_size=4096,
    embedding_dim=64,
):
    """Returns how many parameters the hypernetworks of tensors of these shapes have.

    Nothing is made. Returns a list with one number for each shape where each tensor has its own
    hypernetwork, else with one number for all. `noise` makes no difference.
    """
    generators = _generators(
        shapes, architecture, hidden_units, num_slices, chunk_size, embedding_dim
    )
    return [kind.count_parameters(*arguments, noise_dim) for kind, arguments in generators]


def _generators(shapes, architecture, hidden_units, num_slices, chunk_size, embedding_dim):
    """Returns the class and the arguments of each hypernetwork."""
    if architecture == "single":
        return [(SingleHypernetwork, (shapes, num_slices, hidden_units))]
    if architecture == "chunked":
        return [(ChunkedHypernetwork, (shapes, chunk_size, embedding_dim, hidden_units))]
    slices = [_num_slices(architecture, shape, num_slices) for shape in shapes]
    return [
        (HypernetworkKernel, (shape, hidden_units, count))
        for shape, count in zip(shapes, slices, strict=True)
    ]


def _num_slices(architecture, shape, num_slices):
    """Kernels are sliced along their output axis, vectors and scalars are not (protocol)."""
    if architecture != "sliced" or len(shape) < 2:
        return 1
    if num_slices is None:
        return shape[-1]
    return math.gcd(num_slices, shape[-1])
