"""Assertions that bounds contain exact values, over boxes of all sizes."""

from __future__ import annotations

import math
import random

import mpmath
import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.slope import Slope, slope_bounds
from tests.prover.oracle import exact_value, undefined

SIZES = (3.0, 0.5, 1e-2, 1e-5, 1e-9, 1e-14, 0.0)


def boxes(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Boxes of every size about points that include the origin, kinks at zero and large states."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(len(SIZES), n, generator=generator, dtype=torch.float64)
    centers[seed % len(SIZES)] = 0.0
    centers[(seed + 1) % len(SIZES)] *= 30.0
    half = torch.tensor(SIZES)[:, None] * torch.rand(len(SIZES), n, generator=generator, dtype=torch.float64)
    return centers - half, centers + half


def points(lower: Tensor, upper: Tensor, draw: random.Random, count: int) -> list[list[float]]:
    """Corners, the kink at zero where it lies inside, and random states of one box, exactly in it."""
    states = []
    for _ in range(count):
        state = []
        for low, high in zip(lower.tolist(), upper.tolist(), strict=True):
            inside = [low, high, min(max(low + draw.random() * (high - low), low), high)]
            state.append(draw.choice([*inside, 0.0] if low <= 0 <= high else inside))
        states.append(state)
    return states


def assert_enclosed(graph: Graph, outputs: list[int], seed: int, count: int = 6) -> None:
    lower, upper = boxes(graph.dimension, seed)
    intervals, slopes = interval_bounds(graph, outputs, lower, upper), slope_bounds(graph, outputs, lower, upper)
    draw = random.Random(seed)
    for box in range(len(lower)):
        middle = 0.5 * lower[box] + 0.5 * upper[box]
        for state in points(lower[box], upper[box], draw, count):
            for output, interval, slope in zip(outputs, intervals, slopes, strict=True):
                for k, value in enumerate(exact_value(graph, output, state)):
                    assert_in_interval(interval, box, k, value, (seed, "interval", output, state))
                    assert_in_form(slope, box, k, value, state, middle, lower, upper, seed)


def assert_in_interval(interval: Interval, box: int, k: int, value: mpmath.mpf, what: object) -> None:
    """The value is in the range; where there is none, both ends are NaN: nothing is proved, nor excluded."""
    low, high = interval.lower[box, k].item(), interval.upper[box, k].item()
    if undefined(value):
        assert math.isnan(low) and math.isnan(high), what
    assert not (value < low or value > high), what


def assert_in_form(
    slope: Slope,
    box: int,
    k: int,
    value: mpmath.mpf,
    state: list[float],
    middle: Tensor,
    lower: Tensor,
    upper: Tensor,
    seed: int,
) -> None:
    """The value is in the range, and within r of c + Σ Aᵢ eᵢ with the state's own e."""
    assert_in_interval(slope.range, box, k, value, (seed, "slope range", state))
    terms, remainder = slope.terms[box, :, k].tolist(), slope.remainder[box, k].item()
    if undefined(value):
        assert math.isnan(remainder), (seed, "slope remainder", state)
    half = torch.maximum(upper[box] - middle, middle - lower[box])
    half = torch.where(half > 0, torch.nextafter(half, half + 1), half).tolist()
    e = [
        (mpmath.mpf(s) - mpmath.mpf(m)) / h if h else mpmath.mpf(0)
        for s, m, h in zip(state, middle.tolist(), half, strict=True)
    ]
    affine = mpmath.mpf(terms[0]) + mpmath.fsum(
        mpmath.mpf(a) * t for a, t in zip(terms[1:], e[: len(terms) - 1], strict=True)
    )
    assert not abs(value - affine) > remainder, (seed, "slope form", state)
