"""Derivatives with respect to instants: those that the user gave, and those at which events happened."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.integrators.events import Event
from ctrlnet.systems.fields import TimeField


def moved_start(rate: TimeField, t: Tensor, x: Tensor) -> Tensor:
    """x(t₀) with the derivative of the solution through it: dx = dx₀ - f(t₀, x₀) dt₀.

    A later start is an earlier state of the same solution. t broadcasts against x (..., n).
    """
    return x - rate(t.detach().to(x.dtype), x) * (t - t.detach()).to(x.dtype)


def moved(rate: TimeField, t: Tensor, x: Tensor) -> Tensor:
    """x(t) with its derivative in time: dx = f(t, x) dt besides what x has already."""
    return x + rate(t.detach().to(x.dtype), x) * (t - t.detach()).to(x.dtype)


def event_times(event: Event, rate: TimeField, t: Tensor, x: Tensor) -> Tensor:
    """Times (r, 1) at which g(t, x(t)) = 0, with the derivative dt = -dg / (dg/dt along the solution).

    dg is the change of g by the states x (r, n) at fixed time, and by the parameters of g.
    """
    near = t.to(x.dtype)
    with torch.no_grad():
        slope = rate(near, x)
        change = torch.func.jvp(lambda t, x: event(t, x), (near, x.detach()), (torch.ones_like(near), slope))[1]
    value = event(near, x)
    later: Tensor = t - ((value - value.detach()) / change)[:, None].to(t.dtype)
    return later
