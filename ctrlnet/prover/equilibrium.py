"""The proof at the equilibrium: a box R around x* on which the statement holds for every state but x* itself.

With d = x - x*, V(x*) = 0, ∇V(x*) = 0, F(x*) = 0 (or x* in discrete time), and the mean value theorem along the ray
from x* to x, row by row,
    F(x) = A d (or x* + A d),   ∇V(x) = H₁ d,   V(x) = dᵀH₂ d / 2,     A in [∂F(R)], H₁, H₂ in [Hess V(R)],
so that in continuous time  ∇V·F + rate V = dᵀ(H₁ᵀA + (rate/2) H₂) d,
and in discrete time        (1 - kappa) V(x) - V(F(x)) = dᵀ((1 - kappa) H₂ - AᵀH₃A) d / 2,   H₃ in [Hess V(R ∪ F(R))].
It is enough that every symmetric matrix in sym[H] is positive definite, and every one in sym(-[H]ᵀ[A] - (rate/2)[H]),
or in sym((1 - kappa)[H] - [A]ᵀ[H₃][A]), too. A symmetric interval matrix C ± D is positive definite exactly when
C - S D S is, for every diagonal S of signs (Rohn, SIAM J. Matrix Anal. Appl. 15, 1994, Thm 2); the checker decides that
in rationals. A disturbance ranges over all of its box, or over each of up to 64 parts of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ctrlnet.prover.certificate import Json, corners
from ctrlnet.prover.disturbances import joined
from ctrlnet.prover.forest import halved
from ctrlnet.prover.interval import Interval, interval_bounds

if TYPE_CHECKING:
    from ctrlnet.prover.loop import Loop

HALVINGS = 60  # sizes tried: the whole box down to 2⁻³⁰ of it, two an octave
PARTS = 6  # bisections of the disturbance's box
RESERVE = 1e-6  # relative distance of the eigenvalues from zero that is left to the checker


@dataclass(frozen=True)
class Neighbourhood:
    """R = [lower, upper] around the equilibrium; `trees` of its faces where the proof is by rays."""

    lower: Tensor
    upper: Tensor
    trees: list[list[str]] | None = None

    def contains(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Which boxes (B, N) lie in R with their first coordinates."""
        n = len(self.lower)
        return ((lower[:, :n] >= self.lower) & (upper[:, :n] <= self.upper)).all(-1)

    def document(self) -> Json:
        """As the certificate writes it."""
        said = corners(self.lower, self.upper)
        return said if self.trees is None else {**said, "rays": self.trees}

    def shrunk(self, factor: float, about: Tensor) -> Neighbourhood:
        return Neighbourhood(about + factor * (self.lower - about), about + factor * (self.upper - about))


def neighbourhood(loop: Loop) -> Neighbourhood | None:
    """The largest R of its shape, inside the box, on which the matrix inequalities hold; None if none does."""
    about, box = loop.about, loop.model.box
    reach = torch.minimum(about - box.lower, box.upper - about)
    half = shape(loop, about, reach) * (2.0 ** (-0.5 * torch.arange(HALVINGS, dtype=torch.float64)))[:, None]
    low, high = about - half, about + half
    good = definite_in_parts(loop, low, high).nonzero().flatten()
    return Neighbourhood(low[good[0]], high[good[0]]) if len(good) else None


def definite_in_parts(loop: Loop, lower: Tensor, upper: Tensor) -> Tensor:
    """Which of the boxes (B, n) satisfy both matrix inequalities, over as few parts of D as any of them does."""
    good = torch.zeros(len(lower), dtype=torch.bool)
    for parts in disturbance_parts(loop):
        good = torch.stack([definite(loop, lower, upper, *part) for part in parts]).all(0)
        if bool(good.any()):
            break
    return good


def disturbance_parts(loop: Loop) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The disturbance's box as a whole, then in 2, 4, ... 64 parts, halved along the widest axes in turn."""
    n = loop.model.n
    lower, upper = loop.model.lower[None, n:], loop.model.upper[None, n:]
    whole = (upper - lower)[0]
    yield list(zip(lower, upper, strict=True))
    for _ in range(PARTS if len(whole) else 0):
        axis = ((upper - lower) / whole)[0].argmax().expand(len(lower))
        lower, upper = halved(lower, upper, axis)
        yield list(zip(lower, upper, strict=True))


def refuted(loop: Loop) -> tuple[str, Tensor] | None:
    """Why no level is true, and a state near x* that shows it: V is negative, or falls too slowly, along a ray.

    Shown by a direction v with vᵀHv < 0 for every H in sym[H], or vᵀMv < 0 for every M of the decrease, over a box
    around x*, however near, and some d.
    """
    about, box, n = loop.about, loop.model.box, loop.model.n
    reach = torch.minimum(about - box.lower, box.upper - about)
    half = torch.tensor([[1e-6], [1e-9], [1e-12]], dtype=torch.float64) * reach + 1e-15 * about.abs()  # x* is inside
    some = 0.5 * loop.model.lower[n:] + 0.5 * loop.model.upper[n:]
    forms = quadratic_forms(loop, about - half, about + half, some, some)
    for words, matrix in zip(("V is negative", "V does not fall at this rate"), forms, strict=True):
        for middle, radius, extent in zip(*_symmetric(matrix), half, strict=True):
            if (v := _falling(middle, radius)) is not None:
                reason = f"{words} along a ray from the equilibrium, however near: no level is true."
                return reason, about + v * (extent / v.abs().clamp(min=1e-300)).amin()
    return None


def _falling(middle: Tensor, radius: Tensor) -> Tensor | None:
    """A direction v with vᵀMv < 0 for every symmetric M within `radius` of `middle`."""
    if not (middle.isfinite().all() and radius.isfinite().all()):
        return None
    v = torch.linalg.eigh(middle)[1][:, 0]
    certain = v @ middle @ v < -(v.abs() @ radius @ v.abs()) - 1e-9 * middle.abs().sum()
    return v if bool(certain) else None


def definite(loop: Loop, lower: Tensor, upper: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Which of the boxes (B, n) satisfy both matrix inequalities for d in [least, most], with the reserve."""
    hessian, decrease = quadratic_forms(loop, lower, upper, least, most)
    good = positive_definite(hessian) & positive_definite(decrease)
    if loop.kappa is None:
        return good
    image = _image(loop, lower, upper, least, most)
    return good & ((image.lower > loop.model.box.lower) & (image.upper < loop.model.box.upper)).all(-1)


def quadratic_forms(loop: Loop, lower: Tensor, upper: Tensor, least: Tensor, most: Tensor) -> tuple[Interval, Interval]:
    """[H] and the matrix of the decrease, which is to be positive definite, over boxes; each (B, n, n)."""
    n = loop.model.n
    whole_lower, whole_upper = joined(lower, least), joined(upper, most)
    rows = interval_bounds(loop.graph, loop.hessian + loop.jacobian, whole_lower, whole_upper)
    H, A = stacked(rows[:n]), stacked(rows[n:])
    if loop.rate is not None:
        falling = added(transposed_product(H, A), scaled(H, 0.5 * float(loop.rate)))
        return H, Interval(-falling.upper, -falling.lower)
    assert loop.kappa is not None
    image = _image(loop, lower, upper, least, most)
    wide_lower = joined(torch.minimum(lower, image.lower), least)
    wide_upper = joined(torch.maximum(upper, image.upper), most)
    H3 = stacked(interval_bounds(loop.graph, loop.hessian, wide_lower, wide_upper))
    after = transposed_product(A, transposed_product(H3, A))
    return H, added(scaled(H, 1 - float(loop.kappa)), Interval(-after.upper, -after.lower))


def _image(loop: Loop, lower: Tensor, upper: Tensor, least: Tensor, most: Tensor) -> Interval:
    return interval_bounds(loop.graph, [loop.field], joined(lower, least), joined(upper, most))[0]


def transposed_product(a: Interval, b: Interval) -> Interval:
    """AᵀB of interval matrices (B, n, n), to a rounding: the checker decides."""
    corners = torch.stack([p[:, :, :, None] * q[:, :, None, :] for p, q in itertools.product(a, b)])
    return Interval(corners.amin(0).sum(1), corners.amax(0).sum(1))


def scaled(a: Interval, factor: float) -> Interval:
    return Interval(factor * a.lower, factor * a.upper)


def added(a: Interval, b: Interval) -> Interval:
    return Interval(a.lower + b.lower, a.upper + b.upper)


def stacked(rows: list[Interval]) -> Interval:
    return Interval(torch.stack([row.lower for row in rows], 1), torch.stack([row.upper for row in rows], 1))


def _symmetric(matrix: Interval) -> tuple[Tensor, Tensor]:
    middle, radius = 0.5 * (matrix.lower + matrix.upper), 0.5 * (matrix.upper - matrix.lower)
    return 0.5 * (middle + middle.mT), 0.5 * (radius + radius.mT)


def positive_definite(matrix: Interval) -> Tensor:
    middle, radius = _symmetric(matrix)
    finite = (middle.isfinite() & radius.isfinite()).flatten(1).all(1)
    middle, radius = torch.where(finite[:, None, None], middle, 0.0), torch.where(finite[:, None, None], radius, 0.0)
    good = finite
    for signs in itertools.product((1.0, -1.0), repeat=middle.shape[-1] - 1):
        s = middle.new_tensor((1.0, *signs))
        eigenvalues = torch.linalg.eigvalsh(middle - s[:, None] * radius * s)
        good = good & (eigenvalues[:, 0] > RESERVE * eigenvalues.abs().amax(-1))
    return good


def shape(loop: Loop, about: Tensor, reach: Tensor) -> Tensor:
    """Half widths in the proportion of the box around a level ellipsoid of Hess V(x*), as large as `reach` allows."""
    here = joined(about[None], loop.model.lower[loop.model.n :])
    middle, _ = _symmetric(stacked(interval_bounds(loop.graph, loop.hessian, here, here)))
    extent = torch.linalg.pinv(middle[0].nan_to_num(0.0, 0.0, 0.0)).diagonal().clamp(min=0.0).sqrt()
    extent = torch.where(extent > 0, extent, reach)
    return extent * (reach / extent).amin()
