"""Attacks on posteriors: hand-worked cases, a float64 twin, laws, and what a curve measures."""

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import bayes_by_hypernet as bbh
from bayes_by_hypernet import attacks, randomness
from bayes_by_hypernet.data import Examples
from bayes_by_hypernet.data.pipeline import PIPELINES, Pipeline
from bayes_by_hypernet.paper import attacks as attack_runs
from bayes_by_hypernet.paper.posterior import Posterior

EPSILON = 0.1
IMAGES, LABELS = dataclasses.astuple(tiny.examples(12))


class _Linear:
    """A posterior over linear models: the kernels given, `(samples, inputs, classes)`."""

    prediction_batch_size = None

    def __init__(self, kernels):
        self.kernels = tf.constant(kernels, tf.float32)
        self.num_distinct_samples, *shape = self.kernels.shape
        self.inputs = keras.KerasTensor((None, shape[0]), "float32", name="x")
        self.outputs = keras.KerasTensor((None, shape[1]), "float32")
        self.sample_shapes = {"kernel": shape}
        self.config = _config(num_predictive_samples=self.num_distinct_samples)

    def draw(self, num_samples, key):
        return {"kernel": self.kernels[:num_samples]}

    def logits(self, images, sample):
        return images @ sample["kernel"]

    def gradients(self, x, y):
        """Returns the gradients `(samples, N, inputs)` of the cross-entropies, in float64.

        The gradient is `sum over c of p_c (w_c - w_y)`, in which p_y has no part.
        """
        x, kernels = x.astype(np.float64), self.kernels.numpy().astype(np.float64)
        logits = x @ kernels  # (samples, N, classes)
        probs = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probs /= probs.sum(axis=-1, keepdims=True)
        differences = kernels[:, np.newaxis] - kernels[:, :, y].transpose(0, 2, 1)[..., np.newaxis]
        return np.einsum("snc,snic->sni", probs, differences)


def _config(num_predictive_samples=3, pipeline=None):
    return types.SimpleNamespace(
        pipeline=pipeline or Pipeline(tiny.SHAPE), num_predictive_samples=num_predictive_samples
    )


def _posterior(name="bbh", **options):
    return Posterior(tiny.method(name, **options), _config())


def _linear_case(scale=1.0):
    rng = np.random.default_rng(0)
    model = _Linear(rng.normal(size=(5, 4, 3), scale=scale))
    return model, rng.normal(size=(7, 4)).astype(np.float32), rng.integers(0, 3, 7)


class TestFastSignAttack:
    @pytest.mark.parametrize(
        "average, expected", [("examples", [[0.0, 0.1]]), ("gradients", [[0.1, 0.1]])]
    )
    def test_two_linear_models_worked_by_hand(self, average, expected):
        # At x = 0 every class has p = 1/2, so that the gradients of -log p_0 are
        # ((0, 1) - (1, 0)) / 2 and ((3, 3) - (0, 0)) / 2: their signs (-1, 1) and (1, 1) have the
        # mean (0, 1), and their mean (0.5, 1) has the signs (1, 1).
        model = _Linear([[[1, 0], [0, 1]], [[0, 3], [0, 3]]])
        x = np.zeros((1, 2), np.float32)
        moved = bbh.fast_sign_attack(model, x, [0], EPSILON, average=average)
        np.testing.assert_allclose(moved, expected, atol=1e-8)
        assert moved.dtype == np.float32

    # From a scale of 10 on, most p of a label round to 0 or 1; at 100 margins are hundreds of nats,
    # where float32 knows no gradient of the cross-entropy but 0.
    @pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
    def test_equals_the_float64_twin(self, scale):
        model, x, y = _linear_case(scale)
        gradients = model.gradients(x, y)
        signs = {
            "examples": np.sign(gradients).mean(axis=0),
            "gradients": np.sign(gradients.mean(axis=0)),
        }
        for average, expected in signs.items():
            moved = bbh.fast_sign_attack(model, x, y, EPSILON, average=average)
            np.testing.assert_allclose(moved, x + EPSILON * expected, atol=1e-6)

    @pytest.mark.parametrize("chunk", [2, 100])
    def test_is_the_mean_over_the_posterior_samples(self, monkeypatch, chunk):
        posterior = _posterior()
        sample_bytes = 4 * posterior.method.num_weights
        limit = "bayes_by_hypernet.prediction.MAX_SAMPLE_BYTES"
        monkeypatch.setattr(limit, chunk * sample_bytes)
        monkeypatch.setattr(attacks, "BATCH_SIZE", 5)
        moved = bbh.fast_sign_attack(posterior, IMAGES, LABELS, EPSILON, num_samples=4, seed=5)
        signs = []
        for first in range(0, 4, chunk):
            key = randomness.fold_in(randomness.seed_key(5), first)
            draws = posterior.draw(min(chunk, 4), key)
            for i in range(min(chunk, 4)):
                x = tf.constant(IMAGES)
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    logits = posterior.logits(x, {name: w[i] for name, w in draws.items()})
                    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits)
                signs.append(np.sign(tape.gradient(loss, x)))
        assert len(signs) == 4
        np.testing.assert_allclose(moved, IMAGES + EPSILON * np.mean(signs, axis=0), atol=1e-6)

    def test_gradients_move_every_pixel_that_matters_by_epsilon(self):
        posterior = _posterior()
        settings = {"num_samples": 6, "seed": 1}
        by_average = {
            average: bbh.fast_sign_attack(
                posterior, IMAGES, LABELS, EPSILON, average=average, **settings
            )
            for average in attacks.AVERAGES
        }
        steps = {name: np.abs(moved - IMAGES) for name, moved in by_average.items()}
        moves = steps["gradients"] > 0
        assert moves.mean() > 0.8  # the others have lost every max pooling
        np.testing.assert_allclose(steps["gradients"][moves], EPSILON, atol=1e-6)
        assert steps["examples"].max() <= EPSILON + 1e-6
        assert (steps["examples"][moves] < 0.9 * EPSILON).any()  # samples disagree

    @pytest.mark.parametrize("name, num_samples", [("bbh", 1), ("dropout", 1), ("map", 100)])
    def test_averages_agree_on_one_sample(self, name, num_samples):
        posterior = _posterior(name)
        examples, gradients = (
            bbh.fast_sign_attack(
                posterior, IMAGES, LABELS, EPSILON, num_samples, average=average, seed=2
            )
            for average in attacks.AVERAGES
        )
        np.testing.assert_array_equal(examples, gradients)
        assert np.abs(examples - IMAGES).max() > 0.9 * EPSILON

    def test_every_member_of_an_ensemble_counts_once(self):
        posterior = _posterior("ensemble", num_members=3)
        moved = bbh.fast_sign_attack(posterior, IMAGES, LABELS, EPSILON, seed=1)
        members = posterior.method.members.values()
        each = [bbh.fast_sign_attack(m, IMAGES, LABELS, EPSILON) for m in members]
        np.testing.assert_allclose(moved, np.mean(each, axis=0), atol=1e-6)

    def test_epsilon_0_changes_nothing(self):
        moved = bbh.fast_sign_attack(_posterior(), IMAGES, LABELS, 0.0, num_samples=2)
        np.testing.assert_array_equal(moved, IMAGES)

    def test_a_seed_decides_the_answer(self):
        posterior = _posterior()
        first, again, other, fresh, fresher = (
            bbh.fast_sign_attack(posterior, IMAGES, LABELS, EPSILON, 3, seed=seed)
            for seed in (1, 1, 2, None, None)
        )
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 0.01
        assert np.abs(fresh - fresher).max() > 0.01

    def test_clips_to_the_range_of_valid_inputs(self):
        model, x, y = _linear_case()
        x = np.clip(x, -0.5, 0.5)
        moved = bbh.fast_sign_attack(model, x, y, EPSILON, seed=1)
        clipped = bbh.fast_sign_attack(model, x, y, EPSILON, clip=(-0.5, 0.5), seed=1)
        assert np.abs(moved).max() > 0.5
        np.testing.assert_array_equal(clipped, np.clip(moved, -0.5, 0.5))

    def test_bounds_and_steps_may_be_arrays(self):
        model, x, y = _linear_case()
        x = np.clip(x, -1, 1)
        steps, low = np.array([0.0, 0.1, 0.2, 0.3]), np.array([-1, -1, -2, -1.05])
        moved = bbh.fast_sign_attack(
            model, x, y, steps, average="gradients", clip=(low, np.full(4, 1.0)), seed=1
        )
        assert (np.abs(moved - x) <= steps + 1e-6).all() and (moved[:, 0] == x[:, 0]).all()
        assert (moved >= low - 1e-6).all() and moved.max() <= 1
        free = bbh.fast_sign_attack(model, x, y, steps, average="gradients", seed=1)
        np.testing.assert_allclose(moved, np.clip(free, low, 1), atol=1e-7)

    def test_inputs_outside_the_bounds_are_refused(self):
        model, x, y = _linear_case()
        with pytest.raises(ValueError, match="`x` must lie within `clip`"):
            bbh.fast_sign_attack(model, x, y, EPSILON, clip=(-0.1, 0.1))

    def test_several_inputs_of_which_integers_stay(self):
        a, ids = keras.Input((4,), name="a"), keras.Input((2,), dtype="int32", name="ids")
        embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(ids))
        outputs = bbh.layers.DenseFlipout(3, num_train_examples=9)(
            keras.layers.concatenate([a, embedded])
        )
        model = keras.Model({"a": a, "ids": ids}, outputs)
        x = {"a": np.ones((6, 4), np.float32), "ids": np.arange(12).reshape(6, 2) % 5}
        moved = bbh.fast_sign_attack(model, x, np.arange(6) % 3, EPSILON, 3, seed=1)
        np.testing.assert_array_equal(moved["ids"], x["ids"])
        assert 0.5 * EPSILON < np.abs(moved["a"] - x["a"]).max() <= EPSILON + 1e-6

    def test_token_ids_alone_have_no_gradient(self):
        ids = keras.Input((2,), dtype="int32")
        embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(ids))
        dense = bbh.layers.DenseFlipout(3, num_train_examples=9)
        with pytest.raises(ValueError, match="no gradient.*token ids"):
            bbh.fast_sign_attack(keras.Model(ids, dense(embedded)), [[1, 2]], [0], EPSILON, 2)

    def test_a_keras_model_with_logits_or_probabilities(self):
        dense = bbh.layers.DenseHypernet(3, hidden_units=(4, 8), num_train_examples=60)
        logits = keras.Sequential([keras.layers.Input(tiny.SHAPE), keras.layers.Flatten(), dense])
        probs = keras.Sequential([logits, keras.layers.Softmax()])
        moved = [
            bbh.fast_sign_attack(model, IMAGES, LABELS, EPSILON, 3, from_logits=is_logits, seed=1)
            for model, is_logits in ((logits, True), (probs, False))
        ]
        np.testing.assert_allclose(*moved, atol=1e-6)
        assert np.abs(moved[0] - IMAGES).max() > 0.9 * EPSILON

    def test_probabilities_that_are_certain_keep_their_direction(self):
        kernel = np.array([[15.0, -15.0]], np.float32)  # p = 1 - 1e-13 at x = 1
        outputs = keras.layers.Dense(2, activation="softmax", use_bias=False)
        model = keras.Sequential([keras.layers.Input((1,)), outputs])
        outputs.kernel.assign(kernel)
        moved = bbh.fast_sign_attack(model, [[1.0], [1.0]], [0, 1], EPSILON, from_logits=False)
        np.testing.assert_allclose(moved, [[0.9], [1.1]], rtol=1e-6)

    def test_a_batch_is_the_predictions_where_answers_depend_on_it(self):
        network = dataclasses.replace(tiny.NORMALISED, batch_norm="batch")
        method = tiny.method("bbh", network=network, prediction_batch_size=100)
        posterior = Posterior(method, None)
        assert posterior.prediction_batch_size == 100
        images, labels = dataclasses.astuple(tiny.examples(150))

        def moved(part):
            return bbh.fast_sign_attack(
                posterior, images[part], labels[part], EPSILON, num_samples=2, seed=1
            )

        parts = [moved(slice(100)), moved(slice(100, 150))]
        np.testing.assert_array_equal(moved(slice(150)), np.concatenate(parts))
        assert np.abs(parts[0][:50] - moved(slice(50))).max() > 0.01

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"epsilon": -0.1}, "epsilon=-0.1"),
            ({"epsilon": np.nan}, "epsilon=nan"),
            ({"epsilon": np.inf}, "epsilon=inf"),
            ({"num_samples": 0}, "num_samples=0"),
            ({"average": "images"}, "average='images'"),
            ({"clip": (1, 0)}, r"clip=\(1, 0\)"),
            ({"y": LABELS[:-1]}, r"each of 12 inputs.*\(11,\)"),
            ({"y": LABELS.astype(float)}, "`y` must hold integers.*float"),
            ({"x": IMAGES[:, :5]}, r"shape \(N, 6, 6, 1\)"),
            ({"x": np.full_like(IMAGES, np.nan)}, "finite"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        arguments = {"x": IMAGES, "y": LABELS, "epsilon": EPSILON, **arguments}
        with pytest.raises(ValueError, match=message):
            bbh.fast_sign_attack(_posterior(), **arguments)

    def test_a_label_that_is_no_class(self):
        with pytest.raises(tf.errors.InvalidArgumentError, match="number of classes"):
            bbh.fast_sign_attack(_posterior("map"), IMAGES, np.full(12, 3), EPSILON)


class TestFastSign:
    @pytest.mark.parametrize("average", attacks.AVERAGES)
    def test_equals_separate_attacks(self, average):
        posterior, epsilons = _posterior(), (0.0, 0.05, 0.3)
        attack = attack_runs.FastSign(epsilons, num_samples=3, average=average, seed=7)
        together = list(attack.inputs(posterior, IMAGES, LABELS, clip=(0, 1)))
        for epsilon, moved in zip(epsilons, together, strict=True):
            alone = bbh.fast_sign_attack(
                posterior, IMAGES, LABELS, epsilon, 3, average, clip=(0, 1), seed=7
            )
            np.testing.assert_array_equal(moved, alone)


class TestProjectedGradient:
    def test_of_a_linear_model_is_one_step_by_the_sign(self):
        kernels = np.random.default_rng(0).normal(size=(1, 4, 2))
        model, x = _Linear(kernels), np.zeros((3, 4), np.float32)
        y = np.array([0, 1, 1])
        attack = attack_runs.ProjectedGradient(epsilons=(0.1, 0.4), seed=1)
        for epsilon, moved in zip(attack.epsilons, attack.inputs(model, x, y), strict=True):
            one_step = bbh.fast_sign_attack(model, x, y, epsilon)
            np.testing.assert_allclose(moved, one_step, atol=1e-6)

    def test_stays_within_epsilon_and_raises_the_loss_more_than_one_step(self):
        model, x, y = _linear_case(scale=2.0)
        [moved] = attack_runs.ProjectedGradient((1.0,), num_steps=40).inputs(model, x, y)
        one_step = bbh.fast_sign_attack(model, x, y, 1.0, average="gradients")
        assert np.abs(moved - x).max() <= 1 + 1e-6

        def loss(x):
            log_probs = tf.nn.log_softmax(x @ model.kernels)
            return -np.mean([sample[range(7), y] for sample in log_probs.numpy()])

        assert loss(moved) >= loss(one_step) > loss(x)

    def test_stays_within_the_range_of_valid_inputs(self):
        attack = attack_runs.ProjectedGradient((0.3,), num_samples=2, num_steps=3)
        [moved] = attack.inputs(_posterior(), IMAGES, LABELS, clip=(0, 1))
        assert moved.min() == 0 and moved.max() == 1
        assert np.abs(moved - IMAGES).max() <= 0.3 + 1e-6

    def test_a_seed_decides_the_answer_and_epsilon_0_changes_nothing(self):
        posterior = _posterior()

        def moved(seed):
            attack = attack_runs.ProjectedGradient((0.0, 0.1), 2, num_steps=1, seed=seed)
            return list(attack.inputs(posterior, IMAGES, LABELS))

        first, again, other = moved(1), moved(1), moved(2)
        np.testing.assert_array_equal(first[0], IMAGES)
        np.testing.assert_array_equal(first, again)
        assert np.abs(first[1] - other[1]).max() > 0.01


class TestCurve:
    @pytest.mark.parametrize("clip", [False, True])
    def test_measures_the_predictions_under_attack(self, clip):
        posterior = _posterior("map")
        attack = attack_runs.FastSign((0.0, 0.5), num_images=10, clip_adversarial=clip)
        points = list(attack.curve(posterior, Examples(IMAGES, LABELS)))
        assert [point["epsilon"] for point in points] == [0.0, 0.5]
        for point in points:
            moved = bbh.fast_sign_attack(
                posterior, IMAGES[:10], LABELS[:10], point["epsilon"], clip=(0, 1) if clip else None
            )
            probs = tf.nn.softmax(posterior.keras_model(moved)).numpy()
            entropy = -np.sum(probs * np.log(probs), axis=1).mean() / np.log(3)
            assert point["accuracy"] == np.mean(probs.argmax(axis=1) == LABELS[:10])
            np.testing.assert_allclose(point["relative_entropy"], entropy, rtol=1e-5)
        assert points[0]["relative_entropy"] != points[1]["relative_entropy"]

    @pytest.mark.parametrize("name", attack_runs.ATTACKS)
    def test_predicts_with_other_samples_than_the_attacks(self, monkeypatch, name):
        posterior, drawn = _posterior(), []
        draw = posterior.draw

        def spy(num_samples, key):
            values = [num_samples, key[0], key[1]]
            tf.py_function(lambda *values: drawn.append(tuple(map(int, values))), values, [])
            return draw(num_samples, key)

        monkeypatch.setattr(posterior, "draw", spy)
        attack = attack_runs.make(name, epsilons=(0.1, 0.2), num_samples=2, num_images=5)
        list(attack.curve(posterior, Examples(IMAGES, LABELS)))
        counts, *keys = zip(*set(drawn), strict=True)  # of both epsilons
        assert sorted(counts) == [2, 3]  # of the attack, and of every prediction of this run
        assert len(set(zip(*keys, strict=True))) == 2

    def test_takes_the_inputs_of_the_runs_pipeline(self):
        posterior, attack = _posterior("map"), attack_runs.FastSign((0.3,), num_images=12)
        [expected] = attack.curve(posterior, Examples(IMAGES, LABELS))
        negatives = Pipeline(tiny.SHAPE, lambda images: tf.constant(1 - images))
        posterior.config = _config(pipeline=negatives)
        [point] = attack.curve(posterior, Examples(1 - IMAGES, LABELS))
        assert point["accuracy"] == expected["accuracy"]
        # 1 - (1 - x) rounds once.
        np.testing.assert_allclose(
            point["relative_entropy"], expected["relative_entropy"], rtol=1e-5
        )

    def test_of_saturated_predictions(self):
        model = _Linear([[[1e5, 0, 0], [0, 1e5, 0], [0, 0, 1e5]]])
        test = Examples(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))
        attack = attack_runs.FastSign((0.0, 0.2), num_images=3)
        for point in attack.curve(model, test):
            assert point["accuracy"] == pytest.approx(2 / 3) and point["relative_entropy"] == 0

    @pytest.mark.parametrize("num_images", [0, 13])
    def test_more_images_than_there_are(self, num_images):
        attack = attack_runs.FastSign(num_images=num_images)
        with pytest.raises(ValueError, match=f"between 1 and 12.*num_images={num_images}"):
            next(attack.curve(_posterior(), Examples(IMAGES, LABELS)))

    def test_standardised_inputs_have_no_range(self):
        posterior = _posterior()
        posterior.config = _config(pipeline=PIPELINES["cifar5"])
        attack = attack_runs.FastSign(num_images=5, clip_adversarial=True)
        with pytest.raises(ValueError, match="`clip_adversarial`.*no common range"):
            next(attack.curve(posterior, Examples(IMAGES, LABELS)))


class TestSettings:
    def test_are_all_that_decides_the_numbers(self):
        attack = attack_runs.make("fast_sign", average="gradients", epsilons=(0.5,))
        assert attack.record_name == "adversarial_fast_sign_gradients"
        assert attack.settings == {
            "attack": "fast_sign",
            "epsilons": (0.5,),
            "num_samples": 100,
            "num_images": 1000,
            "clip_adversarial": False,
            "seed": 42,
            "average": "gradients",
        }
        other = attack_runs.make("projected_gradient")
        assert other.record_name == "adversarial_projected_gradient"
        assert (other.epsilons, other.num_samples, other.num_steps) == ((0.1, 0.2, 0.3), 10, 10)

    def test_the_papers_epsilons(self):
        expected = (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
        assert attack_runs.FastSign().epsilons == expected

    @pytest.mark.parametrize(
        "name, settings, message",
        [
            ("projected_gradient", {"average": "examples"}, "`average` has no meaning"),
            ("projected_gradient", {"num_steps": 0}, "num_steps=0"),
            ("fast_sign", {"num_steps": 3}, "`num_steps` has no meaning"),
            ("fast_sign", {"epsilons": ()}, "at least one"),
            ("fast_sign", {"epsilons": (0.1, -0.1)}, "epsilon=-0.1"),
        ],
    )
    def test_that_are_not_allowed(self, name, settings, message):
        with pytest.raises(ValueError, match=message):
            attack_runs.make(name, **settings)
