"""What users give to `solve`, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ctrlnet.errors import NonFinite, ShapeError, UsageError, nearest
from ctrlnet.integrators.compiled import stepping
from ctrlnet.integrators.contract import NEEDS, Integrator
from ctrlnet.integrators.events import Event
from ctrlnet.integrators.gradients import GRADIENTS
from ctrlnet.integrators.moves import Problem
from ctrlnet.integrators.step_control import Tolerance
from ctrlnet.plugins import load
from ctrlnet.sets import Number
from ctrlnet.systems import STRUCTURES, Structured, Timed, check_field, checked_velocity
from ctrlnet.systems.fields import TimeField
from ctrlnet.types import Field

DEFAULT = Tolerance()  # of a user who gives none


def problem_of(field: Field | Timed, method: str | Integrator, compiled: bool) -> Problem:
    """What is to be integrated, by what.

    Raises:
        UsageError: no field, or not the one that the method needs (NameNotFound: no such integrator).
    """
    integrator, rate = _integrator(method), _rate(field)
    given: Any = rate
    if integrator.needs != "Field":
        kind = STRUCTURES[integrator.needs]
        if not isinstance(field, kind):
            about = (kind.__doc__ or "").splitlines()[0].rstrip(".").replace("  ", " ")
            raise UsageError(
                f"The method {called(method)} needs a {integrator.needs} field, {about}; the field is {field!r}. Give "
                f"ctrlnet.{integrator.needs}(...), or another method."
            )
        given = field
    advance = stepping(integrator, given, rate, compiled)
    return Problem(integrator, given, rate, advance, field, compiled)


def called(method: str | Integrator) -> str:
    """A method as messages name it."""
    return repr(method) if isinstance(method, str) else type(method).__name__


def _rate(field: Field | Timed) -> TimeField:
    """The field as a function of (t, x) whose results have the shape and dtype of x."""
    check_field(field)
    if isinstance(field, Structured):
        return lambda t, x: checked_velocity(field.rate(t, x), x)
    if isinstance(field, Timed):
        return lambda t, x: checked_velocity(field(t if isinstance(t, Tensor) else x.new_tensor(t), x), x)
    return lambda t, x: checked_velocity(field(x), x)


def check_options(step: Any, tolerance: Any, gradient: Any) -> None:
    if step is not None and not (isinstance(step, Real) and 0 < float(step) < math.inf):
        raise UsageError(f"step is {step!r}; give a number of seconds above zero, or None.")
    if not isinstance(tolerance, Tolerance):
        raise UsageError(f"tolerance is {tolerance!r}; give ctrlnet.Tolerance(relative=1e-6, absolute=1e-8).")
    if gradient not in GRADIENTS:
        hint = " ".join(filter(None, [nearest(str(gradient), GRADIENTS), "Allowed:"]))
        raise UsageError(f"No gradient is named {gradient!r}. {hint} {', '.join(map(repr, GRADIENTS))}.")


def check_tolerance(tolerance: Tolerance, step: Number | None, method: str | Integrator, adaptive: bool) -> None:
    """Refuse a tolerance that was given and that the steps would not know.

    Raises:
        UsageError: saying which of the two to leave out.
    """
    if tolerance is DEFAULT or adaptive:
        return
    if step is not None and getattr(_integrator(method), "embedded_order", None) is not None:
        raise UsageError(
            f"tolerance is given beside step={step!r}, and equal steps know no tolerance. Leave out step, and "
            f"{called(method)} chooses its steps to meet the tolerance; or leave out tolerance."
        )
    raise UsageError(
        f"tolerance is given, and the method {called(method)} takes equal steps, which know no tolerance. Leave it out "
        "and give step=..., a longest step; or give a method with an error estimate: 'bosh3', 'dopri5', 'tsit5', "
        "'dopri8'."
    )


def events_of(events: Any) -> tuple[Event, ...]:
    """The events as a tuple.

    Raises:
        UsageError: something else was given.
    """
    given = tuple(events) if isinstance(events, Iterable) else (None,)
    if not all(isinstance(event, Event) for event in given):
        raise UsageError(f"events is {events!r}; give a list of ctrlnet.Event(g) objects, g of (..., n) to (...).")
    return given


def instants_of(t: Tensor | Sequence[Number], batch: torch.Size) -> Tensor:
    """The instants as float64, (t,) or (t, b)."""
    try:
        if isinstance(t, (list, tuple)) and any(isinstance(one, Tensor) for one in t):  # with their derivatives
            t = torch.stack([torch.as_tensor(one, dtype=torch.float64) for one in t])
        if hasattr(t, "dtype") and torch.as_tensor(t).is_complex():
            raise TypeError("complex instants")
        times = torch.as_tensor(t, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise UsageError(f"t is {t!r}; give at least two instants [s], a tensor or a list of numbers.") from cause
    if times.ndim == 0 or len(times) < 2 or (times.ndim > 1 and times.shape[1:] != batch):
        own = f", or (t, {', '.join(map(str, batch))}) for a time of their own for each state" if batch else ""
        raise ShapeError(f"t has shape {tuple(times.shape)}; give at least two instants [s], shape (t,){own}.")
    if not bool(times.isfinite().all()):
        raise NonFinite(f"t is {times.tolist()}; every instant must be finite.")
    steps = times.detach().diff(dim=0)
    if not bool((steps > 0).all() or (steps < 0).all()):
        raise UsageError("t must increase strictly, or decrease strictly; sort it and drop repeated instants.")
    return times if times.ndim == 1 else times.flatten(1)


def check_start(x0: Tensor) -> None:
    if not isinstance(x0, Tensor) or x0.ndim == 0 or not x0.is_floating_point() or x0.layout != torch.strided:
        raise ShapeError(f"x0 is {x0!r}; give initial states as a dense floating-point tensor of shape (..., n).")
    if torch._C._functorch.is_batchedtensor(x0):
        raise UsageError("torch.func.vmap does not go through solve; give a batch of states (..., n) instead.")
    if x0.shape[-1] == 0:
        raise ShapeError(f"x0 has shape {tuple(x0.shape)}; a state (..., n) needs at least one coordinate.")
    if not bool(torch.isfinite(x0).all()):
        wrong = [tuple(one) for one in torch.nonzero(~x0.isfinite().all(-1)).tolist()][:3]
        where = f" (states {', '.join(map(str, wrong))})" if x0.ndim > 1 else ""
        raise NonFinite(f"x0 holds NaN or infinity{where}; every initial state must be finite.")


def _integrator(method: str | Integrator) -> Integrator:
    found = load("integrators", method) if isinstance(method, str) else method
    integrator: Integrator = found() if isinstance(found, type) else found
    missing = [name for name in ("order", "needs", "init", "step") if not hasattr(integrator, name)]
    if missing:
        raise UsageError(f"{method!r} is no integrator: it has no {', '.join(missing)}.")
    if integrator.needs not in NEEDS:
        raise UsageError(f"{called(method)} needs a {integrator.needs!r}; solve can give it: {', '.join(NEEDS)}.")
    return integrator
