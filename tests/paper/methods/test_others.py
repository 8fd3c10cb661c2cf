"""MC-dropout, deep ensembles and multiplicative normalising flows on the tiny network."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet import perturbations
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.methods.dropout import DropoutOptions
from bayes_by_hypernet.paper.methods.ensemble import EnsembleOptions
from bayes_by_hypernet.paper.methods.mnf import MultiplicativeFlowOptions
from bayes_by_hypernet.paper.networks import LENET

KEY = tf.constant([1, 2], tf.int32)
BATCH = tiny.examples(4)
IMAGES, LABELS = tf.constant(BATCH.images), tf.constant(BATCH.labels)


class TestDropout:
    def test_drops_after_both_convolutions_and_the_first_dense_layer(self):
        model = methods.get("dropout")(LENET, DropoutOptions()).keras_model
        names = [layer.name for layer in model.layers]
        for i, before in ((1, "conv_1"), (2, "conv_2"), (3, "dense_1")):
            place = names.index(f"dropout_{i}")
            assert names[place - 2] == before and names[place - 1].startswith("re_lu")
        assert names[names.index("dropout_2") + 1].startswith("max_pooling")  # before pooling
        assert model.get_layer("dropout_1").rate == 0.5

    def test_has_maps_prior(self):
        dropout, plain = (
            tiny.method("dropout", prior_stddev=0.5),
            tiny.method("map", prior_stddev=0.5),
        )
        plain.keras_model.set_weights([v.numpy() for v in dropout.keras_model.trainable_variables])
        np.testing.assert_array_equal(
            dropout.kl(dropout.edges(KEY), KEY), plain.kl(plain.edges(KEY), KEY)
        )

    def test_a_sample_is_one_network_for_all_inputs(self):
        method = tiny.method("dropout")
        samples = method.draw(2, KEY)
        first, second = ({"key": samples["key"][i]} for i in range(2))
        logits = method.logits(IMAGES, first)
        # The order of float32 sums in batches of other sizes.
        np.testing.assert_allclose(method.logits(IMAGES[:1], first), logits[:1], atol=1e-6)
        assert (method.logits(IMAGES, second) != logits).numpy().any()

    def test_training_draws_a_mask_for_each_example(self):
        method = tiny.method("dropout")
        same = tf.repeat(IMAGES[:1], 8, axis=0)
        edges = method.edges(KEY)
        logits = method.training_logits(same, LABELS, edges, KEY)[0].numpy()
        assert np.ptp(logits, axis=0).min() > 0
        again = method.training_logits(same, LABELS, edges, KEY)[0]
        np.testing.assert_array_equal(again, logits)

    def test_options_are_validated(self):
        with pytest.raises(ValueError, match="`rate` must be.*rate=1.0"):
            DropoutOptions(rate=1.0)
        with pytest.raises(ValueError, match="`prior_stddev`"):
            DropoutOptions(prior_stddev=-1.0)


class TestEnsemble:
    def test_members_differ_and_have_the_protocols_number(self):
        method = methods.get("ensemble")(tiny.NETWORK, EnsembleOptions())
        assert len(method.members) == 10
        assert list(method.members)[:2] == ["member_00", "member_01"]
        kernels = {m.trainable_variables[0].numpy().tobytes() for m in method.members.values()}
        assert len(kernels) == 10

    def test_as_many_samples_as_members_are_all_of_them(self):
        method = tiny.method("ensemble", num_members=5)
        draws = method.draw(5, KEY)["conv/kernel"].numpy()
        members = [m.trainable_variables[0].numpy() for m in method.members.values()]
        assert {d.tobytes() for d in draws} == {m.tobytes() for m in members}
        firsts = {method.draw(1, KEY + i)["conv/kernel"].numpy().tobytes() for i in range(40)}
        assert len(firsts) == 5  # any of them alone is as likely

    def test_logits_are_the_members(self):
        method = tiny.method("ensemble", num_members=2)
        sample = {n: w[0] for n, w in method.draw(1, KEY).items()}
        member = next(
            m
            for m in method.members.values()
            if np.array_equal(m.trainable_variables[0], sample["conv/kernel"])
        )
        np.testing.assert_allclose(
            method.logits(IMAGES, sample), member.keras_model(IMAGES), atol=1e-6
        )

    def test_trains_on_images_and_on_their_adversarial_twins(self):
        member = tiny.method("ensemble", adversarial_epsilon=0.1).members["member_00"]
        edges = member.edges(KEY)
        clean, attacked = member.training_logits(IMAGES, LABELS, edges, KEY)

        def loss(x):
            return tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, member.keras_model(x))

        np.testing.assert_allclose(clean, member.keras_model(IMAGES), atol=1e-6)
        adversarial = perturbations.fast_sign(IMAGES, 0.1, loss)
        np.testing.assert_allclose(attacked, member.keras_model(adversarial), atol=1e-5)
        assert (loss(adversarial) > loss(IMAGES)).numpy().all()
        assert float(member.kl(edges, KEY)) == 0.0  # no prior

    def test_gradients_are_half_of_each_and_none_through_the_attack(self):
        member = tiny.method("ensemble", adversarial_epsilon=0.1).members["member_00"]
        variables = [v.value for v in member.trainable_variables]

        def mean_loss(logits):
            labels = tf.broadcast_to(LABELS, logits.shape[:-1])
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        with tf.GradientTape() as tape:
            logits = member.training_logits(IMAGES, LABELS, member.edges(KEY), KEY)
            loss = mean_loss(logits)
        ours = tape.gradient(loss, variables)
        adversarial = perturbations.fast_sign(
            IMAGES, 0.1, lambda x: mean_loss(member.keras_model(x))
        )
        with tf.GradientTape() as tape:
            loss = (
                mean_loss(member.keras_model(IMAGES)) + mean_loss(member.keras_model(adversarial))
            ) / 2
        for a, b in zip(ours, tape.gradient(loss, variables), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    def test_a_member_can_be_left_out(self):
        method = tiny.method("ensemble", num_members=3)
        method.leave_out("member_01")
        assert list(method.members) == ["member_00", "member_02"]
        assert method.num_distinct_samples == 2
        with pytest.raises(ValueError, match="'map' has no members to leave out: 'member_01'"):
            tiny.method("map").leave_out("member_01")

    def test_is_trained_by_member(self):
        with pytest.raises(TypeError, match="use `members`"):
            tiny.method("ensemble").edges(KEY)

    def test_options_are_validated(self):
        with pytest.raises(ValueError, match="`num_members` must be at least 1.*num_members=0"):
            EnsembleOptions(num_members=0)
        with pytest.raises(ValueError, match="`adversarial_epsilon` must be at least 0"):
            EnsembleOptions(adversarial_epsilon=-0.1)


class TestMnf:
    def test_the_kl_is_the_sum_over_layers_and_sees_the_edges(self):
        method = tiny.method("mnf")
        edges = method.edges(KEY)
        kl = float(method.kl(edges, KEY))
        assert np.isfinite(kl) and kl == float(method.kl(edges, KEY))
        assert float(method.kl(edges, KEY + 1)) != kl  # one draw
        assert float(method.kl([2 * e for e in edges], KEY)) != kl
        assert len(method.layers) == 2

    def test_gradients_reach_every_variable(self):
        method = tiny.method("mnf")
        with tf.GradientTape() as tape:
            edges = method.edges(KEY)
            loss = tf.reduce_sum(method.training_logits(IMAGES, LABELS, edges, KEY) ** 2)
            loss += method.kl(edges, KEY)
        gradients = tape.gradient(loss, [v.value for v in method.trainable_variables])
        assert all(g is not None and np.isfinite(g).all() for g in gradients)
        assert all(g.numpy().any() for g in gradients)

    def test_training_and_sampled_weights_predict_with_the_same_mean(self):
        method = tiny.method("mnf")
        edges, num = method.edges(KEY), 3000

        @tf.function
        def trained(i):
            return method.training_logits(IMAGES, LABELS, edges, tf.stack([i, 7]))[0]

        trained = np.stack([trained(tf.constant(i)) for i in range(num)])
        draws = method.draw(num, KEY)
        drawn = tf.map_fn(lambda s: method.logits(IMAGES, s), draws, fn_output_signature=tf.float32)
        # Five standard errors of the difference of two means. The weights' variances, e^-18, are
        # too small for what local reparameterisation makes independent to show.
        error = 5 * np.std(drawn, 0).max() * np.sqrt(2 / num)
        np.testing.assert_allclose(trained.mean(0), np.mean(drawn, 0), atol=error)

    def test_settings_of_the_protocol(self):
        cls = methods.get("mnf")
        assert (cls.learning_rate, cls.anneals_kl) == (1e-3, True)
        assert (cls.Options().max_stddev, cls.Options().flow_units) == (0.5, 50)

    def test_options_are_validated(self):
        with pytest.raises(ValueError, match="`max_stddev` must be positive"):
            MultiplicativeFlowOptions(max_stddev=0.0)
        with pytest.raises(ValueError, match="`flow_units` must be at least 1"):
            MultiplicativeFlowOptions(flow_units=0)
