"""The method of Störmer and Verlet for q' = velocity(p), p' = force(q): order 2, one evaluation of each part a step.

p½ = p + h/2 force(q),  q⁺ = q + h velocity(p½),  p⁺ = p½ + h/2 force(q⁺).

Symplectic, symmetric and explicit; stable on an oscillator of frequency ω where h ω < 2. Its energy error stays
bounded, O(h²), as long as h stays the same.

Source: Hairer, Lubich and Wanner, Geometric Numerical Integration, 2nd ed., sections I.1.4 and VI.3.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from ctrlnet import Separable, Step

_Carry = tuple[Tensor, ...]


@final
class Verlet:
    """Kick, drift, kick. The carry is the force after a step, which is that before the next, twice for its shape."""

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 2
    needs: str = "Separable"
    symplectic: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True

    def init(self, field: Separable, t: float | Tensor, x: Tensor) -> _Carry:
        """The force at (t, q)."""
        return _kept(field.force(t, field.halves(x)[0]))

    def step(self, field: Separable, t: float | Tensor, x: Tensor, h: float | Tensor, carry: _Carry) -> Step:
        """From x = (q, p), (..., n), at t to t + h."""
        q, p = field.halves(x)
        p = p + h / 2 * field.halves(carry[0])[0]
        q = q + h * field.velocity(t + h / 2, p)
        force = field.force(t + h, q)
        return Step(torch.cat([q, p + h / 2 * force], -1), None, _kept(force))

    def back(self, field: Separable, t: float | Tensor, x: Tensor, h: float | Tensor, carry: _Carry) -> Step:
        """From x at t + h, and the force there, to t."""
        q, p = field.halves(x)
        p = p - h / 2 * field.halves(carry[0])[0]
        q = q - h * field.velocity(t + h / 2, p)
        force = field.force(t, q)
        return Step(torch.cat([q, p - h / 2 * force], -1), None, _kept(force))


def _kept(force: Tensor) -> _Carry:
    return (torch.cat([force, force], -1),)
