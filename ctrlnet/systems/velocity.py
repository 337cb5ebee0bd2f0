"""What is asked of a field before and while it is followed."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.systems.affine import System
from ctrlnet.systems.closed_loop import ClosedLoop
from ctrlnet.systems.discrete import DiscreteMap
from ctrlnet.systems.disturbance import misfit
from ctrlnet.systems.disturbed import Disturbed
from ctrlnet.systems.fields import Timed
from ctrlnet.types import Field

AnySystem: TypeAlias = Field | Disturbed | DiscreteMap  # what a condition can be about; a ClosedLoop is a field

_NO_FIELD: dict[type, str] = {
    System: "a System, x' = f(x) + g(x) u, which needs a control. Give ctrlnet.ClosedLoop(system, policy), or "
    "lambda x: system(x, u) for a control u of your own.",
    Disturbed: "Disturbed, x' = F(x, d), which needs a disturbance. Give lambda x: field(x, d) for a d of your own.",
    DiscreteMap: "a DiscreteMap, x⁺ = f(x), which has no velocity. Give x' = F(x), or iterate the map itself.",
}
_NO_CALL: dict[int, str] = {
    1: "The field cannot be called with the state alone: {}. It maps x to x'; a function f(t, x) is given to "
    "ctrlnet.solve and ctrlnet.odeint as ctrlnet.timed(f).",
    2: "The timed field cannot be called with time and state: {}. It maps (t, x) to x'; a function of the state alone "
    "is given without ctrlnet.timed.",
}


def check_field(field: Any) -> None:
    """Refuse what cannot be a field x' = F(x): a plant without a policy, a map, no function, other arguments.

    Raises:
        UsageError: saying what to give instead.
    """
    if (words := _NO_FIELD.get(type(field))) is not None:
        raise UsageError(f"The field is {words}")
    if isinstance(field, ClosedLoop) and field.disturbance is not None:
        raise UsageError(
            f"The field is a ClosedLoop with a disturbance in {field.disturbance}. Give lambda x: loop(x, d) for a d "
            "of your own."
        )
    if not callable(field):
        raise UsageError(f"The field is {field!r}; give a function of states (..., n) with values (..., n).")
    if torch.compiler.is_compiling():
        return
    function, arguments = (field.function, 2) if isinstance(field, Timed) else (field, 1)
    if isinstance(function, torch.nn.Module):  # they hide their signature
        return
    if problem := misfit(function, arguments):
        raise UsageError(_NO_CALL[arguments].format(problem))


def checked_velocity(velocity: Any, x: Tensor, name: str = "field") -> Tensor:
    """The velocity itself, when it is a tensor of the shape, dtype and device of x.

    Raises:
        ShapeError: it is not.
    """
    if not isinstance(velocity, Tensor):
        raise ShapeError(
            f"The {name} maps {tuple(x.shape)} to a {type(velocity).__name__}; it must return a tensor of that shape."
        )
    if velocity.shape != x.shape or velocity.dtype != x.dtype or velocity.device != x.device:
        devices = "" if velocity.device == x.device else f" on {velocity.device}, and the states are on {x.device}"
        raise ShapeError(
            f"The {name} maps {tuple(x.shape)} of {x.dtype} to {tuple(velocity.shape)} of {velocity.dtype}{devices}; "
            "it must keep shape and dtype, and the device."
        )
    return velocity
