"""ResNet-32: its size, its units, its shortcuts, and whose statistics it normalises by."""

import math

import keras
import numpy as np
import pytest
import tiny

from bayes_by_hypernet.draws import find_layers
from bayes_by_hypernet.layers import STATISTICS, BatchNormalization
from bayes_by_hypernet.paper import networks
from bayes_by_hypernet.paper.networks import RESNET32
from bayes_by_hypernet.paper.networks.resnet32 import PadChannels
from bayes_by_hypernet.posteriors.selection import select

IMAGES = np.random.default_rng(0).normal(size=(3, 24, 24, 3)).astype(np.float32)


class TestResNet32:
    def test_number_of_weights_and_layers(self):
        model = RESNET32.build()
        weights = select(model)  # those of normalisations are points
        assert sum(math.prod(v.shape) for v in weights.values()) == 462_693
        kernels = [name for name in weights if name.endswith("kernel")]
        assert len(kernels) == 32 and kernels[0] == "conv_1/kernel" and "dense" in kernels[-1]
        assert len(find_layers(model, BatchNormalization)) == 31  # two a unit, and the last one
        assert model.output_shape == (None, 5)

    def test_units(self):
        model = RESNET32.build(dropout=True)
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        assert len(convolutions) == 31
        halving = [layer.name for layer in convolutions if layer.strides != (1, 1)]
        assert halving == ["stage_2_unit_1_conv_1", "stage_3_unit_1_conv_1"]
        sizes = {1: (24, 24, 16), 2: (12, 12, 32), 3: (6, 6, 64)}
        assert tiny.dropped(model) == {
            f"stage_{stage}_unit_{unit}_dropout": sizes[stage]
            for stage in (1, 2, 3)
            for unit in range(1, 6)
        }
        assert not tiny.dropped(RESNET32.build())

    def test_units_without_residual_leave_the_shortcut(self):
        """With every convolution of the units at zero, only the shortcuts are left."""
        model = RESNET32.build()
        for variable in model.trainable_variables:
            if "_conv_2/" in variable.path:
                variable.assign(keras.ops.zeros_like(variable))
        first = keras.Model(model.inputs, model.get_layer("conv_1").output)(IMAGES)
        last = keras.Model(model.inputs, model.get_layer("norm").input)(IMAGES)
        pooled = np.asarray(first).reshape(3, 6, 4, 6, 4, 16).mean(axis=(2, 4))
        expected = np.pad(pooled, [(0, 0)] * 3 + [(24, 24)])  # 8 and 16 on both sides
        np.testing.assert_allclose(last, expected, atol=1e-5)

    def test_a_normalisation_stands_before_the_last_relu(self):
        model = RESNET32.build()
        kinds = [type(layer) for layer in model.layers[-4:]]
        layers = keras.layers
        assert kinds == [
            BatchNormalization,
            layers.ReLU,
            layers.GlobalAveragePooling2D,
            layers.Dense,
        ]


class TestShortcut:
    def test_averages_and_pads_channels_on_both_sides(self):
        x = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
        pooled = keras.layers.AveragePooling2D(2, padding="same")(x)
        outputs = np.asarray(PadChannels(6)(pooled))
        assert outputs.shape == (2, 2, 2, 6)
        np.testing.assert_array_equal(outputs[..., [0, 4, 5]], 0)
        np.testing.assert_allclose(outputs[0, 0, 0, 1:4], x[0, :2, :2].mean(axis=(0, 1)))

    def test_a_saved_network_computes_the_same(self, tmp_path):
        model = RESNET32.build()
        model.save(tmp_path / "resnet.keras")
        loaded = keras.saving.load_model(tmp_path / "resnet.keras")
        np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), atol=1e-5)


class TestBatchNorm:
    @pytest.mark.parametrize("statistics", STATISTICS)
    def test_is_chosen_by_name(self, statistics):
        model = networks.get("resnet32", statistics).build()
        found = find_layers(model, BatchNormalization)
        assert {layer.statistics for layer in found} == {statistics}

    def test_means_nothing_to_lenet(self):
        with pytest.raises(ValueError, match="`batch_norm`.*'lenet'.*'batch'"):
            networks.get("lenet", "batch")

    def test_unknown(self):
        with pytest.raises(ValueError, match="`batch_norm` must be one of.*'instance'.*'layer'"):
            networks.get("resnet32", "layer")
