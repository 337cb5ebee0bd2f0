"""Gradient flows: no two solutions part, nor do Euler's up to the longest step, and beyond it they can."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ctrlnet import Energy
from ctrlnet.layers import GradientFlow
from ctrlnet.layers.activations import ACTIVATIONS

PAIRS = 20_000


def field_of(activation: str, width: int = 8) -> GradientFlow:
    return GradientFlow(4, width, activation=activation, seed=0)


def pairs() -> tuple[Tensor, Tensor]:
    """States far apart, and states close to each other, at several distances from the origin."""
    scale = torch.logspace(-2, 1, PAIRS, dtype=torch.float64).unsqueeze(-1)
    x = scale * torch.randn(PAIRS, 4, dtype=torch.float64)
    other = x + torch.randn(PAIRS, 4, dtype=torch.float64) * scale.flip(0)
    return x, other


def expansion(field: GradientFlow, x: Tensor, y: Tensor, h: float | Tensor) -> float:
    """The largest |x⁺ - y⁺| / |x - y| of an Euler step."""
    with torch.no_grad():
        ends = x + h * field(x) - (y + h * field(y))
        return float((ends.norm(dim=-1) / (x - y).norm(dim=-1)).max())


def test_the_field_descends_its_energy() -> None:
    field, x = field_of("tanh"), torch.randn(9, 4, dtype=torch.float64)
    assert isinstance(field, Energy)
    assert torch.allclose(field(x), -torch.func.grad(lambda z: field.potential(z).sum())(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_one_sided_lipschitz_constant_is_not_positive(activation: str) -> None:
    """<f(x) - f(y), x - y> lies between -|A|² |x - y|² and -a μ² |x - y|², with a = 0.01 for leaky_relu, else 0."""
    field, (x, y) = field_of(activation), pairs()
    with torch.no_grad():
        singular = torch.linalg.svdvals(field.potential.A)
        quotient = ((field(x) - field(y)) * (x - y)).sum(-1) / (x - y).square().sum(-1)
    a = 0.01 if activation == "leaky_relu" else 0.0
    assert float(quotient.max()) <= -a * float(singular.min()) ** 2 + 1e-12
    assert float(quotient.min()) >= -(float(singular.max()) ** 2) - 1e-12
    assert float(quotient.min()) < -0.01


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_euler_is_not_expansive_up_to_the_longest_step(activation: str, share: float) -> None:
    field = field_of(activation)
    norm = float(torch.linalg.svdvals(field.potential.A.detach()).max())
    assert field.longest_step.item() == pytest.approx(2 / norm**2, rel=1e-12)
    assert expansion(field, *pairs(), share * field.longest_step) <= 1 + 1e-12


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
def test_euler_expands_with_twice_the_longest_step(activation: str) -> None:
    """4/|A|²: where σ' = 1 in all rows the direction of the largest singular value grows by |1 - 4| = 3."""
    field = field_of(activation, width=4)  # as many rows as states, so that A x + b takes any value
    A, b = field.potential.A.detach(), field.potential.b.detach()
    direction = torch.linalg.svd(A).Vh[0]
    inside, apart = (1e-6, 1e-3) if activation == "tanh" else (5.0, 1.0)  # tanh' = 1 at 0 only
    x = torch.linalg.solve(A, torch.full_like(b, inside) - b)
    y = x + apart * direction
    assert expansion(field, x, y, 2 * field.longest_step) == pytest.approx(3, abs=1e-3)
    assert expansion(field, x, y, field.longest_step) <= 1 + 1e-12


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("h", [0.1, 1.0])
def test_the_discrete_gradient_lets_the_energy_fall_by_the_square_of_the_step(activation: str, h: float) -> None:
    """V(x⁺) - V(x) = -|x⁺ - x|²/h for x⁺ = x - h mean_gradient(x, x⁺)."""
    field = field_of(activation)
    field.potential.A.data /= 4  # then the fixed-point iteration converges for both h
    x = torch.randn(50, 4, dtype=torch.float64)
    with torch.no_grad():
        end = x
        for _ in range(300):
            end = x + h * field.applied(field.potential.mean_gradient(x, end))
        fall = field.potential(end) - field.potential(x)
    assert torch.allclose(fall, -(end - x).square().sum(-1) / h, rtol=0, atol=1e-14)
    assert float(fall.max()) < 0 or activation == "relu"


def test_the_prover_takes_it() -> None:
    """A gradient flow with its rest at the origin is certified to be exponentially stable on a ball."""
    from ctrlnet import Box, ExponentialStability, Quadratic, certify

    field, half = GradientFlow(2, 3, seed=0), torch.ones(2, dtype=torch.float64)
    field.potential.b.data.zero_()
    V = Quadratic(torch.eye(2, dtype=torch.float64))
    verdict = certify(ExponentialStability(V, rate=0.01), field, Box(-half, half), level=0.5)
    assert verdict.status == "certified"
