"""The training loop: the same steps on one device or many, interrupted or not."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.divergences import linear_annealing, scaled_kl
from bayes_by_hypernet.training import objective
from bayes_by_hypernet.training.batches import check_divides, steps_per_epoch, training_batches
from bayes_by_hypernet.training.checkpoints import (
    Checkpoints,
    checkpoint_directory,
    newest_checkpoint,
    num_bytes,
    trackable,
)
from bayes_by_hypernet.training.progress import (
    History,
    ProgressBar,
    Scalars,
    Timer,
    epoch_line,
)
from bayes_by_hypernet.training.stopping import Stopped
from bayes_by_hypernet.training.workers import workers_of

# Calls before the time left is estimated: the first one also traces and compiles.
WARM_UP_CALLS = 2
NUM_TERMS = len(objective.Terms._fields)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long and how to train.

    Attributes:
        epochs: Length of training.
        batch_size: Global batch size.
        seed: Decides batches, noise and prior samples of every step.
        annealing_start_epoch, annealing_epochs: Of the KL's factor; None: no annealing.
        temperature: Another factor on the KL.
        steps_per_call: Steps of one call into TensorFlow.
        checkpoint_minutes: At most one checkpoint in this many minutes, besides the last.
    """

    epochs: int
    batch_size: int
    seed: int
    annealing_start_epoch: float | None = None
    annealing_epochs: float | None = None
    temperature: float = 1.0
    steps_per_call: int = 10
    checkpoint_minutes: float = 5.0


class Trainer:
    """Fits a `BayesianModel` to training examples under the strategy in whose scope it was made.

    Everything random follows from (seed, step), and `checkpoints/` of the run directory holds
    parameters, optimiser and step: a resumed run continues at the very step, and on one CPU
    device equals the uninterrupted one bit for bit.

    Args:
        model: `BayesianModel`.
        likelihood: Of the labels given its outputs, see `likelihoods`.
        make_optimizer: Function that returns a `FusedAdam`, one for each network to be trained.
        examples: Training `Examples`.
        plan: `TrainConfig`.
        directory: Run directory.
        strategy: `tf.distribute.Strategy`.
        name: Of the model among its ensemble; its files in the run directory carry it.
        pipeline: `Pipeline` from the images to the network's inputs, or None: they are.
    """

    def __init__(
        self,
        model,
        likelihood,
        make_optimizer,
        examples,
        plan,
        directory,
        strategy,
        name="",
        pipeline=None,
    ):
        self.model = model
        self.likelihood = likelihood
        self.name = name
        self.examples = examples
        self.pipeline = pipeline
        self.plan = plan
        self.strategy = strategy
        self.directory = pathlib.Path(directory)
        self.num_train_examples = len(examples.labels)
        self.steps_per_epoch = steps_per_epoch(self.num_train_examples, plan.batch_size)
        self.total_steps = plan.epochs * self.steps_per_epoch
        check_divides(plan.batch_size, strategy.num_replicas_in_sync)
        self.workers = workers_of(strategy)
        self.chief = self.workers.is_chief
        with strategy.scope():
            self.optimizer = make_optimizer()
            self.optimizer.build(model.fitted_variables)
            aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
            self.step = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=aggregation)
            self.train_seconds = tf.Variable(
                0.0, trainable=False, dtype=tf.float64, aggregation=aggregation
            )
            # Of the steps of the epoch so far: the sums of their terms, and how many they are.
            self._epoch_sums = tf.Variable(
                [0.0] * (NUM_TERMS + 1), trainable=False, dtype=tf.float64, aggregation=aggregation
            )
            objects = {"method": trackable(model), "optimizer": self.optimizer}
            saved = [*model.fitted_variables, *model.moving_variables, *self.optimizer.variables]
            self._auxiliary_variables = ()
            if model.estimator is not None and model.estimator.auxiliary_variables:
                objects |= self._build_auxiliary(make_optimizer)
                saved += [*self._auxiliary_variables, *self._auxiliary_optimizer.variables]
        self._checkpoints = Checkpoints(
            checkpoint_directory(self.directory, name),
            plan.checkpoint_minutes,
            num_bytes(saved),
            optional=("epoch_sums",),
            step=self.step,
            train_seconds=self.train_seconds,
            epoch_sums=self._epoch_sums,
            **objects,
        )

    def _build_auxiliary(self, make_optimizer):
        """Makes the optimiser of the estimator's own parts; returns what is to be saved of both."""
        self._auxiliary_variables = self.model.estimator.auxiliary_variables
        self._auxiliary_optimizer = make_optimizer()
        self._auxiliary_optimizer.build(self._auxiliary_variables)
        variables = {v.path: v for v in self._auxiliary_variables}
        return {  # so named in checkpoints
            "discriminator": tf.train.Checkpoint(variables=variables),
            "discriminator_optimizer": self._auxiliary_optimizer,
        }

    def restore(self):
        """Continues from the newest readable checkpoint; returns its path, or None."""
        return self._checkpoints.restore(self.workers)

    def run(self, validate=None, on_estimate=None, stop=None):
        """Trains to the end of the plan; returns the history, a list of a dict for each epoch.

        Args:
            validate: Called after every epoch on the chief; returns a dict for the history.
            on_estimate: Called once, early, with the estimated seconds of training left.
            stop: Called after every call of `run_steps`; returns a `Stopped` where the run is to
                save and end, else None. See `StopRequests`.

        Raises:
            NonFiniteLossError: If the loss becomes NaN or infinite; the last good checkpoint
                stays.
            Stopped: What `stop` returned on any worker, after saving; raised by all.
            StorageError: If there is no room for a checkpoint, or a file cannot be written; the
                last checkpoint stays.
        """
        self._stop, self._is_due = stop, False
        step = int(self.step.numpy())
        batches = iter(self.batches(step))
        progress = ProgressBar(
            step, self.total_steps, self.num_train_examples, self.name, self.chief
        )
        history = self._scalars = None
        if self.chief:
            self._scalars = Scalars(self.directory / "tensorboard" / self.name)
            path = self.directory / "_".join(filter(None, ["history", self.name]))
            history = History(path.with_suffix(".jsonl"), step // self.steps_per_epoch)
        timer = Timer(self.train_seconds)
        num_calls, request = 0, None
        try:
            if self._lacks_last_epoch(history):
                self._end_epoch(history, progress, None, validate)
            while step < self.total_steps:
                epoch, epoch_step = divmod(step, self.steps_per_epoch)
                num_steps = min(self.plan.steps_per_call, self.steps_per_epoch - epoch_step)
                timer.start()
                terms = self.run_steps(batches, tf.constant(num_steps, tf.int64)).numpy()
                timer.stop(num_steps)
                self._check_finite(step, terms)
                step += num_steps
                num_calls += 1
                self._report(progress, step, epoch, terms)
                if num_calls == WARM_UP_CALLS + 1 and on_estimate:
                    on_estimate(timer.step_seconds * (self.total_steps - step))
                if step % self.steps_per_epoch == 0:
                    self._end_epoch(history, progress, timer.end_epoch(), validate)
                if step < self.total_steps and (request := self._stop_requested()):
                    raise request
                self._save(last=step == self.total_steps)
        except KeyboardInterrupt as error:
            progress.write(self._save_at_stop(error))
            if error is request:  # All end here, and none before the chief has saved.
                self.workers.wait()
            raise
        finally:
            progress.close()
            if self._scalars:
                self._scalars.close()
        return history.epochs if history else []

    def batches(self, first_step):
        """Returns the distributed dataset of the batches of all steps from `first_step` on."""

        def dataset(context):
            replicas_here = context.num_replicas_in_sync // context.num_input_pipelines
            first = context.input_pipeline_id * replicas_here
            return training_batches(
                self.examples,
                self.plan.batch_size,
                self.plan.seed,
                first_step,
                self.total_steps,
                context.num_replicas_in_sync,
                range(first, first + replicas_here),
                self.pipeline,
            )

        return self.strategy.distribute_datasets_from_function(dataset)

    @tf.function
    def run_steps(self, batches, num_steps):
        """Runs `num_steps` steps; returns their terms, float32 `(num_steps, 4)`.

        Args:
            batches: Iterator over `batches`.
            num_steps: Scalar tensor, int64.
        """
        terms = tf.TensorArray(tf.float32, tf.cast(num_steps, tf.int32), element_shape=(4,))
        for i in tf.range(tf.cast(num_steps, tf.int32)):
            step = self.step.read_value()
            if self._auxiliary_variables:
                for j in tf.range(self.model.estimator.num_auxiliary_steps(step)):
                    self.strategy.run(self._auxiliary_step, args=(step, j))
            result = self.strategy.run(self._replica_step, args=(next(batches), step))
            # The terms are summed over replicas already.
            result = self.strategy.experimental_local_results(result)[0]
            terms = terms.write(i, result)
            first = step % self.steps_per_epoch == 0
            sums = tf.where(first, tf.zeros_like(self._epoch_sums), self._epoch_sums)
            self._epoch_sums.assign(sums + tf.cast(tf.concat([result, [1.0]], 0), tf.float64))
            self.step.assign_add(1)
        return terms.stack()

    def _replica_step(self, batch, step):
        inputs, labels = batch

        def losses_of(outputs):
            return self.likelihood.negative_log_likelihood(labels, outputs)

        def with_added(outputs):
            return outputs, [tf.reduce_sum(loss) for loss in self.model.body.losses]

        def likelihood_loss(parameters, key):
            results = self.model.training_outputs(inputs, parameters, key, with_added, losses_of)
            outputs = tf.stack([outputs for outputs, _ in results])  # (k, batch, ...)
            # Log-likelihoods are averaged over samples, not likelihoods (ruling 11).
            losses = tf.reduce_mean(losses_of(outputs), axis=0)  # (batch,)
            nll = tf.reduce_sum(losses) / self.plan.batch_size
            correct = tf.reduce_sum(self.likelihood.correct(labels, outputs))
            sums = [nll, correct / self.plan.batch_size]
            added = [loss for _, losses in results for loss in losses]
            if not added:
                return nll, sums
            share = len(results) * self.strategy.num_replicas_in_sync
            added = tf.add_n(added) / share
            return nll + added, [*sums, added]

        scale = self._kl_scale(step)
        step = objective.gradients(
            self.model, likelihood_loss, self._key(step), scale, self.optimizer.matmul
        )
        self.optimizer.apply_local(step.gradients, self.model.fitted_variables)
        nll, correct, *added = step.sums
        return tf.stack(
            objective.Terms(tf.add_n([nll, *added]) + scale * step.kl, nll, step.kl, correct)
        )

    def _auxiliary_step(self, step, index):
        key = randomness.fold_in(self._key(step), "discriminator")
        key = randomness.fold_in(key, index)
        samples = self.model.auxiliary_samples(randomness.fold_in(key, "posterior"))
        gradients = self.model.estimator.auxiliary_gradients(samples, key)
        self._auxiliary_optimizer.apply_local(gradients, self._auxiliary_variables)

    def _key(self, step):
        return randomness.fold_in(randomness.seed_key(self.plan.seed), step)

    def _kl_scale(self, step):
        anneal = 1.0
        if self.plan.annealing_epochs is not None:
            start, length = self.plan.annealing_start_epoch, self.plan.annealing_epochs
            anneal = linear_annealing(step, self.steps_per_epoch, start, length)
        return scaled_kl(1.0, self.num_train_examples, anneal, self.plan.temperature)

    def _report(self, progress, step, epoch, terms):
        if not self.chief:
            return
        mean = terms.mean(axis=0)
        progress.update(len(terms), epoch, mean)
        loss, nll, kl, accuracy = mean
        kl_per_example = kl / self.num_train_examples
        self._scalars.write(
            step, loss=loss, nll=nll, kl_per_example=kl_per_example, accuracy=accuracy
        )

    def _end_epoch(self, history, progress, ms_per_step, validate):
        """Validates, and writes the epoch's line of the history, on the chief alone."""
        if not self.chief:
            return
        step = int(self.step.numpy())
        *sums, count = self._epoch_sums.numpy()
        loss, nll, kl, accuracy = (float(total / count) for total in sums)
        kl_per_example = kl / self.num_train_examples
        values = {"epoch": step // self.steps_per_epoch, "step": step, "loss": loss, "nll": nll}
        values |= {"kl_per_example": kl_per_example, "accuracy": accuracy}
        if count < self.steps_per_epoch:  # resumed from a checkpoint that had no sums yet
            values["num_steps"] = int(count)
        if validate:
            validation = validate()
            self._scalars.write(step, **validation)
            values |= validation
        history.append(**values, ms_per_step=ms_per_step)
        progress.write(epoch_line(values))

    def _lacks_last_epoch(self, history):
        """Whether the run was stopped between the last step of an epoch and its line."""
        epoch, rest = divmod(int(self.step.numpy()), self.steps_per_epoch)
        whole = self._epoch_sums.numpy()[-1] == self.steps_per_epoch
        return self.chief and rest == 0 and whole and epoch not in history.numbers

    def _stop_requested(self):
        """Returns the request to stop after this step, of whichever worker, or None.

        So all of them end after the same step. The chief also says whether a checkpoint is due.
        """
        request = self._stop() if self._stop else None
        told = self.workers.gather([request and request.to_json(), self._checkpoints.is_due()])
        self._is_due = told[0][1]
        return request or Stopped.first([theirs for theirs, _ in told])

    def _save_at_stop(self, request):
        """Saves where there is time for it; returns a sentence that says what is kept."""
        step, seconds = int(self.step.numpy()), self._checkpoints.expected_seconds
        if isinstance(request, Stopped):
            text = f"{request}; "
            if not request.leaves(seconds):
                return (
                    f"{text}a checkpoint would take about {seconds:.0f} seconds, more than "
                    f"--grace_seconds leaves: {self._kept()}"
                )
        else:
            text = "Interrupted; "
        if self.chief:
            self._save_now()
        return f"{text}saved at step {step}."

    def _kept(self):
        path = newest_checkpoint(checkpoint_directory(self.directory, self.name))
        return f"The last good checkpoint is kept: {path}." if path else "There is no checkpoint."

    def _check_finite(self, first_step, terms):
        finite = np.isfinite(terms)
        if finite.all():
            return
        row = int(np.argmin(finite.all(axis=1)))
        names = objective.Terms._fields
        # The loss is the sum of the others: name it only where each of them is finite.
        broken = [name for name in ("nll", "kl", "loss") if not finite[row, names.index(name)]]
        values = ", ".join(
            f"{name}={value:g}" for name, value in zip(names, terms[row], strict=True)
        )
        self._fail(first_step + row, f"the term {broken[0]!r} of the loss ({values})")

    def _check_parameters(self):
        # A step's loss is of the parameters before its update: the update may have broken them.
        for variable in self.model.fitted_variables:
            if not np.isfinite(float(tf.reduce_sum(variable.value))):
                self._fail(int(self.step.numpy()), f"the parameter {variable.path!r}")

    def _fail(self, step, what):
        epoch = step // self.steps_per_epoch + 1
        raise objective.NonFiniteLossError(
            f"Epoch {epoch}, step {step}: {what} became NaN or infinite. {self._kept()} Try a "
            "smaller --learning_rate, or another --seed."
        )

    def _save(self, last):
        if last or self._is_due:
            self.workers.from_chief(self._save_now)

    def _save_now(self):
        self._check_parameters()
        self._checkpoints.save()
