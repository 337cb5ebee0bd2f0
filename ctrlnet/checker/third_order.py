"""Sums of products of forms: their terms of third order are gathered before they are bounded.

The product of A.e and e'Re, linear and quadratic parts of two forms, is a polynomial of third order. Those of a sum of
products together are sum c_jkl e_j e_k e_l over j <= k <= l, in whose coefficients much cancels; by Chebyshev's
polynomial of degree 3, and as e^2 lies in [0, 1],

    c e_j^3 = 3/4 c e_j +- |c| / 4,   c e_j^2 e_k = c e_k / 2 +- |c| / 2,   c e_j e_k e_l = +- |c|.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.interval import Array


def products(linear: Array, quadratic: Array, parts: int) -> Array:
    """A_j Q_kl (n, K, B, parts), the rows (B, size) summed over consecutive parts of equal length."""
    rows = [a * quadratic for a in linear]
    return np.stack([row.reshape(*row.shape[:2], parts, -1).sum(3) for row in rows])


def bounded(found: Array) -> tuple[Array, Array]:
    """Of sums of `products`: what is added to the linear terms (n, B, parts), and what is left (B, parts)."""
    n, rest = len(found), found.shape[2:]
    flat = np.concatenate([found.reshape(-1, *rest), np.zeros((1, *rest))])
    c = flat[_sources(n)].sum(1)
    cubes, squares, mixed = c[:n], c[n : n * n].reshape(n, n - 1, *rest), c[n * n :]
    left = 0.25 * np.abs(cubes).sum(0) + 0.5 * np.abs(squares).sum((0, 1)) + np.abs(mixed).sum(0)
    return 0.75 * cubes + 0.5 * squares.sum(1), left


@lru_cache
def _sources(n: int) -> NDArray[np.intp]:
    """Where the products (j, place of e_k e_l) of each coefficient stand, at most three; the last place is empty.

    The coefficients are of e_j^3, of e_j^2 e_k in the order of k, of e_j e_k e_l.
    """
    bends, empty = n * (n + 1) // 2, n * n * (n + 1) // 2
    place = {(k, k): k for k in range(n)} | {pair: n + i for i, pair in enumerate(combinations(range(n), 2))}

    def at(j: int, *pair: int) -> int:
        return j * bends + place[min(pair), max(pair)]

    cubes = [(at(j, j, j), empty, empty) for j in range(n)]
    squares = [(at(k, j, j), at(j, j, k), empty) for k, j in permutations(range(n), 2)]
    mixed = [(at(j, k, l), at(k, j, l), at(l, j, k)) for j, k, l in combinations(range(n), 3)]
    return np.array(cubes + squares + mixed)
