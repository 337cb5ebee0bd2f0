"""Distances between vectors, and the losses that measure them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.reductions import clamp, mean, norm, total
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten
HALF = Fraction(1, 2)
REDUCTIONS: tuple[Callable[..., Traced], ...] = (lambda graph, a: a, mean, total)  # by torch's numbers for them


def _pairwise(graph: Graph, a: Traced, b: Traced, p: float, mode: Any = None) -> Traced:
    """‖aᵢ - bⱼ‖ₚ over batches, for rows aᵢ of (..., P, M) and bⱼ of (..., R, M)."""
    left = Traced(a.node, (*a.shape[:-1], 1, a.shape[-1]))
    right = Traced(b.node, (*b.shape[:-2], 1, *b.shape[-2:]))
    return norm(graph, t.sub(graph, left, right), p, -1)


def _among(graph: Graph, a: Traced, p: float = 2) -> Traced:
    """‖aᵢ - aⱼ‖ₚ for i < j."""
    n, m = a.shape
    first, second = torch.triu_indices(n, n, 1)
    rows = torch.arange(n * m).reshape(n, m)
    left, right = (Traced(graph.take(a.node, rows[i].reshape(-1).tolist()), (len(i), m)) for i in (first, second))
    return norm(graph, t.sub(graph, left, right), p, -1)


def _squared(graph: Graph, a: Traced, b: Traced, reduction: int = 1) -> Traced:
    return REDUCTIONS[reduction](graph, t.square(graph, t.sub(graph, a, b)))


def _huber(graph: Graph, a: Traced, b: Traced, reduction: int = 1, delta: float = 1.0) -> Traced:
    """c z - c²/2 with z = a - b and c = clamp(z, -δ, δ): z²/2 for |z| <= δ, then δ (|z| - δ/2)."""
    z = t.sub(graph, a, b)
    c = clamp(graph, z, -delta, delta)
    bent = t.sub(graph, t.mul(graph, c, z), t.mul(graph, t.square(graph, c), HALF))
    return REDUCTIONS[reduction](graph, bent)


def _smooth_absolute(graph: Graph, a: Traced, b: Traced, reduction: int = 1, beta: float = 1.0) -> Traced:
    """Huber's loss over β; |a - b| for β = 0."""
    if beta == 0:
        return REDUCTIONS[reduction](graph, t.absolute(graph, t.sub(graph, a, b)))
    return t.mul(graph, _huber(graph, a, b, reduction, beta), 1 / Fraction(beta))


DISTANCES: dict[Any, Handler] = {
    aten._cdist_forward: _pairwise,
    aten._pdist_forward: _among,
    aten.mse_loss: _squared,
    aten.huber_loss: _huber,
    aten.smooth_l1_loss: _smooth_absolute,
}
