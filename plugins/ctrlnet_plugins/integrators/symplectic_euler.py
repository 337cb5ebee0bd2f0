"""The symplectic Euler method for q' = velocity(p), p' = force(q): order 1, one evaluation of each part a step.

p⁺ = p + h force(q),  q⁺ = q + h velocity(p⁺).

Symplectic and explicit; stable on an oscillator of frequency ω where h ω < 2. It is not symmetric: the same formula
with -h does not undo a step. `back` does: it is the adjoint method, which moves q first.

Source: Hairer, Lubich and Wanner, Geometric Numerical Integration, 2nd ed., section I.1.2.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from ctrlnet import Separable, Step


@final
class SymplecticEuler:
    """p⁺ = p + h force(t, q),  q⁺ = q + h velocity(t + h, p⁺)."""

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 1
    needs: str = "Separable"
    symplectic: ClassVar[bool] = True

    def init(self, field: Separable, t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Separable, t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x = (q, p), (..., n), at t to t + h."""
        q, p = field.halves(x)
        p = p + h * field.force(t, q)
        return Step(torch.cat([q + h * field.velocity(t + h, p), p], -1))

    def back(self, field: Separable, t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x at t + h to t."""
        q, p = field.halves(x)
        q = q - h * field.velocity(t + h, p)
        return Step(torch.cat([q, p - h * field.force(t, q)], -1))
