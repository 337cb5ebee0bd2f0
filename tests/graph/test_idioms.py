"""What users write, from torch to bounds: prover and checker hold value and gradient, at kinks and jumps too."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from ctrlnet import (
    Box,
    DiscreteDecrease,
    DiscreteMap,
    ExponentialStability,
    StayWithin,
    UltimateBound,
    certify,
    check,
)
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.graph import Graph, gradient, trace
from ctrlnet.prover.certificate import graph_document
from ctrlnet.prover.interval import interval_bounds
from ctrlnet.prover.slope import slope_bounds
from tests.prover.oracle import exact_value

Function = Callable[[Tensor], Tensor]
STATES = 2 * torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
WEIGHTS = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
KERNEL = torch.tensor([[[1.0, -2.0]], [[0.5, 3.0]]], dtype=torch.float64)
CENTRES = (0.0, 0.0, 0.25, 0.5, 1.0, -1.0, -1.5, math.pi, -math.pi, 3.0)  # where floors, halves and angles jump
WIDTHS = (0.0, 0.0, 2.0**-51, 1e-9, 0.1, 0.5, 1.0)
BOXES = 60


def wrapped(x: Tensor) -> Tensor:
    return (x + math.pi) % (2 * math.pi) - math.pi


def masked(x: Tensor) -> Tensor:
    y = 2 * x
    y[x > 0.5] = 1.0
    return y @ WEIGHTS


IDIOMS: dict[str, Function] = {
    "an angle wrapped": lambda x: wrapped(x) @ WEIGHTS,
    "an angle wrapped, in a square": lambda x: wrapped(x).square().sum(-1) + x[..., 0] * wrapped(x)[..., 1],
    "a remainder by the state": lambda x: torch.remainder(x[..., 0], 1 + x[..., 1].square()),
    "fmod": lambda x: torch.fmod(x, 0.5) @ WEIGHTS,
    "floor, ceil, trunc, round": lambda x: (
        torch.floor(x[..., 0]) - torch.ceil(x[..., 1]) + torch.trunc(x[..., 2]) * torch.round(x[..., 0])
    ),
    "a quantised signal": lambda x: x @ WEIGHTS + (torch.round(x / 0.25) * 0.25) @ WEIGHTS,
    "a smooth function of a rounded one": lambda x: torch.sin(torch.floor(x) / 2).sum(-1) + torch.frac(x).exp().sum(-1),
    "sorted": lambda x: x.sort(-1).values @ WEIGHTS,
    "the two largest": lambda x: (x.topk(2, -1).values * WEIGHTS[:2]).sum(-1),
    "a median": lambda x: x.square().median(-1).values,
    "a quantile": lambda x: x.quantile(0.25, -1),
    "running extrema": lambda x: x.cummax(-1).values @ WEIGHTS + x.cummin(-1).values[..., 1],
    "distances": lambda x: torch.cdist(x.unsqueeze(-2), torch.stack([WEIGHTS, 0 * WEIGHTS])).amin((-1, -2)),
    "distances by absolute values": lambda x: torch.cdist(x.unsqueeze(-2), WEIGHTS[None], p=1.0)[..., 0, 0],
    "a Huber loss": lambda x: torch.nn.functional.huber_loss(x, torch.zeros_like(x), "none", 0.5).sum(-1),
    "a convolution": lambda x: torch.nn.functional.conv1d(x.reshape(-1, 1, 3), KERNEL).square().sum((1, 2)).reshape(
        x.shape[:-1]
    ),
    "pooling": lambda x: torch.nn.functional.max_pool1d(x.reshape(-1, 1, 3), 2, 1).prod(-1).reshape(x.shape[:-1]),
    "a mask written to": masked,
    "a sign copied": lambda x: torch.copysign(x[..., 0].cos() + 2, x[..., 1]),
}  # fmt: skip


def boxes(draw: random.Random) -> tuple[Tensor, Tensor]:
    """About jumps and kinks, which they hold, touch by a side or a corner, or miss by a unit in the last place."""
    lower, upper = torch.zeros(BOXES, 3, dtype=torch.float64), torch.zeros(BOXES, 3, dtype=torch.float64)
    for box in range(BOXES):
        for i in range(3):
            centre, width = draw.choice(CENTRES), draw.choice(WIDTHS)
            share = draw.choice((0.0, 0.5, 1.0))
            lower[box, i], upper[box, i] = centre - share * width, centre + (1 - share) * width
    return lower, upper


def checked(graph: Graph, output: int, lower: Tensor, upper: Tensor) -> Interval:
    """The checker's enclosure of value and gradient, rows (4, boxes)."""
    held = read_graph(graph_document(graph, output), 3, "f")
    with np.errstate(all="ignore"):
        return Evaluator(held, 3)(Interval(lower.numpy(), upper.numpy()), 1)[:, :, 0]


def inside(value: mpmath.mpf, low: float, high: float) -> bool:
    """NaN says nothing, and is no bound."""
    return not value < low and not value > high


@pytest.mark.parametrize("name", IDIOMS)
def test_prover_and_checker_hold_values_and_gradients(name: str) -> None:
    graph, output = trace(IDIOMS[name], 3, STATES, ())
    slope, draw = gradient(graph, output), random.Random(name)
    lower, upper = boxes(draw)
    forms = [form.range for form in slope_bounds(graph, [output, slope], lower, upper)]
    bounds = [
        torch.cat([part[side] for part in found], 1)
        for found in (interval_bounds(graph, [output, slope], lower, upper), forms)
        for side in (0, 1)
    ]
    jet = checked(graph, output, lower, upper)
    for box in range(BOXES):
        for _ in range(3):
            sides = zip(lower[box].tolist(), upper[box].tolist(), strict=True)
            state = [min(max(draw.choice((a, b, draw.uniform(a, b))), a), b) for a, b in sides]
            exact = [*exact_value(graph, output, state), *exact_value(graph, slope, state)]
            for k, value in enumerate(exact):
                assert inside(value, bounds[0][box, k].item(), bounds[1][box, k].item()), (state, k, "interval")
                assert inside(value, bounds[2][box, k].item(), bounds[3][box, k].item()), (state, k, "slope")
                assert inside(value, jet.lo[k, box], jet.hi[k, box]), (state, k, "checker")


@pytest.mark.parametrize("name", IDIOMS)
def test_differences_are_held_by_the_gradients_of_prover_and_checker(name: str) -> None:
    """f(b) - f(a) = g·(b - a) for some g of the gradient's enclosure, if it is bounded: so across a jump it is not."""
    function = IDIOMS[name]
    graph, output = trace(function, 3, STATES, ())
    draw = random.Random(name)
    lower, upper = boxes(draw)
    (found,) = interval_bounds(graph, [gradient(graph, output)], lower, upper)
    jet = checked(graph, output, lower, upper)[1:]
    for low, high in ((found.lower, found.upper), (torch.tensor(jet.lo).T, torch.tensor(jet.hi).T)):
        for _ in range(5):
            a, b = (lower + torch.rand(lower.shape, dtype=lower.dtype) * (upper - lower) for _ in range(2))
            change = function(b) - function(a)
            ends = torch.stack([low * (b - a), high * (b - a)]).nan_to_num(nan=math.inf, posinf=math.inf)
            least, most = torch.where(low.isnan() | high.isnan(), -math.inf, ends.amin(0)).sum(-1), ends.amax(0).sum(-1)
            unbounded = ~(low.isfinite() & high.isfinite()).all(-1)
            assert (unbounded | ((least - 1e-9 <= change) & (change <= most + 1e-9))).all()


def test_an_angle_is_known_between_its_jumps_and_only_there() -> None:
    """Over [3, 3.1] it is itself, over [3.2, 3.3] less by 2π; where π is touched both, and its slope is unbounded."""
    graph, output = trace(lambda x: wrapped(x)[..., 0], 3, STATES, ())
    lower = torch.tensor([[3.0, 0, 0], [3.2, 0, 0], [3.0, 0, 0], [math.pi, 0, 0]], dtype=torch.float64)
    upper = torch.tensor([[3.1, 0, 0], [3.3, 0, 0], [3.2, 0, 0], [math.pi, 0, 0]], dtype=torch.float64)
    value, slope = interval_bounds(graph, [output, gradient(graph, output)], lower, upper)
    jet, turn = checked(graph, output, lower, upper), torch.tensor([0.0, 2 * math.pi], dtype=torch.float64)
    for low, high in ((value.lower[:, 0], value.upper[:, 0]), (torch.tensor(jet.lo[0]), torch.tensor(jet.hi[0]))):
        torch.testing.assert_close(low[:2], lower[:2, 0] - turn, atol=1e-12, rtol=0)
        torch.testing.assert_close(high[:2], upper[:2, 0] - turn, atol=1e-12, rtol=0)
        assert (high - low)[2:].min() > 6
    for low, high in ((slope.lower[:, 0], slope.upper[:, 0]), (torch.tensor(jet.lo[1]), torch.tensor(jet.hi[1]))):
        assert ((high - low)[:2] < 1e-12).all() and not (high - low)[2:].isfinite().any()


UNIT = Box([-1.0, -1.0], [1.0, 1.0])
STATEMENTS: dict[str, tuple[Any, Any, Box]] = {
    "a pendulum whose angle is wrapped": (
        ExponentialStability(lambda x: form(torch.cat([wrapped(x[..., :1]), x[..., 1:]], -1)), 0.2),
        lambda x: torch.stack([x[..., 1], -torch.sin(wrapped(x[..., 0])) - x[..., 1]], -1),
        Box([-2.0, -2.0], [2.0, 2.0]),
    ),
    "a control in steps, as a map": (
        DiscreteDecrease(lambda x: x.square().sum(-1), 0.3),
        DiscreteMap(lambda x: 0.5 * x + 0.05 * torch.round(4 * x) / 4),
        UNIT,
    ),
    "a control in steps, as a field": (
        UltimateBound(lambda x: x.square().sum(-1), 0.05, 0.5),
        lambda x: -x + 0.02 * torch.floor(5 * x),
        UNIT,
    ),
    "a box that a field in steps enters": (StayWithin(UNIT), lambda x: -torch.round(2 * x) - x, UNIT),
    "the middle one of three measurements": (
        UltimateBound(lambda x: x.square().sum(-1), 0.02, 0.5),
        lambda x: -torch.stack([x, x + x.pow(3), 0.5 * x], -1).median(-1).values,
        UNIT,
    ),
}


def form(x: Tensor) -> Tensor:
    return 1.5 * x[..., 0] ** 2 + x[..., 0] * x[..., 1] + x[..., 1] ** 2


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_is_true_of_them_is_certified_and_checked_in_ball_arithmetic(name: str, tmp_path: Path) -> None:
    condition, system, box = STATEMENTS[name]
    verdict = certify(condition, system, box)
    assert verdict.status == "certified", verdict.reason
    assert check(verdict.save(tmp_path / "statement.cert"), exact=True).ok
