"""Methods within methods, as in splittings and reversible pairs: what they must be, and one step of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ctrlnet import Integrator, UsageError, load


def inner(method: str | Integrator | type) -> Integrator:
    """An installed integrator by name, an object, or a class without arguments.

    Raises:
        UsageError: it cannot advance a plain field by single steps.
    """
    found = load("integrators", method) if isinstance(method, str) else method
    made: Any = found() if isinstance(found, type) else found
    needs = getattr(made, "needs", None)
    if needs != "Field":
        raise UsageError(
            f"{method!r} needs {needs!r}; an inner method gets a plain field, so give one for that, such as 'rk4'."
        )
    if getattr(made, "multistep", False):
        raise UsageError(f"{method!r} relies on its earlier steps; give a one-step method, such as 'rk4'.")
    integrator: Integrator = made
    return integrator


def advanced(
    method: Integrator, part: Callable[..., Tensor], t: float | Tensor, x: Tensor, h: float | Tensor
) -> Tensor:
    """x (..., n) at t, moved to t + h by one step along a part."""
    return method.step(part, t, x, h, method.init(part, t, x)).x


def both(methods: tuple[Integrator, Integrator], claim: str) -> bool:
    """Whether both methods make a claim, such as "symplectic"."""
    return all(getattr(method, claim, False) for method in methods)
