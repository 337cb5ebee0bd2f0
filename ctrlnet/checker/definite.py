"""Definiteness of interval matrices, decided exactly on the rational values of their float64 bounds.

Every symmetric member of C +- D is positive definite  if and only if  C - S D S is, for every S = diag(s), s_i = +-1:
x'Ax >= x'Cx - |x|'D|x| = x'(C - S D S)x with s the signs of x. Each of the 2^(n-1) matrices is tested by an exact
rational LDL' factorisation. For more than `SIGNS` rows, C - |D|_inf I positive definite is tested instead (Weyl).

Source: Rohn, Positive definiteness and stability of interval matrices, SIAM J. Matrix Anal. Appl. 15 (1994), Thm 2.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from ctrlnet.checker.interval import Array, Interval

SIGNS = 6
"""Most rows for which all sign vectors are tried."""
Exact = list[list[Fraction]]


def positive_definite(matrix: Interval) -> bool:
    """True when the symmetric part of every member of the interval matrix (n, n) is proved positive definite."""
    if not (np.isfinite(matrix.lo).all() and np.isfinite(matrix.hi).all()):
        return False
    low, high = _symmetric(matrix.lo), _symmetric(matrix.hi)
    centre = [[(a + b) / 2 for a, b in zip(r, s, strict=True)] for r, s in zip(low, high, strict=True)]
    radius = [[(b - a) / 2 for a, b in zip(r, s, strict=True)] for r, s in zip(low, high, strict=True)]
    n = len(centre)
    if n > SIGNS:
        norm = max(sum(row) for row in radius)
        return _factorises([[centre[i][j] - norm * (i == j) for j in range(n)] for i in range(n)])
    return all(
        _factorises([[centre[i][j] - s[i] * s[j] * radius[i][j] for j in range(n)] for i in range(n)])
        for s in ((1, *rest) for rest in itertools.product((1, -1), repeat=n - 1))
    )


def _symmetric(bounds: Array) -> Exact:
    exact = [[Fraction(v) for v in row] for row in bounds.tolist()]
    n = len(exact)
    return [[(exact[i][j] + exact[j][i]) / 2 for j in range(n)] for i in range(n)]


def _factorises(matrix: Exact) -> bool:
    """All pivots of the LDL' factorisation of a symmetric matrix are positive."""
    while matrix:
        (pivot, *first), *rest = matrix
        if pivot <= 0:
            return False
        matrix = [[b - row[0] * a / pivot for a, b in zip(first, row[1:], strict=True)] for row in rest]
    return True
