"""Reversible methods made from others, after McCallum and Foster."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor

from ctrlnet import Integrator, Step, UsageError
from ctrlnet_plugins.integrators.composed import advanced, inner

_ROUNDING = {torch.float64: 25.0, torch.float32: 9.0}  # most of N (-ln λ): rounding grows by λ⁻ᴺ on the way back
_ROWS = 32  # states at which the contraction is looked at


@final
class McCallumFoster:
    """A method with an exact inverse, made from any one-step method x⁺ = x + Ψ_h(x):  the order is that method's.

        x⁺ = λ x + (1-λ) z + Ψ_h(z),   z⁺ = z - Ψ_{-h}(x⁺),

    the carry z beginning with x. Twice the evaluations a step; gradients need no memory.

    Not for fields that contract. The map of a step has the determinant λⁿ: it is stable only where states approach
    each other no faster than by λ a step, and rounding grows by 1/λ a step on the way back. `check`, which `solve`
    calls before the first step, refuses what breaks either bound. It looks at the Jacobian at the initial states,
    which is evidence about the rest of the way and no proof.

    Args:
        base: name of an installed integrator, or an object or a class without arguments, that needs a plain field and
            is no multistep method.
        coupling: λ, above 0, up to 1.

    Raises:
        UsageError: base or coupling is none of these.

    Source: McCallum and Foster, Efficient, accurate and stable gradients for neural ODEs, 2024.
    """

    ctrlnet_contract: ClassVar[int] = 1
    needs = "Field"

    def __init__(self, base: str | Integrator | type = "rk4", coupling: float = 0.999) -> None:
        self.base = inner(base)
        if not (isinstance(coupling, (float, int)) and 0 < coupling <= 1):
            raise UsageError(f"coupling is {coupling!r}; give a number above 0, up to 1, such as 0.999.")
        self.coupling, self.order = float(coupling), self.base.order
        self.backward_growth = 1 / self.coupling  # of rounding, in a step of `back`

    def init(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor) -> tuple[Tensor]:
        """z = x, (..., n)."""
        return (x,)

    def step(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor],
    ) -> Step:
        """From x (..., n) at t to t + h."""
        (z,) = carry
        x = self.coupling * x + (1 - self.coupling) * z + self._increment(field, t, z, h)
        return Step(x, None, (z - self._increment(field, t + h, x, -h),))

    def back(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor],
    ) -> Step:
        """From x (..., n) at t + h and the carry after the step to those before it, at t."""
        z = carry[0] + self._increment(field, t + h, x, -h)
        before = (x - (1 - self.coupling) * z - self._increment(field, t, z, h)) / self.coupling
        return Step(before, None, (z,))

    def check(self, field: Callable[..., Tensor], t: float, x: Tensor, h: float, steps: int) -> None:
        """Refuse a solve of `steps` steps of size h [s] from x (..., n) at t that λ cannot serve.

        Raises:
            UsageError: steps (-ln λ) is above 25 (float64; else 9), or somewhere |h| times the fastest contraction is
                above -ln λ.
        """
        loss, allowed = -math.log(self.coupling), _ROUNDING.get(x.dtype, _ROUNDING[torch.float32])
        if steps * loss > allowed:
            raise UsageError(
                f"{steps} steps with coupling {self.coupling:g} amplify rounding by {self.coupling:g}^-{steps} on the "
                f"way back; {x.dtype} allows e^{allowed:g}. Use gradient='symplectic_adjoint' with a plain method, a "
                "larger step, or a coupling nearer to 1."
            )
        rate = contraction(field, t, x, math.copysign(1.0, h))
        if abs(h) * rate > loss + 1e-6:  # eigenvalues are rounded
            raise UsageError(
                f"The field contracts by e^-{abs(h) * rate:.2g} in a step of {abs(h):g} s, faster than the coupling "
                f"{self.coupling:g} = e^-{loss:.2g} permits: the solution would explode. "
                "Use gradient='symplectic_adjoint' with a plain method; or a smaller step or coupling, as long as "
                f"coupling^steps stays above e^-{allowed:g}."
            )

    def _increment(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor, h: float | Tensor) -> Tensor:
        return advanced(self.base, field, t, x, h) - x

    def __repr__(self) -> str:
        return f"McCallumFoster({self.base!r}, coupling={self.coupling:g})"


def contraction(field: Callable[..., Tensor], t: float, x: Tensor, direction: float = 1.0) -> float:
    """The fastest rate [1/s] at which the field, in the given direction of time, contracts beyond its own expansion.

    At each of at most 32 of the states x (..., n): the largest decay -Re α over the eigenvalues α of the Jacobian, less
    the largest growth, since where nearby solutions part anyway (at a saddle, on a Hamiltonian's way across one) a
    parasitic mode no faster than that does not show. Costs n backward evaluations.
    """
    x = x.detach()
    with torch.no_grad():
        pull = torch.func.vjp(lambda x: direction * field(t, x), x)[1]
        basis = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        rows = torch.stack([pull(row.expand_as(x))[0].reshape(-1, len(row)) for row in basis], -2)
    some = torch.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).long()
    real = torch.linalg.eigvals(rows[some].double()).real
    excess = -real.min(-1).values - real.max(-1).values.clamp(min=0)
    return max(0.0, float(excess.max()))
