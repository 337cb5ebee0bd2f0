"""Hamiltonian fields: what they are, and the theorem that deep networks of them keep their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ctrlnet import Energy, Separable, ShapeError, UsageError
from ctrlnet.layers import HamiltonianFlow, HamiltonianLayer, NetworkEnergy, TwoLayerHamiltonian
from ctrlnet.layers.energies import canonical

KINDS = {"one layer": HamiltonianLayer, "two layers": TwoLayerHamiltonian}


def flow(n: int = 6) -> HamiltonianFlow:
    A, b = torch.randn(9, n, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    return HamiltonianFlow(NetworkEnergy(A, b, torch.randn(9, dtype=torch.float64)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_field_is_j_times_the_gradient_of_the_energy(kind: str, activation: str) -> None:
    field = KINDS[kind](6, 8, activation=activation, seed=0)
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    gradient = torch.func.grad(lambda z: field.energy(z).sum())(x)
    assert isinstance(field, Separable)
    assert torch.allclose(field(x), gradient @ canonical(6, torch.float64).T, rtol=0, atol=1e-14)
    assert torch.equal(field(x), field.rate(0.0, x))
    q, p = x.chunk(2, -1)
    assert torch.equal(field(x), torch.cat([field.velocity(0.0, p), field.force(0.0, q)], -1))


def test_equal_their_formulas() -> None:
    one, two = HamiltonianLayer(4, 3, seed=0), TwoLayerHamiltonian(4, 3, seed=1)
    q, p = torch.randn(2, 7, 2, dtype=torch.float64)
    V, T = one.potential, two.kinetic
    assert torch.allclose(one(torch.cat([q, p], -1)), torch.cat([p, -torch.tanh(q @ V.A.T + V.b) @ V.A], -1))
    expected = torch.cat([torch.tanh(p @ T.A.T + T.b) @ T.A, -two.potential.gradient(q)], -1)
    assert torch.allclose(two(torch.cat([q, p], -1)), expected)


def test_a_flow_of_a_network_energy_conserves_it() -> None:
    field, x = flow(), torch.randn(20, 6, dtype=torch.float64)
    assert isinstance(field, Energy)
    assert float((field.potential.gradient(x) * field(x)).sum(-1).abs().max()) <= 1e-14
    end = x
    for _ in range(80):
        end = x + 0.05 * field.applied(field.potential.mean_gradient(x, end))
    assert float((field.potential(end) - field.potential(x)).abs().max()) <= 1e-13
    assert float((end - x).abs().max()) > 0.05


def semi_implicit_euler(field: Separable, x: Tensor, h: float) -> Tensor:
    q, p = x.chunk(2, -1)
    p = p + h * field.force(0.0, q)
    return torch.cat([q + h * field.velocity(0.0, p), p], -1)


def sensitivities(depth: int, n: int, kind: type, h: float) -> list[Tensor]:
    """∂x_depth/∂x_j of a deep network with random layers, for all j."""
    x, M = torch.randn(n, dtype=torch.float64), []
    for seed in range(depth):
        layer = kind(n, seed=seed)
        step = lambda z, layer=layer: semi_implicit_euler(layer, z, h)  # noqa: E731
        M.append(torch.func.jacrev(step)(x).detach())
        x = step(x).detach()
    products = [torch.eye(n, dtype=torch.float64)]
    for one in reversed(M):
        products.append(products[-1] @ one)
    return products


@pytest.mark.parametrize(
    ("depth", "h"), [(64, 0.3), pytest.param(1024, 0.05, marks=pytest.mark.slow)], ids=["64", "1024"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_vanishes(kind: str, depth: int, h: float) -> None:
    """Each layer is symplectic, so is each product M of them: MᵀJM = J, and |M| >= 1. That of tanh layers falls."""
    products, J = sensitivities(depth, 4, KINDS[kind], h), canonical(4, torch.float64)
    assert len(products) == depth + 1
    norms = torch.stack([torch.linalg.matrix_norm(M, 2) for M in products])
    for M, norm in zip(products, norms, strict=True):
        assert float((M.T @ J @ M - J).abs().max()) <= 1e-13 * float(norm) ** 2
    assert float(norms.min()) >= 1 - 1e-14
    assert float(norms.max()) > 1.5


def test_an_ordinary_network_loses_its_gradient() -> None:
    """The comparison: x⁺ = tanh(W x + b) of the same depth, so that the bound above is not for free."""
    from ctrlnet import mlp

    network, x = mlp((4,) * 65, seed=0), torch.randn(4, dtype=torch.float64)
    assert float(torch.linalg.matrix_norm(torch.func.jacrev(network)(x), 2)) < 1e-3


def test_misuse() -> None:
    with pytest.raises(UsageError, match="n is 5"):
        HamiltonianLayer(5)
    with pytest.raises(UsageError, match=r"shape \(0, 2\)"):
        HamiltonianLayer(4, 0)
    with pytest.raises(UsageError, match="n is 3"):
        flow(3)
    with pytest.raises(ShapeError):
        TwoLayerHamiltonian(4, seed=0)(torch.zeros(3, dtype=torch.float64))
