"""A Keras model with a posterior over its variables, trained by the paper's objective in `fit`."""

import math
import warnings

import keras
import tensorflow as tf

from bayes_by_hypernet import compat, draws, likelihoods, randomness
from bayes_by_hypernet.checks import (
    check_at_least,
    check_integer,
    check_num_train_examples,
    check_positive,
    check_seed,
)
from bayes_by_hypernet.divergences import sampled_estimator, scaled_kl
from bayes_by_hypernet.layers import Hypernet
from bayes_by_hypernet.layers.wrapper import PosteriorWrapper
from bayes_by_hypernet.posteriors import call_with
from bayes_by_hypernet.posteriors.layer import KLFactor, PosteriorLayer
from bayes_by_hypernet.posteriors.samplers import ModelSampler, as_sampler
from bayes_by_hypernet.posteriors.selection import select
from bayes_by_hypernet.prediction import sum_over_samples
from bayes_by_hypernet.priors import NormalPrior
from bayes_by_hypernet.training import FusedAdam, objective


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class BayesianModel(keras.Model):
    """What `bayesify` returns: a functional Keras model whose calls draw from a posterior.

    `fit` minimises the mean negative log-likelihood of the compiled loss plus `KL / N`. Gradients
    go through the weight samples, so that a hypernetwork's output matrices can be updated without
    a gradient of their size (with `bbh.FusedAdam`), and replicas exchange what the likelihood saw.
    Each step draws once, on every replica the same weights. The log shows `loss`, `nll`,
    `kl_per_example` (KL / N without annealing) and the compiled metrics. Validation predicts with
    the mean of `num_validation_samples` posterior samples; `val_nll` is the predictive's.

    Losses of several positions per example (sequences, segmentation) are means over positions in
    Keras, so the KL is divided by their number too. A loss with `reduction="sum"` is refused.

    Args:
        body: Keras model or wrapper with posteriors inside, called on the model's inputs.
        num_train_examples: Integer N; needed by `fit` where there is a KL.
        kl_estimator: Estimates the KL jointly from samples of all weights, in place of the layers'
            own: `"independent"`, `"full"`, `"entropy"` or `"adversarial"` (the latter for
            `training.Trainer` only); None: the sum over layers.
        num_samples: Integer, samples of that estimate where layers do not give them.
        prior_stddev: Of the normal prior of that estimate.
        weight_decay_stddev: Standard deviation of the normal prior of kernels that are points, as
            weight decay; None: none.
        num_validation_samples: Integer, posterior samples of `evaluate` and of validation.
        temperature: Factor on the KL; 1 is the evidence lower bound.
        estimator_settings: Dict, of the adversarial estimate.
        seed: Integer or None.

    Example:
        >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> body = bbh.layers.MeanField(network, num_train_examples=100)
        >>> model = bbh.models.BayesianModel(body, num_train_examples=100)
        >>> model.num_weights, model.num_parameters  # a mean and a variance for each weight
        (15, 30)
    """

    def __init__(
        self,
        body,
        num_train_examples=None,
        kl_estimator=None,
        num_samples=5,
        prior_stddev=1.0,
        weight_decay_stddev=None,
        num_validation_samples=10,
        temperature=1.0,
        estimator_settings=None,
        seed=None,
        name=None,
        **kwargs,
    ):
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name),
            inputs_of(body),
        )
        super().__init__(inputs, body(inputs), name=name, **kwargs)
        self.body = body
        self.num_train_examples = check_num_train_examples(num_train_examples)
        self.kl_estimator = kl_estimator
        self.num_samples = check_integer("num_samples", num_samples, 1)
        self.prior_stddev = NormalPrior(prior_stddev).stddev
        self.weight_decay_stddev = weight_decay_stddev
        if weight_decay_stddev is not None:
            self.weight_decay_stddev = check_positive("weight_decay_stddev", weight_decay_stddev)
        self.num_validation_samples = check_integer(
            "num_validation_samples", num_validation_samples, 1
        )
        self.temperature = check_at_least("temperature", temperature, 0)
        self.estimator_settings = dict(estimator_settings or {})
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.kl_factor = KLFactor()
        self._nll_tracker = keras.metrics.Mean(name="nll")
        self._kl_tracker = keras.metrics.Mean(name="kl_per_example")
        # In a tuple of a plain class: Keras would take a discriminator for a part of the model.
        self._estimators = _Untracked(
            sampled_estimator(kl_estimator, NormalPrior(prior_stddev), **self.estimator_settings)
            if kl_estimator
            else None
        )
        self.supports_jit = all(
            layer.supports_jit for layer in draws.find_layers(body, PosteriorLayer)
        )

    # The posterior as a function of keys: what the objective, the loop and prediction call.

    @property
    def estimator(self):
        """`SampledKL` of all weights jointly, or None."""
        return self._estimators.value

    @property
    def posterior_layers(self):
        """The layers with a posterior, in the order of the computation."""
        return draws.find_layers(self.body, PosteriorLayer)

    @property
    def generators(self):
        """The wrappers whose weight samples are parameters of the likelihood."""
        return draws.find_layers(self.body, Hypernet)

    @property
    def generator_variables(self):
        return [v for wrapper in self.generators for v in wrapper.posterior.trainable_variables]

    @property
    def point_variables(self):
        """The trainable variables that are parameters of the likelihood as they are."""
        generated = {id(v) for v in self.generator_variables}
        return [v for v in self.trainable_variables if id(v) not in generated]

    @property
    def fitted_variables(self):
        """All trainable variables, in the order of the objective's gradients."""
        return [*self.generator_variables, *self.point_variables]

    @property
    def moving_variables(self):
        """What layers change in training besides parameters: moving statistics."""
        targets = {id(v) for w in draws.find_layers(self.body, PosteriorWrapper) for v in w.targets}
        seeds = {id(state) for state in draws.seed_states(self)}
        left_out = targets | seeds
        return [v for v in self.body.variables if not v.trainable and id(v) not in left_out]

    @property
    def has_kl(self):
        own = any(layer.kl_estimator is not None for layer in self.posterior_layers)
        return own or self.estimator is not None or self.weight_decay_stddev is not None

    @property
    def num_weights(self):
        """Number of weights of the network: those with a posterior, and points besides norms."""
        if not self.posterior_layers:
            return sum(math.prod(v.shape) for v in _weights(self.body))
        return sum(math.prod(s) for layer in self.posterior_layers for s in layer.weight_shapes)

    @property
    def num_parameters(self):
        """Number of trained parameters."""
        return sum(math.prod(variable.shape) for variable in self.fitted_variables)

    def sampled_parameters(self, key, matmul=None):
        """Returns what the likelihood is a function of, a list of tensors.

        The weight samples `(n, *shape)` of hypernetworks, then the values of all other variables.

        Args:
            key: Stateless seed of the step.
            matmul: Of `Posterior.sample`.
        """
        samples = []
        for wrapper, layer_key in zip(self.generators, _keys(key, self.generators), strict=True):
            samples += wrapper.posterior.sample(wrapper.num_samples, layer_key, matmul)
        return [*samples, *(tf.convert_to_tensor(v.value) for v in self.point_variables)]

    def _split(self, parameters):
        """Returns a dict, generator to its samples, and pairs (variable, value) of the others."""
        samples, start = {}, 0
        for wrapper in self.generators:
            count = len(wrapper.weight_names)
            samples[wrapper] = parameters[start : start + count]
            start += count
        return samples, list(zip(self.point_variables, parameters[start:], strict=True))

    def training_outputs(self, inputs, parameters, key, finish=None, loss=None):
        """Returns the network's outputs, a list with one for each likelihood sample.

        Args:
            inputs: Of the network.
            parameters: What `sampled_parameters` returned.
            key: Stateless seed of what the layers draw; differs between replicas.
            finish: Of `call_with`.
            loss: Function of outputs that returns their loss, for methods that need it.
        """
        samples, values = self._split(parameters)
        values = [*values, *draws.keyed_states(self.body, key)]
        # Keras's trackers of the losses of several outputs move in `compute_loss`.
        trackers = self.metrics_variables if self.compiled else ()
        outputs = []
        for i in range(self._num_likelihood_samples):
            # Gathered, so that the gradient for a sample comes without zeros for the others.
            given = {layer: [tf.gather(s, i) for s in all_] for layer, all_ in samples.items()}
            with draws.forward_pass(given):
                outputs.append(
                    call_with(
                        self.body, values, inputs, training=True, finish=finish, changing=trackers
                    )
                )
        return outputs

    @property
    def _num_likelihood_samples(self):
        return max([1, *(wrapper.num_likelihood_samples for wrapper in self.generators)])

    def kl(self, parameters, key):
        """Returns the divergence from the prior under `parameters`, a scalar in nats, unscaled."""
        samples, values = self._split(parameters)
        with keras.StatelessScope(values):
            terms = self._layer_kls(samples, key)
            if self.weight_decay_stddev is not None:
                terms.append(self._weight_decay(values))
        return tf.add_n(terms) if terms else tf.zeros(())

    def _layer_kls(self, samples, key):
        layers = self.posterior_layers
        if self.estimator is not None:
            posterior_key = randomness.fold_in(key, "posterior")
            keys = [randomness.fold_in(posterior_key, i) for i in range(len(layers))]
            weights = []
            for layer, layer_key in zip(layers, keys, strict=True):
                drawn = samples.get(layer)
                weights += drawn or layer.sample_weights(self.num_samples, layer_key)
            return [self.estimator(weights, key)]
        terms = []
        for layer, layer_key in zip(layers, _keys(key, layers), strict=True):
            if layer.kl_estimator is None or not layer.trainable:
                continue
            if layer in samples:
                terms.append(layer.posterior.kl(samples[layer], layer_key))
            else:
                terms.append(layer.kl(layer_key))
        return terms

    def _weight_decay(self, values):
        """Negative log density of the normal prior on kernels, constants left out."""
        kernels = [tf.nn.l2_loss(value) for v, value in values if v.name.endswith("kernel")]
        kernels += [tf.nn.l2_loss(value) for v, value in values if v.name == "embeddings"]
        return tf.add_n(kernels) / self.weight_decay_stddev**2

    def auxiliary_samples(self, key):
        """Returns samples of all weights for the estimator's auxiliary steps."""
        sampler = ModelSampler(self)
        counts = [wrapper.num_samples for wrapper in self.generators]
        drawn = sampler.draw(max([self.num_samples, *counts]), key)
        return [drawn[name] for name in sampler.weight_names]

    # Keras's training.

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        losses = [one for one in keras.tree.flatten(self.loss) if one is not None]
        for one in losses:
            if getattr(one, "reduction", None) == "sum":
                raise ValueError(
                    "Argument `loss` must be a mean over examples, with reduction="
                    '"sum_over_batch_size": the KL enters as KL / N, and would be too light beside '
                    'a sum. Received: a loss with reduction="sum"'
                )
        self._warn_of_uneven_losses()
        if self.has_kl and self.num_train_examples is None:
            raise ValueError(
                "The model needs the argument `num_train_examples`, the number of training "
                "examples N: the loss is a mean over examples, so the KL enters as KL / N (Eq. 1). "
                "Pass bayesify(model, num_train_examples=N). Received: num_train_examples=None"
            )
        if self.estimator is not None and self.estimator.auxiliary_variables:
            raise ValueError(
                'kl_estimator="adversarial" is trained by `bayes_by_hypernet.training.Trainer` '
                "(the launchers), not by `fit`: its discriminator needs steps of its own."
            )

    def compile_from_config(self, config):
        # Keras leaves this to models with a `compile` of their own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force=False):
        if isinstance(self.optimizer, FusedAdam) and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        key = randomness.next_key(self.seed_generator)
        predictions = []

        def finish(outputs):
            loss = self.compute_loss(x, y, outputs, sample_weight, training=True)
            added = self.body.losses
            nll = loss - tf.add_n([tf.cast(a, loss.dtype) for a in added]) if added else loss
            return outputs, loss, nll

        def likelihood_loss(parameters, replica_key):
            results = self.training_outputs(x, parameters, replica_key, finish)
            losses = [loss for _, loss, _ in results]
            nll = tf.add_n([nll for _, _, nll in results]) / len(results)
            predictions.extend(outputs for outputs, _, _ in results)
            loss = tf.add_n(losses) / len(losses)
            return factor * loss, [loss, nll]

        local = isinstance(self.optimizer, FusedAdam) and self.optimizer.updates_locally
        factor = tf.ones(()) if local else self.optimizer.scale_loss(tf.ones(()))

        def kl_scale():
            return self._kl_scale(self.kl_factor.value()) / self._terms_per_example(predictions[0])

        # Keras has divided the loss by the number of replicas: their sum is the global mean.
        step = objective.gradients(
            self,
            likelihood_loss,
            key,
            lambda: factor * kl_scale(),
            self.optimizer.matmul if local else None,
        )
        loss, nll = step.sums
        variables = self.fitted_variables
        if local:
            self.optimizer.apply_local(step.gradients, variables)
        else:
            replicas = self.distribute_strategy.num_replicas_in_sync
            gradients = [g / replicas for g in step.gradients]  # Keras sums over replicas
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._track(x, loss + kl_scale() * step.kl, nll, step.kl)
        mean = predictions[0] if len(predictions) == 1 else self._mean_prediction(predictions)
        return self.compute_metrics(x, y, mean, sample_weight)

    def test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        key = randomness.next_key(self.seed_generator)
        sampler = as_sampler(self)
        count = min(self.num_validation_samples, sampler.num_distinct_samples or math.inf)
        kinds = self._likelihoods()

        def of_sample(inputs, sample):
            outputs = keras.tree.flatten(sampler.logits(inputs, sample))
            return [_moments(kind, output) for kind, output in zip(kinds, outputs, strict=True)]

        sums = sum_over_samples(of_sample, x, sampler.draw(count, key), tf.constant(count))
        outputs = self._mixture(kinds, sums, count)
        loss = self.compute_loss(x, y, outputs, sample_weight, training=False)
        replicas = self.distribute_strategy.num_replicas_in_sync
        kl = self.kl(self.sampled_parameters(key), key) if self.has_kl else tf.zeros(())
        nll = loss * replicas
        scale = self._kl_scale(1.0) / self._terms_per_example(outputs)
        self._track(x, nll + scale * kl, nll, kl)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def _kl_scale(self, anneal):
        if not self.has_kl or self.num_train_examples is None:
            return tf.zeros(())
        return scaled_kl(1.0, self.num_train_examples, anneal, self.temperature)

    def _track(self, x, loss, nll, kl):
        weight = tf.shape(keras.tree.flatten(x)[0])[0]
        compat.loss_tracker(self).update_state(loss, sample_weight=weight)
        self._nll_tracker.update_state(nll, sample_weight=weight)
        kl_per_example = kl / (self.num_train_examples or 1)
        self._kl_tracker.update_state(kl_per_example, sample_weight=weight)

    def _likelihoods(self):
        """Returns the likelihood of each output that the compiled loss says, or None."""
        losses = likelihoods.losses_of_outputs(self, self.output)
        return [likelihoods.of_loss(loss) for loss in losses]

    def _terms_per_example(self, outputs):
        """Returns how many log densities of an example the loss averages, see `likelihoods`."""
        kinds, flat = self._likelihoods(), keras.tree.flatten(outputs)
        return likelihoods.terms_per_example(kinds[0], flat[0])

    def _warn_of_uneven_losses(self):
        """Warns where no divisor of the KL is right for all outputs."""
        pairs = zip(self._likelihoods(), keras.tree.flatten(self.output), strict=True)
        counts = [likelihoods.known_terms_per_example(k, o.shape) for k, o in pairs if k]
        if self.has_kl and len({*counts} - {None}) > 1:
            warnings.warn(
                "The losses of the outputs are means over different numbers of terms for each "
                f"example, {counts}: no weight of the KL is right for all. It is divided by that "
                "of the first. Pass objects of bbh.likelihoods as losses, or `temperature`.",
                stacklevel=3,
            )

    def _mean_prediction(self, predictions):
        """Returns what metrics see of several samples' outputs."""
        kinds = self._likelihoods()
        flat = zip(*(keras.tree.flatten(one) for one in predictions), strict=True)
        sums = []
        for kind, outputs in zip(kinds, flat, strict=True):
            moments = [_moments(kind, output) for output in outputs]
            sums.append([tf.add_n(values) for values in zip(*moments, strict=True)])
        return self._mixture(kinds, sums, len(predictions))

    def _mixture(self, kinds, sums, count):
        """Returns outputs that say what the mean over samples says, in the model's structure."""
        outputs = []
        for kind, moments, output in zip(kinds, sums, keras.tree.flatten(self.output), strict=True):
            means = [total / tf.cast(count, total.dtype) for total in moments]
            mixed = kind.mixture_outputs(means) if kind else means[0]
            outputs.append(tf.cast(mixed, keras.config.floatx() if kind else output.dtype))
        return keras.tree.pack_sequence_as(self.output, outputs)

    def get_config(self):
        config = {
            name: getattr(self, name)
            for name in (
                "name",
                "num_train_examples",
                "kl_estimator",
                "num_samples",
                "prior_stddev",
                "weight_decay_stddev",
                "num_validation_samples",
                "temperature",
                "estimator_settings",
                "seed",
            )
        }
        return {**config, "body": keras.saving.serialize_keras_object(self.body)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        body = keras.saving.deserialize_keras_object(config["body"], custom_objects)
        return cls(**{**config, "body": body})


class _Untracked:
    """Holds what Keras must not take for a part of the model."""

    def __init__(self, value):
        self.value = value


def inputs_of(layer):
    """Returns the symbolic inputs of a functional model, or of the one that a wrapper holds.

    Raises:
        ValueError: If it has none.
    """
    model = layer
    while isinstance(model, keras.layers.Wrapper):
        model = model.layer
    try:
        # A Sequential model that was never called has no `input`.
        return model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    except (AttributeError, IndexError, ValueError):
        raise ValueError(
            "Argument `model` must be a functional or Sequential model whose inputs are known. "
            "Make a subclassed one functional: keras.Model(inputs, model(inputs)). Received: "
            f"{model}"
        ) from None


def _keys(key, layers):
    """Returns a key for each layer: `key` itself for a single one."""
    if len(layers) == 1:
        return [key]
    return [randomness.fold_in(key, i) for i in range(len(layers))]


def _weights(model):
    """Trainable variables that are weights of the network, no parameters of a normalisation."""
    return list(select(model).values())


def _moments(likelihood, outputs):
    """Returns what is averaged over samples: the outputs where nothing says what they are."""
    return list(likelihood.moments(outputs)) if likelihood else [outputs]
