"""Taylor expansions of single functions: every derivative and the range of the fourth, against mpmath."""

from __future__ import annotations

from typing import Any

import mpmath
import pytest
import torch

from ctrlnet.prover.expansions import EXPANSIONS, Expand, _power
from ctrlnet.prover.ranges import Interval

FUNCTIONS: dict[str, tuple[Expand, Any]] = {
    "tanh": (EXPANSIONS["tanh"][0], mpmath.tanh),
    "sin": (EXPANSIONS["sin"][0], mpmath.sin),
    "cos": (EXPANSIONS["cos"][0], mpmath.cos),
    "exp": (EXPANSIONS["exp"][0], mpmath.exp),
    "reciprocal": (EXPANSIONS["reciprocal"][0], lambda z: 1 / z),
    **{f"power {p}": (_power(p), lambda z, p=p: z**p) for p in (3, 4, 5, 6, 9)},
}
ENDS = (-3.0, -1.3, -0.9, -0.421, -0.1, 0.0, 1e-6, 0.42, 0.8, 1.58, 2.6)  # tanh'''' turns at 0.4213 and 1.5722


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_enclosed(name: str) -> None:
    expand, function = FUNCTIONS[name]
    for low in ENDS:
        for high in (end for end in ENDS if end >= low):
            if name == "reciprocal" and low <= 0 <= high:
                continue
            m = 0.5 * low + 0.5 * high
            found = expand(torch.tensor([[m]], dtype=torch.float64), _interval(low, high))
            with mpmath.workdps(40):
                for order, part in enumerate((found.value, found.first, found.second, found.third)):
                    exact = mpmath.diff(function, mpmath.mpf(m), order)
                    assert abs(exact - part.item()) <= found.errors[order].item() + 1e-25, (order, m)
                for share in range(9):
                    fourth = mpmath.diff(function, low + (mpmath.mpf(high) - low) * share / 8, 4)
                    assert found.fourth.lower.item() - 1e-20 <= fourth <= found.fourth.upper.item() + 1e-20, (low, high)


def test_the_fourth_derivative_of_tanh_is_not_enclosed_for_nothing() -> None:
    """Tight where it turns, and where it does not."""
    expand = EXPANSIONS["tanh"][0]
    whole = expand(torch.zeros(1, 1, dtype=torch.float64), _interval(-9, 9)).fourth
    assert whole.upper.item() == pytest.approx(4.085886, abs=1e-5) and whole.lower.item() == -whole.upper.item()
    short = expand(torch.full((1, 1), 1.0, dtype=torch.float64), _interval(0.99, 1.01)).fourth
    assert short.upper.item() - short.lower.item() < 0.2


def test_a_reciprocal_across_zero_says_nothing() -> None:
    fourth = EXPANSIONS["reciprocal"][0](torch.zeros(1, 1, dtype=torch.float64), _interval(-1, 1)).fourth
    assert fourth.lower.isnan() and fourth.upper.isnan()


def _interval(low: float, high: float) -> Interval:
    return Interval(*(torch.tensor([[float(end)]], dtype=torch.float64) for end in (low, high)))
