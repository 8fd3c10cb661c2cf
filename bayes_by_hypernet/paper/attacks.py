"""Attacks on finished runs, and what they leave of the predictions (Section 3.1; Fig. 3, 4)."""

import abc
import dataclasses
import json
import logging
import pathlib
from typing import ClassVar

import keras
import tensorflow as tf
import tqdm

from bayes_by_hypernet import attacks, files, metrics, perturbations, randomness
from bayes_by_hypernet.paper import protocols, schema
from bayes_by_hypernet.paper.posterior import load
from bayes_by_hypernet.paper.run_directory import RESULTS_FILE
from bayes_by_hypernet.prediction import Predictor, kept, sufficient_samples

logger = logging.getLogger(__name__)


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
    seed: int = protocols.SEED
    name: ClassVar[str]

    def __post_init__(self):
        if not self.epsilons:
            raise ValueError("Argument `epsilons` must hold at least one number. Received: none")
        for epsilon in self.epsilons:
            attacks.check_epsilon(epsilon)

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
    num_samples: int = attacks.NUM_SAMPLES
    average: str = "examples"
    name: ClassVar[str] = "fast_sign"

    @property
    def record_name(self):
        return f"{super().record_name}_{self.average}"

    def inputs(self, model, x, y, clip=None):
        direction = attacks.fast_sign_direction(
            model, x, y, self.num_samples, self.average, seed=self.seed
        )
        for epsilon in self.epsilons:
            yield attacks.perturbed(x, epsilon, direction, clip)


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
        key = randomness.seed_key(self.seed)
        gradients = kept(attacks.LossGradients, model, None, None, x)

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


def attack_run(directory, attack, load_data, overwrite=False):
    """Attacks a finished run, or reads what it left when it was attacked with the same settings.

    Args:
        directory: Folder of the run, where the record is kept as `<attack.record_name>.json`.
        attack: `adversarial.Attack`.
        load_data: Function of a `RunConfig` and the fingerprint of the run's data that returns the
            `Dataset`; called where the run has to be attacked.
        overwrite: Whether to attack it anew.

    Returns:
        Dict, the record: the attack's settings, `run`, the run's results, and `points`, see
        `Attack.curve`.

    Raises:
        ValueError: As `Attack.curve` and `load_data`.
        OSError, CheckpointError: If the folder holds no finished run, or its posterior is damaged.
    """
    directory = pathlib.Path(directory)
    results = schema.read_results(directory / RESULTS_FILE)
    settings = json.loads(json.dumps({**attack.settings, "run": results}))  # as in a file
    path = directory / f"{attack.record_name}.json"
    record = None if overwrite else read_record(path)
    if record and settings.items() <= record.items():
        return record
    keras.utils.clear_session()  # frees the posterior of the run before
    posterior = load(directory)
    test = load_data(posterior.config, results["data_fingerprint"]).test
    points = attack.curve(posterior, test)
    points = list(tqdm.tqdm(points, str(directory), len(attack.epsilons), unit="epsilon"))
    record = {"schema_version": schema.SCHEMA_VERSION, **settings, "points": points}
    keep(path, record)
    return record


def read_record(path) -> dict | None:
    """Returns what `attack_run` wrote; None where there is none, or it is damaged."""
    names = {"attack": str, "epsilons": list, "num_images": int, "num_samples": int}
    return schema.read_record(path, {**names, "run": dict, "points": list})


def keep(path, record):
    """Writes a record into a run's folder; one that can't be written is only warned of."""
    try:
        files.write_json(path, record)
    except files.StorageError as error:
        logger.warning("The numbers are not kept: %s", error)
