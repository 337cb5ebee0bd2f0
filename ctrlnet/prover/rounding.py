"""Floating-point error, bounded a priori: what every rule of the prover adds to its result.

With u = 2⁻⁵³, one correctly rounded float64 operation satisfies fl(a ∘ b) = (a ∘ b)(1 + δ) + η with |δ| <= u and
|η| <= 2⁻¹⁰⁷⁴ (underflow). A sum of k products in any order, with or without fused multiply-add, errs by at most
γ(k) Σ|aᵢ||bᵢ| + k 2⁻¹⁰⁷⁴ with γ(k) = k u / (1 - k u) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., (3.4)-(3.5)). So the bounds hold on CPU and on CUDA, where the order of summation is not known; TF32 does not
apply to float64.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

UNIT = 2.0**-53
LEAST = 2.0**-1074  # the least positive float64
TINY = 1e-300  # more than any sum of underflows that a graph can collect
ELEMENTARY = 16 * UNIT  # assumed error of torch's elementary functions: 8 units in the last place, doubled


def gamma(operations: int) -> float:
    """γ(k), rounded up, for a sum of `operations` products followed by a few more operations."""
    k = operations + 8
    return k * UNIT / (1 - k * UNIT) * 1.0000001


@cache
def _limit(value: float, device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device=device)


def below(value: Tensor) -> Tensor:
    """The next float64 towards -∞: a lower bound of the exact result of one rounded operation."""
    return torch.nextafter(value, _limit(-math.inf, value.device))


def above(value: Tensor) -> Tensor:
    return torch.nextafter(value, _limit(math.inf, value.device))


def finite(value: Tensor) -> Tensor:
    """NaN where a sum overflowed: its partial sums may have left the range though the sum itself does not."""
    return value + (value - value)  # inf - inf is NaN; much faster than a choice


def raised(value: Tensor) -> Tensor:
    """An upper bound of a nonnegative expression computed in at most 30 rounded operations."""
    return value * (1 + 64 * UNIT) + TINY
