"""Energies of networks: values, gradients, and mean gradients that neither cancel nor overflow."""

from __future__ import annotations

from itertools import product

import mpmath
import pytest
import torch
from torch import Tensor

from ctrlnet import ShapeError, UsageError
from ctrlnet.layers import NetworkEnergy
from ctrlnet.layers.activations import ACTIVATIONS

SMOOTH = ("tanh", "sigmoid")
LEAK = mpmath.mpf(0.01)
EXACT = {
    "tanh": (lambda w: mpmath.log(mpmath.cosh(w)), mpmath.tanh),
    "sigmoid": (lambda w: mpmath.log1p(mpmath.exp(w)), lambda w: 1 / (1 + mpmath.exp(-w))),
    "relu": (lambda w: max(w, 0) ** 2 / 2, lambda w: max(w, 0)),
    "leaky_relu": (lambda w: (max(w, 0) ** 2 + LEAK * min(w, 0) ** 2) / 2, lambda w: max(w, 0) + LEAK * min(w, 0)),
}


def exact_mean(name: str, w: float, end: float) -> mpmath.mpf:
    energy, slope = EXACT[name]
    w, end = mpmath.mpf(w), mpmath.mpf(end)
    return slope(w) if w == end else (energy(end) - energy(w)) / (end - w)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_means_are_accurate_near_and_far(name: str) -> None:
    """Ends from 0 to 500 and from 1e-16 to 1000 apart; the error is relative, with the condition |w| of e^-w."""
    sizes, gaps = (0, 1e-8, 1e-3, 0.1, 1, 5, 30, 500), (0, 1e-16, 1e-12, 1e-8, 1e-4, 0.01, 0.059, 0.061, 1, 5, 50, 1000)
    pairs = [(s * w, s * w + g) for w, s, g in product((-1.0, -0.37, 0.61), sizes, gaps)]
    w, end = torch.tensor(pairs, dtype=torch.float64).T
    found = ACTIVATIONS[name].mean(w, end).tolist()
    with mpmath.workdps(600):
        for (a, b), value in zip(pairs, found, strict=True):
            exact = exact_mean(name, a, b)
            assert abs(value - exact) <= 1e-15 * abs(exact) * (1 + abs(min(a, b, 0))), (a, b)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_is_the_derivative_of_the_energy(name: str) -> None:
    w = torch.tensor([-800, -30, -20.5, -1, -1e-9, 0, 1e-9, 1, 9.9, 10.1, 20.5, 800], dtype=torch.float64)
    w.requires_grad_()
    (slope,) = torch.autograd.grad(ACTIVATIONS[name].energy(w).sum(), w)
    assert torch.allclose(slope, ACTIVATIONS[name].slope(w), rtol=0, atol=1e-15)
    assert bool(torch.isfinite(ACTIVATIONS[name].energy(w)).all())


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("w", [0.0, 0.3, -2.0, 700.0])
def test_derivatives_at_and_beside_equal_ends(name: str, w: float) -> None:
    """d/dw and d/dend are σ'/2 at equal ends, the second derivatives σ''/3, σ''/6, σ''/3."""
    slope, mean = ACTIVATIONS[name].slope, ACTIVATIONS[name].mean
    at = torch.tensor(w, dtype=torch.float64)
    first = torch.func.grad(slope)(at)
    second = torch.func.grad(torch.func.grad(slope))(at)
    for gap in (0.0, 1e-9, 1e-5):
        ends = torch.stack([at, at + gap])
        gradient = torch.func.jacrev(lambda pair: mean(pair[0], pair[1]))(ends)
        hessian = torch.func.jacrev(torch.func.jacrev(lambda pair: mean(pair[0], pair[1])))(ends)
        assert torch.allclose(gradient, (first / 2).expand(2), rtol=0, atol=gap + 1e-14)
        expected = second * torch.tensor([[2, 1], [1, 2]], dtype=torch.float64) / 6
        assert torch.allclose(hessian, expected, rtol=0, atol=gap + 1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_far_ends(name: str) -> None:
    """d/dend ∫ σ = (σ(end) - mean)/(end - w); also with an end at 0, where |w| has a kink, and 800 away."""
    activation = ACTIVATIONS[name]
    w = torch.tensor([0.0, -1.0, 1.5, -3.0, 800.0, -800.0], dtype=torch.float64)
    end = torch.tensor([3.0, 2.5, 0.0, 3.1, -700.0, -805.0], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(activation.mean(w, end).sum(), end, create_graph=True)
    expected = (activation.slope(end) - activation.mean(w, end)) / (end - w)
    assert torch.allclose(found, expected, rtol=0, atol=1e-14)
    (second,) = torch.autograd.grad(found.sum(), end)
    (wanted,) = torch.autograd.grad(expected.sum(), end)
    assert torch.allclose(second, wanted, rtol=0, atol=1e-13)


def energy(name: str, weighted: bool) -> NetworkEnergy:
    c = torch.rand(7, dtype=torch.float64) if weighted else None
    A, b = torch.randn(7, 4, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    return NetworkEnergy(A, b, c, name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradient_and_the_mean_gradient_of_a_network_energy(name: str, weighted: bool) -> None:
    H = energy(name, weighted)
    x, end = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    assert torch.allclose(H.gradient(x), torch.func.grad(lambda z: H(z).sum())(x), rtol=0, atol=1e-14)
    assert torch.equal(H.mean_gradient(x, x).isnan(), torch.zeros_like(x, dtype=torch.bool))
    assert torch.allclose(H.mean_gradient(x, x), H.gradient(x), rtol=0, atol=1e-14)
    rise = (H.mean_gradient(x, end) * (end - x)).sum(-1)
    assert torch.allclose(rise, H(end) - H(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_mean_gradient_passes_gradcheck(name: str) -> None:
    H = energy(name, True)
    x, end = torch.randn(2, 3, 4, dtype=torch.float64).requires_grad_()
    equal = x.detach().clone().requires_grad_()

    def mean(x: Tensor, end: Tensor, *weights: Tensor) -> Tensor:
        assert len(weights) == 3
        return H.mean_gradient(x, end)

    for other in (end, equal):
        assert torch.autograd.gradcheck(mean, (x, other, *H.parameters()))
        assert torch.autograd.gradgradcheck(mean, (x, other, *H.parameters()), atol=1e-4)


def test_misuse() -> None:
    A = torch.zeros(3, 2, dtype=torch.float64)
    with pytest.raises(UsageError, match="Did you mean 'tanh'"):
        NetworkEnergy(A, activation="tan")
    with pytest.raises(ShapeError, match=r"b has shape \(2,\)"):
        NetworkEnergy(A, torch.zeros(2, dtype=torch.float64))
    with pytest.raises(ShapeError, match="c has shape"):
        NetworkEnergy(A, c=torch.zeros(3))
    with pytest.raises(ShapeError, match="A has shape"):
        NetworkEnergy(torch.zeros(3))
