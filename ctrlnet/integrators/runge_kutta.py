"""Explicit Runge-Kutta methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeAlias, final

import torch
from torch import Tensor

from ctrlnet.integrators.contract import Carry, Step
from ctrlnet.integrators.tableau import Tableau
from ctrlnet.sets import Number
from ctrlnet.systems.fields import Time, TimeField

Term: TypeAlias = "tuple[float, int, list[int]]"  # a weight, and the numbers of the stages that have it


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
        self._last_first = tableau.first_same_as_last
        self._rows = [(node, _terms(row)) for node, row in zip(tableau.c[1:], tableau.a[1:], strict=True)]
        self._weights, low = _terms(tableau.b), tableau.b_low
        self._differences = None if low is None else _terms(map(float.__sub__, map(float, tableau.b), map(float, low)))

    def init(self, field: TimeField, t: Time, x: Tensor) -> Carry:
        """The first stage, where the next step would otherwise find it in the last; None elsewhere."""
        return (field(t, x),) if self.tableau.first_same_as_last else None

    def step(self, field: Callable[[Any, Tensor], Tensor], t: Time | None, x: Tensor, h: Time, carry: Carry) -> Step:
        """From x (..., n) at t to t + h; t may be None for a field that does not depend on it."""
        stages = [field(t, x) if carry is None else carry[-1]]
        parts, size = (stages, h) if not isinstance(h, Tensor) else ([h * stages[0]], 1.0)
        y = x
        for node, row in self._rows:
            y = _sum(x, size, row, parts)
            stages.append(field(t if t is None else t + node * h, y))
            if parts is not stages:
                parts.append(h * stages[-1])
        end = y if self._last_first else _sum(x, size, self._weights, parts)
        error = None if self._differences is None else self._error(size, parts, self._differences)
        return Step(end, error, self._kept(stages))

    @torch.no_grad()
    def _error(self, size: float, parts: list[Tensor], terms: list[Term]) -> Tensor:
        """It chooses steps, which have no derivatives."""
        return _sum(torch.zeros_like(parts[0]), size, terms, parts)

    def interpolate(self, x: Tensor, h: Time, carry: Carry, theta: Time) -> Tensor | None:
        """The state at t + theta h, from the state x before a step and the carry after it; None without `dense`."""
        if self.tableau.dense is None or carry is None:
            return None
        weights = [_polynomial(row, theta) for row in self.tableau.dense]
        if not isinstance(theta, Tensor):
            return advance(x, h, weights, carry)
        for stage, row, weight in zip(carry, self.tableau.dense, weights, strict=True):
            x = torch.addcmul(x, stage, h * weight) if any(row) else x
        return x

    def _kept(self, stages: list[Tensor]) -> Carry:
        if self.tableau.dense is not None:
            return tuple(stages)
        return (stages[-1],) if self._last_first else None

    def __repr__(self) -> str:
        return f"RungeKutta(order {self.order}, {len(self.tableau.b)} stages)"


def _terms(weights: Iterable[Number]) -> list[Term]:
    """The weights of a sum without zeros, each with its stages."""
    found: dict[float, list[int]] = {}
    for index, weight in enumerate(map(float, weights)):
        if weight != 0:
            found.setdefault(weight, []).append(index)
    return [(weight, first, others) for weight, (first, *others) in found.items()]


def _sum(x: Tensor, size: float, terms: list[Term], parts: Sequence[Tensor]) -> Tensor:
    """x + size Σ weight_i part_i; those of the same weight are added up before, which spares products."""
    for weight, index, others in terms:
        part = parts[index]
        for other in others:
            part = part + parts[other]
        x = torch.add(x, part, alpha=size * weight)
    return x


def _polynomial(coefficients: Sequence[Number], theta: Time) -> Any:
    """Σ coefficient_j θ^j, j from 1."""
    value: Any = 0.0
    for coefficient in reversed(coefficients):
        value = (value + float(coefficient)) * theta
    return value


def advance(x: Tensor, h: Time, weights: Iterable[Number], stages: Sequence[Tensor]) -> Tensor:
    """x + h Σ weight_i stage_i, as a step computes it."""
    if isinstance(h, Tensor):
        return _sum(x, 1.0, _terms(weights), [h * stage for stage in stages])
    return _sum(x, h, _terms(weights), stages)
