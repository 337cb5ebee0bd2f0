"""Closed-loop rollouts in MuJoCo: the policy at a control rate, its control held in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.fleet import Fleet, Simulations
from ctrlnet.simulation.functions import as_states, numpy_function, one_torch_thread
from ctrlnet.simulation.remembering import RememberingFleet
from ctrlnet.types import Field


@final
@dataclass(frozen=True)
class Trajectories:
    """Times t (T+1,) [s], states x (T+1, batch, n), and the controls u (T, batch, m), u[k] held from t[k] to t[k+1]."""

    t: Array
    x: Array
    u: Array


@one_torch_thread()
def rollout(
    twin: Twin,
    policy: Field,
    x0: Tensor | Array,
    duration: float,
    *,
    rate_hz: float = 100.0,
    substeps: int = 1,
    memory: int = 0,
) -> Trajectories:
    """Simulate x' = F(x, u), u(t) = π(x(k/rate)) for t in [k/rate, (k+1)/rate), from every row of x0.

    With a policy's memory of k numbers, x and u are the joint (x, z) and (u, z') of `RememberingFleet`.

    Args:
        twin: the MuJoCo model.
        policy: π, maps (..., n) to (..., m); evaluated for the whole batch once a period.
        x0: first states, (batch, n).
        duration: [s], rounded up to whole periods.
        rate_hz: control rate [1/s].
        substeps: physics steps a control period; `enough_substeps` finds how many are needed.
        memory: size of the policy's internal state.
    """
    if not duration > 0:
        raise UsageError(f"duration is {duration} s; it must be positive.")
    first = as_states(x0)
    control = numpy_function(policy, (len(twin.actuators) + memory,), "policy")
    plain = Fleet(twin, len(first), period=1 / rate_hz, substeps=substeps)
    fleet: Simulations = RememberingFleet(plain, memory) if memory else plain
    fleet.place(first)
    states, controls = [first], []
    for _ in range(int(np.ceil(duration * rate_hz - 1e-9))):
        controls.append(control(states[-1]))
        fleet.hold(controls[-1])
        states.append(fleet.states())
    return Trajectories(np.arange(len(states)) / rate_hz, np.stack(states), np.stack(controls))


@final
@dataclass(frozen=True)
class Steps:
    """Physics steps a control period, and the largest change of a state [of `scale`] when they are doubled."""

    count: int
    error: float


def enough_substeps(
    fleet: Callable[[int], Simulations], x: Array, u: Array, scale: Array, *, tolerance: float = 1e-7, most: int = 256
) -> Steps:
    """The fewest 2ᵏ steps a period for which doubling them moves no state by more than `tolerance`·scale.

    Args:
        fleet: makes len(x) simulations that take so many steps a period.
        x, u: states (batch, n) and the controls (batch, m) held from them for one period.
        scale: size of each state coordinate, (n,).
        tolerance: largest relative change over one period.
        most: where to stop; the error that is left then is in the result.
    """
    count, coarse = 1, after_a_period(fleet(1), x, u)
    while True:
        fine = after_a_period(fleet(2 * count), x, u)
        error = float(np.max(np.abs(fine - coarse) / scale))
        if error <= tolerance or 2 * count > most:
            return Steps(count, error)
        count, coarse = 2 * count, fine


def after_a_period(fleet: Simulations, x: Array, u: Array) -> Array:
    """The states that x (count, n) become when the controls u (count, m) are held for one period."""
    fleet.place(x)
    fleet.hold(u)
    return fleet.states()
