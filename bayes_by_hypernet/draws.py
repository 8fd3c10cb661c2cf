"""What one forward pass draws: once for each layer, however often the layer is called in it.

A forward pass is one call of the outermost Keras layer or model. In it a random layer is one
function: called twice, or looped over by `TimeDistributed`, it keeps its weights and adds its KL
once. Whoever wants a pass under given weights (training, prediction) opens one with `forward_pass`.
Passes are kept per thread, never on layers.
"""

import contextlib
import threading

import keras
import tensorflow as tf

from bayes_by_hypernet import compat, randomness
from bayes_by_hypernet.checks import check_seed

SEED_STATE = "seed_generator_state"  # Keras's name of the variable of a `SeedGenerator`

_active = threading.local()


class ForwardPass:
    """The draws of one forward pass.

    Args:
        given: Dict, layer to the weights that it computes with, in place of a draw.
        adds_kl: Whether layers add their KL to the losses.
        is_sample: Whether the pass is one posterior sample, a function that is the same for every
            example.
    """

    def __init__(self, given=None, adds_kl=True, is_sample=False):
        self._given = {id(layer): weights for layer, weights in (given or {}).items()}
        self._made = {}
        self._graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        self.adds_kl = adds_kl
        self.is_sample = is_sample

    def given(self, layer):
        """Returns the weights that the pass gives a layer, or None."""
        return self._given.get(id(layer))

    def once(self, layer, what, make):
        """Returns `make()`, made at the first call for `(layer, what)` and kept for the others.

        It is made where the pass began: a loop's body cannot give tensors to what is outside.
        """
        key = (id(layer), what)
        if key not in self._made:
            with self._outside_of_loops():
                self._made[key] = make()
        return self._made[key]

    @contextlib.contextmanager
    def _outside_of_loops(self):
        if tf.executing_eagerly() or tf.compat.v1.get_default_graph() is self._graph:
            yield
        else:
            with tf.init_scope() if self._graph is None else self._graph.as_default():
                yield


def current():
    """Returns the `ForwardPass` that this thread is in."""
    passes = getattr(_active, "passes", None)
    if passes:
        return passes[-1]
    context = compat.call_context()
    if context is None:
        return ForwardPass()
    made = getattr(context, "bayes_by_hypernet_pass", None)
    if made is None:
        made = context.bayes_by_hypernet_pass = ForwardPass()
    return made


@contextlib.contextmanager
def forward_pass(given=None, adds_kl=False, is_sample=False):
    """Context of one forward pass; arguments as for `ForwardPass`."""
    passes = _active.__dict__.setdefault("passes", [])
    passes.append(ForwardPass(given, adds_kl, is_sample))
    try:
        yield passes[-1]
    finally:
        passes.pop()


class DrawingLayer(keras.layers.Layer):
    """A layer that draws from keys, a new one for each forward pass.

    Args:
        seed: Integer or None. An integer makes the sequence of draws repeatable.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        # For TensorFlow's SavedModel, which sees attributes only.
        self._seed_state = self.seed_generator.state.value

    def next_key(self):
        """Returns the key `(2,)` of this forward pass."""
        return current().once(self, "key", lambda: randomness.next_key(self.seed_generator))

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def find_layers(layer, kind):
    """Returns every layer of class `kind` in a layer or model, at any depth, in a fixed order."""
    return [inner for inner in compat.flatten_layers(layer) if isinstance(inner, kind)]


def seed_states(layer):
    """Returns the variables of all seed generators in a layer or model, foreign ones too."""
    states = [v for inner in compat.flatten_layers(layer) for v in own_seed_states(inner)]
    return list({id(state): state for state in states}.values())


def own_seed_states(layer):
    """Returns the variables of the seed generators of a layer itself."""
    return [v for v in layer.variables if v.name == SEED_STATE]


def keyed_states(layer, key):
    """Returns pairs (variable, value) by which every draw inside a layer follows from `key`."""
    return [
        (state, tf.cast(randomness.fold_in(key, i), state.dtype))
        for i, state in enumerate(seed_states(layer))
    ]
