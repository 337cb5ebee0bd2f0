"""A policy that reads its control off the flow of a neural ODE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

from torch import Tensor, nn

from ctrlnet.errors import UsageError
from ctrlnet.integrators import Integrator
from ctrlnet.plugins import load
from ctrlnet.policies.feedback import Feedback
from ctrlnet.sets import Box
from ctrlnet.types import Control, State


@final
class FlowPolicy(nn.Module):
    """Saturated feedback by the flow of  s' = field(s):

        N(x) = readout(s_K),    s_0 = embed(x / scale),    s_{k+1} = one step of the method from s_k,
        π(x) = min(max(N(x) - N(x*) + u*, lower), upper)

    K steps of fixed size make the flow a deep network with shared weights; a proof sees it unrolled, so the theorem is
    about the steps as they are and not about the flow that they approximate.

    Args:
        embed, field, readout: maps of (..., n) to (..., k), of (..., k) to itself, and of (..., k) to (..., m).
        limits: box of the admissible controls, dimension m; None leaves the control unlimited.
        at: equilibrium x*, n numbers.
        control_at: equilibrium control u*, m numbers within the limits.
        scale: n powers of two, typical sizes of the states; None is all ones.
        steps: K.
        duration: of the flow; a step is duration / K. It has no unit, since s is no physical state.
        method: name of an integrator plug-in for a plain field, such as "euler", "heun" or "rk4".

    Raises:
        ShapeError: a map, the limits, at, control_at or scale do not fit.
        UsageError: no step, a duration of zero, a method that wants more than a field, or as `Feedback`
            (NameNotFound: no such method).
    """

    def __init__(
        self,
        embed: nn.Module,
        field: nn.Module,
        readout: nn.Module,
        limits: Box | None = None,
        *,
        at: Sequence[object] | Tensor,
        control_at: Sequence[object] | Tensor,
        scale: Sequence[object] | Tensor | None = None,
        steps: int = 4,
        duration: float = 1.0,
        method: str = "rk4",
    ) -> None:
        super().__init__()
        flow = Flow(field, steps=steps, duration=duration, method=method)
        network = nn.Sequential(embed, flow, readout)
        self.feedback = Feedback(network, limits, at=at, control_at=control_at, scale=scale)

    def forward(self, x: State) -> Control:
        """Controls (..., m) at states (..., n)."""
        u: Control = self.feedback(x)
        return u

    def unsaturated(self, x: State) -> Control:
        """Before the limits: controls (..., m) at states (..., n)."""
        return self.feedback.unsaturated(x)


@final
class Flow(nn.Module):
    """The layer  s ↦ s(duration),  s' = field(s),  by a fixed number of equal steps: (..., k) to (..., k).

    Args:
        field: maps (..., k) to (..., k).
        steps, duration, method: as in `FlowPolicy`.

    Raises:
        UsageError: as `FlowPolicy`.
    """

    def __init__(self, field: nn.Module, *, steps: int = 4, duration: float = 1.0, method: str = "rk4") -> None:
        super().__init__()
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise UsageError(f"steps is {steps!r}; a flow takes a whole number of steps, 1 or more.")
        if not (isinstance(duration, (int, float)) and math.isfinite(duration) and duration > 0):
            raise UsageError(f"duration is {duration!r}; give a number above zero, such as 1.0.")
        self.field, self.steps, self.duration, self.method = field, steps, float(duration), method
        self._integrator = _for_a_plain_field(method)

    def forward(self, s: Tensor) -> Tensor:
        """s at the end, from s at the start."""

        # a plain loop over the method's steps: `odeint` looks at the numbers on its way, which no trace can follow
        def velocity(_: Any, s: Tensor) -> Tensor:
            return self.field(s)  # type: ignore[no-any-return]

        method, h = self._integrator, self.duration / self.steps
        carry = method.init(velocity, 0.0, s)
        for k in range(self.steps):
            s, _, carry = method.step(velocity, k * h, s, h, carry)
        return s

    def extra_repr(self) -> str:
        """What stands in the printed module."""
        return f"{self.steps} steps of {self.method}, duration {self.duration:g}"


def _for_a_plain_field(name: str) -> Integrator:
    found = load("integrators", name)
    method: Integrator = found() if isinstance(found, type) else found
    if method.needs != "Field":
        raise UsageError(
            f"The integrator '{name}' needs a {method.needs}, but the flow of a policy has a plain field; "
            "give a method for any field, such as 'euler' or 'rk4'."
        )
    return method
