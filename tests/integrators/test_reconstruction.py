"""How far from its start a solution comes back when it is integrated backwards by the same method."""

from __future__ import annotations

import math

import pytest
import torch
from gradient_problems import D, method_of, numbers

from ctrlnet import odeint


def lost(name: str, steps: int) -> float:
    """Of the start, relatively, by a network 6-32-6 over [0, 2] there and back."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.Tanh(), torch.nn.Linear(32, 6)).to(D)
    x0, method, step = numbers(8, 6), method_of(name), 2 / steps
    with torch.no_grad():
        end = odeint(network, x0, [0, 2], method=method, step=step)[-1]
        start = odeint(network, end, [2, 0], method=method, step=step)[-1]
    return float((start - x0).norm() / x0.norm())


@pytest.mark.parametrize(("name", "known"), [("RK4", 9e-12), ("Heun", 5.6e-7), ("Midpoint", 5.0e-7), ("Dopri5", 3e-13)])
def test_what_is_lost_is_as_much_as_known(name: str, known: float) -> None:
    assert known / 10 <= lost(name, 40) <= 10 * known


@pytest.mark.parametrize(
    ("name", "order"), [("Euler", 1), ("Midpoint", 2), ("Heun", 2), ("Bosh3", 3), ("RK4", 4), ("Dopri5", 5)]
)
def test_the_leading_error_of_an_even_order_is_undone(name: str, order: int) -> None:
    """A step of h leaves C hᵖ⁺¹, that of -h after it C (-h)ᵖ⁺¹: for even p they cancel."""
    slope = math.log2(lost(name, 10) / lost(name, 20))
    assert slope == pytest.approx(order + (order % 2 == 0), abs=0.15)


@pytest.mark.parametrize("name", ["ImplicitMidpoint", "Gauss4"])
def test_symmetric_methods_lose_nothing(name: str) -> None:
    assert lost(name, 20) <= 1e-14
