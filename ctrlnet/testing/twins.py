"""That a MuJoCo twin is the plant it claims to be."""

from __future__ import annotations

import torch

from ctrlnet.sets import Box
from ctrlnet.simulation import Fleet
from ctrlnet.tasks import Environment
from ctrlnet.testing.conformance import require

_COUNT = 256
_STEP = 1e-6  # [s] of the central difference that maps (q', v') to x'
_AGREEMENT = 1e-6  # of the largest x' over the box


def twin_agrees(environment: Environment) -> str:
    """Fail unless x' of the twin and of the system agree at random states of the box and random controls.

    The twin's x' is that of its positions and velocities, mapped by `from_simulator`; the difference quotient that
    does this without knowing the map costs some digits, which the tolerance allows for.
    """
    twin = environment.twin()
    if twin is None:
        return "none: simulated by its own equations"
    system, generator = environment.system, torch.Generator().manual_seed(0)
    x = environment.box.sample(_COUNT, generator)
    limits = system.limits or Box([-1.0] * system.m, [1.0] * system.m)
    u = limits.sample(_COUNT, generator)
    fleet = Fleet(twin, _COUNT, period=0.01)
    fleet.place(x.numpy())
    q, v = twin.to_simulator(x.numpy())
    acceleration = fleet.accelerations(u.numpy())
    ahead, behind = (twin.from_simulator(q + h * v, v + h * acceleration) for h in (_STEP, -_STEP))
    analytic = system(x, u)
    gap = (torch.from_numpy((ahead - behind) / (2 * _STEP)) - analytic).abs().max() / analytic.abs().max()
    require(bool(gap <= _AGREEMENT), f"x' of the twin and of the system differ by {float(gap):.1e} of the largest x'")
    return f"x' agrees to {float(gap):.0e} of the largest"
