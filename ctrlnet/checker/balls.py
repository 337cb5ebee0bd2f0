"""Exact mode: the elementary functions enclosed at each float64 point by python-flint's arb, rounded outward.

All other arithmetic of the checker is float64 with proved bounds, so this removes the one assumption about numpy's
elementary functions.

Source: Johansson, Arb: efficient arbitrary-precision midpoint-radius interval arithmetic, IEEE Trans. Comp. 66 (2017).
"""

from __future__ import annotations

import math

import numpy as np

from ctrlnet.checker.interval import Array

try:
    from flint import arb
except ImportError as error:
    raise ImportError("exact=True needs python-flint, which is not installed: pip install python-flint") from error


def ball_elementary(name: str, points: Array) -> tuple[Array, Array]:
    """Bounds of an elementary function at the points, (NaN, NaN) where a point or a result is not finite."""
    bounds = np.array([_bounds(name, v) for v in points.ravel().tolist()], dtype=np.float64).reshape(-1, 2)
    return bounds[:, 0].reshape(points.shape), bounds[:, 1].reshape(points.shape)


def _bounds(name: str, point: float) -> tuple[float, float]:
    if not math.isfinite(point):
        return math.nan, math.nan
    ball = _softplus(point) if name == "softplus" else getattr(arb(point), name)()
    low, high = float(ball.lower()), float(ball.upper())
    return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)


def _softplus(point: float) -> arb:
    """ln(1 + e^x) = ln(1 + e^-|x|) + max(x, 0)."""
    return arb(-abs(point)).exp().log1p() + arb(max(point, 0.0))
