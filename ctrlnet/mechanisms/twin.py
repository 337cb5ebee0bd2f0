"""The MuJoCo twin of a plant: a model as MJCF text, and how states map to it and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ctrlnet.errors import UsageError

Array: TypeAlias = NDArray[np.float64]


def halves(x: Array) -> tuple[Array, Array]:
    """The state x = (q, v), shape (..., 2k), as positions q and velocities v, shape (..., k) each."""
    k = x.shape[-1] // 2
    return x[..., :k], x[..., k:]


def joined(q: Array, v: Array) -> Array:
    """The state x = (q, v), shape (..., 2k), of positions q and velocities v, shape (..., k) each."""
    return np.concatenate([q, v], axis=-1)


@final
@dataclass(frozen=True)
class Twin:
    """A MuJoCo model that claims to be the same plant as the analytic one, told independently.

    The simulator knows joints by name, the theory knows a state vector x; the twin holds both maps between them.
    By default x = (q, v): the positions of `joints` in order, then their velocities. MuJoCo is imported only where
    the twin is simulated.

    Args:
        mjcf: the model as MJCF text. Its constants should be written with full precision (`repr` of a float).
        joints: names of hinge or slide joints, in the order of q; q in rad or m.
        actuators: names of the actuators, in the order of the control u.
        to_simulator: state (..., n) to (q, v), shape (..., len(joints)) each.
        from_simulator: (q, v) to state.
        spacing: [m] distance between neighbours when several trajectories share a picture; None: the model's size.

    Raises:
        UsageError: the text is not MJCF, or a name is missing or given twice.
    """

    mjcf: str
    joints: tuple[str, ...]
    actuators: tuple[str, ...]
    to_simulator: Callable[[Array], tuple[Array, Array]] = halves
    from_simulator: Callable[[Array, Array], Array] = joined
    spacing: float | None = None

    def __post_init__(self) -> None:
        if not self.mjcf.lstrip().startswith("<mujoco"):
            raise UsageError(f"mjcf starts with {self.mjcf[:40]!r}; give MJCF text, which starts with '<mujoco'.")
        for kind, names in (("joints", self.joints), ("actuators", self.actuators)):
            if not names or not all(names) or len(set(names)) != len(names):
                raise UsageError(f"{kind} is {names!r}; give a tuple of different names, at least one.")
