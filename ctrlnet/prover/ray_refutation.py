"""No level is true: a claim about a V with a kink at x* that fails along a whole ray from x*.

On the ray x* + t δ, 0 < t <= 1, at one d, `rays` has with the quotients q of `quotients`

    V = t q_V,    g·F + rate V in t (T + rate q_V) for all g in Clarke's ∂V,    (1 - kappa) V(x) - V(F) = t q_W.

Their bounds at the single point (x* + δ, d) hold for every t. So if q_V < 0, or T + rate q_V > 0 (q_W < 0), the claim
fails at x* + t δ for every t in (0, 1]; and V there is t q_V, which comes below every level, as q_V is bounded. For a
flow g·F + rate V > 0 for all of ∂V means that V, at first, falls more slowly than exp(-rate t) along every solution
with that derivative (Clarke, Optimization and Nonsmooth Analysis, 1983, Thm 2.3.7, the mean value theorem). The signs
are strict, so that the theorem itself is false and not its proof alone.

δ is what a search over directions finds.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.prover.directions import worst_directions
from ctrlnet.prover.interval import interval_bounds
from ctrlnet.prover.ray_rules import Unsuited
from ctrlnet.prover.rays import Claim, Corners, quotients_of

SIZES = (2.0**-12, 2.0**-20, 2.0**-28)  # of R, over the distance from x* to the box: kinks may pass near x*


def ray_refutation(claim: Claim, box: Corners) -> tuple[str, Tensor] | None:
    """Why no level is true, and the point (x* + δ, d) of the ray that shows it; None if none is found."""
    reach = torch.minimum(claim.center - box[0], box[1] - claim.center)
    if (u := _worst(claim, SIZES[-1] * reach)) is None:
        return None
    for size in SIZES:
        point = _points(claim, size * reach, u)
        if (words := _shown(claim, size * reach, point)) is not None:
            x, d = point[: len(reach)].tolist(), point[len(reach) :].tolist()
            through = f"from there through x = {x}{f' with d = {d}' if d else ''}, however near: no level is true."
            return f"V, with a kink at the equilibrium, {words} along the ray {through}", point
    return None


def _worst(claim: Claim, half: Tensor) -> Tensor | None:
    """The row of `directions` whose margin is the least, over V, if it is negative.

    Upper bounds are compared, not values: a point so near a kink that its side is not certain shows nothing.
    """
    try:
        graph, outputs = quotients_of(claim, *claim.around(claim.center - half, claim.center + half))
    except Unsuited:
        return None

    def score(u: Tensor) -> Tensor:
        z = _points(claim, half, u)[0]
        value, margin = (bound.upper[None, :, 0] for bound in interval_bounds(graph, outputs, z, z))
        return torch.where(value < 0, -torch.inf, margin / value)

    (u,), (least,) = worst_directions(score, 1, len(half), claim.axes - len(half))
    return u if least < 0 else None


def _points(claim: Claim, half: Tensor, u: Tensor) -> Tensor:
    """The points (..., N) of rows u on the boundary of R x D, R = x* ± half."""
    n, (lower, upper) = len(half), claim.around(claim.center - half, claim.center + half)
    z = torch.cat((claim.center + half * u[..., :n], lower[n:] + (upper - lower)[n:] * u[..., n:]), -1)
    return torch.minimum(torch.maximum(z, lower), upper)


def _shown(claim: Claim, half: Tensor, point: Tensor) -> str | None:
    """What certainly is so at x* + t δ for every t in (0, 1], in words; None where nothing is shown."""
    low, high = (torch.cat((side, point[len(half) :])) for side in (claim.center - half, claim.center + half))
    if not _on_a_ray(claim.about, low, high, point):
        return None
    try:
        graph, outputs = quotients_of(claim, low, high)
    except Unsuited:
        return None
    value, margin = (bound.upper[0, 0] for bound in interval_bounds(graph, outputs, point[None], point[None]))
    if bool(value < 0):
        return "is negative"
    return "does not fall at this rate" if bool((margin < 0) & (value < torch.inf)) else None


def _on_a_ray(about: tuple[Fraction, ...], lower: Tensor, upper: Tensor, point: Tensor) -> bool:
    """Whether R holds x* and the point, and these are two, in rationals."""
    lows, highs, x = ([Fraction(v) for v in side.tolist()][: len(about)] for side in (lower, upper, point))
    held = all(low < a < high for low, a, high in zip(lows, about, highs, strict=True))
    return held and all(low <= v <= high for low, v, high in zip(lows, x, highs, strict=True)) and x != list(about)
