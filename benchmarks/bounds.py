"""Cost of bounding a box in slope form, in plain evaluations of the same margin: n = 2, 20,000 boxes, one thread.

All is timed in turn, in memory that the process holds already. The evaluation is the fastest of three: the margin as a
torch function, and the traced graph on the whole batch and on parts of it that fit a processor's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from pilot import ORIGIN, pendulum

from ctrlnet import Box, ExponentialStability, mlp
from ctrlnet.graph import evaluate
from ctrlnet.prover import claim_of
from ctrlnet.prover.slope import slope_bounds

BATCH, PART = 20_000, 4096


def measure() -> dict[str, float]:
    torch.set_num_threads(1)
    return {f"slope form / evaluation, width {width}": _ratio(width) for width in (16, 64)}


def _ratio(width: int) -> float:
    policy = mlp([2, width, width, 1], seed=0).requires_grad_(False).double()
    box = Box([-3.0, -6.0], [3.0, 6.0])

    def field(x: torch.Tensor) -> torch.Tensor:
        return pendulum(x, torch.clamp(policy(x) - policy(ORIGIN), -6.0, 6.0)[..., 0])

    condition = ExponentialStability(lambda x: x.square().sum(-1), 0.1)
    problem, margin = claim_of(condition, field, box).problem, condition.clauses(field)[0].margin
    assert problem.value is not None
    outputs, x = [problem.value, problem.goals[0].margins[0]], box.sample(BATCH)
    plain, whole, parts, slope = _seconds(
        torch.no_grad()(lambda: margin(x)),
        lambda: evaluate(problem.graph, outputs, x),
        lambda: [evaluate(problem.graph, outputs, part) for part in x.split(PART)],
        lambda: slope_bounds(problem.graph, outputs, x, x + 0.01),
    )
    return slope / min(plain, whole, parts)


def _seconds(*works: Callable[[], object]) -> list[float]:
    """Processor time of each, the least of nine runs, all in turn, after one to warm up."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(10):
        for work, found in zip(works, times, strict=True):
            started = time.process_time()
            work()
            found.append(time.process_time() - started)
    return [min(found[1:]) for found in times]
