"""`solve` and `odeint`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ctrlnet.errors import NonFinite, ShapeError, SolveFailed, UsageError
from ctrlnet.integrators.contract import NEEDS, Integrator
from ctrlnet.integrators.marching import adaptive_steps, finite_part, fixed_steps
from ctrlnet.integrators.solution import Dense, Solution, Status
from ctrlnet.integrators.step_control import Tolerance
from ctrlnet.plugins import load
from ctrlnet.sets import Number
from ctrlnet.systems import Timed, check_field, checked_velocity
from ctrlnet.systems.fields import TimeField
from ctrlnet.types import Field

_DEFAULT = Tolerance()


def solve(
    field: Field | Timed,
    x0: Tensor,
    t: Tensor | Sequence[Number],
    *,
    method: str | Integrator = "rk4",
    step: Number | None = None,
    tolerance: Tolerance = _DEFAULT,
    gradient: str = "backprop",
    events: Sequence[Any] = (),
) -> Solution:
    """Integrate  x' = field(x)  from x0 at t[0] through the instants t.

    A method with an error estimate (dopri5) chooses its steps to meet `tolerance`, jointly for the batch; with a
    `step`, and always for other methods, the steps between two instants are equal and no longer than `step`. Without
    one they are the intervals of t themselves.

    torch.func's grad, jvp, jacrev and jacfwd go through it; instead of vmap, give a batch of states.

    Args:
        field: maps (..., n) to (..., n), in state units per second; or `timed(f)` of f(t, x).
        x0: initial states, (..., n), floating point; its dtype is the solution's.
        t: instants [s], (t,), at least two, increasing or decreasing. No gradient flows to them.
        method: name of an installed integrator, or an integrator object.
        step: [s], positive.
        tolerance: for adaptive methods.
        gradient: "backprop", through the operations of the solver.
        events: none yet.

    Returns:
        the Solution; one that could not finish holds the part that was reached and says why in `status`.

    Raises:
        ShapeError: x0, t or the field's result has the wrong shape or dtype.
        UsageError: an option that does not exist (NameNotFound: no such integrator; NonFinite: x0 or t is not finite).
    """
    _check_options(step, tolerance, gradient, events)
    return _solution(field, x0, t, method, step, tolerance, keep=True)


def _solution(
    field: Field | Timed,
    x0: Tensor,
    t: Tensor | Sequence[Number],
    method: str | Integrator,
    step: Number | None,
    tolerance: Tolerance,
    keep: bool,
) -> Solution:
    """What `solve` returns; without `keep` the steps are forgotten, which saves memory and gives no dense output."""
    times = _instants(t)
    _check_start(x0)
    integrator = _integrator(method)
    function = _checked(field)
    embedded_order = getattr(integrator, "embedded_order", None)
    if step is None and embedded_order is not None:
        march = adaptive_steps(integrator, function, x0, times, tolerance, embedded_order, keep)
    else:
        march = fixed_steps(integrator, function, x0, times, step, keep)
    march = finite_part(march)
    reached = torch.tensor(times[: len(march.states)], dtype=torch.float64, device=x0.device)
    dense = Dense(integrator, function, march.segments) if march.segments else None
    x = torch.stack(march.states)
    return Solution(reached, x, march.status, (), dense, march.steps, march.rejected)


def odeint(
    field: Field | Timed,
    x0: Tensor,
    t: Tensor | Sequence[Number],
    *,
    method: str | Integrator = "rk4",
    step: Number | None = None,
    tolerance: Tolerance = _DEFAULT,
    gradient: str = "backprop",
    events: Sequence[Any] = (),
) -> Tensor:
    """The states at the instants t, shape (t, ..., n): `solve(...).x`, all of it, without the memory of dense output.

    Raises:
        SolveFailed: the integration did not finish; its `.solution` holds the part that was reached.
        everything that `solve` raises.
    """
    _check_options(step, tolerance, gradient, events)
    solution = _solution(field, x0, t, method, step, tolerance, keep=False)
    if solution.status != "done":
        raise SolveFailed(
            f"The integration stopped with status '{solution.status}' after {len(solution.t)} of {len(t)} instants, "
            f"the last at t = {float(solution.t[-1]):g} s. {_advice(solution.status, tolerance)} "
            "The part that was reached is in .solution.",
            solution,
        )
    return solution.x


def _advice(status: Status, tolerance: Tolerance) -> str:
    if status == "step limit":
        return (
            f"The tolerance asks for more steps than the {tolerance.steps} allowed, or for smaller ones than floating "
            "point has: give Tolerance(steps=...) more, or a larger relative and absolute error; a solution that "
            "leaves for infinity ends like this too."
        )
    return (
        "The states or the field became NaN or infinite there: look for a division by zero, a square root or a "
        "logarithm in the field, or for a solution that leaves for infinity; a smaller step helps where a step is too "
        "long for the method."
    )


def _check_options(step: Any, tolerance: Any, gradient: Any, events: Any) -> None:
    if step is not None and not (isinstance(step, (float, int, Fraction)) and math.isfinite(step) and step > 0):
        raise UsageError(f"step is {step!r}; give seconds above zero, or None.")
    if not isinstance(tolerance, Tolerance):
        raise UsageError(f"tolerance is {tolerance!r}; give ctrlnet.Tolerance(relative=1e-6, absolute=1e-8).")
    if gradient != "backprop":
        raise UsageError(f"No gradient is named {gradient!r}. Allowed: 'backprop'.")
    if len(events) > 0:
        raise UsageError("solve cannot detect events yet; leave events=() and look for them in the solution's .dense.")


def _instants(t: Tensor | Sequence[Number]) -> list[float]:
    try:
        times = torch.as_tensor(t, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError) as cause:
        raise UsageError(f"t is {t!r}; give at least two instants [s], a tensor or a list of numbers.") from cause
    if times.ndim != 1 or times.numel() < 2:
        raise ShapeError(f"t has shape {tuple(times.shape)}; give at least two instants [s], shape (t,).")
    instants: list[float] = times.tolist()
    if not all(map(math.isfinite, instants)):
        raise NonFinite(f"t is {instants}; every instant must be finite.")
    differences = [after - before for before, after in pairwise(instants)]
    if not (min(differences) > 0 or max(differences) < 0):
        raise UsageError("t must increase strictly, or decrease strictly; sort it and drop repeated instants.")
    return instants


def _check_start(x0: Tensor) -> None:
    if not isinstance(x0, Tensor) or x0.ndim == 0 or not x0.is_floating_point():
        raise ShapeError(f"x0 is {x0!r}; give initial states as a floating-point tensor of shape (..., n).")
    if not bool(torch.isfinite(x0).all()):
        raise NonFinite("x0 holds NaN or infinity; every initial state must be finite.")


def _integrator(method: str | Integrator) -> Integrator:
    found = load("integrators", method) if isinstance(method, str) else method
    integrator: Integrator = found() if isinstance(found, type) else found
    missing = [name for name in ("order", "needs", "init", "step") if not hasattr(integrator, name)]
    if missing:
        raise UsageError(f"{method!r} is no integrator: it has no {', '.join(missing)}.")
    if integrator.needs not in NEEDS:
        raise UsageError(f"{method!r} needs a {integrator.needs!r}; solve can give it: {', '.join(NEEDS)}.")
    return integrator


def _checked(field: Field | Timed) -> TimeField:
    """The field as a function of (t, x) whose results have the shape and dtype of x."""
    check_field(field)

    def function(t: float, x: Tensor) -> Tensor:
        return checked_velocity(field(t, x) if isinstance(field, Timed) else field(x), x)

    return function
