"""The average vector field method: energy kept or lost exactly as the theory says."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from ctrlnet_plugins.integrators import AVF, Gauss4, ImplicitMidpoint
from marches import X0, march, swung
from swings import ROTATION, defect, energy, largest_error, swing
from torch import Tensor

from ctrlnet import Energy, ShapeError


class LogCosh:
    """H(x) = Σ log cosh(A x + b), a network of tanh units.

    The mean of tanh between w and v is (log cosh v - log cosh w)/(v - w) = log(cosh(m + e)/cosh(m - e))/(2 e), of the
    middle m and half the difference e. It equals artanh(tanh m tanh e)/e, which loses nothing where e is small.
    """

    def __init__(self, n: int, m: int, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.a, self.b = (torch.randn(m, k, generator=draw, dtype=torch.float64) for k in (n, 1))

    def __call__(self, x: Tensor) -> Tensor:
        w = self.units(x).abs()
        return (w + torch.log1p(torch.exp(-2 * w)) - math.log(2)).sum(-1)

    def gradient(self, x: Tensor) -> Tensor:
        return torch.tanh(self.units(x)) @ self.a

    def mean_gradient(self, x: Tensor, end: Tensor) -> Tensor:
        middle, half = torch.tanh((self.units(x) + self.units(end)) / 2), (end - x) @ self.a.T / 2
        near = half.abs() < 1e-4
        safe = torch.where(near, 1, half)
        exact = torch.atanh(middle * torch.tanh(safe)) / safe
        return torch.where(near, middle * (1 - half**2 * (1 - middle**2) / 3), exact) @ self.a

    def units(self, x: Tensor) -> Tensor:
        return x @ self.a.T + self.b[:, 0]


network = LogCosh(4, 6)
POISSON = torch.kron(ROTATION, torch.eye(2, dtype=torch.float64))
X4 = torch.tensor([0.5, -0.3, 0.8, 0.1], dtype=torch.float64)


def descent(potential: LogCosh, n: int) -> Energy:
    """x' = -∇V(x)."""
    return Energy(potential, -torch.eye(n, dtype=torch.float64))


def test_the_mean_gradient_of_these_tests_is_one() -> None:
    for potential, x in ((energy, X0), (network, X4)):
        for scale in (1.0, 1e-3, 1e-7, 0.0):
            end = x + scale * torch.linspace(-1, 2, len(x), dtype=torch.float64)
            gap = potential.mean_gradient(x, end) @ (end - x) - (potential(end) - potential(x))
            assert abs(float(gap)) < 4e-15
        assert torch.allclose(potential.mean_gradient(x, x), potential.gradient(x), atol=1e-15)


def test_order_and_error() -> None:
    errors = [float((march(AVF(), swing, X0, 1 / n, 2 * n) - swung()).norm()) for n in (20, 40, 80)]
    assert AVF().order == 2
    assert all(abs(math.log2(a / b) - 2) < 0.02 for a, b in pairwise(errors))
    assert abs(errors[-1] / 1.8e-5 - 1) < 0.05


def test_symmetric_and_not_symplectic() -> None:
    there = march(AVF(), swing, X0, 0.1, 200)
    assert float((march(AVF(), swing, there, -0.1, 200) - X0).abs().max()) < 1e-13
    assert abs(defect(AVF(), swing, X0, 0.3) / 3e-4 - 1) < 0.5


@pytest.mark.parametrize("h", [0.1, 0.5])
def test_energy_is_kept_to_rounding(h: float) -> None:
    assert largest_error(energy, AVF(), swing, X0, h, 100) < 1e-14
    field = Energy(network, POISSON)
    assert largest_error(network, AVF(), field, X4, h, 100) < 2e-13
    assert (
        largest_error(network, ImplicitMidpoint(), lambda t, x: field(x), X4, h, 50) > 1e-6
    )  # a symplectic method does not


@pytest.mark.slow
def test_energy_at_a_hundred_and_at_a_thousand_seconds() -> None:
    assert largest_error(energy, AVF(), swing, X0, 0.1, 1000) < 1e-14
    assert largest_error(energy, AVF(), swing, X0, 0.1, 10_000) < 5e-14
    assert largest_error(network, AVF(), Energy(network, POISSON), X4, 0.2, 1000) < 1e-12


@pytest.mark.parametrize("h", [0.01, 1.0, 100.0])
def test_a_gradient_flow_loses_exactly_the_square_of_its_speed(h: float) -> None:
    """V(x⁺) - V(x) = -|x⁺ - x|²/h, for every h."""
    potential = LogCosh(3, 5, seed=1)
    x = 2 * torch.randn(50, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for _ in range(5):
        end = march(AVF(), descent(potential, 3), x, h, 1)
        lost = potential(end) - potential(x)
        assert torch.allclose(lost, -((end - x) ** 2).sum(-1) / h, atol=1e-13)
        assert bool((lost <= 1e-14).all())
        x = end


def test_a_damped_system_loses_energy_at_every_step() -> None:
    damped = Energy(energy, ROTATION - torch.diag(torch.tensor([0.0, 0.3], dtype=torch.float64)))
    x = X0
    for _ in range(50):
        end = march(AVF(), damped, x, 0.1, 1)
        assert float(energy(end)) < float(energy(x))
        x = end
    exact = march(Gauss4(), lambda t, x: damped(x), X0, 0.1, 50)
    assert float((exact - x).norm()) < 3e-3


def test_every_row_has_its_own_step() -> None:
    field, h = Energy(network, POISSON), torch.tensor([[0.1], [0.0], [-0.3]], dtype=torch.float64)
    x = torch.stack([X4, -X4, X4 / 2])
    together = AVF().step(field, 0.0, x, h, None).x
    alone = torch.stack([march(AVF(), field, row, float(step), 1) for row, step in zip(x, h, strict=True)])
    assert torch.allclose(together, alone, atol=1e-15)
    assert torch.equal(together[1], x[1])


def test_derivatives() -> None:
    def stepped(x: Tensor, structure: Tensor, h: Tensor) -> Tensor:
        return AVF().step(Energy(network, structure), 0.0, x, h, None).x

    inputs = (torch.stack([X4, -X4]), POISSON, torch.tensor([[0.3], [-2.0]], dtype=torch.float64))
    inputs = tuple(value.clone().requires_grad_() for value in inputs)
    torch.autograd.gradcheck(stepped, inputs, check_forward_ad=True, fast_mode=True)
    torch.autograd.gradgradcheck(stepped, inputs, fast_mode=True)


def test_a_structure_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 2\).*4 coordinates"):
        march(AVF(), Energy(network, ROTATION), X4, 0.1, 1)
