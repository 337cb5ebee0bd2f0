"""Control-affine plants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, final

from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.sets import Box, check_states
from ctrlnet.systems.rows import check_rows
from ctrlnet.types import Field


class Quantity(NamedTuple):
    """A coordinate of a state or of a control: its name and its SI unit."""

    name: str
    unit: str

    def __str__(self) -> str:
        return f"{self.name} [{self.unit}]"


def quantities(given: Sequence[Quantity], name: str) -> tuple[Quantity, ...]:
    """Pairs of name and unit.

    Raises:
        UsageError: something else.
    """
    if not all(isinstance(one, (tuple, list)) and len(one) == 2 for one in given):
        raise UsageError(f"{name} is {given!r}; give a name and a unit of each coordinate, as in [('angle', 'rad')].")
    return tuple(Quantity(*one) for one in given)


@final
class System:
    """The control-affine plant  x' = f(x) + g(x) u.

    Args:
        f: drift, maps (..., n) to (..., n), in state units per second.
        g: input matrix, maps (..., n) to (..., n, m).
        state, control: name and unit of each coordinate; they fix n and m.
        limits: box of the admissible controls, of dimension m; None when unlimited.

    Raises:
        ShapeError: f, g or limits do not fit n and m.
        UsageError: f or g mixes the rows of a batch (NonFinite: gives NaN).
    """

    def __init__(
        self,
        f: Field,
        g: Callable[[Tensor], Tensor],
        *,
        state: Sequence[Quantity],
        control: Sequence[Quantity],
        limits: Box | None = None,
    ) -> None:
        self.f, self.g = f, g
        self.state, self.control = quantities(state, "state"), quantities(control, "control")
        self.limits = limits
        if limits is not None and limits.dimension != self.m:
            raise ShapeError(f"limits has dimension {limits.dimension}; the control has {self.m}: {self.control}.")
        check_rows(f, self.n, (self.n,), "f")
        check_rows(g, self.n, (self.n, self.m), "g")

    @property
    def n(self) -> int:
        """Size of the state."""
        return len(self.state)

    @property
    def m(self) -> int:
        """Size of the control."""
        return len(self.control)

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        """x' at states (..., n) and controls (..., m), result (..., n); limits are the policy's affair."""
        check_states(x, self.n)
        check_states(u, self.m, "u")
        return self.f(x) + (self.g(x) * u.unsqueeze(-2)).sum(-1)
