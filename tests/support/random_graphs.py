"""Random functions of every primitive of a certificate, boxes and points at which their kinks are often hit exactly."""

from __future__ import annotations

import random
from typing import Any

import certificates as c
import numpy as np

from ctrlnet.checker.graph import ARITY
from ctrlnet.checker.interval import Interval

WIDTHS = (0.0, 0.0, 2.0**-52, 1e-9, 1e-3, 0.1, 1.0)
CENTRES = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-200, 5e-324)
TAMED = ("exp", "power")
"""Applied to something bounded: towers of these overflow and test nothing."""


def random_graph(draw: random.Random, n: int) -> dict[str, Any]:
    """A scalar function of n variables, with constants and weights at which kinks are hit exactly."""
    g = c.Builder(n)
    pool = [g.input(), g.rational(*draw.choices(["1/3", "0", "-1", "1/2", "1"], k=n))]
    for _ in range(draw.randint(4, 14)):
        pool.append(_grown(g, draw, pool))
    return g.output(g.sum(g.concatenate(pool[-1], pool[-2], draw.choice(pool))))


def _grown(g: c.Builder, draw: random.Random, pool: list[c.Node]) -> c.Node:
    a, name = draw.choice(pool), draw.choice([k for k in ARITY if k not in ("input", "constant", "concatenate", "sum")])
    others = [_sized(b, a.size) for b in draw.choices(pool, k=2)]
    if name == "take":
        return a[[draw.randrange(a.size) for _ in range(draw.randint(1, 3))]]
    if name == "linear":
        choices = (0.0, 0.0, 1.0, -1.0, draw.uniform(-2, 2))
        return g.linear(np.array([[draw.choice(choices) for _ in range(a.size)] for _ in range(draw.randint(1, 3))]), a)
    if name == "norm":
        return g.norm(g.concatenate(a, others[0]), draw.choice([k for k in (1, 2, a.size) if 2 * a.size % k == 0]))
    a = g.op(draw.choice(["tanh", "sin", "atan"]), a) if name in TAMED else a
    if name in ("log", "sqrt") and draw.random() < 0.7:
        a = g.op("square", a) + g.rational(*[draw.choice(["1", "1/4", "0"])] * a.size)
    if name == "power":
        return g.power(a, draw.randint(2, 7))
    if name == "div" and draw.random() < 0.7:
        others[0] = g.op("square", others[0]) + g.rational(*["1/5"] * a.size)
    return g.op(name, a, *others[: ARITY[name] - 1])


def _sized(a: c.Node, size: int) -> c.Node:
    return a if a.size == size else a[[i % a.size for i in range(size)]]


def random_box(draw: random.Random, n: int) -> Interval:
    """Often degenerate, one unit in the last place wide, or with zero as a corner."""
    corners = []
    for _ in range(n):
        centre = draw.choice((*CENTRES, draw.uniform(-2, 2), draw.uniform(-2, 2)))
        width = draw.choice((*WIDTHS, draw.uniform(0, 0.3)))
        below = draw.choice((0.0, 0.0, 0.5, 1.0))
        corners.append((centre - below * width, centre + (1 - below) * width))
    lo, hi = np.array(corners).T
    return Interval(lo[None], np.maximum(lo, hi)[None])


def random_points(draw: random.Random, box: Interval, count: int) -> list[list[float]]:
    """Corners, and what lies between."""
    sides = list(zip(box.lo[0].tolist(), box.hi[0].tolist(), strict=True))
    return [[min(max(draw.choice((a, b, 0.0, draw.uniform(a, b))), a), b) for a, b in sides] for _ in range(count)]
