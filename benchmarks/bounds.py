"""Cost of bounding a box in slope form, in plain evaluations of the same margin: n = 2, 20,000 boxes, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from pilot import ORIGIN, pendulum

from ctrlnet import Box, ExponentialStability, mlp
from ctrlnet.graph import evaluate
from ctrlnet.prover import claim_of
from ctrlnet.prover.slope import slope_bounds

BATCH = 20_000


def measure() -> dict[str, float]:
    torch.set_num_threads(1)
    return {f"slope form / evaluation, width {width}": _ratio(width) for width in (16, 64)}


def _ratio(width: int) -> float:
    policy = mlp([2, width, width, 1], seed=0).requires_grad_(False)
    box = Box([-3.0, -6.0], [3.0, 6.0])

    def field(x: torch.Tensor) -> torch.Tensor:
        return pendulum(x, torch.clamp(policy(x) - policy(ORIGIN), -6.0, 6.0)[..., 0])

    problem = claim_of(ExponentialStability(lambda x: x.square().sum(-1), 0.1), field, box).problem
    assert problem.value is not None
    outputs, x = [problem.value, problem.goals[0].margins[0]], box.sample(BATCH)
    plain = _seconds(lambda: evaluate(problem.graph, outputs, x))
    return _seconds(lambda: slope_bounds(problem.graph, outputs, x, x + 0.01)) / plain


def _seconds(work: Callable[[], object]) -> float:
    """Processor time, the least of seven runs, after one to warm up."""
    work()
    times = []
    for _ in range(7):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)
