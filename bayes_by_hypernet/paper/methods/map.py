"""Maximum a posteriori: one network with the weight decay of a normal prior (Table 3, 'MAP')."""

import tensorflow as tf

from bayes_by_hypernet.paper.methods.keras_method import PointMethod
from bayes_by_hypernet.paper.methods.options import PriorOptions


class MaximumAPosteriori(PointMethod):
    """Point estimate of the weights; the 'KL' is the prior's negative log density.

    `kl = sum over kernels of w^2 / (2 prior_stddev^2)`, constants left out; biases have no prior,
    as in the authors' code.
    """

    name = "map"
    Options = PriorOptions

    def kl(self, edges, key):
        kernels = [
            tf.nn.l2_loss(edge)
            for edge, variable in zip(edges, self.trainable_variables, strict=True)
            if variable.name == "kernel"
        ]
        return tf.add_n(kernels) / self.options.prior_stddev**2
