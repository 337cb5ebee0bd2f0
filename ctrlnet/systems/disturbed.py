"""Fields with a disturbance or with uncertain parameters."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.sets import Box, check_states
from ctrlnet.systems.affine import System
from ctrlnet.systems.disturbance import DisturbedField, check_box, misfit


@final
class Disturbed:
    """The field  x' = F(x, d(t)),  where all that is known of d is that it stays in a box.

    Every measurable d(t) is meant: a disturbance that varies, a constant parameter that is known only roughly, or
    both, as entries of one vector. For a plant under a policy,
    `Disturbed(lambda x, d: plant(x, policy(x) + d), box)` disturbs the control.

    Args:
        field: F, maps states (..., n) and disturbances (..., k) to (..., n), in state units per second.
        disturbance: box of dimension k.

    Raises:
        UsageError: F cannot be called with x and d, or the disturbance is no Box.
    """

    def __init__(self, field: DisturbedField, disturbance: Box) -> None:
        check_box(disturbance, "Disturbed field")
        if isinstance(field, System):
            raise UsageError(
                "The field is a System, whose second argument is a control. Give a function of x and d, for instance "
                "lambda x, d: system(x, policy(x) + d)."
            )
        if not callable(field):
            raise UsageError(f"The field is {field!r}; give a function of x and d.")
        if problem := misfit(field, 2):
            raise UsageError(f"The field cannot be called with x and d: {problem}. Give a function of both.")
        self.function, self.disturbance = field, disturbance

    def __call__(self, x: Tensor, d: Tensor) -> Tensor:
        """x' at states (..., n) and disturbances (..., k), result (..., n), in state units per second."""
        check_states(d, self.disturbance.dimension, "d")
        return self.function(x, d)
