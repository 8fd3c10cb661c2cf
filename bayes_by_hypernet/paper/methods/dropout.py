"""MC-dropout: MAP with dropout that stays active at prediction (Table 3, 'Dropout')."""

import dataclasses

from bayes_by_hypernet import randomness
from bayes_by_hypernet.layers import MCDropout
from bayes_by_hypernet.paper.methods.keras_method import PointFamily
from bayes_by_hypernet.paper.methods.map import MaximumAPosteriori
from bayes_by_hypernet.paper.methods.options import PriorOptions


@dataclasses.dataclass(frozen=True)
class DropoutOptions(PriorOptions):
    """Settings of MC-dropout.

    Attributes:
        prior_stddev: Standard deviation of the normal prior on every kernel weight.
        rate: Probability with which a unit is dropped.
    """

    rate: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        MCDropout(self.rate)


class DropoutFamily(PointFamily):
    """Keras's own layers, and dropout where the network has a place for it."""

    def __init__(self, rate):
        self._rate = rate

    def dropout(self, inputs, name=None):
        return MCDropout(self._rate, name=name)(inputs)


class MonteCarloDropout(MaximumAPosteriori):
    """Dropout as approximate inference (Gal & Ghahramani, 2016).

    A posterior sample is the key of its masks, each of which holds for all inputs.
    """

    name = "dropout"
    Options = DropoutOptions
    num_distinct_samples = None

    def __init__(self, network, options, family=None):
        super().__init__(network, options, family or DropoutFamily(options.rate))
        self.sample_shapes = {"key": (2,)}

    def draw(self, num_samples, key):
        return {"key": randomness.split(key, num_samples)}

    def logits(self, images, sample):
        return self.call_model(images, self.edges(None), sample["key"])
