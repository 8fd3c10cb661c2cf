"""One run: data, method, training, measures, export, from a configuration to `results.json`."""

import contextlib
import functools
import logging

import keras
import numpy as np
import tensorflow as tf
import tqdm

from bayes_by_hypernet import environment, files, metrics, randomness
from bayes_by_hypernet.data import Examples
from bayes_by_hypernet.export import export
from bayes_by_hypernet.paper import measures, protocols
from bayes_by_hypernet.paper.posterior import Posterior, load
from bayes_by_hypernet.paper.run_directory import SAVED_MODEL, RunDirectory, check_shared
from bayes_by_hypernet.paper.schema import SCHEMA_VERSION
from bayes_by_hypernet.posteriors.samplers import as_sampler
from bayes_by_hypernet.prediction import Predictor, sufficient_samples
from bayes_by_hypernet.training import (
    CheckpointError,
    FusedAdam,
    NonFiniteLossError,
    TrainConfig,
    Trainer,
    workers_of,
)
from bayes_by_hypernet.training.batches import check_divides
from bayes_by_hypernet.training.checkpoints import has_failed, mark_failed
from bayes_by_hypernet.training.progress import read_history

logger = logging.getLogger(__name__)

LONG_RUN_SECONDS = 600


def run(
    config,
    load_data,
    workdir,
    strategy=None,
    overwrite=False,
    steps_per_call=10,
    checkpoint_minutes=5.0,
    fallback_reason=None,
    wait=False,
    stop=None,
):
    """Runs, resumes, or only reads a finished run; what a finished one lost is made again.

    Args:
        config: `RunConfig`.
        load_data: Function that returns the `Dataset` which the configuration names; called after
            everything else was found to be in order.
        workdir: Run directory.
        strategy: `tf.distribute.Strategy`; None: the current one.
        overwrite: Whether to start anew where the directory holds a run.
        steps_per_call: Training steps of one call into TensorFlow.
        checkpoint_minutes: At most one checkpoint in this many minutes, besides the last.
        fallback_reason: The sentence to record where these are not the data that were hoped for.
        wait: Whether to wait for another process that writes to the run directory.
        stop: `StopRequests`, or None.

    Returns:
        The contents of `results.json`; None on workers other than the chief.

    Raises:
        RunDirectoryError: If the directory belongs to another configuration or can't be written.
        SchemaError: If a later version of the package wrote the run.
        LockedError: If another process writes to the run directory.
        StorageError: If there is no room for a file, or it can't be written.
        NonFiniteLossError: If the loss becomes NaN or infinite.
        Stopped: If `stop` has a request, of any worker; what was trained is saved.
        WorkersError: If a worker has ended, or has other settings or data.
    """
    strategy = strategy or tf.distribute.get_strategy()
    workers = workers_of(strategy)
    check_divides(config.batch_size, strategy.num_replicas_in_sync)
    settings = {**config.flat(), "steps_per_call": steps_per_call, "overwrite": overwrite}
    workers.compare({f"--{name}": value for name, value in settings.items()})
    directory = RunDirectory(workdir, config, overwrite, writer=workers.is_chief)

    def is_complete():
        return bool(directory.results)

    if not workers.from_chief(is_complete):
        check_shared(directory.path, workers)
        with directory.lock(wait):
            if not workers.from_chief(is_complete):  # after waiting there may be some
                settings = (steps_per_call, checkpoint_minutes, fallback_reason, stop)
                return _run(directory, config, load_data, strategy, *settings)
    logger.info("The run in %s is complete; these are its results.", directory.path)
    if workers.is_chief:
        _mend(directory, config, load_data, wait)
    workers.wait()
    return directory.results if workers.is_chief else None


def _run(
    directory,
    config,
    load_data,
    strategy,
    steps_per_call,
    checkpoint_minutes,
    fallback_reason,
    stop,
):
    """Brings a run to its end; returns its results, None on workers other than the chief."""
    workers = workers_of(strategy)
    dataset = load_data()
    fingerprint = dataset.fingerprint()
    workers.compare({"the data's fingerprint": fingerprint})
    directory.initialize(fingerprint)
    with strategy.scope():
        keras.utils.set_random_seed(config.seed)
        method = config.make_method()
    description = fit(
        method, config, dataset, directory.path, strategy, steps_per_call, checkpoint_minutes, stop
    )
    if workers.is_chief:
        measured = _measure(method, dataset, config, directory)
        _export(Posterior(method, config), directory)
        results = {
            "schema_version": SCHEMA_VERSION,
            **config.flat(),
            **measured,
            **description,
            **_describe(method, strategy),
            "fallback_reason": fallback_reason,
            "data_fingerprint": fingerprint,
            "config": config.flat(),
            "complete": True,
        }
        directory.write_results(results)
    workers.wait()
    return directory.results if workers.is_chief else None


def _mend(directory, config, load_data, wait):
    """Makes again, from the checkpoint, what is missing or damaged of a finished run."""
    directory.mend_configuration()
    for path in sorted(directory.path.glob("history*.jsonl")):
        failed = has_failed(directory.path, path.stem.removeprefix("history").lstrip("_"))
        read_history(path, None if failed else config.epochs)  # warns
    lost = directory.lost()
    if not lost:
        return
    try:
        posterior = load(directory.path)
        logger.warning(
            "Made again from the checkpoint, since it can't be read: %s.", ", ".join(lost)
        )
        with directory.lock(wait):
            if lost != [SAVED_MODEL]:
                dataset = load_data()
                directory.check_data(dataset.fingerprint())
                _keep_predictions(posterior.method, dataset, config, directory)
            if SAVED_MODEL in lost:
                _export(posterior, directory)
    except (FileNotFoundError, CheckpointError, files.StorageError) as error:
        logger.warning("%s can't be made again: %s", ", ".join(lost), error)


def _export(posterior, directory):
    logger.info("Exporting the SavedModel.")
    pipeline = posterior.config.pipeline
    export(posterior, directory.path / SAVED_MODEL, pipeline.served_range, pipeline)


def fit(
    method,
    config,
    dataset,
    directory,
    strategy,
    steps_per_call,
    checkpoint_minutes,
    stop=None,
):
    """Fits a method, member by member where it is an ensemble.

    A member whose loss becomes NaN or infinite is left out of `method`, and noted for later.

    Returns:
        Dict, what `results.json` says of the training.

    Raises:
        NonFiniteLossError: If nothing is left.
    """
    seconds, times, num_members = 0.0, [], len(method.members)
    announced = False
    workers = workers_of(strategy)
    for i, (name, member) in enumerate(list(method.members.items())):
        if workers.from_chief(functools.partial(has_failed, directory, name)):
            logger.warning("The training of %s failed before; it is left out.", name)
            method.leave_out(name)
            continue
        trainer = make_trainer(
            member, config, dataset, directory, strategy, steps_per_call, checkpoint_minutes, name
        )
        restored = trainer.restore()
        if restored:
            logger.info("Resuming at step %d from %s.", int(trainer.step.numpy()), restored)
        announce = None if announced else functools.partial(_announce, num_fits=num_members - i)
        announced = announced or int(trainer.step.numpy()) < trainer.total_steps
        try:
            with stop.deferred() if stop else contextlib.nullcontext():
                history = trainer.run(_validation(member, dataset, config), announce, stop)
        except NonFiniteLossError as error:
            if len(method.members) == 1:
                raise
            logger.error("%s is left out of the ensemble. %s", name, error)
            if workers.is_chief:
                mark_failed(directory, name, error)
            method.leave_out(name)
            continue
        with strategy.scope():
            trainer.optimizer.release()  # what follows needs memory of its own
        seconds += float(trainer.train_seconds.numpy())
        times += [epoch["ms_per_step"] for epoch in history if epoch.get("ms_per_step")]
    return {
        "train_seconds": round(seconds, 1),
        "ms_per_step": round(float(np.median(times)), 2) if times else None,
        "num_train_examples": trainer.num_train_examples,
        "num_failed_members": num_members - len(method.members),
    }


def make_trainer(
    model, config, dataset, directory, strategy, steps_per_call, checkpoint_minutes, name=""
):
    """Returns the `Trainer` of a `BayesianModel`, or of the member `name` of an ensemble."""
    train = dataset.train
    if config.max_train_examples:
        train = Examples(*(a[: config.max_train_examples] for a in (train.images, train.labels)))
    plan = TrainConfig(
        config.epochs,
        config.batch_size,
        randomness.derived_seed(config.seed, name),
        config.annealing_start_epoch,
        config.annealing_epochs,
        config.temperature,
        steps_per_call,
        checkpoint_minutes,
    )
    make_optimizer = functools.partial(
        FusedAdam, config.learning_rate, epsilon=protocols.ADAM_EPSILON
    )
    return Trainer(
        model,
        config.make_network().likelihood,
        make_optimizer,
        train,
        plan,
        directory,
        strategy,
        name,
        config.pipeline,
    )


def _describe(method, strategy):
    """Returns what `results.json` says of the method's size, and of where it ran."""
    return {
        "prediction_batch_size": method.prediction_batch_size,
        "num_weights": method.num_weights,
        "num_parameters": method.num_parameters,
        "hardware": environment.hardware(),
        "strategy": type(strategy).__name__,
        "num_replicas": strategy.num_replicas_in_sync,
        "versions": environment.versions(),
    }


def predict(method, dataset, config):
    """Returns the `Prediction`s of the test set and of the outliers."""
    return [prediction for prediction, _ in _predict_with_votes(method, dataset, config)]


def _predict_with_votes(method, dataset, config):
    """Returns the prediction of test set and outliers, and the classes that samples vote for."""
    likelihood = measures.VotingCategorical(method.likelihood.from_logits)
    predictor = Predictor(method.sampler, likelihood)
    num_samples = _num_samples(method, config)
    sets = ((dataset.test.images, "test images"), (dataset.outliers, "outliers"))
    moments = [_moments(predictor, images, num_samples, config, what) for images, what in sets]
    return [(likelihood.prediction(of_set), of_set[-1]) for of_set in moments]


def predict_validation(method, dataset, config):
    """Returns the `Prediction` of the validation set, or None where there is none."""
    if dataset.validation is None:
        return None
    images, num_samples = dataset.validation.images, _num_samples(method, config)
    predictor = Predictor(method.sampler)
    moments = _moments(predictor, images, num_samples, config, "validation images")
    return predictor.likelihood.prediction(moments)


def _num_samples(method, config):
    return sufficient_samples(method.sampler, config.num_predictive_samples)


def _measure(method, dataset, config, directory):
    """Predicts, keeps the predictions and the curves, and returns all measures by name."""
    found, labels = _keep_predictions(method, dataset, config, directory)
    predictions = [prediction for prediction, _ in found]
    validation = predict_validation(method, dataset, config)
    validation_labels = None if validation is None else dataset.validation.labels
    return {
        **evaluate(*predictions, labels),
        **measures.further(*predictions, labels, _num_samples(method, config)),
        **measures.disagreements(predictions[0].mean, found[0][1], "in"),
        **measures.disagreements(predictions[1].mean, found[1][1], "out"),
        **measures.tempered(validation, validation_labels, predictions[0], labels),
    }


def _keep_predictions(method, dataset, config, directory):
    """Predicts, keeps predictions and curves; returns predictions with votes, and labels."""
    found, labels = _predict_with_votes(method, dataset, config), dataset.test.labels
    predictions = [prediction for prediction, _ in found]
    directory.write_predictions(*predictions, labels)
    directory.write_curves(curves(*predictions, labels))
    return found, labels


def evaluate(test, outliers, labels):
    """Returns the measures of the protocol, by name.

    Args:
        test, outliers: `Prediction`s.
        labels: Of the test set, `(N,)`.
    """
    return {
        "error_percent": metrics.error_percent(test.mean, labels),
        "in_auc": metrics.entropy_auc(test.mean),
        "outlier_auc": metrics.entropy_auc(outliers.mean),
        "nll": metrics.negative_log_likelihood(test.mean, labels),
        "brier": metrics.brier_score(test.mean, labels),
        "ece": metrics.expected_calibration_error(test.mean, labels),
        "auroc": metrics.outlier_auroc(test.entropy, outliers.entropy),
        "mutual_information_in": float(np.mean(test.mutual_information)),
        "mutual_information_out": float(np.mean(outliers.mutual_information)),
    }


def curves(test, outliers, labels):
    """Returns what figures show of predictions, by name: lists of numbers, None where is none.

    Args:
        test, outliers: `Prediction`s.
        labels: Of the test set, `(N,)`.
    """
    bins = metrics.calibration_bins(test.mean, labels)
    arrays = {
        "test_entropy_cdf": metrics.entropy_cdf(test.mean),
        "outlier_entropy_cdf": metrics.entropy_cdf(outliers.mean),
        **{f"calibration_{name}": values for name, values in bins._asdict().items()},
    }
    return {
        name: [None if np.isnan(value) else round(float(value), 5) for value in values]
        for name, values in arrays.items()
    }


def _moments(predictor, images, num_samples, config, what):
    """Returns the moments of a prediction, means over posterior samples."""
    images = config.pipeline.inputs(images)
    key = randomness.fold_in(randomness.seed_key(config.seed), "evaluation")
    said = f"predicting {len(images)} {what} with {num_samples} posterior samples"
    with tqdm.tqdm(
        total=num_samples * len(images), desc=said, unit="prediction", unit_scale=True
    ) as bar:
        moments, _ = predictor(images, num_samples, key, progress=bar.update)
    return moments


def _validation(model, dataset, config):
    """Returns the function that measures the validation set after an epoch, None without one."""
    if dataset.validation is None:
        return None
    images, labels = config.pipeline.inputs(dataset.validation.images), dataset.validation.labels
    sampler = as_sampler(model)
    sampler.prediction_batch_size = config.prediction_batch_size
    predictor = Predictor(sampler)
    num_samples = sufficient_samples(sampler, protocols.NUM_VALIDATION_SAMPLES)
    key = randomness.fold_in(randomness.seed_key(config.seed), "validation")

    def validate():
        (mean, _), _ = predictor(images, num_samples, key)
        return {
            "validation_error_percent": metrics.error_percent(mean, labels),
            "validation_nll": metrics.negative_log_likelihood(mean, labels),
        }

    return validate


def _announce(seconds, num_fits):
    """Says how long training takes where that is long; the first of `num_fits` takes `seconds`."""
    seconds *= num_fits
    if seconds > LONG_RUN_SECONDS:
        logger.warning(
            "Training will take about %d minutes on this machine; it may be interrupted, and the "
            "same command goes on with it. Shorter: --protocol=demo or --protocol=quick, fewer "
            "--epochs, a cheaper --architecture (single, sliced), --max_train_examples.",
            round(seconds / 60),
        )
