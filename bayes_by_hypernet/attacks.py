"""Attacks on a posterior predictive, and what they leave of it (paper, Section 3.1; Fig. 3, 4)."""

import abc
import dataclasses
import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from bayes_by_hypernet import metrics, perturbations, randomness
from bayes_by_hypernet.prediction import (
    Predictor,
    as_sampler,
    check_inputs,
    samples_per_chunk,
    sufficient_samples,
    sum_over_samples,
)

AVERAGES = ("examples", "gradients")
NUM_SAMPLES = 100  # paper, Section 3.1
SEED = 42  # authors' code
BATCH_SIZE = 250  # inputs whose gradients are taken at once


def fast_sign_attack(
    model,
    x,
    y,
    epsilon: float,
    num_samples: int = NUM_SAMPLES,
    average: str = "examples",
    clip: tuple[float, float] | None = None,
    from_logits: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """The fast sign method on a posterior predictive (Goodfellow et al., 2015).

    With `average="examples"`, the paper's, the adversarial input is the mean over posterior
    samples w of `x + epsilon * sign(d loss(x, w) / d x)`. With `"gradients"` it is `x` plus
    epsilon times the sign of the mean gradient, which moves every pixel by epsilon: a stronger
    attack. A point estimate has one sample, for which both are the same.

    The loss is `perturbations.cross_entropy`, whose gradient float32 does not round away where the
    model is certain. With the usual form such models seem more robust than they are.

    Args:
        model: A `Posterior`, or any Keras model that classifies.
        x: Inputs `(N, ...)`, as the model takes them.
        y: Labels `(N,)`.
        epsilon: Number, at least 0, in units of `x`.
        num_samples: Posterior samples, at least 1.
        average: `"examples"` or `"gradients"`.
        clip: Pair, the range that adversarial inputs are clipped to, or None.
        from_logits: Whether the model's outputs are logits; else probabilities.
        seed: Integer: the same answer again. None: fresh samples.

    Returns:
        Adversarial inputs, float32, of the shape of `x`.

    Raises:
        ValueError: If an argument is out of range, or `x` and `y` do not fit.
        InvalidArgumentError: If a label is none of the model's classes.
    """
    _check_epsilon(epsilon)
    if clip is not None and not clip[0] < clip[1]:
        raise ValueError(
            f"Argument `clip` must be a least and a larger value, or None. Received: clip={clip}"
        )
    direction = fast_sign_direction(model, x, y, num_samples, average, from_logits, seed)
    return _perturbed(x, epsilon, direction, clip)


def fast_sign_direction(
    model, x, y, num_samples=NUM_SAMPLES, average="examples", from_logits=True, seed=None
):
    """Returns what `fast_sign_attack` multiplies by epsilon, for any number of epsilons at once."""
    if average not in AVERAGES:
        raise ValueError(
            f"Argument `average` must be one of {AVERAGES}. Received: average={average!r}"
        )
    x, y = _checked(model, x, y, num_samples)
    key = randomness.fresh_key() if seed is None else randomness.seed_key(seed)
    if average == "examples":
        return _Gradients(model, from_logits, tf.sign)(x, y, num_samples, key)
    return np.sign(_Gradients(model, from_logits)(x, y, num_samples, key))


@dataclasses.dataclass(frozen=True)
class Attack(abc.ABC):
    """An attack, and the settings that decide what it leaves of a run's predictions.

    Class attributes:
        name: As launchers say it.

    Attributes:
        epsilons: Numbers, at least 0, in units of the network's inputs.
        num_samples: Posterior samples of the attack.
        num_images: How many images are attacked: the first of the test set.
        clip_adversarial: Whether adversarial inputs are clipped to the range of valid ones.
        seed: Of everything random.
    """

    epsilons: tuple
    num_samples: int
    num_images: int = 1000  # paper, Section 3.1
    clip_adversarial: bool = False
    seed: int = SEED
    name: ClassVar[str]

    def __post_init__(self):
        if not self.epsilons:
            raise ValueError("Argument `epsilons` must hold at least one number. Received: none")
        for epsilon in self.epsilons:
            _check_epsilon(epsilon)

    @property
    def settings(self):
        """Dict of all that decides the numbers of a run under this attack, besides the run."""
        return {"attack": self.name, **dataclasses.asdict(self)}

    @property
    def record_name(self):
        """Name, without suffix, of the file in a run directory that holds those numbers."""
        return f"adversarial_{self.name}"

    @abc.abstractmethod
    def inputs(self, model, x, y, clip=None):
        """Yields the adversarial inputs of each epsilon; arguments as for `fast_sign_attack`."""

    def curve(self, posterior, test):
        """Attacks a run and predicts what comes out (Fig. 3 and 4).

        Predictions take as many posterior samples as the run's own, and not those of the attack.

        Args:
            posterior: `Posterior`.
            test: `Examples`, stored images.

        Yields:
            Dict for each epsilon: `epsilon`, `accuracy`, and `relative_entropy`, the mean
            predictive entropy divided by log C.

        Raises:
            ValueError: If there are fewer images than asked for, or the range of valid inputs is
                asked for and there is none.
        """
        config, clip = posterior.config, None
        if not 1 <= self.num_images <= len(test):
            raise ValueError(
                f"Argument `num_images` must be between 1 and {len(test)}, the number of test "
                f"images. Received: num_images={self.num_images}"
            )
        if self.clip_adversarial:
            if config.pipeline.prepare is not None:
                raise ValueError(
                    "Argument `clip_adversarial` must be False where images are standardised, "
                    "each by its own mean and deviation: their inputs have no common range. "
                    "Received: clip_adversarial=True"
                )
            clip = config.pipeline.served_range
        x = config.pipeline.inputs(test.images[: self.num_images])
        y = test.labels[: self.num_images]
        predictor = Predictor(posterior)
        num_samples = sufficient_samples(posterior, config.num_predictive_samples)
        key = randomness.fold_in(randomness.seed_key(self.seed), "evaluation")
        attacked = self.inputs(posterior, x, y, clip)
        for epsilon, inputs in zip(self.epsilons, attacked, strict=True):
            (mean, _), _ = predictor(inputs, num_samples, key)
            yield {
                "epsilon": epsilon,
                "accuracy": (100 - metrics.error_percent(mean, y)) / 100,
                "relative_entropy": 1 - metrics.entropy_auc(mean),
            }


@dataclasses.dataclass(frozen=True)
class FastSign(Attack):
    """The fast sign method, see `fast_sign_attack`; its gradients serve every epsilon.

    Attributes:
        average: `"examples"` or `"gradients"`.
    """

    epsilons: tuple = tuple(k / 20 for k in range(9))  # 0 to 0.4, Fig. 3 and 4
    num_samples: int = NUM_SAMPLES
    average: str = "examples"
    name: ClassVar[str] = "fast_sign"

    @property
    def record_name(self):
        return f"{super().record_name}_{self.average}"

    def inputs(self, model, x, y, clip=None):
        direction = fast_sign_direction(model, x, y, self.num_samples, self.average, seed=self.seed)
        for epsilon in self.epsilons:
            yield _perturbed(x, epsilon, direction, clip)


@dataclasses.dataclass(frozen=True)
class ProjectedGradient(Attack):
    """Projected gradient descent (Madry et al., 2018), stronger than one step by the sign.

    Starts at random within epsilon of the input. Each step goes by the sign of the loss's mean
    gradient over posterior samples, `2.5 * epsilon / num_steps` far, and stays within epsilon. All
    steps use the same posterior samples.

    Attributes:
        num_steps: Integer, at least 1.
    """

    epsilons: tuple = (0.1, 0.2, 0.3)
    num_samples: int = 10
    num_steps: int = 10
    name: ClassVar[str] = "projected_gradient"

    def __post_init__(self):
        super().__post_init__()
        if self.num_steps < 1:
            raise ValueError(
                f"Argument `num_steps` must be at least 1. Received: num_steps={self.num_steps}"
            )

    def inputs(self, model, x, y, clip=None):
        x, y = _checked(model, x, y, self.num_samples)
        key = randomness.seed_key(self.seed)
        gradients = _Gradients(model)

        def gradient(inputs):
            return gradients(inputs.numpy(), y, self.num_samples, key)

        offset = tf.random.stateless_uniform(x.shape, randomness.fold_in(key, "start"), -1.0, 1.0)
        for epsilon in self.epsilons:
            step_size = 2.5 * epsilon / self.num_steps
            start = x + epsilon * offset
            yield perturbations.projected_gradient(
                tf.constant(x), epsilon, gradient, self.num_steps, step_size, start, clip
            ).numpy()


ATTACKS = {attack.name: attack for attack in (FastSign, ProjectedGradient)}


_TITLES = {
    FastSign.name: "Fast sign method, average of {average}",
    ProjectedGradient.name: "Projected gradient descent, {num_steps} steps",
}


def title(settings: dict) -> str:
    """Returns an attack in words, from `Attack.settings`."""
    return _TITLES[settings["attack"]].format_map(settings)


def make(name: str, **settings) -> Attack:
    """Returns the attack called `name` in `ATTACKS`; ValueError if it has no such setting."""
    allowed = [field.name for field in dataclasses.fields(ATTACKS[name])]
    for setting, value in settings.items():
        if setting not in allowed:
            raise ValueError(
                f"Argument `{setting}` has no meaning for attack={name!r}, whose settings are "
                f"{allowed}. Received: {setting}={value!r}"
            )
    return ATTACKS[name](**settings)


class _Gradients:
    """Means over posterior samples of a function of the loss's gradients, batch by batch."""

    def __init__(self, model, from_logits=True, function=tf.identity):
        self._sampler = as_sampler(model)
        self._from_logits = from_logits
        self._function = function
        self._draw = tf.function(self._sampler.draw, reduce_retracing=True)
        self._sum = tf.function(self._sum_samples, reduce_retracing=True)

    def __call__(self, x, y, num_samples, key):
        num_samples = sufficient_samples(self._sampler, num_samples)
        batch_size = self._sampler.prediction_batch_size or BATCH_SIZE
        most = samples_per_chunk(self._sampler)
        total = np.zeros_like(x)
        for first in range(0, num_samples, most):
            count = tf.constant(min(most, num_samples - first))
            draws = self._draw(count, randomness.fold_in(key, first))
            for i in range(0, len(x), batch_size):
                part = slice(i, i + batch_size)
                total[part] += self._sum(x[part], y[part], draws, count).numpy()
        return total / num_samples

    def _sum_samples(self, x, y, draws, num_samples):
        def of_sample(x, sample):
            def loss(inputs):
                outputs = tf.cast(self._sampler.logits(inputs, sample), tf.float32)
                if not self._from_logits:
                    outputs = tf.math.log(tf.maximum(outputs, metrics.PROBABILITY_FLOOR))
                return perturbations.cross_entropy(y, outputs)

            return (self._function(perturbations.input_gradient(x, loss)),)

        return sum_over_samples(of_sample, x, draws, num_samples)[0]


def _perturbed(x, epsilon, direction, clip):
    moved = np.asarray(x, np.float32) + np.float32(epsilon) * direction
    return moved if clip is None else np.clip(moved, *clip)


def _check_epsilon(epsilon):
    if not 0 <= epsilon < math.inf:
        raise ValueError(
            f"Argument `epsilon` must be finite and at least 0. Received: epsilon={epsilon}"
        )


def _checked(model, x, y, num_samples):
    x, y = np.asarray(x, np.float32), np.asarray(y)
    check_inputs(x, as_sampler(model), num_samples)
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"Argument `y` must hold one integer label for each of {len(x)} inputs. "
            f"Received: shape {y.shape}, dtype {y.dtype}"
        )
    return x, y.astype(np.int64)
