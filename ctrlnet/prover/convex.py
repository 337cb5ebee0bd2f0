"""Lower bounds of quadratic functions on the cube [-1, 1]ⁿ by a sum of squares and its tangent.

Theorem. For every matrix L and vector t, with R = Q - LᵀL,
    c + A·e + eᵀQe >= c - |t|² + (A + 2 Lᵀt)·e + eᵀRe >= c - |t|² - Σᵢ |Aᵢ + 2 (Lᵀt)ᵢ| + Σᵢ min(0, Rᵢᵢ) - Σ_{i≠j} |Rᵢⱼ|,
since |Le|² >= 2 t·Le - |t|². Nothing depends on how L and t were found. For Q positive semidefinite LᵀL = Q, and
t = Le at the minimiser e gives the minimum itself. Otherwise the negative part N of Q is paid for on the diagonal:
LᵀL = Q + D with Dᵢᵢ = Σⱼ |Nᵢⱼ|, for D - N is diagonally dominant.

Source: the convex underestimators of Adjiman, Dallwig, Floudas and Neumaier, Computers chem. Engng 22, 1998.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ctrlnet.prover.quadratic import pairs
from ctrlnet.prover.rounding import TINY, gamma

SWEEPS = 4  # of coordinate descent
LARGEST = 1e100  # beyond, the eigenvalues may overflow


def symmetric(rows: Tensor, n: int) -> Tensor:
    """The matrix Q (B, n, n) of the rows (B, n (n + 1) / 2); halving is exact but for underflow, which is padded."""
    matrix, (i, j), k = rows.new_zeros(len(rows), n, n), pairs(n), torch.arange(n)
    matrix[:, k, k] = rows[:, :n]
    matrix[:, i, j] = matrix[:, j, i] = 0.5 * rows[:, n:]
    return matrix


def least(center: Tensor, slopes: Tensor, curvature: Tensor) -> Tensor:
    """Lower bounds (B,) of c + A·e + eᵀQe over the cube, from c (B,), A (B, n) and Q's rows; NaN where not finite."""
    n = slopes.shape[1]
    Q = symmetric(curvature, n)
    known = (Q.abs() < LARGEST).flatten(1).all(1) & (slopes.abs() < LARGEST).all(1) & center.isfinite()
    Q, A = torch.where(known[:, None, None], Q, 0.0), torch.where(known[:, None], slopes, 0.0)
    M, values, vectors = _convex(Q)
    L = values.sqrt()[:, :, None] * vectors.mT
    start = (vectors @ ((vectors.mT @ A[:, :, None]) / (-2 * values[:, :, None]).clamp(max=-TINY)))[:, :, 0]
    t = (L @ _minimiser(A, M, start)[:, :, None])[:, :, 0]
    tangent = A + 2 * (L.mT @ t[:, :, None])[:, :, 0]
    R = Q - L.mT @ L
    diagonal = R.diagonal(dim1=1, dim2=2)
    loss = R.abs().flatten(1).sum(1) - diagonal.clamp(min=0.0).sum(1)
    size = L.abs()
    sizes = Q.abs() + size.mT @ size
    pad = gamma(n * n + 4 * n) * (
        center.abs() + A.abs().sum(1) + 2 * sizes.flatten(1).sum(1) + 3 * (size.sum(1) * t.abs().amax(1, True)).sum(1)
        + 3 * t.square().sum(1)
    )  # fmt: skip
    value = center - tangent.abs().sum(1) - t.square().sum(1) - loss - pad - pad - TINY
    return torch.where(known, value, math.nan)


def _convex(Q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """M = Q + D with its eigenvalues, none below zero, and eigenvectors."""
    values, vectors = torch.linalg.eigh(Q)
    negative = (vectors * values.clamp(max=0.0)[:, None, :]) @ vectors.mT
    shift = torch.where(values[:, :1] < 0, negative.abs().sum(2), 0.0)
    M = Q + torch.diag_embed(shift)
    values, vectors = torch.linalg.eigh(M)
    return M, values.clamp(min=0.0), vectors


def _minimiser(A: Tensor, M: Tensor, start: Tensor) -> Tensor:
    """About the minimiser of A·e + eᵀMe in the cube, by coordinate descent from the unconstrained one."""
    e, diagonal = start.nan_to_num(0.0).clamp(-1.0, 1.0), M.diagonal(dim1=1, dim2=2).clamp(min=TINY)
    for _ in range(SWEEPS):
        for i in range(A.shape[1]):
            gradient = A[:, i] + 2 * ((M[:, i] * e).sum(1) - M[:, i, i] * e[:, i])
            e[:, i] = (-gradient / (2 * diagonal[:, i])).nan_to_num(0.0).clamp(-1.0, 1.0)
    return e
