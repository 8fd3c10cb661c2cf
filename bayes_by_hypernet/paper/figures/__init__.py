"""Figures of run directories, one style for all."""

from bayes_by_hypernet.paper.figures.attacks import attack_curves
from bayes_by_hypernet.paper.figures.entropy import entropy_cdf, entropy_cdfs
from bayes_by_hypernet.paper.figures.examples import extreme_examples
from bayes_by_hypernet.paper.figures.reliability import reliability
from bayes_by_hypernet.paper.figures.runs import Run, distinct_labels, make_runs
from bayes_by_hypernet.paper.figures.shift import shift_curves, shift_families
from bayes_by_hypernet.paper.figures.training import training_curves

__all__ = [
    "Run",
    "attack_curves",
    "distinct_labels",
    "entropy_cdf",
    "entropy_cdfs",
    "extreme_examples",
    "make_runs",
    "reliability",
    "shift_curves",
    "shift_families",
    "training_curves",
]
