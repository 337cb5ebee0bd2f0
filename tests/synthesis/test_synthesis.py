"""LQR, Lyapunov equations, linearisation: published and closed-form values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ctrlnet import NonFinite, ShapeError, UsageError, linearize, lqr, lyapunov_equation


def matrix(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def segway(x: Tensor, u: Tensor) -> Tensor:
    """Planar Segway (φ, v, φ'), after Rosolia's MultiRate simulator."""
    phi, v, rate = x.unbind(-1)
    c, s, u = torch.cos(phi), torch.sin(phi), u[..., 0]
    forward = (c * (-1.8 * u + 11.5 * v + 9.8 * s) - 10.9 * u + 68.4 * v - 1.2 * rate**2 * s) / (c - 24.7)
    pitch = ((9.3 * u - 58.8 * v) * c + 38.6 * u - 234.5 * v - s * (208.3 + rate**2 * c)) / (c**2 - 24.7)
    return torch.stack([rate, forward, pitch], -1)


def cartpole(x: Tensor, u: Tensor) -> Tensor:
    """Cart 1 kg, point mass 0.1 kg on 1 m, θ = 0 upright."""
    _, theta, v, omega = x.unbind(-1)
    s, c, u = torch.sin(theta), torch.cos(theta), u[..., 0]
    mass = 1 + 0.1 * s**2
    push = (u + 0.1 * s * (omega**2 - 9.81 * c)) / mass
    turn = (-u * c - 0.1 * omega**2 * c * s + 1.1 * 9.81 * s) / mass
    return torch.stack([v, omega, push, turn], -1)


def linearized(plant: object, n: int) -> tuple[Tensor, Tensor]:
    x, u = torch.zeros(n, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    return linearize(lambda x: plant(x, u), x), linearize(lambda u: plant(x, u), u)  # type: ignore[operator]


def test_cartpole_linearization() -> None:
    A, B = linearized(cartpole, 4)
    expected = matrix([0, 0, 1, 0], [0, 0, 0, 1], [0, -0.981, 0, 0], [0, 10.791, 0, 0])
    assert torch.allclose(A, expected, rtol=1e-13, atol=1e-15)
    assert torch.allclose(B, matrix([0], [0], [1], [-1]))


def test_segway_values() -> None:
    A, B = linearized(segway, 3)
    assert torch.allclose(A, matrix([0, 0, 1], [-0.4135, -3.3713, 0], [8.7890, 12.3755, 0]), atol=5e-5)
    assert torch.allclose(B, matrix([0], [0.5359], [-2.0211]), atol=5e-5)
    open_loop = torch.linalg.eigvals(A).real.sort().values
    assert torch.allclose(open_loop, torch.tensor([-4.046, -2.147, 2.822], dtype=torch.float64), atol=5e-4)
    K, P = lqr(A, B, 10 * torch.eye(3), torch.eye(1))
    assert torch.allclose(K, matrix([-19.0242, -12.5086, -7.3904]), atol=5e-5)
    assert torch.allclose(
        P, matrix([77.647, 48.639, 22.309], [48.639, 37.284, 16.074], [22.309, 16.074, 7.919]), atol=5e-4
    )
    closed = torch.linalg.eigvals(A - B @ K)
    assert torch.allclose(closed.real.sort().values, torch.tensor([-8.249, -1.678, -1.678]).double(), atol=5e-4)
    assert math.isclose(float(closed.imag.max()), 0.712, abs_tol=5e-4)


def test_double_integrator_closed_form() -> None:
    K, P = lqr(matrix([0, 1], [0, 0]), matrix([0], [1]), torch.eye(2), torch.eye(1))
    root = math.sqrt(3)
    assert torch.allclose(K, matrix([1, root]), rtol=1e-13)
    assert torch.allclose(P, matrix([root, 1], [1, root]), rtol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_riccati_residual_and_optimality(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    A, B = (torch.randn(6, k, dtype=torch.float64, generator=generator) for k in (6, 2))
    R = matrix([2, 0.5], [0.5, 1])
    K, P = lqr(A, B, torch.eye(6), R)
    residual = A.T @ P + P @ A - K.T @ R @ K + torch.eye(6)
    assert float(residual.abs().max()) < 1e-10 * float(P.abs().max())
    assert float(torch.linalg.eigvals(A - B @ K).real.max()) < 0
    # the cost of any other stabilising gain is larger
    other = K + 0.01 * torch.randn(2, 6, dtype=torch.float64, generator=generator)
    cost = lyapunov_equation(A - B @ other, torch.eye(6) + other.T @ R @ other)
    assert float(torch.linalg.eigvalsh(cost - P)[0]) > -1e-10


def test_lyapunov_equation() -> None:
    assert torch.allclose(lyapunov_equation(matrix([-2.0]), matrix([4.0])), matrix([1.0]))
    A, Q = matrix([0, 1], [-2, -3]), torch.eye(2, dtype=torch.float64)
    P = lyapunov_equation(A, Q)
    assert torch.allclose(P, matrix([1.25, 0.25], [0.25, 0.25]))
    assert torch.allclose(A.T @ P + P @ A, -Q, atol=1e-14)


def test_errors() -> None:
    A, B, one = matrix([0, 1], [0, 0]), matrix([0], [1]), torch.eye(1)
    eye = torch.eye(2)
    with pytest.raises(UsageError, match="No stabilising solution"):
        lqr(torch.eye(2), matrix([1], [0]), eye, one)
    with pytest.raises(UsageError, match="No stabilising solution"):
        lqr(A, B, torch.zeros(2, 2), one)
    with pytest.raises(UsageError, match="R has the eigenvalue"):
        lqr(A, B, eye, -one)
    with pytest.raises(UsageError, match="not symmetric"):
        lqr(A, B, matrix([1, 1], [0, 1]), one)
    with pytest.raises(ShapeError, match="B has shape"):
        lqr(A, matrix([0, 1]), eye, one)
    with pytest.raises(ShapeError, match="A has shape"):
        lyapunov_equation(matrix([0, 1]), eye)
    with pytest.raises(NonFinite, match="A holds"):
        lyapunov_equation(torch.nan * eye, eye)
    with pytest.raises(UsageError, match="real part 0"):
        lyapunov_equation(A, eye)
    with pytest.raises(ShapeError, match="one floating-point state"):
        linearize(torch.sin, torch.zeros(2, 2))
    with pytest.raises(ShapeError, match="must give"):
        linearize(torch.sum, torch.zeros(2))
