"""Ranges of forms of second order: polynomials c + A.e + e'Qe + rho, |rho| <= rest, on the cube |e_i| <= 1."""

from __future__ import annotations

import numpy as np

from ctrlnet.checker.interval import TINY, Array, Interval, down, gamma, up
from ctrlnet.checker.taylor import ERROR, Form, fat, total

LARGEST = 1e100
"""Beyond this, eigenvalues may overflow."""
SWEEPS = 8
"""Of the descent in `least`."""


def span(a: Form) -> Interval:
    """Range (B, size): the largest A t + q t^2 over 0 <= t <= 1 is A^2 / (-4 q) if 2 q < -A, else A + q or 0."""
    A, q = np.abs(a.linear), a.quadratic[: a.n]
    rest = a.rest + total(a.quadratic[a.n :]) + ERROR * a.size
    if not len(q):
        reach = fat(rest + A.sum(0))
        return Interval(down(a.terms[0] - reach), up(a.terms[0] + reach))
    low, high = (fat(rest + _peaks(A, sign * q).sum(0)) for sign in (-1, 1))
    return Interval(down(a.terms[0] - low), up(a.terms[0] + high))


def centred(a: Form) -> Interval:
    """Values at the midpoints of the boxes."""
    return Interval(down(a.terms[0] - a.rest), up(a.terms[0] + a.rest))


def _peaks(A: Array, q: Array) -> Array:
    inner = 2 * q < -A
    return np.where(inner, 0.25 * A * (A / np.where(inner, -q, 1.0)), np.maximum(A + q, 0.0))


def tight(a: Form) -> Interval:
    """Range (B,) of forms of size 1, by `least`."""
    boxes = len(a.rest)
    low = least(Form(np.concatenate([a.terms, -a.terms], 1), np.concatenate([a.rest, a.rest]), a.n))
    return Interval(low[:boxes], -low[boxes:])


def least(a: Form) -> Array:
    """Lower bounds (B,) of forms of size 1, from any D, t and L.

    With M = Q + D, D = diag(D_i) >= 0, g = A + 2 M t and e = t + z in the cube,
    A.e + e'Qe >= A.e + e'Me - sum D_i = -t'Mt + g.e + z'Mz - sum D_i >= -t'Mt - |g|_1 - sum D_i    if z'Mz >= 0,
    which holds if R + D, R = Q - L'L, is diagonally dominant: D_i >= sum_{j != i} |R_ij| - R_ii. L'L is taken as
    the positive part of Q, and t, in the cube, near the minimiser of A.e + e'Me.
    """
    n, c, rest = a.n, a.terms[0, :, 0], a.rest[:, 0]
    A, Q = a.linear[:, :, 0].T, a.matrices()
    known = np.asarray((np.abs(Q) < LARGEST).all((1, 2)) & (np.abs(A) < LARGEST).all(1))
    A, Q = np.where(known[:, None], A, 0.0), np.where(known[:, None, None], Q, 0.0)
    values, vectors = np.linalg.eigh(Q)
    L = np.sqrt(np.maximum(values, 0.0))[:, :, None] * vectors.swapaxes(1, 2)
    k, size, error = np.arange(n), np.abs(Q) + np.abs(L).swapaxes(1, 2) @ np.abs(L), gamma(n * n + 8)
    R = Q - L.swapaxes(1, 2) @ L
    D = np.maximum(np.abs(R).sum(2) - np.abs(R[:, k, k]) - R[:, k, k] + error * size.sum(2), 0.0) + TINY
    M = Q.copy()
    M[:, k, k] += D
    t = _minimiser(A, M, np.clip(-0.5 * _solved(values, vectors, A), -1.0, 1.0))
    Mt = (M @ t[:, :, None])[:, :, 0]
    rest = rest + error * (np.abs(c) + np.abs(A).sum(1) + 4 * (np.abs(Q).sum((1, 2)) + D.sum(1)))
    low = c - (t * Mt).sum(1) - np.abs(A + 2 * Mt).sum(1) - D.sum(1)
    return np.where(known, low - fat(rest), np.nan)


def _solved(values: Array, vectors: Array, A: Array) -> Array:
    """About a solution of Q t = A in the span of the eigenvectors of large eigenvalues; Q t = 0 in the others."""
    parts = (A[:, None] @ vectors)[:, 0] / np.where(values > 1e-9 * values[:, -1:], values, np.inf)
    return np.asarray((vectors @ parts[:, :, None])[:, :, 0])


def _minimiser(A: Array, M: Array, start: Array) -> Array:
    """Near the minimiser of A.e + e'Me in the cube, by descent along one coordinate after the other."""
    t, step = start, np.maximum(2 * np.diagonal(M, axis1=1, axis2=2), TINY)
    for k in [*range(A.shape[1])] * SWEEPS:
        slope = A[:, k] + 2 * (M[:, k] * t).sum(1)
        t[:, k] = np.clip(t[:, k] - slope / step[:, k], -1.0, 1.0)
    return t
