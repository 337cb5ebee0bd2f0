"""The type checker that the tests switch on: shapes of tensors, and nothing else.

A wrong type elsewhere must reach ctrlnet's own errors, which other tests look at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray

ROOMS = [
    "ctrlnet.sets",
    "ctrlnet.systems",
    "ctrlnet.layers",
    "ctrlnet.integrators",
    "ctrlnet.policies",
    "ctrlnet.candidates",
    "ctrlnet.conditions",
    "ctrlnet.synthesis",
    "ctrlnet.training",
    "ctrlnet_plugins",
    "ctrlnet_envs",
]  # those whose annotations carry shapes


def typechecker(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the arguments of `function` that are annotated with a shape."""
    shaped = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    if not shaped:
        return function
    function.__annotations__ = shaped
    return beartype(function)


def _has_shape(hint: object) -> bool:
    inner = any(map(_has_shape, get_args(hint)))
    return inner or (isinstance(hint, type) and issubclass(hint, AbstractArray))
