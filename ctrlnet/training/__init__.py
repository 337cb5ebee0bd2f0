"""Training: states to sample, losses over them and along trajectories, the loop and its checkpoints."""

from ctrlnet.training.checkpoint import Checkpoints, newest_whole, require_whole
from ctrlnet.training.descent import requires_closure
from ctrlnet.training.distributed import Processes, joined, local_device
from ctrlnet.training.engine import Engine
from ctrlnet.training.loop import Progress, fit
from ctrlnet.training.means import check_weights, optimizer_named, optimizer_options, seeded
from ctrlnet.training.metrics import Metrics, Row, metrics_csv
from ctrlnet.training.objective import Batch, LossWeights, RegionObjective, Trajectories
from ctrlnet.training.packing import State, packed, unpacked
from ctrlnet.training.pool import HardStates
from ctrlnet.training.region import Within
from ctrlnet.training.sampled import SampledObjective, Wanted
from ctrlnet.training.schedule import SHAPES, Schedule, Shape
from ctrlnet.training.signals import Stopped
from ctrlnet.training.states import StateSampler
from ctrlnet.training.warm_start import LinearFeedback, unsaturated

__all__ = [
    "SHAPES",
    "Batch",
    "Checkpoints",
    "Engine",
    "HardStates",
    "LinearFeedback",
    "LossWeights",
    "Metrics",
    "Processes",
    "Progress",
    "RegionObjective",
    "Row",
    "SampledObjective",
    "Schedule",
    "Shape",
    "State",
    "StateSampler",
    "Stopped",
    "Trajectories",
    "Wanted",
    "Within",
    "check_weights",
    "fit",
    "joined",
    "local_device",
    "metrics_csv",
    "newest_whole",
    "optimizer_named",
    "optimizer_options",
    "packed",
    "require_whole",
    "requires_closure",
    "seeded",
    "unpacked",
    "unsaturated",
]
