"""Linear-quadratic feedback."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.synthesis.lyapunov import lyapunov_equation
from ctrlnet.synthesis.matrices import matrix, square, weight

_RESIDUAL = 1e-9  # of the largest term of the equation


def lqr(A: Tensor, B: Tensor, Q: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """K and P of the feedback u = -K x that minimises ∫ xᵀQx + uᵀRu dt along x' = A x + B u.

    P is the stabilising solution of  AᵀP + P A - P B R⁻¹ Bᵀ P + Q = 0,  K = R⁻¹ BᵀP,  and xᵀPx the cost from x.

    Args:
        A: (n, n).  B: (n, m), (A, B) stabilisable.
        Q: (n, n), positive semidefinite, every undamped mode visible in it.  R: (m, m), positive definite.

    Returns:
        K (m, n) and P (n, n), float64, from the stable eigenvectors of the Hamiltonian matrix and one Newton step.

    Raises:
        UsageError: Q or R is no such matrix, or there is no stabilising solution (ShapeError: sizes; NonFinite: NaN).

    Source: Potter, Matrix quadratic solutions, 1966; the Newton step is Kleinman, On an iterative technique for
    Riccati equation computations, 1968.
    """
    A = square(A, "A")
    B = matrix(B, "B", A.shape[0])
    n, m = B.shape
    Q, R = weight(Q, "Q", n, definite=False), weight(R, "R", m, definite=True)
    P = _from_hamiltonian(A, B @ torch.linalg.solve(R, B.T), Q)
    K = torch.linalg.solve(R, B.T @ P)
    P = lyapunov_equation(A - B @ K, _symmetric(Q + K.T @ R @ K))
    _check_residual(A, B, Q, R, P)
    return torch.linalg.solve(R, B.T @ P), P


def _from_hamiltonian(A: Tensor, S: Tensor, Q: Tensor) -> Tensor:
    """P = Y X⁻¹ from the stable invariant subspace [X; Y] of [[A, -S], [-Q, -Aᵀ]]."""
    n = A.shape[0]
    hamiltonian = torch.cat([torch.cat([A, -S], 1), torch.cat([-Q, -A.T], 1)])
    values, vectors = torch.linalg.eig(hamiltonian)
    order = values.real.argsort()
    gap = 1e-9 * float(values.abs().max())
    if float(values.real[order[n - 1]]) >= -gap or float(values.real[order[n]]) <= gap:
        raise UsageError(
            "No stabilising solution: an uncontrollable mode is not stable, or Q does not see an undamped one. "
            "Check (A, B), or give a positive definite Q."
        )
    stable = vectors[:, order[:n]]
    X, Y = stable[:n], stable[n:]
    if float(torch.linalg.svdvals(X)[-1]) < 1e-12:
        raise UsageError("No stabilising solution: (A, B) is not stabilisable. Check which states the control reaches.")
    return _symmetric(torch.linalg.solve(X.T, Y.T).T.real)


def _check_residual(A: Tensor, B: Tensor, Q: Tensor, R: Tensor, P: Tensor) -> None:
    terms = [A.T @ P, P @ A, -P @ B @ torch.linalg.solve(R, B.T @ P), Q]
    residual = float(torch.stack(terms).sum(0).abs().max())
    largest = float(torch.stack(terms).abs().max())
    if residual > _RESIDUAL * largest:
        raise UsageError(
            f"The Riccati equation is solved only to {residual / largest:.1e}; A, B, Q, R are too badly scaled. "
            "Choose units in which their entries are of similar size."
        )


def _symmetric(M: Tensor) -> Tensor:
    return (M + M.T) / 2
