"""What runs of the first release rely on: the names in checkpoints, and the start of a seed."""

import keras
import numpy as np
import tensorflow as tf
import tiny

from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.networks import LENET
from bayes_by_hypernet.training.checkpoints import trackable

# Written by hand: a run of another version is loaded by these names.
HYPERNETWORKS = (
    "hypernetwork_conv_1_kernel",
    "hypernetwork_conv_1_bias",
    "hypernetwork_conv_2_kernel",
    "hypernetwork_conv_2_bias",
    "hypernetwork_dense_1_kernel",
    "hypernetwork_dense_1_bias",
    "hypernetwork_dense_2_kernel",
    "hypernetwork_dense_2_bias",
)
VARIABLES = (
    "generator/hidden_1/kernel",
    "generator/hidden_1/bias",
    "generator/hidden_2/kernel",
    "generator/hidden_2/bias",
    "generator/output/kernel",
    "generator/output/bias",
)


def _names(member, directory):
    """Names of the model's variables in a checkpoint, as `Trainer` saves it."""
    path = tf.train.Checkpoint(method=trackable(member)).save(directory / "ckpt")
    names = {name for name, _ in tf.train.list_variables(path) if name.startswith("method/")}
    ending = "/.ATTRIBUTES/VARIABLE_VALUE"
    # TensorFlow writes `.S` for a slash for the value of a Keras variable.
    return {
        name.removeprefix("method/variables/").removesuffix(ending).replace(".S", "/")
        for name in names
    }


def test_lenet_with_layerwise_hypernetworks(tmp_path):
    cls = methods.get("bbh")
    member = cls(LENET, cls.Options(hidden_units=(4, 8))).members[""]
    expected = {f"{one}/{name}" for one in HYPERNETWORKS for name in VARIABLES}
    assert _names(member, tmp_path) == expected


def test_lenet_with_flipout_and_with_points(tmp_path):
    layers = ("conv_1", "conv_2", "dense_1", "dense_2")
    for method, variables in (
        ("bbb", ("kernel_mean", "kernel_log_variance", "bias_mean", "bias_log_variance")),
        ("map", ("kernel", "bias")),
        ("dropout", ("kernel", "bias")),
    ):
        cls = methods.get(method)
        member = cls(LENET, cls.Options()).members[""]
        expected = {f"{layer}/{name}" for layer in layers for name in variables}
        assert _names(member, tmp_path / method) == expected


def test_a_seed_starts_where_the_first_release_started():
    keras.utils.set_random_seed(1)
    member = tiny.member(seed=3)
    sums = [float(np.abs(v.numpy()).sum()) for v in member.fitted_variables[:7:2]]
    # Of the code of commit 5c2f317, as printed; float32 sums.
    expected = [2.8975074, 10.0914726, 53.1233521, 4.6600180]
    np.testing.assert_allclose(sums, expected, rtol=1e-5)
