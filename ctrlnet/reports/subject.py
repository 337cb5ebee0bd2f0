"""What the figures draw: the mathematics of a run as plain numpy functions of states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Function", "Plane", "Subject", "label"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
PLANES = 3


@dataclass(frozen=True)
class Subject:
    """System, policy and candidates of a run.

    Attributes:
        state: (name, unit) of each of the n states.
        control: (name, unit) of each of the m controls.
        limits: lower and upper limits of the controls, shape (m,) each, or None.
        lower: lower corner of the box, shape (n,).
        upper: upper corner of the box, shape (n,).
        equilibrium: shape (n,).
        field: closed loop, maps (k, n) to (k, n).
        policy: maps (k, n) to (k, m).
        candidates: each maps (k, n) to (k,).
        memory: how many of the last states are the policy's own; as many of the last controls are their derivatives.
    """

    state: tuple[tuple[str, str], ...]
    control: tuple[tuple[str, str], ...]
    limits: tuple[Array, Array] | None
    lower: Array
    upper: Array
    equilibrium: Array
    field: Function
    policy: Function
    candidates: dict[str, Function]
    memory: int = 0

    @property
    def plant_state(self) -> tuple[tuple[str, str], ...]:
        """(name, unit) of the states of the plant."""
        return self.state[: len(self.state) - self.memory]

    @property
    def plant_control(self) -> tuple[tuple[str, str], ...]:
        """(name, unit) of the controls of the plant."""
        return self.control[: len(self.control) - self.memory]

    @property
    def planes(self) -> Iterator[Plane]:
        """Planes of two coordinates through the equilibrium, the first three pairs; none for a scalar system."""
        for place, axes in enumerate(combinations(range(len(self.state)), 2)):
            if place < PLANES:
                yield Plane(self, *axes)


@dataclass(frozen=True)
class Plane:
    """The slice of a subject's box spanned by coordinates i and j through the equilibrium."""

    subject: Subject
    i: int
    j: int

    @property
    def labels(self) -> tuple[str, str]:
        """Axis labels with units."""
        return label(self.subject.state[self.i]), label(self.subject.state[self.j])

    @property
    def sliced(self) -> bool:
        """Whether other coordinates exist, held at the equilibrium."""
        return len(self.subject.state) > 2

    def window(self, margin: float = 0.06) -> tuple[Array, Array]:
        """Corners of the drawing, the box widened by a fraction of its size, shape (2,) each."""
        axes = [self.i, self.j]
        lower, upper = self.subject.lower[axes], self.subject.upper[axes]
        return lower - margin * (upper - lower), upper + margin * (upper - lower)

    def grid(self, points: int) -> tuple[Array, Array, Array]:
        """The two axes, shape (points,) each, and the states over them, shape (points², n), j slowest."""
        lower, upper = self.window()
        x, y = np.linspace(lower[0], upper[0], points), np.linspace(lower[1], upper[1], points)
        states = np.tile(self.subject.equilibrium, (points * points, 1))
        across, along = np.meshgrid(x, y)
        states[:, self.i], states[:, self.j] = across.ravel(), along.ravel()
        return x, y, states

    def values(self, function: Function, points: int = 241) -> tuple[Array, Array, Array]:
        """The two axes and a scalar function over them, shape (points, points), as contour functions want it."""
        x, y, states = self.grid(points)
        return x, y, function(states).reshape(points, points)


def label(quantity: tuple[str, str]) -> str:
    """`θ [rad]`; the bare name when there is no unit."""
    name, unit = quantity
    return f"{name} [{unit}]" if unit else name
