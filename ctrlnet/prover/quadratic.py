"""Second-order forms: a node as a quadratic function of the box plus a remainder of third order.

Over the box x = m + h∘e with e in [-1, 1]ⁿ a node of size k is
    value(x) in c + Σᵢ Aᵢ eᵢ + Σ_{i<=j} Qᵢⱼ eᵢ eⱼ + [-r, r],        and value(x) in [l, u] as well,
with c, Aᵢ, Qᵢⱼ, r >= 0 of shape (k,) for each of B boxes. `terms` stacks the rows c, A₁ ... Aₙ, Q₁₁ ... Qₙₙ, and Qᵢⱼ
for i < j row by row, as (B, 1 + n + n(n+1)/2, k). Rows that are missing at the end are zero: a constant has one, an
affine node 1 + n. Linear maps act on all rows alike, so they lose nothing; products and functions of one variable keep
their terms of second order, so the error of a bound is cubic in the width of the box. A rule gives
a `backward.Step` and adds its own rounding, bounded as in `rounding`: a float row of a product is a sum of at most four
products of rows, and all such products together are at most |a||b| with |a| = |c| + Σ|Aᵢ| + Σ|Qᵢⱼ| + r.

Source: Taylor models (Makino and Berz, Int. J. Pure and Applied Mathematics 4, 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.prover.affine import Slope
from ctrlnet.prover.backward import Factor, Groups, Influence, Matrix, Part, Selection, Sign, Step
from ctrlnet.prover.interval import Interval, joined
from ctrlnet.prover.rounding import above, below, finite, gamma, raised


class Quadratic(NamedTuple):
    """terms, remainder and range as above; first >= Σ|Aᵢ|, second >= Σ|Qᵢⱼ|; dimension: n."""

    terms: Tensor
    remainder: Tensor
    range: Interval
    first: Tensor
    second: Tensor
    dimension: int

    @property
    def center(self) -> Tensor:
        return self.terms[:, 0]

    @property
    def slopes(self) -> Tensor:
        return self.terms[:, 1 : 1 + self.dimension]

    @property
    def curvature(self) -> Tensor:
        """The rows Qᵢⱼ; none where they are zero."""
        return self.terms[:, 1 + self.dimension :]

    @property
    def magnitude(self) -> Tensor:
        """An upper bound of |c| + Σ|Aᵢ| + Σ|Qᵢⱼ| + r."""
        return raised(self.center.abs() + self.first + self.second + self.remainder)

    @property
    def constant(self) -> bool:
        return self.terms.shape[1] == 1


@lru_cache
def pairs(n: int) -> tuple[Tensor, Tensor]:
    """Indices i < j of the mixed terms, in the order of their rows."""
    i, j = torch.triu_indices(n, n, 1)
    return i, j


def closed(terms: Tensor, remainder: Tensor, bounds: Interval, n: int) -> Quadratic:
    """Attach the range: the interval rule's result intersected with that of the form.

    Aᵢeᵢ + Qᵢᵢeᵢ² <= |Aᵢ| + Qᵢᵢ, but Aᵢ²/(-4 Qᵢᵢ) where that parabola has its peak inside; |eᵢeⱼ| <= 1.
    """
    sizes, curvature = terms[:, 1 : 1 + n].abs(), terms[:, 1 + n :]
    first, second = raised(sizes.sum(1)), raised(curvature.abs().sum(1))
    center, up, down = finite(terms[:, 0]), raised(first + remainder), raised(first + remainder)
    if curvature.shape[1]:
        rest = curvature[:, n:].abs().sum(1) + remainder
        pad = gamma(4 * n + 8) * (first + second + remainder)
        up, down = (raised(_peaks(sizes, sign * curvature[:, :n]) + rest + pad) for sign in (1.0, -1.0))
    lower, upper = below(center - down), above(center + up)
    bounds = Interval(torch.maximum(lower, bounds.lower), torch.minimum(upper, bounds.upper))
    return Quadratic(terms, remainder, bounds, first, second, n)


def _peaks(sizes: Tensor, squares: Tensor) -> Tensor:
    """Σᵢ max of sᵢ e + qᵢ e² over e in [-1, 1], for s >= 0; never negative.

    The peak s²/(-4q) as s/4 times a quotient below 2: s² may underflow where the peak does not, and 4q overflow.
    """
    inside = sizes < -2 * squares
    peak = 0.25 * sizes * (sizes / torch.where(inside, -squares, 1.0))
    return torch.where(inside, peak, sizes + squares).clamp(min=0.0).sum(1)


def truncated(a: Quadratic) -> Slope:
    """The slope form: Qᵢᵢ eᵢ² lies in Qᵢᵢ [0, 1], half of it moves to the centre; the rest goes to the remainder."""
    n, curvature, center, remainder = a.dimension, a.curvature, a.center, a.remainder
    if curvature.shape[1]:
        squares = curvature[:, :n]
        center = center + 0.5 * squares.sum(1)
        loss = 0.5 * squares.abs().sum(1) + curvature[:, n:].abs().sum(1) + gamma(n) * a.magnitude
        remainder = raised(remainder + loss)
    radius = raised(a.first + remainder)
    return Slope(center, a.slopes.transpose(0, 1), remainder, a.range, radius, raised(center.abs() + radius))


def filled(terms: Tensor, rows: int) -> Tensor:
    """Terms with zero rows appended up to `rows`."""
    return torch.nn.functional.pad(terms, (0, 0, 0, rows - terms.shape[1]))


def plus(a: Tensor, b: Tensor) -> Tensor:
    """Sum of terms, one of which may have fewer rows."""
    if a.shape[1] == b.shape[1]:
        return a + b
    longer, shorter = (a, b) if a.shape[1] > b.shape[1] else (b, a)
    rows, batch = shorter.shape[1], max(len(a), len(b))
    return torch.cat((longer[:, :rows] + shorter, longer[:, rows:].expand(batch, -1, -1)), 1)


def add(a: Quadratic, b: Quadratic, sign: float = 1.0) -> Step:
    """a ± b: terms add; one rounding a term."""
    pad = gamma(1) * (a.magnitude + b.magnitude)
    return Step(plus(a.terms, b.terms if sign > 0 else -b.terms), raised(pad), (Sign(1.0), Sign(sign)))


def linear(a: Quadratic, weight: Tensor) -> Step:
    """W a: terms map by W, rounding is at most γ |W| |a|."""
    factor = gamma(weight.shape[1])
    pad = raised(raised(factor * a.magnitude) @ weight.T.abs()) * (1 + factor)
    return Step(a.terms @ weight.T, pad, (Matrix(weight),))


def grouped_sum(a: Quadratic, groups: int) -> Step:
    """Sums of consecutive equal parts."""
    m = a.center.shape[-1] // groups
    total = Groups(groups, m)
    pad = raised(total.spread(raised(gamma(m) * a.magnitude)))
    return Step(a.terms.unflatten(-1, (groups, m)).sum(-1), pad, (total,))


def take(a: Quadratic, index: Sequence[int]) -> Step:
    """The entries `index`."""
    chosen = Selection(torch.tensor(list(index), device=a.terms.device), a.terms.shape[-1])
    return Step(a.terms[:, :, chosen.index], torch.zeros_like(a.remainder[:, chosen.index]), (chosen,))


def concatenate(parts: Sequence[Quadratic]) -> Step:
    """Side by side."""
    batch, rows = max(len(p.terms) for p in parts), max(p.terms.shape[1] for p in parts)
    terms = torch.cat([filled(p.terms, rows).expand(batch, -1, -1) for p in parts], -1)
    places, start = [], 0
    for part in parts:
        stop = start + part.terms.shape[-1]
        places.append(Part(start, stop, terms.shape[-1]))
        start = stop
    return Step(terms, torch.zeros_like(joined([p.remainder for p in parts])), places)


def multiply(a: Quadratic, b: Quadratic) -> Step:
    """The product of two forms: pS + qP, in the words of `product`, is at most Σ|A| Σ|S| + Σ|B| Σ|Q|."""
    if a.constant or b.constant:
        return _scaled(a, b)
    step = product(a, b)
    return step._replace(local=raised(step.local + (a.first * b.second + a.second * b.first)))


def product(a: Quadratic, b: Quadratic) -> Step:
    """The product of two forms that depend on the state, but for its terms of third order.

    With p = A·e, P = eᵀQe for a and q, S for b:  c₁c₂ + (c₁q + c₂p) + (c₁S + c₂P + pq) is kept, of second order.
    Left are pS + qP, of third order, PS, at most Σ|Q| Σ|S|, and (p + P)ρ₂ + (q + S)ρ₁ + ρ₁ρ₂; c₁ρ₂ and c₂ρ₁ are the
    errors of the arguments.
    """
    n = a.dimension
    affine = plus(a.center[:, None] * b.terms, b.center[:, None] * a.terms)
    bent = products(a.slopes, b.slopes)
    terms = torch.cat((0.5 * affine[:, :1], affine[:, 1 : 1 + n], plus(bent, affine[:, 1 + n :])), 1)
    left = a.second * b.second
    cross = (a.first + a.second + a.remainder) * b.remainder + (b.first + b.second) * a.remainder
    pad = gamma(n + 8) * a.magnitude * b.magnitude
    return Step(terms, raised(left + cross + pad), (Factor(b.center), Factor(a.center)))


def _scaled(a: Quadratic, b: Quadratic) -> Step:
    """k f with k in c ± r independent of the state: c times f, and r |f|."""
    (k, f), order = ((a, b), 1) if a.constant else ((b, a), -1)
    pad = gamma(2) * raised(k.center.abs() + k.remainder) * f.magnitude
    influences: tuple[Influence | None, ...] = (None, Factor(k.center))
    return Step(f.terms * k.terms, raised(k.remainder * f.magnitude + pad), influences[::order])


def square(a: Quadratic) -> Step:
    """a²: the product of a with itself, whose error is that of one argument, 2cρ."""
    step = multiply(a, a)
    if a.constant:
        left = a.magnitude * a.remainder + raised(a.center.abs() * a.remainder)
        return Step(step.terms, raised(step.local + left), (None,))
    return step._replace(influences=(Factor(2 * a.center),))


def products(A: Tensor, B: Tensor) -> Tensor:
    """Rows of (A·e)(B·e): AᵢBᵢ, then AᵢBⱼ + AⱼBᵢ."""
    i, j = pairs(A.shape[1])
    return torch.cat((A * B, A[:, i] * B[:, j] + A[:, j] * B[:, i]), 1)


def of_state(lower: Tensor, upper: Tensor) -> Quadratic:
    """x = m + h∘e; h is rounded up, so the form covers the box."""
    middle = 0.5 * lower + 0.5 * upper
    half = torch.maximum(upper - middle, middle - lower)
    half = torch.where(half > 0, above(half), half)
    terms = torch.cat((middle[:, None], torch.diag_embed(half)), 1)
    nothing = torch.zeros_like(middle)
    return Quadratic(terms, nothing, Interval(lower, upper), half, nothing, lower.shape[1])


def parted(forms: Sequence[Quadratic]) -> Quadratic:
    """The forms of consecutive chunks of boxes as one."""
    terms, remainder, first, second = (
        torch.cat([getattr(form, part) for form in forms]) for part in ("terms", "remainder", "first", "second")
    )
    lower, upper = (torch.cat([form.range[side] for form in forms]) for side in (0, 1))
    return Quadratic(terms, remainder, Interval(lower, upper), first, second, forms[0].dimension)
