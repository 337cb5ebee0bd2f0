"""Discrete-time systems."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets import Box
from ctrlnet.systems.affine import System
from ctrlnet.systems.closed_loop import ClosedLoop
from ctrlnet.systems.disturbance import DisturbedField, check_box, check_disturbance, misfit
from ctrlnet.systems.disturbed import Disturbed
from ctrlnet.types import Field


@final
class DiscreteMap:
    """The discrete-time system  x⁺ = f(x),  or  x⁺ = f(x, d)  with d in a box.

    The disturbance may take any value of the box at every step; a constant that is known only to lie in the box is a
    special case.

    Args:
        function: f, maps states (..., n), and disturbances (..., k) when there is a box of them, to states (..., n).
        disturbance: box of dimension k; None for a map of the state alone.

    Raises:
        UsageError: f cannot be called so, or the disturbance is no Box.
    """

    def __init__(self, function: Field | DisturbedField, disturbance: Box | None = None) -> None:
        if disturbance is not None:
            check_box(disturbance, "DiscreteMap")
        if isinstance(function, (System, ClosedLoop, Disturbed)):
            raise UsageError(
                f"The map is a {type(function).__name__}, which gives velocities x'. Give the next state, for instance "
                "DiscreteMap(lambda x: x + step * loop(x))."
            )
        wanted = "x alone; with a disturbance give its box too" if disturbance is None else "x and d"
        if not callable(function):
            raise UsageError(f"The map is {function!r}; give a function of {wanted}.")
        if problem := misfit(function, 1 if disturbance is None else 2):
            raise UsageError(f"The map cannot be called as its disturbance says: {problem}. Give f of {wanted}.")
        self.function, self.disturbance = function, disturbance

    def __call__(self, x: Tensor, d: Tensor | None = None) -> Tensor:
        """x⁺ at states (..., n) and, exactly where there is a disturbance, d (..., k); result (..., n)."""
        check_disturbance(self.disturbance, d, "DiscreteMap")
        return self.function(x) if d is None else self.function(x, d)  # type: ignore[call-arg]
