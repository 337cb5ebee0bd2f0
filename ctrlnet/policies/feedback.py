"""State feedback by a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.errors import UsageError
from ctrlnet.layers import at_precision, binary_scale, shape_of_network, wider
from ctrlnet.sets import Box, check_states, vector
from ctrlnet.types import Control, State


@final
class Feedback(nn.Module):
    """Saturated feedback  π(x) = min(max(N(x) - N(x*) + u*, lower), upper)  with  N(x) = network(x / scale).

    N(x*) is evaluated in every call and never cached, so that π(x*) = u* is an identity of the traced function.
    At a single state x* it holds bit for bit. A state of another precision than the network's is computed with in the
    wider of the two; the control has the precision of the state.

    Args:
        network: maps (..., n) to (..., m).
        limits: box of the admissible controls, dimension m; None leaves the control unlimited.
        at: equilibrium x*, n numbers.
        control_at: equilibrium control u*, m numbers within the limits.
        scale: n powers of two, typical sizes of the states: dividing by a power of two is exact. None is all ones.

    Raises:
        ShapeError: network, limits, at, control_at or scale do not fit.
        UsageError: u* outside the limits, a scale that is no power of two (NonFinite: NaN in the weights).
    """

    at: Tensor
    control_at: Tensor
    reciprocal_scale: Tensor
    lower: Tensor | None
    upper: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        limits: Box | None = None,
        *,
        at: Sequence[object] | Tensor,
        control_at: Sequence[object] | Tensor,
        scale: Sequence[object] | Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        start, control = vector(at, "at"), vector(control_at, "control_at")
        like = shape_of_network(network, start.numel(), control.numel())
        if limits is not None:
            _check_within(control, limits)
        self.register_buffer("at", start.to(like))
        self.register_buffer("control_at", control.to(like))
        self.register_buffer("reciprocal_scale", binary_scale(scale, start.numel()).to(like))
        self.register_buffer("lower", None if limits is None else limits.lower.to(like))
        self.register_buffer("upper", None if limits is None else limits.upper.to(like))

    def forward(self, x: State) -> Control:
        """Controls (..., m) at states (..., n)."""
        u = self.unsaturated(x)
        if self.lower is None or self.upper is None:
            return u
        return torch.minimum(torch.maximum(u, self.lower.to(u.dtype)), self.upper.to(u.dtype))

    def unsaturated(self, x: State) -> Control:
        """N(x) - N(x*) + u*, before the limits: controls (..., m) at states (..., n)."""
        check_states(x, self.at.numel())
        dtype = wider(x.dtype, self.at.dtype)
        network, scale = at_precision(self.network, dtype), self.reciprocal_scale.to(dtype)
        u: Tensor = network(x.to(dtype) * scale) - network(self.at.to(dtype) * scale) + self.control_at
        return u.to(x.dtype)


def _check_within(control: Tensor, limits: Box) -> None:
    vector(control, "control_at", limits.dimension)
    if not bool(limits.contains(control)):
        raise UsageError(
            f"control_at is {control.tolist()}, outside the limits {limits!r}; "
            "a saturated control cannot hold this equilibrium."
        )
