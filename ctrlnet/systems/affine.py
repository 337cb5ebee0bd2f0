"""Control-affine plants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.sets import Box, check_states
from ctrlnet.systems.disturbance import DisturbedField, check_box, check_disturbance, misfit
from ctrlnet.systems.memory import Memory
from ctrlnet.systems.quantity import Quantity, quantities
from ctrlnet.systems.rows import check_rows
from ctrlnet.types import Field


@final
class System:
    """The control-affine plant  x' = f(x) + g(x) u,  or  x' = f(x, d(t)) + g(x, d(t)) u  with d in a box.

    Every measurable d(t) is meant: a disturbance that varies, a constant parameter that is known only roughly, or both.

    Args:
        f: drift, maps states (..., n), and disturbances (..., k) where there is a box of them, to (..., n), in state
            units per second.
        g: input matrix, maps the same to (..., n, m).
        state, control: name and unit of each coordinate; they fix n and m.
        limits: box of the admissible controls, of dimension m; None when unlimited.
        disturbance: box of d, of dimension k; None for functions of the state alone.
        memory: of a plant made by `augmented`, the internal state of a policy that its last states are; None elsewhere.

    Raises:
        ShapeError: f, g or limits do not fit n and m.
        UsageError: f or g mixes the rows of a batch (NonFinite: gives NaN).
    """

    def __init__(
        self,
        f: Field | DisturbedField,
        g: Field | DisturbedField,
        *,
        state: Sequence[Quantity],
        control: Sequence[Quantity],
        limits: Box | None = None,
        disturbance: Box | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.f: Callable[..., Tensor] = f
        self.g: Callable[..., Tensor] = g
        self.state, self.control = quantities(state, "state"), quantities(control, "control")
        self.limits, self.memory = limits, memory
        if limits is not None and limits.dimension != self.m:
            raise ShapeError(f"limits has dimension {limits.dimension}; the control has {self.m}: {self.control}.")
        self.disturbance = disturbance
        for function, tail, name in ((f, (self.n,), "f"), (g, (self.n, self.m), "g")):
            self._check(function, tail, name)

    @property
    def n(self) -> int:
        """Size of the state."""
        return len(self.state)

    @property
    def m(self) -> int:
        """Size of the control."""
        return len(self.control)

    def __call__(self, x: Tensor, u: Tensor, d: Tensor | None = None) -> Tensor:
        """x' at states (..., n), controls (..., m) and, exactly where there is a disturbance, d (..., k).

        The result is (..., n); limits are the policy's affair.
        """
        check_states(x, self.n)
        check_states(u, self.m, "u")
        inputs = (x,) if d is None else (x, d)
        check_disturbance(self.disturbance, d, "plant")
        return self.f(*inputs) + (self.g(*inputs) * u.unsqueeze(-2)).sum(-1)

    def _check(self, function: Any, tail: tuple[int, ...], name: str) -> None:
        """Refuse a function that does not fit its arguments or mixes rows, of states or of disturbances."""
        box, n = self.disturbance, self.n
        if box is None:
            return check_rows(function, n, tail, name)
        check_box(box, "plant")
        if callable(function) and (problem := misfit(function, 2)):
            raise UsageError(f"{name} cannot be called with x and d: {problem}. The plant has a disturbance.")

        def joint(z: Tensor) -> Tensor:
            centre, radius = box.center.to(z), box.half_widths.to(z)
            return function(z[..., :n], centre + radius * z[..., n:])  # type: ignore[no-any-return]

        return check_rows(joint, n + box.dimension, tail, name)
