"""The loop: resumable at the very step, the same on one device and two, loud when it breaks."""

import dataclasses
import functools
import json
import math
import pathlib
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet import files
from bayes_by_hypernet.models import BayesianModel
from bayes_by_hypernet.posteriors.samplers import ModelSampler
from bayes_by_hypernet.training import (
    FusedAdam,
    NonFiniteLossError,
    Stopped,
    TrainConfig,
    Trainer,
    make_strategy,
)
from bayes_by_hypernet.training.batches import training_batches
from bayes_by_hypernet.training.checkpoints import CheckpointError
from bayes_by_hypernet.training.progress import read_history

PLAN = TrainConfig(
    epochs=4,
    batch_size=10,
    seed=3,
    annealing_start_epoch=0.5,
    annealing_epochs=1.0,
    steps_per_call=4,
)


def _trainer(directory, plan=PLAN, method="bbh", devices=None, examples=None, init=1, **options):
    keras.utils.set_random_seed(init)
    strategy = tf.distribute.MirroredStrategy(devices) if devices else tf.distribute.get_strategy()
    examples = tiny.examples(60) if examples is None else examples
    with strategy.scope():
        member = tiny.member(method, seed=plan.seed, **options)
    make_optimizer = functools.partial(FusedAdam, 1e-2, epsilon=1e-5)
    likelihood = tiny.NETWORK.likelihood
    return Trainer(member, likelihood, make_optimizer, examples, plan, directory, strategy)


def _without_time(history):
    return [{k: v for k, v in epoch.items() if k != "ms_per_step"} for epoch in history]


def _weights(trainer):
    return [v.numpy() for v in trainer.model.fitted_variables]


class TestResume:
    @pytest.mark.parametrize(
        "method, options",
        [
            ("map", {}),
            ("bbh", {}),
            ("bbb", {}),
            ("bbb", {"kl_estimator": "adversarial"}),
            ("bbh", {"kl_estimator": "adversarial", "adversarial_weights": 20}),
            ("dropout", {}),
            ("mnf", {}),
        ],
    )
    def test_an_interrupted_and_resumed_run_equals_the_uninterrupted_one(
        self, tmp_path, method, options
    ):
        whole = _trainer(tmp_path / "whole", method=method, **options)
        history = whole.run()

        first = _trainer(tmp_path / "parts", method=method, **options)
        interrupt = _interrupt_after(first, num_calls=3)  # in the middle of the second epoch
        with pytest.raises(KeyboardInterrupt):
            first.run()
        assert interrupt["step"] == int(first.step.numpy()) == 10
        # All of it is restored, a discriminator and its moments too.
        second = _trainer(tmp_path / "parts", method=method, init=2, **options)
        assert second.restore()
        assert int(second.step.numpy()) == 10
        resumed = second.run()

        for a, b in zip(_weights(whole), _weights(second), strict=True):
            np.testing.assert_array_equal(a, b)  # bit for bit
        assert [e["step"] for e in resumed] == [e["step"] for e in history] == [6, 12, 18, 24]
        # The epoch that was interrupted too: its sums are in the checkpoint.
        assert _without_time(resumed) == _without_time(history)

    def test_a_request_to_stop_saves_after_the_step_and_says_so(self, tmp_path, capsys):
        trainer = _trainer(tmp_path)
        request = Stopped(signal.SIGTERM)
        with pytest.raises(Stopped) as stopped:
            trainer.run(stop=lambda: request if int(trainer.step.numpy()) >= 4 else None)
        assert stopped.value is request
        assert "Stopped by SIGTERM; saved at step 4." in capsys.readouterr().err
        assert _trainer(tmp_path).restore().endswith("ckpt-1")
        # A checkpoint that the deadline leaves no time for is not begun.
        request = Stopped(signal.SIGTERM, deadline=0.0)
        with pytest.raises(Stopped):
            trainer.run(stop=lambda: request)
        assert "ckpt-1" in capsys.readouterr().err.split("more than --grace_seconds leaves")[1]
        assert len(list((tmp_path / "checkpoints").glob("*.index"))) == 1

    def test_an_epochs_line_that_was_not_written_is_made_again(self, tmp_path):
        plan = dataclasses.replace(PLAN, epochs=2)
        history = _trainer(tmp_path, plan).run(lambda: {"validation_nll": 0.5})
        path = tmp_path / "history.jsonl"
        path.write_text(path.read_text().splitlines()[0] + "\n")  # stopped in the validation
        again = _trainer(tmp_path, plan)
        again.restore()
        assert _without_time(again.run(lambda: {"validation_nll": 0.5})) == _without_time(history)

    def test_a_damaged_history_is_told(self, tmp_path, caplog):
        path = tmp_path / "history.jsonl"
        _trainer(tmp_path).run()
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], "3", lines[2], lines[2], "{}", "[1", lines[3]]))
        epochs = read_history(path, 5)
        assert [epoch["epoch"] for epoch in epochs] == [1, 3, 4]
        for part in (str(path), "lines 2, 5-6", "two lines: 3", "without a line: 2, 5"):
            assert part in caplog.text

    def test_checkpoints_from_before_the_sums_are_restored(self, tmp_path, capsys):
        first = _trainer(tmp_path)
        objects = {k: v for k, v in first._checkpoints._objects.items() if k != "epoch_sums"}
        first.step.assign(4)
        tf.train.CheckpointManager(
            tf.train.Checkpoint(**objects), str(tmp_path / "checkpoints"), 2
        ).save()
        second = _trainer(tmp_path)
        assert second.restore().endswith("ckpt-1") and int(second.step.numpy()) == 4
        history = second.run()
        assert history[0]["num_steps"] == 2 and "num_steps" not in history[1]

    def test_without_room_no_checkpoint_is_begun(self, tmp_path, monkeypatch):
        trainer = _trainer(tmp_path)
        path = trainer._checkpoints.save()
        (tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001").write_text("half")  # killed
        monkeypatch.setattr(files, "free_bytes", lambda folder: 1000)
        with pytest.raises(files.StorageError, match="ckpt-2.*needs .* bytes, 1,000 are free"):
            trainer._checkpoints.save()
        assert _trainer(tmp_path).restore() == path
        monkeypatch.undo()
        assert trainer._checkpoints.save().endswith("ckpt-2")
        (tmp_path / "checkpoints" / "checkpoint").write_text("no list")
        assert _trainer(tmp_path).restore().endswith("ckpt-2")

    def test_a_checkpoint_holds_each_parameter_once_and_two_moments(self, tmp_path):
        trainer = _trainer(tmp_path)
        path = trainer._checkpoints.save()
        sizes = [math.prod(shape) for _, shape in tf.train.list_variables(path)]
        # Besides: the step, the seconds, the learning rate and the like.
        assert sum(sizes) - 3 * trainer.model.num_parameters < 20

    def test_train_seconds_add_up_over_resumes(self, tmp_path):
        first = _trainer(tmp_path)
        first.run()
        seconds = float(first.train_seconds.numpy())
        second = _trainer(tmp_path)
        second.restore()
        second.run()  # nothing left to do
        assert seconds > 0
        assert float(second.train_seconds.numpy()) == seconds

    def test_falls_back_from_a_damaged_checkpoint(self, tmp_path, caplog):
        first = _trainer(tmp_path, TrainConfig(2, 10, 3, steps_per_call=6, checkpoint_minutes=0.0))
        first.run()
        newest, before = sorted((tmp_path / "checkpoints").glob("*.data-*"), reverse=True)
        newest.write_bytes(newest.read_bytes()[:100])  # half-written
        second = _trainer(tmp_path)
        with caplog.at_level("WARNING", logger="bayes_by_hypernet"):
            assert second.restore() in str(before)
        assert int(second.step.numpy()) == 6
        assert "damaged" in caplog.text

        before.write_bytes(b"")
        with pytest.raises(CheckpointError, match="--overwrite"):
            _trainer(tmp_path).restore()


class TestDistribution:
    @pytest.mark.parametrize(
        "options", [{"noise": "shared"}, {"noise": "independent"}, {"architecture": "single"}]
    )
    def test_mirrored_equals_one_device_over_three_steps(self, tmp_path, two_cpu_devices, options):
        plan = TrainConfig(
            1, 20, 3, steps_per_call=3
        )  # three steps: rounding grows with 1 / distance
        one = _trainer(tmp_path / "one", plan, **options)
        two = _trainer(tmp_path / "two", plan, devices=two_cpu_devices, **options)
        assert two.strategy.num_replicas_in_sync == 2
        histories = one.run(), two.run()
        np.testing.assert_allclose(histories[0][-1]["loss"], histories[1][-1]["loss"], rtol=1e-5)
        for a, b in zip(_weights(one), _weights(two), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)

    def test_replicas_hold_the_same_parameters(self, tmp_path, two_cpu_devices):
        trainer = _trainer(tmp_path, devices=two_cpu_devices)
        trainer.run()
        for variable in trainer.model.fitted_variables:
            first, second = trainer.strategy.experimental_local_results(variable.value)
            np.testing.assert_array_equal(first.numpy(), second.numpy())

    def test_a_global_batch_is_the_same_for_any_number_of_replicas(self):
        examples = tiny.examples(60)
        whole = list(training_batches(examples, 20, 5, 0, 3))
        halves = list(training_batches(examples, 20, 5, 0, 3, num_replicas=2, replicas=(0, 1)))
        second = list(training_batches(examples, 20, 5, 0, 3, num_replicas=2, replicas=(1,)))
        assert len(whole) == len(second) == 3 and len(halves) == 6
        for i, (images, labels) in enumerate(whole):
            parts = [halves[2 * i], halves[2 * i + 1]]
            np.testing.assert_array_equal(np.concatenate([p[0] for p in parts]), images)
            np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), labels)
            np.testing.assert_array_equal(second[i][0], parts[1][0])

    def test_batch_size_must_be_divisible_by_the_replicas(self, tmp_path, two_cpu_devices):
        with pytest.raises(ValueError, match="`batch_size` must be divisible.* batch_size=15"):
            _trainer(tmp_path, TrainConfig(1, 15, 3), devices=two_cpu_devices).run()

    def test_strategies(self, monkeypatch):
        assert make_strategy("auto").num_replicas_in_sync == 1
        assert make_strategy("mirrored").num_replicas_in_sync == 2  # two logical CPUs
        monkeypatch.delenv("TF_CONFIG", raising=False)
        with pytest.raises(ValueError, match="TF_CONFIG"):
            make_strategy("multiworker")
        with pytest.raises(ValueError, match="strategy='two'"):
            make_strategy("two")


class TestBatches:
    def test_every_epoch_visits_each_example_once_in_another_order(self):
        examples = tiny.examples(60)
        batches = list(training_batches(examples, 10, 5, 0, 12))
        epochs = [np.concatenate([b[0] for b in batches[i : i + 6]]) for i in (0, 6)]
        flat = [epoch.reshape(60, -1) for epoch in epochs]
        expected = examples.images.reshape(60, -1)
        for epoch in flat:
            np.testing.assert_array_equal(
                epoch[np.lexsort(epoch.T)], expected[np.lexsort(expected.T)]
            )
        assert (flat[0] != flat[1]).any()

    def test_batches_are_a_function_of_the_step(self):
        examples = tiny.examples(60)
        whole = list(training_batches(examples, 10, 5, 0, 12))
        rest = list(training_batches(examples, 10, 5, 8, 12))
        assert len(rest) == 4
        for (a, _), (b, _) in zip(whole[8:], rest, strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("batch_size", [0, 61])
    def test_refuses_a_batch_size_out_of_range(self, batch_size):
        with pytest.raises(ValueError, match=f"between 1 and .* 60.*batch_size={batch_size}"):
            training_batches(tiny.examples(60), batch_size, 0, 0, 1)


class TestObjective:
    def test_training_lowers_the_loss_and_the_validation_runs_every_epoch(self, tmp_path):
        history = _trainer(tmp_path).run(lambda: {"validation_nll": 0.5})
        assert history[-1]["loss"] < history[1]["loss"]  # both fully annealed but the first
        assert [epoch["validation_nll"] for epoch in history] == [0.5] * 4
        lines = (tmp_path / "history.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
        assert list((tmp_path / "tensorboard").iterdir())

    def test_the_kl_is_scaled_by_annealing_temperature_and_examples(self, tmp_path):
        plan = TrainConfig(1, 10, 3, 0.0, 1.0, temperature=0.5, steps_per_call=6)
        trainer = _trainer(tmp_path, plan)
        rows = []
        _spy(trainer, rows.append)
        trainer.run()
        loss, nll, kl, _ = np.concatenate(rows).T
        scale = 0.5 * np.arange(6) / 6 / 60  # temperature * anneal / N
        np.testing.assert_allclose(loss, nll + scale * kl, rtol=1e-5)

    def test_likelihood_samples_average_the_log_likelihood(self, tmp_path):
        rows = {}
        for k in (1, 3):
            trainer = _trainer(tmp_path / str(k), num_likelihood_samples=k)
            rows[k] = []
            _spy(trainer, rows[k].append)
            trainer.run()
        first = {k: np.concatenate(r)[0] for k, r in rows.items()}
        assert first[1][1] != first[3][1]  # another NLL ...
        assert first[1][2] == first[3][2]  # ... of the same weight samples
        model = trainer.model
        key = tf.constant([1, 2])
        parameters = model.sampled_parameters(key)
        images = tf.constant(tiny.examples(5).images)
        outputs = model.training_outputs(images, parameters, key)
        assert [one.shape for one in outputs] == 3 * [(5, 3)]
        sampler = ModelSampler(model)
        for i in range(3):
            sample = {n: w[i] for n, w in zip(sampler.weight_names, parameters, strict=True)}
            np.testing.assert_allclose(outputs[i], sampler.logits(images, sample), rtol=1e-5)

    def test_losses_that_layers_add_are_part_of_the_loss(self, tmp_path):
        """A weight decay of 0.5 on the kernels: the loss is the NLL plus half their squares."""
        inputs = keras.Input(tiny.SHAPE)
        decay = keras.regularizers.L2(0.5)
        dense = keras.layers.Dense(3, kernel_regularizer=decay, name="dense")
        member = BayesianModel(keras.Model(inputs, dense(keras.layers.Flatten()(inputs))))
        trainer = Trainer(
            member,
            tiny.NETWORK.likelihood,
            functools.partial(FusedAdam, 1e-2),
            tiny.examples(60),
            TrainConfig(1, 10, 3, steps_per_call=1),
            tmp_path,
            tf.distribute.get_strategy(),
        )
        expected = 0.5 * float(tf.reduce_sum(dense.kernel.value**2))
        terms = trainer.run_steps(iter(trainer.batches(0)), tf.constant(1, tf.int64)).numpy()[0]
        np.testing.assert_allclose(terms[0] - terms[1], expected, rtol=1e-5)  # float32 sums
        assert terms[2] == 0


class TestFailure:
    def test_a_broken_loss_names_epoch_step_and_term_and_keeps_the_last_checkpoint(self, tmp_path):
        examples = tiny.examples(60)
        plan = TrainConfig(2, 10, 3, steps_per_call=6, checkpoint_minutes=0.0)
        trainer = _trainer(tmp_path, plan, examples=examples)
        kl = trainer.model.kl

        def broken_kl(parameters, key):
            late = trainer.step.read_value() >= 8
            return tf.where(late, np.float32("nan"), kl(parameters, key))

        trainer.model.kl = broken_kl
        with pytest.raises(NonFiniteLossError, match="Epoch 2, step 8: the term 'kl'.*ckpt-1"):
            trainer.run()
        again = _trainer(tmp_path, plan)
        assert again.restore()
        assert int(again.step.numpy()) == 6
        assert all(np.isfinite(w).all() for w in _weights(again))

    def test_parameters_that_an_update_broke_are_never_saved(self, tmp_path):
        trainer = _trainer(tmp_path, TrainConfig(1, 10, 3, steps_per_call=6))
        trainer.optimizer.learning_rate = float("inf")
        with pytest.raises(NonFiniteLossError):
            trainer.run()
        assert not list(pathlib.Path(tmp_path).glob("checkpoints/*.index"))


def _spy(trainer, see):
    """Has `see` called with the terms of every call, `(num_steps, 4)`."""
    run_steps = trainer.run_steps

    def spied(batches, num_steps):
        terms = run_steps(batches, num_steps)
        see(terms.numpy())
        return terms

    trainer.run_steps = spied


def _interrupt_after(trainer, num_calls):
    """Presses Control-C after so many calls of the compiled steps."""
    seen = {"calls": 0}
    report = trainer._report

    def interrupting(progress, step, epoch, terms):
        report(progress, step, epoch, terms)
        seen["calls"] += 1
        seen["step"] = step
        if seen["calls"] == num_calls:
            raise KeyboardInterrupt

    trainer._report = interrupting
    return seen
