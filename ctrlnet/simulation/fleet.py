"""A fleet: many simulations of one twin, stepped together on threads."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ctrlnet.errors import NonFinite, ShapeError, UsageError
from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.display import load_mujoco

Ids: TypeAlias = NDArray[np.int64]


class Simulations(Protocol):
    """What `Fleet` and `EquationFleet` have in common: many states of a plant, advanced together."""

    count: int
    period: float

    def place(self, x: Array) -> None: ...
    def states(self, ids: Ids | slice = ...) -> Array: ...
    def hold(self, u: Array, ids: Ids | None = None) -> None: ...


_SLIDE_OR_HINGE = (2, 3)  # mjtJoint: the joints with one degree of freedom


def compile_twin(twin: Twin) -> Any:
    """The twin as a mujoco.MjModel.

    Raises:
        UsageError: MuJoCo refuses the text, or the twin's names are not those of the model.
    """
    mujoco = load_mujoco()
    try:
        model = mujoco.MjModel.from_xml_string(twin.mjcf)
        kinds = {name: int(model.joint(name).type[0]) for name in twin.joints}
        for name in twin.actuators:
            model.actuator(name)
    except (ValueError, KeyError) as error:
        raise UsageError(f"The twin's MJCF cannot be used: {error}") from error
    if model.nv != len(kinds) or model.nu != len(twin.actuators) or not set(kinds.values()) <= set(_SLIDE_OR_HINGE):
        raise UsageError(
            f"The twin names joints {twin.joints} and actuators {twin.actuators}; its MJCF has {model.nv} degrees of "
            f"freedom and {model.nu} actuators. Name every one of them; joints must be of type hinge or slide."
        )
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET.value  # a state that blows up must be seen
    return model


@final
class Fleet:
    """`count` simulations of a twin, each of which holds its control for a whole period (zero-order hold).

    A period is `substeps` steps, of period/substeps seconds each, of the integrator that the MJCF names; the whole
    fleet takes them in one call of `mujoco.batch`, on threads that Python does not see.

    Args:
        twin: the model and its state maps.
        count: number of simulations.
        period: [s] between two controls.
        substeps: physics steps a period.
        threads: 0 for one a core.

    Raises:
        UsageError: a number is not positive, or the twin cannot be compiled.
    """

    def __init__(self, twin: Twin, count: int, *, period: float, substeps: int = 1, threads: int = 0) -> None:
        if not (math.isfinite(period) and period > 0 and substeps >= 1 and count >= 1):
            raise UsageError(f"count {count}, period {period} s, substeps {substeps}: each must be positive.")
        self.twin, self.count, self.period, self.substeps = twin, count, period, substeps
        self.model = compile_twin(twin)
        self.model.opt.timestep = period / substeps
        from mujoco.batch import Batch  # behind the door of load_mujoco

        self._batch = Batch(self.model, count, threads)
        self._q, self._v, self._u = (self._batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in twin.joints])
        self._qvel = np.array([self.model.joint(name).dofadr[0] for name in twin.joints])
        self._ctrl = np.array([self.model.actuator(name).id for name in twin.actuators])

    def place(self, x: Array) -> None:
        """Put simulation i into state x[i], shape (count, n)."""
        if x.ndim != 2 or len(x) != self.count:
            raise ShapeError(f"x has shape {x.shape}; give one row for each of the {self.count} simulations.")
        q, v = self.twin.to_simulator(np.asarray(x, dtype=np.float64))
        self._q[:, self._qpos], self._v[:, self._qvel] = q, v

    def states(self, ids: Ids | slice = slice(None)) -> Array:
        """The states of the simulations `ids`, (len(ids), n)."""
        return self.twin.from_simulator(self._q[ids][:, self._qpos], self._v[ids][:, self._qvel])

    def hold(self, u: Array, ids: Ids | None = None) -> None:
        """Advance the simulations `ids` by one period under the controls u, (len(ids), m).

        Raises:
            NonFinite: a control is NaN or infinite.
        """
        rows = np.arange(self.count) if ids is None else ids
        if not np.isfinite(u).all():
            wrong = int(np.argmin(np.isfinite(u).all(-1)))
            raise NonFinite(f"The control is {u[wrong].tolist()} at x = {self.states(rows)[wrong].tolist()}.")
        self._u[rows[:, None], self._ctrl] = u
        self._batch.step(ids, nstep=self.substeps)

    def accelerations(self, u: Array) -> Array:
        """v̇ of every simulation in its present state under the controls u, shape (count, len(joints))."""
        self._u[:, self._ctrl] = u
        acceleration = self._batch.bind("qacc")
        self._batch.forward()
        return np.asarray(acceleration[:, self._qvel])
