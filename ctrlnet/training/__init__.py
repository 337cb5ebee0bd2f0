"""Training: states to sample, losses over them and along trajectories, the loop."""

from ctrlnet.training.loop import Progress, Row, Schedule, fit, metrics_csv
from ctrlnet.training.means import check_weights, optimizer_named, seeded
from ctrlnet.training.objective import Batch, LossWeights, RegionObjective, Trajectories
from ctrlnet.training.pool import HardStates
from ctrlnet.training.region import Within
from ctrlnet.training.states import StateSampler
from ctrlnet.training.warm_start import LinearFeedback, unsaturated

__all__ = [
    "Batch",
    "HardStates",
    "LinearFeedback",
    "LossWeights",
    "Progress",
    "RegionObjective",
    "Row",
    "Schedule",
    "StateSampler",
    "Trajectories",
    "Within",
    "check_weights",
    "fit",
    "metrics_csv",
    "optimizer_named",
    "seeded",
    "unsaturated",
]
