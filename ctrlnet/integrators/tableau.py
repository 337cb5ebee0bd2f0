"""Butcher tableaus of explicit Runge-Kutta methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ctrlnet.errors import UsageError
from ctrlnet.sets import Number


@final
@dataclass(frozen=True)
class Tableau:
    """Coefficients of  Y_i = x + h Σ_{j<i} a_ij k_j,  k_i = f(t + c_i h, Y_i),  x⁺ = x + h Σ b_i k_i,  s stages.

    Args:
        order: order of convergence.
        a: s rows, row i with i entries (the first is empty); the nodes are c_i = Σ_j a_ij.
        b: s weights, of sum 1.
        b_low: s weights of the embedded solution, whose difference from x⁺ estimates the error; None for none.
        embedded_order: order of the embedded solution, with b_low.
        dense: s rows of d coefficients of the dense output x(t + θh) = x + h Σ_i k_i Σ_j dense_ij θ^j, j from 1;
            each row sums to b_i. None for none.

    Raises:
        UsageError: the rows do not fit or do not sum as said.

    Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 2nd ed., sections II.1, II.4, II.6.
    """

    order: int
    a: Sequence[Sequence[Number]]
    b: Sequence[Number]
    b_low: Sequence[Number] | None = None
    embedded_order: int | None = None
    dense: Sequence[Sequence[Number]] | None = None

    def __post_init__(self) -> None:
        stages = len(self.b)
        _require([len(row) for row in self.a] == list(range(stages)), f"a needs rows of 0 to {stages - 1} entries")
        _require(_equal(math.fsum(self.b), 1), f"the weights b must sum to 1, not to {math.fsum(self.b)}")
        _require((self.b_low is None) == (self.embedded_order is None), "b_low and embedded_order go together")
        if self.b_low is not None:
            fits = len(self.b_low) == stages and _equal(math.fsum(self.b_low), 1)
            _require(fits, f"b_low needs {stages} weights of sum 1")
        if self.dense is not None:
            sums = [math.fsum(row) for row in self.dense]
            fits = len(sums) == stages and all(
                _equal(total, weight) for total, weight in zip(sums, self.b, strict=True)
            )
            _require(fits, f"dense needs {stages} rows that sum to b, so that θ = 1 gives the end of the step")

    @property
    def c(self) -> tuple[float, ...]:
        """Nodes c_i = Σ_j a_ij, in units of h."""
        return tuple(math.fsum(row) for row in self.a)

    @property
    def first_same_as_last(self) -> bool:
        """True where the last stage is the first of the next step: its row of a equals b."""
        return len(self.b) > 1 and tuple(self.a[-1]) == tuple(self.b[:-1]) and self.b[-1] == 0


def _equal(value: Number, wanted: Number) -> bool:
    return abs(float(value) - float(wanted)) <= 1e-12


def _require(fits: bool, rule: str) -> None:
    if not fits:
        raise UsageError(f"The tableau is not one: {rule}.")
