"""Explicit Runge-Kutta methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, final

import torch
from torch import Tensor

from ctrlnet.integrators.contract import Step
from ctrlnet.integrators.tableau import Tableau
from ctrlnet.sets import Number
from ctrlnet.systems.fields import TimeField

_Carry = tuple[Tensor, ...] | None


@final
class RungeKutta:
    """The explicit Runge-Kutta method of a tableau.

    An embedded tableau gives every step an error estimate h Σ (b_i - b_low_i) k_i. A method whose last stage is the
    first of the next step saves that evaluation.

    Args:
        tableau: the coefficients.
    """

    ctrlnet_contract: ClassVar[int] = 1
    needs: str = "Field"

    def __init__(self, tableau: Tableau) -> None:
        self.tableau = tableau
        self.order = tableau.order
        self.embedded_order = tableau.embedded_order
        self._nodes = tableau.c
        low = tableau.b_low
        self._differences = None if low is None else [b - b_low for b, b_low in zip(tableau.b, low, strict=True)]

    def init(self, field: TimeField, t: float, x: Tensor) -> _Carry:
        """The first stage, where the next step would otherwise find it in the last; None elsewhere."""
        return (field(t, x),) if self.tableau.first_same_as_last else None

    def step(self, field: TimeField, t: float, x: Tensor, h: float, carry: _Carry) -> Step:
        """From x (..., n) at t to t + h."""
        table = self.tableau
        stages = [field(t, x) if carry is None else carry[-1]]
        y = x
        for node, row in zip(self._nodes[1:], table.a[1:], strict=True):
            y = _advance(x, h, row, stages)
            stages.append(field(t + node * h, y))
        end = y if table.first_same_as_last else _advance(x, h, table.b, stages)
        error = None if self._differences is None else _advance(torch.zeros_like(x), h, self._differences, stages)
        return Step(end, error, self._kept(stages))

    def interpolate(self, x: Tensor, h: float, carry: _Carry, theta: float) -> Tensor | None:
        """The state at t + theta h, from the state x before a step and the carry after it; None without `dense`."""
        if self.tableau.dense is None or carry is None:
            return None
        weights = (sum(d * theta**j for j, d in enumerate(row, 1)) for row in self.tableau.dense)
        return _advance(x, h, weights, carry)

    def _kept(self, stages: list[Tensor]) -> _Carry:
        if self.tableau.dense is not None:
            return tuple(stages)
        return (stages[-1],) if self.tableau.first_same_as_last else None

    def __repr__(self) -> str:
        return f"RungeKutta(order {self.order}, {len(self.tableau.b)} stages)"


def _advance(x: Tensor, h: float, weights: Iterable[Number], stages: Iterable[Tensor]) -> Tensor:
    """x + h Σ weight_i stage_i, one fused operation a term."""
    for weight, stage in zip(weights, stages, strict=False):
        if weight != 0:
            x = torch.add(x, stage, alpha=h * float(weight))
    return x
