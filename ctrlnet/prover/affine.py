"""Slope-form bounds: every node as an affine function of the box plus a remainder, one rule a primitive.

Over the box x = m + h∘e with e in [-1, 1]ⁿ a node of size k is
    value(x) in c + Σᵢ Aᵢ eᵢ + [-r, r],        and value(x) in [l, u] as well,
with c, r >= 0 of shape (B, k) for B boxes, and `slopes` A of shape (n, B, k); what does not depend on the state has
A of shape (0, 1, k) and a batch of one. First-order terms cancel exactly between the parts of a sum, so the error of
a bound is quadratic in the width of the box; products keep the sign of their diagonal quadratic terms (eᵢ² is in [0,
1]). Every rule adds its own rounding, bounded as in `rounding`. Source: centred forms and Taylor models of first order
(Ratschek and Rokne, Computer Methods for the Range of Functions, 1984; Makino and Berz, 2003).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.prover.curves import Strip
from ctrlnet.prover.interval import Interval, entries, joined, parted_sum
from ctrlnet.prover.rounding import TINY, UNIT, gamma, raised


class Slope(NamedTuple):
    """c, A, r and [l, u]; magnitude >= |c| + Σ|Aᵢ| + r; radius is Σ|Aᵢ| + r up to roundings, and proves nothing.

    magnitude >= TINY too: γ |a| bounds a rounding, is multiplied by other sizes, and must not underflow before that.
    """

    center: Tensor
    slopes: Tensor
    remainder: Tensor
    range: Interval
    radius: Tensor
    magnitude: Tensor

    @property
    def constant(self) -> bool:
        return len(self.slopes) == 0

    @property
    def number(self) -> bool:
        """Whether this is one float64, whatever the state."""
        return self.constant and self.range.lower is self.range.upper

    @property
    def terms(self) -> Tensor:
        """The rows c, A₁ ... Aₙ as (B, 1+n, k)."""
        return torch.cat((self.center[:, None], self.slopes.transpose(0, 1)), 1)

    def of(self, chosen: Tensor | slice) -> Slope:
        """The form over some of its boxes."""
        center, slopes, remainder, bounds, radius, magnitude = self
        some = (part[chosen] for part in (remainder, *bounds, radius, magnitude))
        remainder, lower, upper, radius, magnitude = some
        return Slope(center[chosen], slopes[:, chosen], remainder, Interval(lower, upper), radius, magnitude)

    def to(self, device: str) -> Slope:
        """The form on another device."""
        center, slopes, remainder, bounds, radius, magnitude = self
        parts = (part.to(device) for part in (center, slopes, remainder, *bounds, radius, magnitude))
        center, slopes, remainder, lower, upper, radius, magnitude = parts
        return Slope(center, slopes, remainder, Interval(lower, upper), radius, magnitude)


Form = tuple[Tensor, Tensor, Tensor]  # center, slopes, remainder


def closed(form: Form, bounds: Interval | None = None, reach: Tensor | None = None) -> Slope:
    """Attach the range: c ± ρ with ρ >= Σ|Aᵢ| + r, or with a smaller `reach` >= |value - c|, intersected with `bounds`.

    Rounding: ρ comes out of `raised` with room for three more operations, and fl(c - h), h = ρ + 4u|c|, is at most
    c - h + u(|c| + h), which is below c - ρ. Where a sum overflowed, |c| is infinite and c - h and c + h prove nothing.
    """
    center, slopes, remainder = form
    radius, size = raised(total(slopes.abs()) + remainder), center.abs()
    half = torch.add(radius if reach is None else torch.minimum(radius, reach), size, alpha=4 * UNIT)
    lower, upper = center - half, half.add_(center)
    if bounds is not None:
        lower, upper = torch.maximum(lower, bounds.lower), torch.minimum(upper, bounds.upper)
    magnitude = torch.add(radius, size, alpha=1 + 4 * UNIT)
    return Slope(center, slopes, remainder, Interval(lower, upper), radius, magnitude)


def known(bounds: Interval) -> Slope:
    """What does not depend on the state, by its range; without remainder where that is one number."""
    lower, upper = bounds
    none = lower.new_zeros(0, *lower.shape)
    if lower is upper:
        nothing = torch.zeros_like(lower)
        return Slope(lower, none, nothing, bounds, nothing, lower.abs() + TINY)
    center = 0.5 * lower + 0.5 * upper
    return closed((center, none, raised(torch.maximum(upper - center, center - lower))), bounds)


def total(rows: Tensor) -> Tensor:
    """The sum over axis 0, row by row: torch's reduction of a few rows takes longer."""
    return functools.reduce(torch.add, rows.unbind(0)) if 0 < len(rows) <= 8 else rows.sum(0)


def _plus(a: Tensor, b: Tensor, sign: float) -> Tensor:
    """Slopes of a ± b; what does not depend on the state has none."""
    if not len(b):
        return a
    return torch.add(a, b, alpha=sign) if len(a) else sign * b


def add(a: Slope, b: Slope, sign: float = 1.0) -> Form:
    """a ± b: terms add; one rounding a term."""
    remainder = torch.add(a.remainder + b.remainder, a.magnitude + b.magnitude, alpha=gamma(1))
    return torch.add(a.center, b.center, alpha=sign), _plus(a.slopes, b.slopes, sign), raised(remainder)


def shift(a: Slope, k: Slope, bounds: Interval, sign: float = 1.0) -> Slope:
    """a ± k for a number k, the range given: everything but the centre stays, up to one rounding of it."""
    size = a.magnitude + k.magnitude
    center = torch.add(a.center, k.center, alpha=sign)
    remainder = raised(torch.add(a.remainder, size, alpha=gamma(1)))
    return Slope(center, a.slopes, remainder, bounds, a.radius, raised(size))


def scale(a: Slope, k: Slope) -> Form:
    """k a with k in c ± r independent of the state: c a plus |c| r_a + r |a|."""
    spread = torch.add(k.remainder, k.magnitude, alpha=gamma(2))
    remainder = torch.addcmul(k.center.abs() * a.remainder, spread, a.magnitude)
    return a.center * k.center, a.slopes * k.center, raised(remainder)


def multiply(a: Slope, b: Slope) -> Form:
    """The product of two forms.

    (c₁ + A·e + ρ₁)(c₂ + B·e + ρ₂) = c₁c₂ + (c₁B + c₂A)·e + Σᵢⱼ AᵢBⱼ eᵢeⱼ + c₁ρ₂ + c₂ρ₁ + ρ₂ A·e + ρ₁ B·e + ρ₁ρ₂.
    Diagonal: AᵢBᵢeᵢ² lies in AᵢBᵢ[0, 1], half of it moves to the centre. Off the diagonal, pairs are symmetrised:
    |AᵢBⱼ + AⱼBᵢ| for i < j. Every float here is a sum of at most n + 2 products, so its error is at most γ |a||b|.
    """
    if a.constant or b.constant:
        return scale(a, b) if b.constant else scale(b, a)
    A, B = a.slopes, b.slopes
    diagonal = A * B
    center = torch.add(a.center * b.center, total(diagonal), alpha=0.5)
    pad = torch.add(b.remainder, b.magnitude, alpha=gamma(4 * len(A) + 8))
    cross = torch.addcmul(a.magnitude * pad, b.magnitude, a.remainder)  # |a| holds ra, so that ra rb is counted
    quadratic = torch.add(cross, total(diagonal.abs()), alpha=0.5)
    for i in range(len(A)):
        for j in range(i):
            quadratic = quadratic + torch.addcmul(A[i] * B[j], A[j], B[i]).abs()
    return center, torch.addcmul(a.center * B, b.center, A), raised(quadratic)


def linear(a: Slope, weight: Tensor, bias: Slope | None = None) -> Slope:
    """W a + b, b a number: terms map by W, the remainder by |W|, and rounding by γ (|W| |a| + |b|).

    As |a - c| <= d, d the larger distance of c from the ends of the range, W a is within |W| d of W c, too: on wide
    boxes that is less than the form's own radius.
    """
    factor, sizes = gamma(weight.shape[1] + 1), weight.abs().T
    distance = torch.maximum(a.range.upper - a.center, a.center - a.range.lower)
    spreads = (torch.add(part, a.magnitude, alpha=factor) for part in (a.remainder, distance))
    if bias is None:
        center, parts = a.center @ weight.T, (part @ sizes for part in spreads)
    else:
        rounding = factor * bias.magnitude[0]
        center = torch.addmm(bias.center[0], a.center, weight.T)
        parts = (torch.addmm(rounding, part, sizes) for part in spreads)
    remainder, reach = (raised(part, 1 + factor) for part in parts)
    return closed((center, a.slopes @ weight.T, remainder), reach=reach)


def grouped_sum(a: Slope, groups: int) -> Form:
    """Sums of consecutive equal parts."""
    m = a.center.shape[-1] // groups
    spread = torch.add(a.remainder, a.magnitude, alpha=gamma(m))
    return parted_sum(a.center, groups), parted_sum(a.slopes, groups), raised(parted_sum(spread, groups), 1 + gamma(m))


def banded(a: Slope, strip: Strip) -> Form:
    """f(a) for f(z) - s z in middle ± half on the range of a:  s a + middle ± half."""
    slope, middle, half = strip
    spread = torch.add(a.remainder, a.magnitude, alpha=gamma(4))
    remainder = spread.mul_(slope).abs_().add_(half)
    return torch.addcmul(middle, slope, a.center), a.slopes * slope, raised(remainder)


def take(a: Slope, index: Sequence[int]) -> Slope:
    """The entries `index`."""
    center, slopes, remainder, bounds, radius, magnitude = a
    parts = (entries(part, index) for part in (center, slopes, remainder, *bounds, radius, magnitude))
    center, slopes, remainder, lower, upper, radius, magnitude = parts
    return Slope(center, slopes, remainder, Interval(lower, upper), radius, magnitude)


def concatenate(parts: Sequence[Slope]) -> Slope:
    """Side by side."""
    batch, n = max(len(part.center) for part in parts), max(len(part.slopes) for part in parts)
    slopes = torch.cat([filled(part.slopes, n).expand(-1, batch, -1) for part in parts], -1)
    center, remainder, lower, upper, radius, magnitude = (
        joined(rows)
        for rows in zip(*((p.center, p.remainder, *p.range, p.radius, p.magnitude) for p in parts), strict=True)
    )
    return Slope(center, slopes, remainder, Interval(lower, upper), radius, magnitude)


def filled(slopes: Tensor, n: int) -> Tensor:
    """Slopes with zeros for axes that are missing: all of them, where the state does not enter."""
    return slopes if len(slopes) == n else slopes.new_zeros(n, *slopes.shape[1:])
