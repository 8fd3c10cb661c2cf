"""Training: the objective, the optimiser, the loop under tf.distribute, checkpoints."""

from bayes_by_hypernet.training.checkpoints import CheckpointError
from bayes_by_hypernet.training.loop import TrainConfig, Trainer
from bayes_by_hypernet.training.objective import NonFiniteLossError, Terms
from bayes_by_hypernet.training.optimizer import FusedAdam
from bayes_by_hypernet.training.stopping import SIGNALS, Stopped, StopRequests
from bayes_by_hypernet.training.strategy import STRATEGIES, is_chief, make_strategy, wait_for_all
from bayes_by_hypernet.training.workers import Workers, WorkersError, workers_of

# What a user can do something about.
ERRORS = (CheckpointError, NonFiniteLossError, WorkersError)

__all__ = [
    "ERRORS",
    "SIGNALS",
    "STRATEGIES",
    "CheckpointError",
    "FusedAdam",
    "NonFiniteLossError",
    "StopRequests",
    "Stopped",
    "TrainConfig",
    "Terms",
    "Trainer",
    "Workers",
    "WorkersError",
    "is_chief",
    "make_strategy",
    "wait_for_all",
    "workers_of",
]
