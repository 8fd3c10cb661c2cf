"""Several outputs, each with a likelihood of its own."""

import keras
import tensorflow as tf


class Joint:
    """The likelihoods of a model with several outputs, which are independent given the weights.

    It offers what prediction, export and attacks ask of a `Likelihood`. Predictions come in the
    structure of the outputs; a SavedModel's answers are named `<output>_mean` and so on.

    Args:
        outputs: The structure of the model's outputs, a list or dict.
        names: List of strings, one for each output, in the order of `keras.tree.flatten`.
        likelihoods: List of `Likelihood`s, likewise.

    Example:
        >>> likelihoods = [bbh.likelihoods.Categorical(), bbh.likelihoods.Gaussian(1.0)]
        >>> joint = bbh.likelihoods.Joint([0, 0], ["digit", "angle"], likelihoods)
        >>> sorted(joint.summary(joint.moments([tf.zeros((2, 10)), tf.zeros((2, 1))])))[:3]
        ['angle_aleatoric', 'angle_epistemic', 'angle_mean']
    """

    def __init__(self, outputs, names, likelihoods):
        self._structure = keras.tree.map_structure(lambda _: 0, outputs)
        self.names = list(names)
        self.likelihoods = list(likelihoods)

    @property
    def key(self):
        return tuple(likelihood.key for likelihood in self.likelihoods)

    def moments(self, outputs):
        outputs = keras.tree.flatten(outputs)
        pairs = zip(self.likelihoods, outputs, strict=True)
        return tuple(moment for one, output in pairs for moment in one.moments(output))

    def sample_moments(self, moments):
        parts = zip(self.likelihoods, self._parts(moments), strict=True)
        return tuple(moment for one, part in parts for moment in one.sample_moments(part))

    def _parts(self, moments, counts="num_moments"):
        """Returns the moments of each output, a list of lists."""
        parts, start = [], 0
        for likelihood in self.likelihoods:
            count = getattr(likelihood, counts)
            parts.append(list(moments[start : start + count]))
            start += count
        return parts

    def summary(self, moments):
        answers = {}
        for name, one, part in zip(self.names, self.likelihoods, self._parts(moments), strict=True):
            answers |= {f"{name}_{key}": value for key, value in one.summary(part).items()}
        return answers

    def prediction(self, moments, samples=None):
        samples = [None] * len(self.likelihoods) if samples is None else samples
        if samples[0] is not None:
            samples = self._parts(samples, "num_sample_moments")
        made = [
            one.prediction(part, of_samples)
            for one, part, of_samples in zip(
                self.likelihoods, self._parts(moments), samples, strict=True
            )
        ]
        return keras.tree.pack_sequence_as(self._structure, made)

    def scaled_loss(self, labels, outputs):
        """As `Likelihood.scaled_loss`; the labels come in the structure of the outputs."""
        keras.tree.assert_same_structure(labels, self._structure)
        pairs = zip(
            self.likelihoods, keras.tree.flatten(labels), keras.tree.flatten(outputs), strict=True
        )
        losses, scales = zip(*(one.scaled_loss(y, output) for one, y, output in pairs), strict=True)
        largest = tf.reduce_max(tf.stack(scales), axis=0)  # (batch,)
        scaled = [
            tf.exp(scale - largest) * loss for loss, scale in zip(losses, scales, strict=True)
        ]
        return tf.add_n(scaled), largest
