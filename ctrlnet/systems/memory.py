"""The internal state of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.sets import Box, vector
from ctrlnet.systems.quantity import Quantity, quantities
from ctrlnet.types import Field


@final
class Memory:
    """The internal state z of a policy, k numbers that it moves itself:  z' = φ(x, z),  u = ψ(x, z).

    Args:
        state: name and unit of each of the k numbers.
        box: of the z considered; training and proof stay within.
        rates: box of the z' that the policy may ask for, in units of z per second.
        at: z*, where the memory rests with the plant at its equilibrium and where it is started; zeros when None.

    Raises:
        ShapeError: box, rates or at do not fit k.
        UsageError: z* is not inside the box, or rest is not among the rates.
    """

    def __init__(
        self,
        state: Sequence[Quantity],
        *,
        box: Box,
        rates: Box,
        at: Sequence[object] | Tensor | None = None,
    ) -> None:
        self.state = quantities(state, "state of the memory")
        self.box, self.rates = box, rates
        for name, given in (("box", box), ("rates", rates)):
            if given.dimension != self.size:
                raise ShapeError(
                    f"{name} of the memory has dimension {given.dimension}; its state has {self.size}: {self.state}."
                )
        self.at = torch.zeros(self.size, dtype=torch.float64) if at is None else vector(at, "at", self.size)
        if not (bool(box.contains(self.at)) and bool(rates.contains(torch.zeros_like(self.at)))):
            raise UsageError(
                f"The memory is to rest at {self.at.tolist()}; that has to be in its box, {box!r}, and 0 in its "
                f"rates, {rates!r}."
            )

    @property
    def size(self) -> int:
        """k."""
        return len(self.state)

    def at_rest(self, function: Field) -> Field:
        """The function of x with the values at (x, z*), of a function of joint states (x, z)."""

        def of_plant(x: Tensor) -> Tensor:
            return function(self.beside(x))

        return of_plant

    def beside(self, x: Tensor) -> Tensor:
        """Joint states (x, z*), (..., n + k), of states x of the plant, (..., n)."""
        return torch.cat([x, self.at.to(x).expand(*x.shape[:-1], self.size)], -1)

    def without(self, box: Box) -> Box:
        """The box of the x, (n,), of a box of joint states, (n + k,)."""
        return Box(box.lower[: -self.size], box.upper[: -self.size])
