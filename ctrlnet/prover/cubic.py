"""Inner products of second-order forms: their terms of third order are gathered before they are bounded.

In Σᵢ aᵢ bᵢ the terms of third order are Σᵢ (Aᵢ·e)(eᵀSᵢe) + (Bᵢ·e)(eᵀQᵢe), with A, Q of a and B, S of b. Each product
for itself is at most Σ|A| Σ|S|; together they are one polynomial Σ c e_j e_k e_l over j <= k <= l, in whose
coefficients much cancels. Of it, by Chebyshev's polynomial and e² in [0, 1],
    c e_j³ = 3/4 c e_j ± |c|/4,    c e_j² e_k = 1/2 c e_k ± |c|/2,    c e_j e_k e_l = ± |c|.
A derivative ∇V·F loses most by its terms of third order. What is left does not depend on the coordinates in which the
product is written.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, permutations

import torch
from torch import Tensor

from ctrlnet.prover.backward import Groups, Step, Through
from ctrlnet.prover.quadratic import Quadratic, product
from ctrlnet.prover.rounding import gamma, raised


def inner(a: Quadratic, b: Quadratic) -> Step:
    """Σᵢ aᵢ bᵢ of forms that depend on the state.

    A coefficient is a sum of at most 6 k + n products, those of all together are at most Σ|a||b|.
    """
    n, k = a.dimension, a.center.shape[-1]
    step, total = product(a, b), Groups(1, k)
    shift, left = _bounded(_coefficients(a, b), n)
    terms = step.terms.sum(2)
    terms[:, 1 : 1 + n] += shift
    pad = gamma(6 * k + n) * (a.magnitude * b.magnitude)
    local = total.spread(raised(step.local + pad)) + raised(left)[:, None]
    return Step(terms[:, :, None], raised(local), [Through(total, part) for part in step.influences if part])


def _coefficients(a: Quadratic, b: Quadratic) -> Tensor:
    """c (B, ·): those of e_j³, then of e_j² e_k, then of e_j e_k e_l."""
    n, sources = a.dimension, _sources(a.dimension).to(a.terms.device)
    products = torch.zeros(len(a.terms), n, n * (n + 1) // 2, dtype=a.terms.dtype, device=a.terms.device)
    for one, other in ((a, b), (b, a)):
        if other.curvature.shape[1]:
            products += one.slopes @ other.curvature.mT
    flat = torch.nn.functional.pad(products.flatten(1), (0, 1))
    return flat[:, sources].sum(2)


def _bounded(c: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """What is added to the slopes (B, n), and what is left (B,)."""
    cubes, squares, mixed = c.split((n, n * (n - 1), c.shape[1] - n * n), 1)
    shift = 0.75 * cubes + 0.5 * squares.unflatten(1, (n, n - 1)).sum(2)
    left = 0.25 * cubes.abs().sum(1) + 0.5 * squares.abs().sum(1) + mixed.abs().sum(1)
    return shift, left


@lru_cache
def _sources(n: int) -> Tensor:
    """Where the products (j, row of Q) of a coefficient stand, of which there are at most three; the last is empty.

    The rows of Q are Q₁₁ ... Qₙₙ, then Qₖₗ for k < l. Squares are in the order of the k of e_j² e_k.
    """
    rows, empty = n * (n + 1) // 2, n * n * (n + 1) // 2
    place = {(k, k): k for k in range(n)} | {pair: n + i for i, pair in enumerate(combinations(range(n), 2))}

    def at(j: int, k: int, l: int) -> int:
        return j * rows + place[min(k, l), max(k, l)]

    cubes = [(at(j, j, j), empty, empty) for j in range(n)]
    squares = [(at(k, j, j), at(j, j, k), empty) for k, j in permutations(range(n), 2)]
    mixed = [(at(j, k, l), at(k, j, l), at(l, j, k)) for j, k, l in combinations(range(n), 3)]
    return torch.tensor(cubes + squares + mixed)
