"""Derivatives with respect to instants: those that the user gave, and those at which events happened."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ctrlnet.integrators.events import Event
from ctrlnet.integrators.graphs import transformed
from ctrlnet.systems.fields import TimeField


def varied(t: Tensor) -> bool:
    """Whether derivatives with respect to the instants are wanted, in reverse or in forward mode."""
    if t.requires_grad or torch._C._functorch.is_gradtrackingtensor(t):
        return True
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(t).tangent is not None


def moved_start(rate: TimeField, t: Tensor, x: Tensor) -> Tensor:
    """x(t₀) with the derivative of the solution through it: dx = dx₀ - f(t₀, x₀) dt₀.

    A later start is an earlier state of the same solution. t broadcasts against x (..., n).
    """
    return _step(rate, t.to(x.dtype), x, (t.detach() - t).to(x.dtype))


def moved(rate: TimeField, t: Tensor, x: Tensor) -> Tensor:
    """x(t) with its derivative in time: dx = f(t, x) dt besides what x has already."""
    return _step(rate, t.detach().to(x.dtype), x, (t - t.detach()).to(x.dtype))


def _step(rate: TimeField, t: Tensor, x: Tensor, h: Tensor) -> Tensor:
    """The midpoint rule for a step h, zero but for its derivatives: the first and the second are those of the flow."""
    return x + h * rate(t + h / 2, x + h / 2 * rate(t, x))


def event_times(event: Event, rate: TimeField, t: Tensor, x: Tensor) -> Tensor:
    """Times (r, 1) at which g(t, x(t)) = 0, with the derivative dt = -dg / (dg/dt along the solution).

    dg is the change of g by the states x (r, n) at fixed time, and by the parameters of g. Where the solution grazes
    g = 0, or g jumps, dg/dt is zero and the time counts as a constant. Two steps of Newton's method with one slope,
    zero but for their derivatives, give the second ones too.
    """
    near = t.to(x.dtype)
    value = event(near, x)
    if not (value.requires_grad or transformed()):
        return t
    with torch.no_grad():
        slope = rate(near, x)
        change = torch.func.jvp(lambda t, x: event(t, x), (near, x.detach()), (torch.ones_like(near), slope))[1]
        change = change.where(change != 0, torch.inf)[:, None].to(t.dtype)
    first: Tensor = t - (value - value.detach())[:, None] / change
    value = event(first.to(x.dtype), moved(rate, first, x))
    second: Tensor = first - (value - value.detach())[:, None] / change
    return second
