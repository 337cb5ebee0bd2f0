"""Antisymmetric fields: imaginary spectra, and the variants that conserve."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ctrlnet import UsageError
from ctrlnet.layers import Antisymmetric, NormPreserving, SkewGradient


def spectrum(field: torch.nn.Module, x: Tensor) -> Tensor:
    return torch.linalg.eigvals(torch.vmap(torch.func.jacrev(field))(x).detach())


def midpoint(field: torch.nn.Module, x: Tensor, h: float) -> Tensor:
    """One implicit midpoint step."""
    end = x
    for _ in range(60):
        end = x + h * field((x + end) / 2)
    return end


def test_equals_its_formula() -> None:
    field, x = Antisymmetric(5, damping=0.25, seed=0), torch.randn(7, 5, dtype=torch.float64)
    S = field.K - field.K.T - 0.25 * torch.eye(5, dtype=torch.float64)
    assert torch.allclose(field(x), torch.tanh(x @ S.T + field.b), rtol=0, atol=1e-15)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "leaky_relu"])
def test_the_spectrum_is_imaginary(activation: str) -> None:
    field, x = Antisymmetric(6, activation=activation, seed=0), torch.randn(50, 6, dtype=torch.float64)
    found = spectrum(field, x)
    assert float(found.real.abs().max()) <= 1e-14
    assert float(found.imag.abs().max()) > 0.1


def test_damping_moves_it_to_the_left() -> None:
    found = spectrum(Antisymmetric(6, damping=0.3, seed=0), torch.randn(50, 6, dtype=torch.float64))
    assert float(found.real.max()) < 0


def test_skew_gradient_conserves_its_energy() -> None:
    """Along the field to rounding, and over 100 steps of the discrete gradient method (avf)."""
    field, x = SkewGradient(4, seed=0), torch.randn(20, 4, dtype=torch.float64)
    H = field.potential
    assert torch.allclose(field(x), torch.tanh(x) @ (field.K - field.K.T).T, rtol=0, atol=1e-15)
    assert float((H.gradient(x) * field(x)).sum(-1).detach().abs().max()) <= 1e-15
    start = H(x)
    with torch.no_grad():
        for _ in range(100):
            end = x
            for _ in range(30):
                end = x + 0.1 * field.applied(H.mean_gradient(x, end))
            x = end
    assert float((H(x) - start).abs().max()) <= 1e-13
    assert {name for name, one in field.named_parameters() if one.requires_grad} == {"K"}


def test_norm_preserving_keeps_the_norm() -> None:
    """Along the field to rounding, and over 100 implicit midpoint steps, which keep every quadratic invariant."""
    field, x = NormPreserving(4, 16, seed=0), torch.randn(20, 4, dtype=torch.float64)
    assert float((x * field(x)).sum(-1).detach().abs().max()) <= 1e-14
    assert float(field(x).detach().abs().max()) > 0.1
    start = x.norm(dim=-1)
    with torch.no_grad():
        for _ in range(100):
            x = midpoint(field, x, 0.05)
    assert float((x.norm(dim=-1) - start).abs().max()) <= 1e-12


def test_seeds_and_the_global_generator() -> None:
    state = torch.get_rng_state()
    first, again, other = (Antisymmetric(3, seed=seed).K for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())
    assert Antisymmetric(3, dtype=torch.float32).K.dtype == torch.float32
    assert not torch.equal(Antisymmetric(3).K, Antisymmetric(3).K)


def test_misuse() -> None:
    with pytest.raises(UsageError, match="Allowed: tanh"):
        Antisymmetric(3, activation="gelu")
    with pytest.raises(UsageError, match=r"shape \(0, 0\)"):
        Antisymmetric(0)
