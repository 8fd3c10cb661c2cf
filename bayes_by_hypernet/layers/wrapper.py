"""What the wrappers of any Keras layer share: samples of a posterior replace its variables."""

import keras
import tensorflow as tf

from bayes_by_hypernet import compat, draws, environment, randomness
from bayes_by_hypernet.checks import MOST_EXACT_INTEGER, check_flag, check_integer, refusal
from bayes_by_hypernet.posteriors import call_with
from bayes_by_hypernet.posteriors.layer import PosteriorLayer
from bayes_by_hypernet.posteriors.selection import check_selection, select

BYTES_PER_PARAMETER = 12  # float32, with Adam's two moments


class PosteriorWrapper(keras.layers.Wrapper, PosteriorLayer):
    """A layer or model in which a posterior's samples replace some of the trainable variables.

    One draw holds for one forward pass, whatever is called or looped inside. See `Hypernet`. A
    subclass's constructor calls `set_posterior` after `super().__init__`.

    Args:
        layer: Keras layer or model.
        kl_estimator, num_train_examples, seed: Of `PosteriorLayer`.

    Attributes:
        layer: The wrapped layer.
        posterior: `Posterior` over the selected variables, once built.
        targets: The selected variables, which training no longer changes.
    """

    def __init__(self, layer, kl_estimator, num_train_examples=None, seed=None, **kwargs):
        if not isinstance(layer, keras.layers.Layer):
            raise refusal("layer", "a Keras layer or model", layer)
        kwargs.setdefault("dtype", layer.dtype_policy)
        _refuse(layer)
        super().__init__(
            layer,
            kl_estimator=kl_estimator,
            num_train_examples=num_train_examples,
            seed=seed,
            **kwargs,
        )
        self.posterior = None
        self.supports_masking = layer.supports_masking

    def set_posterior(
        self, include, exclude, pretrained, num_samples, num_likelihood_samples, max_parameters
    ):
        """Checks and stores what every kind of posterior needs to know.

        Args:
            include, exclude: Which variables, see `posteriors.selection.select`.
            pretrained: Whether the posterior starts at, and the prior is centred at, the layer's
                own values.
            num_samples: Samples of one step; all enter a KL that is estimated from samples.
            num_likelihood_samples: How many of them the batch is divided among.
            max_parameters: Largest number of parameters that the posterior may have; None: what
                half of the free memory holds with Adam's moments.
        """
        self.include, self.exclude = check_selection(include, exclude)
        self.pretrained = check_flag("pretrained", pretrained)
        self.num_samples = check_integer("num_samples", num_samples, 1)
        self.num_likelihood_samples = check_integer(
            "num_likelihood_samples", num_likelihood_samples, 1
        )
        if self.num_likelihood_samples > self.num_samples:
            raise ValueError(
                "Argument `num_likelihood_samples` must be between 1 and `num_samples`="
                f"{self.num_samples}. Received: num_likelihood_samples={num_likelihood_samples}"
            )
        if max_parameters is not None:
            max_parameters = check_integer("max_parameters", max_parameters, 1, MOST_EXACT_INTEGER)
        self.max_parameters = max_parameters

    def make_posterior(self, names, shapes, values):
        """Returns the `Posterior` over tensors of these names and shapes.

        Args:
            names, shapes: Lists.
            values: The layer's own values, a list of tensors.
        """
        raise NotImplementedError

    def count_parameters(self, names, shapes):
        """Returns a dict, name of a tensor (or `all`) to its number of parameters."""
        raise NotImplementedError

    def __call__(self, *args, **kwargs):
        if not self.layer.built:
            self.build_layer(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    def build_layer(self, *args, **kwargs):
        """Builds the wrapped layer for a call with these arguments."""
        _build_by_call(self.layer, args, kwargs)

    def build(self, input_shape=None, **other_shapes):
        if not self.layer.built:
            self.layer.build(input_shape)
        selected = select(self.layer, self.include, self.exclude)
        names, self.targets = list(selected), list(selected.values())
        shapes = [tuple(variable.shape) for variable in self.targets]
        self.check_size(names, shapes)
        # Of the variables only these values are left: training, saving and Keras's counts of what
        # is trainable see the posterior.
        self._freeze()
        values = [tf.convert_to_tensor(variable.value) for variable in self.targets]
        self._names = names
        self.posterior = self.make_posterior(self._names, shapes, values)
        self.posterior.build()
        self.built = True

    def check_size(self, names, shapes):
        """Says nothing where the posterior fits; ValueError with what to do where it does not."""
        counts = self.count_parameters(names, shapes)
        total, limit = sum(counts.values()), self.max_parameters
        if limit is None:
            memory = environment.available_memory()
            limit = None if memory is None else memory // 2 // BYTES_PER_PARAMETER
        if limit is None or total <= limit:
            return
        costly = sorted(counts.items(), key=lambda item: -item[1])[:3]
        listed = ", ".join(f"{name} ({count:,})" for name, count in costly)
        raise ValueError(
            f"The posterior of {self.layer.name!r} would have {total:,} parameters, more than "
            f"max_parameters={limit:,}"
            + ("" if self.max_parameters else " (half of the free memory, with Adam's moments)")
            + f". The most costly tensors: {listed}. Pass architecture='chunked' or 'sliced', "
            "smaller `hidden_units`, `exclude=` these layers, or a larger `max_parameters`. "
            f"Received: max_parameters={self.max_parameters}"
        )

    def _freeze(self):
        for variable in self.targets:
            variable.trainable = False

    @property
    def trainable(self):
        return super().trainable

    @trainable.setter
    def trainable(self, value):
        keras.layers.Layer.trainable.fset(self, value)
        if getattr(self, "posterior", None) is not None:
            self._freeze()

    @property
    def weight_names(self):
        return list(self._names)

    @property
    def weight_shapes(self):
        return list(self.posterior.shapes)

    def sample_weights(self, num_samples, key):
        return self.posterior.sample(num_samples, key)

    def kl(self, key=None):
        """Returns the divergence of the posterior from its prior, in nats, unscaled.

        Args:
            key: Stateless seed `(2,)` of an estimate from samples; None: the layer's next.
        """
        key = randomness.next_key(self.seed_generator) if key is None else key
        return self.posterior.kl(self.posterior.sample(self.num_samples, key), key)

    def draw(self, training):
        """Returns the weights of this forward pass, `(k, *shape)` each, and adds the KL."""
        given = draws.current().given(self)
        if given is not None:
            return [weights[tf.newaxis] for weights in given]

        def draw():
            key = self.next_key()
            samples = self.posterior.sample(self.num_samples if training else 1, key)
            if training:
                self.add_kl(lambda: self.posterior.kl(samples, key))
            return samples

        return draws.current().once(self, ("weights", bool(training)), draw)

    def call(self, inputs, *args, training=None, **kwargs):
        return self.compute(self.draw(training), inputs, *args, training=training, **kwargs)

    def compute(self, samples, inputs, *args, training=None, **kwargs):
        """Returns the outputs with the first of `samples`, in training with the first few."""
        count = self.num_likelihood_samples if training else 1
        if draws.current().given(self) is not None:
            count = 1
        if training:
            self._add_regularizers([s[:count] for s in samples])
        if count == 1:
            return self._call_with(
                [s[0] for s in samples], inputs, *args, training=training, **kwargs
            )
        # Sample i predicts the i-th part of the batch: in expectation the mean over the samples
        # of the log-likelihood, at the cost of one.
        batch = tf.shape(keras.tree.flatten(inputs)[0])[0]
        parts = []
        for i in range(count):
            first, last = i * batch // count, (i + 1) * batch // count
            # TensorFlow's fused convolutions give empty batches a wrong shape: a part without
            # examples is computed on one and cut off.
            part = keras.tree.map_structure(
                lambda x, first=first, last=last: x[first : tf.maximum(last, first + 1)], inputs
            )
            outputs = self._call_with(
                [s[i] for s in samples],
                part,
                *args,
                training=training,
                share=(last - first) / batch,
                **kwargs,
            )
            parts.append(keras.tree.map_structure(lambda x, n=last - first: x[:n], outputs))
        return keras.tree.map_structure(lambda *outputs: tf.concat(outputs, axis=0), *parts)

    def _call_with(self, weights, inputs, *args, training=None, share=None, **kwargs):
        values = [
            (variable, tf.cast(sample, variable.dtype))
            for variable, sample in zip(self.targets, weights, strict=True)
        ]

        def add_loss(loss):  # of a part of the batch: its share of the mean over examples
            self.add_loss(loss if share is None else loss * tf.cast(share, loss.dtype))

        return call_with(
            self.layer, values, inputs, *args, training=training, add_loss=add_loss, **kwargs
        )

    def _add_regularizers(self, samples):
        """Adds the variables' regularizers, once a pass, each a mean over the samples used."""

        # Keras counts those of trainable variables only, which the targets are no longer.
        def add():
            for variable, sample in zip(self.targets, samples, strict=True):
                if variable.regularizer is not None:
                    values = [variable.regularizer(one) for one in tf.unstack(sample)]
                    self.add_loss(tf.add_n(values) / len(values))

        draws.current().once(self, "regularizers", add)

    def compute_output_spec(self, inputs, *args, training=None, **kwargs):
        if training is not None and compat.takes_training(self.layer):
            kwargs["training"] = training
        return self.layer.compute_output_spec(inputs, *args, **kwargs)

    def compute_output_shape(self, *args, **kwargs):
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_mask(self, inputs, previous_mask):
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self):
        names = ("pretrained", "num_samples", "num_likelihood_samples", "max_parameters")
        config = {name: getattr(self, name) for name in names}
        config |= {name: _serializable(getattr(self, name)) for name in ("include", "exclude")}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = {
            name: keras.saving.deserialize_keras_object(value, custom_objects)
            if isinstance(value, dict) and "class_name" in value
            else value
            for name, value in config.items()
        }
        return cls(**config)


def _refuse(layer):
    """Refuses layers that have a posterior inside, and recurrent cells."""
    inside = draws.find_layers(layer, PosteriorLayer)
    if inside:
        raise ValueError(
            "Argument `layer` must be a layer or model without posteriors inside. Received: "
            f"{layer.name!r}, which holds {[one.name for one in inside]}"
        )
    if hasattr(layer, "state_size") and not isinstance(layer, keras.layers.RNN):
        raise ValueError(
            "A recurrent cell cannot be wrapped: it would draw weights at each step. Wrap the "
            f"layer that loops: Hypernet(keras.layers.RNN(cell)). Received: layer={layer.name!r}"
        )


def _build_by_call(layer, args, kwargs):
    """Builds a layer by a symbolic call with inputs of these shapes, whatever its signature."""

    def symbolic(x):
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            return keras.KerasTensor(x.shape, keras.backend.standardize_dtype(x.dtype))
        return x

    kwargs = {k: v for k, v in kwargs.items() if k != "training"}
    layer(*keras.tree.map_structure(symbolic, args), **keras.tree.map_structure(symbolic, kwargs))


def _serializable(value):
    several = isinstance(value, (list, tuple, set))
    if all(one is None or isinstance(one, str) for one in (value if several else [value])):
        return list(value) if several else value
    return keras.saving.serialize_keras_object(value)
