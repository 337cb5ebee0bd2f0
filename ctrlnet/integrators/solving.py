"""`solve` and `odeint`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ctrlnet.errors import SolveFailed, UsageError
from ctrlnet.integrators.arguments import (
    DEFAULT,
    check_options,
    check_start,
    check_tolerance,
    events_of,
    instants_of,
    problem_of,
)
from ctrlnet.integrators.assembling import assembled, unmoved
from ctrlnet.integrators.contract import Integrator
from ctrlnet.integrators.events import Event
from ctrlnet.integrators.gradients import follow
from ctrlnet.integrators.graphs import transformed
from ctrlnet.integrators.marching import Journey, Marched
from ctrlnet.integrators.sensitivity import moved_start, varied
from ctrlnet.integrators.solution import DONE, EVENT, STATUSES, Solution, Status
from ctrlnet.integrators.step_control import Tolerance
from ctrlnet.sets import Number
from ctrlnet.systems import Timed
from ctrlnet.types import Field


def solve(
    field: Field | Timed,
    x0: Tensor,
    t: Tensor | Sequence[Number],
    *,
    method: str | Integrator = "rk4",
    step: Number | None = None,
    tolerance: Tolerance = DEFAULT,
    gradient: str = "backprop",
    events: Sequence[Event] = (),
    compiled: bool = False,
) -> Solution:
    """Integrate  x' = field(x)  from x0 at t[0] through the instants t.

    A method with an error estimate (dopri5) chooses its steps to meet `tolerance`, for each state of the batch by
    itself; with a `step`, and always for other methods, the steps between two instants are equal and no longer than
    `step`. Without one they are the intervals of t themselves.

    torch.func's grad, jvp, jacrev and jacfwd go through it; instead of vmap, give a batch of states.

    Args:
        field: maps (..., n) to (..., n), in state units per second; or `timed(f)` of f(t, x); or a Separable, Split
            or Energy field for methods that need one.
        x0: initial states, (..., n), floating point; its dtype is the solution's.
        t: instants [s], (t,), or (t, ...) where each state of the batch has its own; at least two, increasing or
            decreasing. A tensor that requires a gradient gets that of the exact solution, dx/dt = f(t, x).
        method: name of an installed integrator, or an integrator object.
        step: [s], positive.
        tolerance: for steps chosen by an error estimate; refused where they are equal.
        gradient: how derivatives are found. "backprop": through the operations of the solver. "checkpoint",
            "symplectic_adjoint" and "reversible" give the same numbers from the states alone, stage by stage, or from
            the end; "continuous_adjoint" solves the adjoint equation backwards and is as exact as the solver.
        events: functions of the state whose changes of sign are to be found.
        compiled: take compiled steps; the first ones take seconds.

    Returns:
        the Solution; one that could not finish holds the part that was reached and says why in `status`.

    Raises:
        ShapeError: x0, t or the field's result has the wrong shape or dtype.
        UsageError: an option that does not exist or does not go with another (NameNotFound: no such integrator;
            NonFinite: x0 or t is not finite).
    """
    return _solution(field, x0, t, method, step, tolerance, gradient, events, compiled, keep=True)


def _solution(
    field: Field | Timed,
    x0: Tensor,
    t: Tensor | Sequence[Number],
    method: str | Integrator,
    step: Number | None,
    tolerance: Tolerance,
    gradient: str,
    events: Sequence[Event],
    compiled: bool,
    keep: bool,
) -> Solution:
    """What `solve` returns; without `keep` the steps are forgotten, which saves memory and gives no dense output."""
    check_options(step, tolerance, gradient)
    asked = events_of(events)
    check_start(x0)
    times = instants_of(t, x0.shape[:-1]).to(x0.device)
    journey = Journey(problem_of(field, method, compiled), times.detach(), step, tolerance, asked)
    adaptive = journey.embedded_order is not None
    check_tolerance(tolerance, step, method, adaptive)
    if adaptive:
        tolerance.check(x0)
    else:
        journey.ask(x0.detach())
    start = x0
    if varied(times):
        first = times[0] if times.ndim == 1 else times[0].reshape(*x0.shape[:-1], 1)
        start = moved_start(journey.problem.rate, first, x0)
    version = None if x0.is_inference() else x0._version
    x, marched = _marched(gradient, journey, start, keep)
    if version is not None and x0._version != version:
        raise UsageError(
            "The field wrote into the states that it was given, and so into x0, which it has changed. Let it return a "
            "new tensor: -x instead of x.neg_()."
        )
    return assembled(journey, times, x0, x, marched, keep, plain=gradient == "backprop")


def _marched(gradient: str, journey: Journey, start: Tensor, keep: bool) -> tuple[Tensor, Marched]:
    """The flat answers and the rest of the march.

    Autograd multiplies the derivatives of what became infinite by zero, which is NaN, also for the neighbours: where
    equal steps came to that, the derivatives are found from the states alone, without those that nobody wants.
    """
    if not start.numel():
        return unmoved(start)
    x, marched = follow(gradient, journey, start, keep)
    lost = gradient == "backprop" and journey.shared and int(marched.status.max()) != DONE
    if not lost or not x.requires_grad or transformed():
        return x, marched
    x, again = follow("checkpoint", journey, start, keep=False)
    return x, replace(again, moves=marched.moves)


def odeint(
    field: Field | Timed,
    x0: Tensor,
    t: Tensor | Sequence[Number],
    *,
    method: str | Integrator = "rk4",
    step: Number | None = None,
    tolerance: Tolerance = DEFAULT,
    gradient: str = "backprop",
    events: Sequence[Event] = (),
    compiled: bool = False,
) -> Tensor:
    """The states at the instants t, shape (t, ..., n): `solve(...).x`, all of it, without the memory of dense output.

    Raises:
        SolveFailed: the integration did not finish; its `.solution` holds the part that was reached.
        everything that `solve` raises.
    """
    solution = _solution(field, x0, t, method, step, tolerance, gradient, events, compiled, keep=False)
    if STATUSES.index(solution.status) > EVENT:
        raise SolveFailed(
            f"The integration stopped with status '{solution.status}'{_whose(solution)} after {len(solution.t)} of "
            f"{len(t)} instants, the last at t = {float(solution.t[-1].max()):g} s. "
            f"{_advice(solution.status, tolerance)} The part that was reached is in .solution.",
            solution,
        )
    return solution.x


def _whose(solution: Solution) -> str:
    """The states of the batch concerned, the first of them."""
    if solution.statuses.ndim == 0:
        return ""
    indices = [tuple(index) for index in solution.samples(solution.status).tolist()]
    shown = ", ".join(f"x0[{', '.join(map(str, index))}]" for index in indices[:3])
    return f" for {shown}" + (f" and {len(indices) - 3} more" if len(indices) > 3 else "")


def _advice(status: Status, tolerance: Tolerance) -> str:
    if status == "step limit":
        return (
            f"The tolerance asks for more steps than the {tolerance.steps} allowed: give Tolerance(steps=...) more, or "
            "a larger relative and absolute error; for a stiff field an implicit method."
        )
    if status == "minimum step":
        return (
            "The tolerance asks for smaller steps than floating point, or Tolerance(shortest=...), has: the field "
            "jumps there, or the solution leaves for infinity; give a larger relative and absolute error, or an event. "
            "Or an event follows its start at once, as when a ball comes to rest: go on with the field of the rest."
        )
    return (
        "The states, the field or the function of an event became NaN or infinite there: look for a division by zero, "
        "a square root or a logarithm in the field, or for a solution that leaves for infinity; a smaller step helps "
        "where a step is too long for the method."
    )
