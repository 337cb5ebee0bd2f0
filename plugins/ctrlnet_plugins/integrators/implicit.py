"""The equations d = g(d) of implicit methods: solved row by row to rounding, and differentiated exactly.

Fixed-point iteration serves while it contracts well (h L below about 0.8); where it does not, Newton's method with the
exact Jacobian and a line search takes over, and at last continuation from shorter steps, so that hardly a step is too
long for a contracting field. To rounding each row is treated by itself, whatever the others do; one without a solution
within the iteration limits becomes NaN.

Source: Hairer, Lubich and Wanner, Geometric Numerical Integration, 2nd ed., section VIII.6; Hairer and Wanner, Solving
Ordinary Differential Equations II, 2nd ed., section IV.8; Dennis and Schnabel, Numerical Methods for Unconstrained
Optimization and Nonlinear Equations, 1983, chapter 6 (line search).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad

Map = Callable[[Tensor], Tensor]

DERIVATIVES = 2  # the order up to which derivatives of a solution are exact
ITERATIONS, NEWTON_ITERATIONS, HALVINGS = 60, 60, 12
CONTRACTION = 0.4  # a slower fixed-point iteration is left to Newton's method
ROUGH = 1e3  # within so many roundings of the solution an iteration that has stopped improving is at its end
SHARES = tuple(4.0**-k for k in range(8, -1, -1))  # of a step, one after the other, where all of it is too much
COLUMNS = 64  # of the Jacobian at a time, which bounds the memory of large states


def increment(g: Map, x: Tensor, size: int = 1) -> Tensor:
    """The d, (..., size n), with d = g(d), near 0; NaN in the rows where none was found.

    Its derivatives with respect to everything that g depends on are those of the implicit function theorem: exact to
    rounding up to the second order, in reverse and forward mode.

    Args:
        g: maps (..., size n) to the same shape, each row by itself.
        x: states, (..., n); d is found to the rounding of x + d.
        size: how many increments of the size of a state d consists of.
    """
    start = torch.zeros_like(x.detach()).repeat(*[1] * (x.ndim - 1), size)
    if x.numel() == 0:
        return start
    with torch.no_grad():
        scale = _largest(x.detach())
        lost = ~scale.isfinite()
        d, found = _iterated(g, start, scale, lost)
        for harder in (_newton, _continued):
            if bool((found | lost).all()):
                break
            other, more = harder(g, found | lost, start, scale)
            d, found = torch.where(more, other, d), found | more
        d = torch.where(found, d, start).detach()
    return torch.where(found, _differentiable(g, d), math.nan)


def _iterated(g: Map, d: Tensor, scale: Tensor, lost: Tensor) -> tuple[Tensor, Tensor]:
    """Fixed-point iteration as long as every row contracts that is not lost: d, and which rows have arrived."""
    kind, before = torch.finfo(d.dtype), math.inf
    rounding = kind.eps
    d = g(d).detach()
    size = (scale + _largest(d)).clamp_min(kind.tiny)
    for _ in range(ITERATIONS):
        image = g(d).detach()
        change = float((_largest(image - d) / size).masked_fill(lost, 0).max())
        d = image
        if change <= rounding or before / 2 <= change <= ROUGH * rounding:
            return d, ~lost
        if not (change < CONTRACTION * before or change <= ROUGH * rounding):
            break
        before = change
    return d, torch.zeros_like(lost)


def _newton(g: Map, idle: Tensor, d: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method with line search for the rows that are not idle: d, and which of them have arrived.

    A Jacobian serves as long as every residual falls by it to a tenth.
    """
    gap, inverse = g(d).detach() - d, _inverse(g, d)
    arrived, over, before = torch.zeros_like(idle), idle, torch.full_like(scale, math.inf)
    for _ in range(NEWTON_ITERATIONS):
        step, length = _times(inverse, gap), _length(gap)
        change, size = _largest(step), scale + _largest(d)
        over = over | ~change.isfinite()
        free = over | (change <= ROUGH * _rounding(size))  # where the residual is rounding, it need not fall
        d, gap = _descended(g, d, gap, step.masked_fill(over, 0), free)
        arrived = arrived | (~over & _arrived(change, before, size))
        over = over | arrived
        if bool(over.all()):
            break
        if not bool((over | (_length(gap) <= length / 10)).all()):
            inverse = _inverse(g, d)
        before = change
    return d, arrived


def _continued(g: Map, idle: Tensor, start: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method for d = s g(d), s from small to 1, each from the solution before: those of shorter steps."""
    d, arrived = start, ~idle
    for s in SHARES:
        d, arrived = _newton(lambda z, s=s: s * g(z), ~arrived, d, scale)  # type: ignore[misc]
        if not bool(arrived.any()):
            break
    return d, arrived


def _descended(g: Map, d: Tensor, gap: Tensor, step: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """d and g(d) - d after the step, halved in each row until the residual falls.

    All of the step is taken in the rows that are `free`, and where no part of it helps: at a kink of g.
    """
    length, factor = _length(gap), torch.ones_like(gap[..., :1])
    for _ in range(HALVINGS):
        ahead = d + factor * step
        gap_ahead = g(ahead).detach() - ahead
        falls = free | (_length(gap_ahead) <= (1 - factor / 10) * length)
        if bool(falls.all()):
            return ahead, gap_ahead
        factor = torch.where(falls, factor, factor / 2)
    ahead = d + torch.where(falls, factor, 1) * step
    return ahead, g(ahead).detach() - ahead


def _differentiable(g: Map, d: Tensor) -> Tensor:
    """d itself, with the derivatives of the solution of d = g(d).

    Each simplified Newton step z + (I - J)^-1 (g(z) - z), J constant, adds an order to the derivatives that are exact,
    as it adds one to the power of the distance in the error.
    """
    image = g(d)
    if not (image.requires_grad or forward_ad.unpack_dual(image).tangent is not None):
        return d
    inverse = _inverse(g, d)
    z = d + _times(inverse, image - d)
    for _ in range(DERIVATIVES - 1):
        z = z + _times(inverse, g(z) - z)
    return d + (z - z.detach())


def _inverse(g: Map, d: Tensor) -> Tensor:
    """(I - J)^-1, (..., m, m), a constant; J = dg/dd."""
    with torch.no_grad():
        jacobian = _jacobian(g, d)
        identity = torch.eye(d.shape[-1], dtype=d.dtype, device=d.device)
        inverse: Tensor = torch.linalg.inv_ex(identity - jacobian).inverse
        return inverse


def _jacobian(g: Map, d: Tensor) -> Tensor:
    """dg/dd, (..., m, m), by one vector-Jacobian product a row of it."""
    m = d.shape[-1]
    pullback = torch.func.vjp(g, d)[1]
    basis = torch.eye(m, dtype=d.dtype, device=d.device).reshape(m, *[1] * (d.ndim - 1), m).expand(m, *d.shape)
    (rows,) = torch.func.vmap(pullback, chunk_size=COLUMNS)(basis)
    jacobian: Tensor = rows.detach().movedim(0, -2)
    return jacobian


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _largest(x: Tensor) -> Tensor:
    """The largest magnitude of each row, (..., 1)."""
    return x.abs().amax(-1, keepdim=True)


def _length(x: Tensor) -> Tensor:
    """The Euclidean norm of each row, (..., 1)."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def _rounding(size: Tensor) -> Tensor:
    return torch.finfo(size.dtype).eps * size


def _arrived(change: Tensor, before: Tensor, size: Tensor) -> Tensor:
    """Whether a change is rounding, or near it and no longer shrinking."""
    rounding = _rounding(size)
    return (change <= rounding) | ((change <= ROUGH * rounding) & (change >= before / 2))
