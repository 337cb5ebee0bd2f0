"""The proof at the equilibrium: a box R around x* on which the statement holds for every state but x* itself.

With d = x - x*, F(x*) = 0, V(x*) = 0, ∇V(x*) = 0 and the mean value theorem along the ray from x* to x, row by row,
    F(x) = A d,   ∇V(x) = H₁ d,   V(x) = dᵀH₂ d / 2,     A in [∂F(R)], H₁, H₂ in [Hess V(R)],
so that ∇V·F + rate V = dᵀ(H₁ᵀA + (rate/2) H₂) d. It is enough that every symmetric matrix in sym[H] is positive
definite and every one in sym([H]ᵀ[A] + (rate/2)[H]) negative definite. A symmetric interval matrix C ± D is positive
definite exactly when C - S D S is, for every diagonal S of signs (Rohn, SIAM J. Matrix Anal. Appl. 15, 1994, Thm 2);
the checker decides that in rationals.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.loop import Loop

HALVINGS = 60  # sizes tried: the whole box down to 2⁻³⁰ of it, two an octave
RESERVE = 1e-6  # relative distance of the eigenvalues from zero that is left to the checker


@dataclass(frozen=True)
class Neighbourhood:
    """R = [lower, upper] around the equilibrium."""

    lower: Tensor
    upper: Tensor

    def contains(self, lower: Tensor, upper: Tensor) -> Tensor:
        return ((lower >= self.lower) & (upper <= self.upper)).all(-1)

    def shrunk(self, factor: float, about: Tensor) -> Neighbourhood:
        return Neighbourhood(about + factor * (self.lower - about), about + factor * (self.upper - about))


def neighbourhood(loop: Loop, lower: Tensor, upper: Tensor) -> Neighbourhood | None:
    """The largest R of its shape, inside [lower, upper], on which the matrix inequalities hold; None if none does."""
    about = center(loop)
    reach = torch.minimum(about - lower, upper - about)
    half = _shape(loop, about, reach) * (2.0 ** (-0.5 * torch.arange(HALVINGS, dtype=torch.float64)))[:, None]
    low, high = about - half, about + half
    good = definite(loop, low, high).nonzero().flatten()
    return Neighbourhood(low[good[0]], high[good[0]]) if len(good) else None


def center(loop: Loop) -> Tensor:
    return torch.tensor([float(value) for value in loop.equilibrium], dtype=torch.float64)


def refuted(loop: Loop, lower: Tensor, upper: Tensor) -> tuple[str, Tensor] | None:
    """Why no level is true, and a state near x* that shows it: V is negative, or falls too slowly, along a ray.

    Shown by a direction v with vᵀHv < 0 for every H in sym[H], or vᵀMv > 0 for every M in sym([H]ᵀ[A] + (rate/2)[H]),
    over a box around x*, however near.
    """
    about = center(loop)
    reach = torch.minimum(about - lower, upper - about)
    half = torch.tensor([[1e-6], [1e-9], [1e-12]], dtype=torch.float64) * reach + 1e-15 * about.abs()  # x* is inside
    hessian, decrease = quadratic_forms(loop, about - half, about + half)
    negated = Interval(-hessian.upper, -hessian.lower)
    for words, matrix in (("V is negative", negated), ("V does not fall at this rate", decrease)):
        for middle, radius, extent in zip(*_symmetric(matrix), half, strict=True):
            if (v := _rising(middle, radius)) is not None:
                reason = f"{words} along a ray from the equilibrium, however near: no level is true."
                return reason, about + v * (extent / v.abs().clamp(min=1e-300)).amin()
    return None


def _rising(middle: Tensor, radius: Tensor) -> Tensor | None:
    """A direction v with vᵀMv > 0 for every symmetric M within `radius` of `middle`."""
    if not (middle.isfinite().all() and radius.isfinite().all()):
        return None
    v = torch.linalg.eigh(middle)[1][:, -1]
    certain = v @ middle @ v > v.abs() @ radius @ v.abs() + 1e-9 * middle.abs().sum()
    return v if bool(certain) else None


def definite(loop: Loop, lower: Tensor, upper: Tensor) -> Tensor:
    """Which of the boxes (B, n) satisfy both matrix inequalities, with the reserve."""
    hessian, decrease = quadratic_forms(loop, lower, upper)
    return _positive_definite(hessian) & _positive_definite(Interval(-decrease.upper, -decrease.lower))


def quadratic_forms(loop: Loop, lower: Tensor, upper: Tensor) -> tuple[Interval, Interval]:
    """[H] and [H]ᵀ[A] + (rate/2)[H] over boxes, each of shape (B, n, n)."""
    n = loop.graph.dimension
    rows = interval_bounds(loop.graph, loop.hessian + loop.jacobian, lower, upper)
    H, A = _stacked(rows[:n]), _stacked(rows[n:])
    corners = [_product(h, a) for h, a in itertools.product(H, A)]
    low = torch.stack(corners).amin(0).sum(1) + 0.5 * float(loop.rate) * H.lower
    high = torch.stack(corners).amax(0).sum(1) + 0.5 * float(loop.rate) * H.upper
    return H, Interval(low, high)


def _product(h: Tensor, a: Tensor) -> Tensor:
    """Terms h[k, i] a[k, j] of HᵀA, indexed (B, k, i, j)."""
    return h[:, :, :, None] * a[:, :, None, :]


def _stacked(rows: list[Interval]) -> Interval:
    return Interval(torch.stack([row.lower for row in rows], 1), torch.stack([row.upper for row in rows], 1))


def _symmetric(matrix: Interval) -> tuple[Tensor, Tensor]:
    middle, radius = 0.5 * (matrix.lower + matrix.upper), 0.5 * (matrix.upper - matrix.lower)
    return 0.5 * (middle + middle.mT), 0.5 * (radius + radius.mT)


def _positive_definite(matrix: Interval) -> Tensor:
    middle, radius = _symmetric(matrix)
    finite = (middle.isfinite() & radius.isfinite()).flatten(1).all(1)
    middle, radius = torch.where(finite[:, None, None], middle, 0.0), torch.where(finite[:, None, None], radius, 0.0)
    good = finite
    for signs in itertools.product((1.0, -1.0), repeat=middle.shape[-1] - 1):
        s = middle.new_tensor((1.0, *signs))
        eigenvalues = torch.linalg.eigvalsh(middle - s[:, None] * radius * s)
        good = good & (eigenvalues[:, 0] > RESERVE * eigenvalues.abs().amax(-1))
    return good


def _shape(loop: Loop, about: Tensor, reach: Tensor) -> Tensor:
    """Half widths in the proportion of the box around a level ellipsoid of Hess V(x*), as large as `reach` allows."""
    hessian = _stacked(interval_bounds(loop.graph, loop.hessian, about[None], about[None]))
    middle, _ = _symmetric(hessian)
    extent = torch.linalg.pinv(middle[0].nan_to_num(0.0, 0.0, 0.0)).diagonal().clamp(min=0.0).sqrt()
    extent = torch.where(extent > 0, extent, reach)
    return extent * (reach / extent).amin()
