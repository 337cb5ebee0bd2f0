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
MOST_DIMENSIONS = 26  # of a statement that the checker reads
OPERATIONS = MOST_DIMENSIONS * (MOST_DIMENSIONS + 1) // 2 + 16  # on the way to an entry of `raised`, and a few after it
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


def raised(value: Tensor, factor: float = 1.0) -> Tensor:
    """An upper bound of a nonnegative expression, times `factor`, computed in at most OPERATIONS rounded operations.

    Its terms are nonnegative, so k operations lose at most the share k u, and (1 - (k + 2) u)(1 + 2 k u) >= 1 covers
    the roundings here as well. What is summed under `raised`, in n dimensions: in the eight of second-order forms
    n(n + 1)/2 = 36 rows of curvature and n(n + 1)(n + 2)/6 = 120 terms of third order; 1 + n rows of a slope form; and
    in the product of two slope forms, which is the most, n(n - 1)/2 pairs, n squares and sixteen operations more.
    Longer sums, over the entries of a node, carry a γ of their own, in the factor.
    """
    return torch.add(_limit(TINY, value.device), value, alpha=factor * (1 + 2 * OPERATIONS * UNIT))
