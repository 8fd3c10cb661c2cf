"""Figures of run directories, one style for all."""

from bayes_by_hypernet.figures.entropy import entropy_cdf

__all__ = ["entropy_cdf"]
