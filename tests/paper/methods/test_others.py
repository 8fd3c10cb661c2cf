"""MC-dropout, deep ensembles and multiplicative normalising flows on the tiny network."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet import perturbations
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.methods import (
    DropoutOptions,
    EnsembleOptions,
    MultiplicativeFlowOptions,
)
from bayes_by_hypernet.paper.networks import LENET

KEY = tf.constant([1, 2], tf.int32)
BATCH = tiny.examples(4)
IMAGES, LABELS = tf.constant(BATCH.images), tf.constant(BATCH.labels)


def _losses(outputs):
    """Of outputs `(..., 4, 3)`."""
    labels = tf.broadcast_to(LABELS, outputs.shape[:-1])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)


class TestDropout:
    def test_drops_after_both_convolutions_and_the_first_dense_layer(self):
        model = methods.get("dropout")(LENET, DropoutOptions()).members[""].body
        names = [layer.name for layer in model.layers]
        for i, before in ((1, "conv_1"), (2, "conv_2"), (3, "dense_1")):
            place = names.index(f"dropout_{i}")
            assert names[place - 2] == before and names[place - 1].startswith("re_lu")
        assert names[names.index("dropout_2") + 1].startswith("max_pooling")  # before pooling
        assert model.get_layer("dropout_1").rate == 0.5

    def test_has_maps_prior(self):
        members = [tiny.member(name, prior_stddev=0.5) for name in ("dropout", "map")]
        for ours, theirs in zip(*(m.fitted_variables for m in members), strict=True):
            theirs.assign(ours)
        kls = [member.kl(member.sampled_parameters(KEY), KEY) for member in members]
        np.testing.assert_array_equal(*kls)

    def test_a_sample_is_one_network_for_all_inputs(self):
        sampler = tiny.method("dropout").sampler
        samples = sampler.draw(2, KEY)
        first, second = ({"key": samples["key"][i]} for i in range(2))
        logits = sampler.logits(IMAGES, first)
        # The order of float32 sums in batches of other sizes.
        np.testing.assert_allclose(sampler.logits(IMAGES[:1], first), logits[:1], atol=1e-6)
        assert (sampler.logits(IMAGES, second) != logits).numpy().any()

    def test_training_draws_a_mask_for_each_example(self):
        member = tiny.member("dropout")
        same = tf.repeat(IMAGES[:1], 8, axis=0)
        parameters = member.sampled_parameters(KEY)
        logits = member.training_outputs(same, parameters, KEY)[0].numpy()
        assert np.ptp(logits, axis=0).min() > 0
        again = member.training_outputs(same, parameters, KEY)[0]
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
        kernels = {m.fitted_variables[0].numpy().tobytes() for m in method.members.values()}
        assert len(kernels) == 10

    def test_as_many_samples_as_members_are_all_of_them(self):
        method = tiny.method("ensemble", num_members=5)
        draws = method.sampler.draw(5, KEY)["conv/kernel"].numpy()
        members = [m.fitted_variables[0].numpy() for m in method.members.values()]
        assert {d.tobytes() for d in draws} == {m.tobytes() for m in members}
        firsts = {
            method.sampler.draw(1, KEY + i)["conv/kernel"].numpy().tobytes() for i in range(40)
        }
        assert len(firsts) == 5  # any of them alone is as likely

    def test_logits_are_the_members(self):
        method = tiny.method("ensemble", num_members=2)
        sampler = method.sampler
        sample = {n: w[0] for n, w in sampler.draw(1, KEY).items()}
        member = next(
            m
            for m in method.members.values()
            if np.array_equal(m.fitted_variables[0], sample["conv/kernel"])
        )
        np.testing.assert_allclose(sampler.logits(IMAGES, sample), member(IMAGES), atol=1e-6)

    def test_trains_on_images_and_on_their_adversarial_twins(self):
        member = tiny.member("ensemble", adversarial_epsilon=0.1)
        parameters = member.sampled_parameters(KEY)
        outputs = member.training_outputs(IMAGES, parameters, KEY, loss=_losses)
        clean, attacked = outputs

        def loss(x):
            return _losses(member(x))

        np.testing.assert_allclose(clean, member(IMAGES), atol=1e-6)
        adversarial = perturbations.fast_sign(IMAGES, 0.1, loss)
        np.testing.assert_allclose(attacked, member(adversarial), atol=1e-5)
        assert (loss(adversarial) > loss(IMAGES)).numpy().all()
        assert float(member.kl(parameters, KEY)) == 0.0  # no prior

    def test_gradients_are_half_of_each_and_none_through_the_attack(self):
        member = tiny.member("ensemble", adversarial_epsilon=0.1)
        variables = [v.value for v in member.fitted_variables]
        with tf.GradientTape() as tape:
            parameters = member.sampled_parameters(KEY)
            outputs = member.training_outputs(IMAGES, parameters, KEY, loss=_losses)
            loss = tf.reduce_mean(_losses(tf.stack(outputs)))
        ours = tape.gradient(loss, variables)
        adversarial = perturbations.fast_sign(
            IMAGES, 0.1, lambda x: tf.reduce_mean(_losses(member(x)))
        )
        with tf.GradientTape() as tape:
            losses = [tf.reduce_mean(_losses(member(x))) for x in (IMAGES, adversarial)]
            loss = sum(losses) / 2
        for a, b in zip(ours, tape.gradient(loss, variables), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    def test_a_member_can_be_left_out(self):
        method = tiny.method("ensemble", num_members=3)
        method.leave_out("member_01")
        assert list(method.members) == ["member_00", "member_02"]
        assert method.sampler.num_distinct_samples == 2
        with pytest.raises(ValueError, match="'map' has no members to leave out: 'member_01'"):
            tiny.method("map").leave_out("member_01")

    def test_options_are_validated(self):
        with pytest.raises(ValueError, match="`num_members` must be at least 1.*num_members=0"):
            EnsembleOptions(num_members=0)
        with pytest.raises(ValueError, match="`adversarial_epsilon` must be at least 0"):
            EnsembleOptions(adversarial_epsilon=-0.1)


class TestMnf:
    def test_the_kl_is_the_sum_over_layers_and_sees_the_parameters(self):
        member = tiny.member("mnf")
        parameters = member.sampled_parameters(KEY)
        kl = float(member.kl(parameters, KEY))
        assert np.isfinite(kl) and kl == float(member.kl(parameters, KEY))
        assert float(member.kl(parameters, KEY + 1)) != kl  # one draw
        assert float(member.kl([2 * p for p in parameters], KEY)) != kl
        assert len(member.posterior_layers) == 2

    def test_gradients_reach_every_variable(self):
        member = tiny.member("mnf")
        with tf.GradientTape() as tape:
            parameters = member.sampled_parameters(KEY)
            [outputs] = member.training_outputs(IMAGES, parameters, KEY)
            loss = tf.reduce_sum(outputs**2) + member.kl(parameters, KEY)
        gradients = tape.gradient(loss, [v.value for v in member.fitted_variables])
        assert all(g is not None and np.isfinite(g).all() for g in gradients)
        assert all(g.numpy().any() for g in gradients)

    def test_training_and_sampled_weights_predict_with_the_same_mean(self):
        method = tiny.method("mnf")
        sampler, [member] = method.sampler, method.members.values()
        parameters, num = member.sampled_parameters(KEY), 3000

        @tf.function
        def trained(i):
            return member.training_outputs(IMAGES, parameters, tf.stack([i, 7]))[0]

        trained = np.stack([trained(tf.constant(i)) for i in range(num)])
        draws = sampler.draw(num, KEY)
        drawn = tf.map_fn(
            lambda s: sampler.logits(IMAGES, s), draws, fn_output_signature=tf.float32
        )
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
