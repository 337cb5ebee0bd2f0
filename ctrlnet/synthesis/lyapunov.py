"""Lyapunov equations."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.synthesis.matrices import square, weight


def lyapunov_equation(A: Tensor, Q: Tensor) -> Tensor:
    """P of  AᵀP + P A + Q = 0,  so that V = xᵀPx falls with V̇ = -xᵀQx along x' = A x.

    Args:
        A: (n, n), every eigenvalue with a negative real part.
        Q: (n, n), symmetric and positive semidefinite; P is positive definite when Q is.

    Returns:
        P, symmetric, float64 (n, n), by the Kronecker form, n² unknowns: meant for n up to about 30.

    Raises:
        UsageError: A is not stable, or Q is no such matrix (ShapeError: sizes; NonFinite: NaN).

    Source: Khalil, Nonlinear Systems, 3rd ed., Thm 4.6.
    """
    A = square(A, "A")
    n = A.shape[0]
    Q = weight(Q, "Q", n, definite=False)
    slowest = float(torch.linalg.eigvals(A).real.max())
    if slowest >= 0:
        raise UsageError(f"A has an eigenvalue of real part {slowest:g}; the equation needs all of them below zero.")
    identity = torch.eye(n, dtype=torch.float64)
    operator = torch.kron(A.T.contiguous(), identity) + torch.kron(identity, A.T.contiguous())
    P: Tensor = torch.linalg.solve(operator, -Q.reshape(-1)).reshape(n, n)
    return (P + P.T) / 2
