"""What is asked of a field before and while it is followed."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.systems.affine import System
from ctrlnet.systems.fields import Timed


def check_field(field: Any) -> None:
    """Refuse what cannot be a field x' = F(x): a plant without a policy, no function, other arguments.

    Raises:
        UsageError: saying what to give instead.
    """
    if isinstance(field, System):
        raise UsageError(
            "The field is a System, x' = f(x) + g(x) u, which needs a control. Give "
            "ctrlnet.ClosedLoop(system, policy), or lambda x: system(x, u) for a control u of your own."
        )
    if not callable(field):
        raise UsageError(f"The field is {field!r}; give a function of states (..., n) with values (..., n).")
    if isinstance(field, Timed):
        return
    try:
        inspect.signature(field).bind(None)
    except TypeError as cause:
        raise UsageError(
            f"The field cannot be called with the state alone: {cause}. It maps x to x'; a function f(t, x) is given "
            "to ctrlnet.solve and ctrlnet.odeint as ctrlnet.timed(f)."
        ) from cause
    except ValueError:  # torch's own functions have no signature
        return


def checked_velocity(velocity: Any, x: Tensor) -> Tensor:
    """The velocity itself, when it is a tensor of the shape and dtype of x.

    Raises:
        ShapeError: it is not.
    """
    if not isinstance(velocity, Tensor):
        raise ShapeError(
            f"The field maps {tuple(x.shape)} to a {type(velocity).__name__}; it must return a tensor of that shape."
        )
    if velocity.shape != x.shape or velocity.dtype != x.dtype:
        raise ShapeError(
            f"The field maps {tuple(x.shape)} of {x.dtype} to {tuple(velocity.shape)} of {velocity.dtype}; "
            "it must keep shape and dtype."
        )
    return velocity
