"""`solve` and `odeint`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ctrlnet.errors import SolveFailed
from ctrlnet.integrators.arguments import check_options, check_start, instants_of, problem_of
from ctrlnet.integrators.assembling import assembled
from ctrlnet.integrators.contract import Integrator
from ctrlnet.integrators.events import Event
from ctrlnet.integrators.gradients import follow
from ctrlnet.integrators.marching import Journey
from ctrlnet.integrators.sensitivity import moved_start
from ctrlnet.integrators.solution import EVENT, STATUSES, Solution, Status
from ctrlnet.integrators.step_control import Tolerance
from ctrlnet.sets import Number
from ctrlnet.systems import Timed
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
        tolerance: for adaptive methods.
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
    check_options(step, tolerance, gradient, events)
    check_start(x0)
    times = instants_of(t, x0.shape[:-1])
    journey = Journey(problem_of(field, method, compiled), times.detach(), step, tolerance, tuple(events))
    if journey.embedded_order is not None:
        tolerance.check(x0)
    else:
        journey.ask(x0.detach())
    start = x0
    if times.requires_grad:
        first = times[0] if times.ndim == 1 else times[0].reshape(*x0.shape[:-1], 1)
        start = moved_start(journey.problem.rate, first, x0)
    x, marched = follow(gradient, journey, start, keep)
    return assembled(journey, times, x0, x, marched, keep)


def odeint(
    field: Field | Timed,
    x0: Tensor,
    t: Tensor | Sequence[Number],
    *,
    method: str | Integrator = "rk4",
    step: Number | None = None,
    tolerance: Tolerance = _DEFAULT,
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
            "jumps there, or the solution leaves for infinity; give a larger relative and absolute error, or an event."
        )
    return (
        "The states or the field became NaN or infinite there: look for a division by zero, a square root or a "
        "logarithm in the field, or for a solution that leaves for infinity; a smaller step helps where a step is too "
        "long for the method."
    )
