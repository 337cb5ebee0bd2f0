"""What every verb asks of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final

from torch import nn

from ctrlnet.conditions import ExponentialStability
from ctrlnet.sets import Box
from ctrlnet.systems import ClosedLoop
from ctrlnet.training import Checkpoints, Engine, Metrics, Progress, Row


@final
@dataclass(frozen=True)
class Options:
    """How a task is trained, apart from its recipe.

    Attributes:
        optimizer, integrator: names of plug-ins.
        seed: of every random number.
        device: of torch.
        progress: called with (step, steps, row).
        engine: precision, parts of a batch, compilation.
        checkpoints: where the training is kept, and what it goes on from; None keeps nothing.
        metrics: takes the rows as they come; None takes none.
    """

    optimizer: str = "adamw"
    integrator: str = "rk4"
    seed: int = 0
    device: str = "cpu"
    progress: Progress | None = None
    engine: Engine = Engine()  # noqa: RUF009  frozen
    checkpoints: Checkpoints | None = None
    metrics: Metrics | None = None


class Trained(NamedTuple):
    """What training gives: policy, candidates by name, rows of metrics.csv."""

    policy: nn.Module
    candidates: dict[str, nn.Module]
    rows: list[Row]


class Statement(NamedTuple):
    """What is to be proved: a condition of a closed loop, within a box."""

    condition: ExponentialStability
    system: ClosedLoop
    box: Box


class Task(Protocol):
    """What `ctrlnet run NAME` drives.

    Attributes:
        name: of the plug-in.
        parameters: from which `ctrlnet.make(name, **parameters)` builds it again.
    """

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]: ...

    def train(self, options: Options) -> Trained:
        """New policy and candidates, trained, on the CPU; the same for the same seed."""
        ...

    def untrained(self) -> Trained:
        """Policy and candidates of the right shapes, for weights to be loaded into."""
        ...

    def statements(self, policy: nn.Module, candidates: Mapping[str, nn.Module]) -> dict[str, Statement]:
        """What is to be proved of them, by name."""
        ...

    def recipe_settings(self) -> dict[str, Any]:
        """Numbers of the training, for run.toml."""
        ...
