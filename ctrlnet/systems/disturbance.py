"""Disturbances and parameters: what is known of them is a box."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets import Box, check_states
from ctrlnet.types import State

DisturbedField: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # F(x, d), (..., n) and (..., k) to (..., n)


def draw(disturbance: Box, x: State) -> Tensor:
    """One disturbance (..., k) for each state (..., n): with probability 1/2 a corner of the box, else uniform.

    A margin that is affine in d is least at a corner, so that corners find most violations; the inside is for the
    rest. The draws come from torch's global generator: `torch.manual_seed` repeats them.
    """
    shape = x.shape[:-1]
    uniform = torch.rand(*shape, disturbance.dimension, dtype=x.dtype, device=x.device)
    at_corner = torch.rand(*shape, 1, dtype=x.dtype, device=x.device) < 0.5
    weight = torch.where(at_corner, uniform.round(), uniform)
    lower, upper = disturbance.lower.to(x), disturbance.upper.to(x)
    return (1 - weight) * lower + weight * upper  # both ends are reached exactly


def check_box(disturbance: object, owner: str) -> None:
    """Refuse anything but a Box.

    Raises:
        UsageError: saying what to give instead.
    """
    if not isinstance(disturbance, Box):
        raise UsageError(
            f"The disturbance of the {owner} is {disturbance!r}; give ctrlnet.Box(lower, upper), a pair of bounds for "
            "each disturbance or uncertain parameter."
        )


def check_disturbance(box: Box | None, d: Tensor | None, owner: str) -> None:
    """Refuse a d (..., k) where there is none, or of another size, and none where there is one.

    Raises:
        UsageError: there is one too many or too few (ShapeError: of the wrong size).
    """
    if box is None:
        if d is not None:
            raise UsageError(f"This {owner} has no disturbance; call it without d, or give it a box for d.")
    elif d is None:
        raise UsageError(f"This {owner} is disturbed; call it with a d in {box} too.")
    else:
        check_states(d, box.dimension, "d")


def misfit(function: Any, arguments: int) -> str:
    """Why `function` cannot be called with so many arguments; empty when it can, or when torch hides its signature."""
    try:
        inspect.signature(function).bind(*(None,) * arguments)
    except TypeError as cause:
        return str(cause)
    except ValueError:  # torch's own functions have no signature
        return ""
    return ""
