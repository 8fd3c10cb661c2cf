"""Training: the objective, the optimiser, the loop under tf.distribute, checkpoints."""

from bayes_by_hypernet.training.loop import Plan, Trainer
from bayes_by_hypernet.training.objective import NonFiniteLossError, Terms
from bayes_by_hypernet.training.optimizer import FusedAdam
from bayes_by_hypernet.training.strategy import STRATEGIES, is_chief, make_strategy, wait_for_all

__all__ = [
    "STRATEGIES",
    "FusedAdam",
    "NonFiniteLossError",
    "Plan",
    "Terms",
    "Trainer",
    "is_chief",
    "make_strategy",
    "wait_for_all",
]
