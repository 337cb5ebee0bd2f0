"""The pendulum with 0.75 N m under every optimizer: loss and time, and what kind of solution it is.

Start, losses, samples and number of steps are the same for all; each rate is the one of its grid with the largest
proved region, by the median of the seeds. Of the result: the certified level set, as a share of the states from which
the upright position can be reached at all; the boxes of the proof; the spectral norms of the policy's matrices; and two
bounds of how steep N(z), the network of the policy before saturation, is in its own input z: the product of these
norms, and the largest gradient over boxes that cover the certified set, enclosed in interval arithmetic.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pages import in_processes, median, percent, write_table
from torch import Tensor, nn

import ctrlnet
from ctrlnet.graph import jacobian, trace
from ctrlnet.prover.slope import slope_bounds

SEEDS = range(3)
CELLS = 300  # of a grid, along each axis of the box
RATES: dict[str, tuple[float, ...]] = {
    "adamw": (2e-3, 5e-3, 1e-2),
    "sgd": (3e-3, 1e-2, 3e-2),
    "muon": (5e-3, 1e-2, 2e-2),
    "agd": (0.1, 0.3, 1.0),
    "agd_spectral": (0.03, 0.1, 0.3),
    "relative_trust": (0.1, 0.3, 1.0),
    "fromage": (1e-2, 3e-2, 1e-1),
    "nero": (3e-3, 1e-2, 3e-2),
    "madam": (3e-3, 1e-2, 3e-2),
    "mfac": (1e-4, 3e-4, 1e-3),
}
FIXED: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 0.1},
    "sgd": {"momentum": 0.9},
    "muon": {"weight_decay": 0.1},
    "agd": {"bias": "block"},
    "agd_spectral": {"bias": "block"},
    "relative_trust": {"bias": "block"},
}
Cell = tuple[str, float, int]


class Solution(NamedTuple):
    """What one training found, in how many seconds of the processor; zeros where nothing is certified."""

    loss: float
    seconds: float
    area: float
    boxes: float
    product: float
    local: float
    norms: tuple[float, ...]


def run(names: tuple[str, ...] = tuple(RATES), seeds: range = SEEDS, steps: int = 0) -> dict[str, float]:
    cells = [(name, rate, seed, steps) for name in names for rate in RATES[name] for seed in seeds]
    found = dict(zip(cells, in_processes(solve, cells), strict=True))
    best: dict[str, tuple[float, list[Solution]]] = {}
    for name in names:
        by_rate = {rate: [found[name, rate, seed, steps] for seed in seeds] for rate in RATES[name]}
        rate = max(by_rate, key=lambda rate: median(by_rate[rate], "area"))
        best[name] = rate, by_rate[rate]
    write_table("control", rows_of(best))
    return {f"share of the controllable states certified, {name}": median(best[name][1], "area") for name in names}


def solve(cell: tuple[str, float, int, int]) -> Solution:
    """Train and certify; a training that is refused or ends in NaN certifies nothing."""
    name, rate, seed, steps = cell
    torch.set_num_threads(1)
    environment = Studied(0.75, name, rate, steps)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        try:
            run = ctrlnet.train(environment, optimizer=name, seed=seed, out=Path(folder) / "run")
        except ctrlnet.NonFinite:
            return Solution(math.inf, math.nan, 0.0, 0.0, math.nan, math.nan, ())
        seconds = time.process_time() - started
        rebuilt = ctrlnet.rebuild(run)
        loss = float((run.path / "metrics.csv").read_text().splitlines()[-1].split(",")[1])
    return measured(rebuilt, loss, seconds)


@dataclass(frozen=True)
class Studied(ctrlnet.load("environments", "pendulum")):  # type: ignore[misc]
    """The pendulum, trained with one rate of one optimizer; steps below 1 leave the recipe's number."""

    optimizer: str = "adamw"
    rate: float = 5e-3
    steps: int = 0

    @property
    def recipe(self) -> ctrlnet.Recipe:
        options = {self.optimizer: {"lr": self.rate, **FIXED.get(self.optimizer, {})}}
        told = replace(super().recipe, optimizers=options)
        return replace(told, steps=self.steps) if self.steps else told


def measured(rebuilt: Any, loss: float, seconds: float) -> Solution:
    """What is proved of a run, and how steep its policy is."""
    (statement,) = rebuilt.statements.values()
    verdict = ctrlnet.certify(statement.condition, statement.system, statement.box, budget=ctrlnet.Budget(seconds=120))
    network = rebuilt.policy.network.double().requires_grad_(False)
    norms = tuple(float(torch.linalg.matrix_norm(m.weight, 2)) for m in network if isinstance(m, nn.Linear))
    if verdict.status != "certified":
        return Solution(loss, seconds, 0.0, verdict.boxes, math.prod(norms), math.nan, norms)
    low, high = cells(statement.box)
    share, inside = held(statement.condition.V, verdict.level, low, high)
    area = (
        share * float((statement.box.upper - statement.box.lower).prod()) / rebuilt.environment.null_controllable_area
    )
    low, high = low[inside], high[inside]
    steepest = steepness(network, *(side * rebuilt.policy.reciprocal_scale.double() for side in (low, high)))
    return Solution(loss, seconds, area, verdict.boxes, math.prod(norms), steepest, norms)


def cells(box: ctrlnet.Box) -> tuple[Tensor, Tensor]:
    """The corners of the cells of a grid over the box; neighbours share a face to the last bit."""
    ends = zip(box.lower.tolist(), box.upper.tolist(), strict=True)
    lines = [torch.linspace(a, b, CELLS + 1, dtype=torch.float64) for a, b in ends]
    return torch.cartesian_prod(*(line[:-1] for line in lines)), torch.cartesian_prod(*(line[1:] for line in lines))


def held(V: Any, level: float, low: Tensor, high: Tensor) -> tuple[float, Tensor]:
    """The share of the cells with their centre in {V <= level}; which of them meet it, as far as is not excluded."""
    with torch.no_grad():
        share = float((V(0.5 * (low + high)) <= level).double().mean())
    graph, node = trace(V, 2, low[:64], ())
    return share, ~(slope_bounds(graph, [node], low, high)[0].range.lower[:, 0] > level)


def steepness(network: nn.Module, low: Tensor, high: Tensor) -> float:
    """A bound of |grad N| over all the boxes: the largest corner of the enclosures of its entries."""
    graph, node = trace(lambda z: network(z)[..., 0], 2, low[:64], ())
    entries = [slope_bounds(graph, [row], low, high)[0].range for row in jacobian(graph, node)]
    largest = sum(torch.maximum(row.lower.abs(), row.upper.abs()).amax(-1) ** 2 for row in entries)
    return float(largest.max().sqrt())


def rows_of(best: dict[str, tuple[float, list[Solution]]]) -> list[dict[str, Any]]:
    """The table; times over that of the first optimizer, since other work on the machine changes them all."""
    first = median(next(iter(best.values()))[1], "seconds")
    return [_row(name, rate, solutions, first) for name, (rate, solutions) in best.items()]


def _row(name: str, rate: float, solutions: list[Solution], first: float) -> dict[str, Any]:
    norms = [statistics.median(column) for column in zip(*(one.norms for one in solutions if one.norms), strict=True)]
    return {
        "optimizer": name,
        "rate": rate,
        "loss": median(solutions, "loss"),
        "time of training": median(solutions, "seconds") / first,
        "certified": f"{sum(one.area > 0 for one in solutions)} of {len(solutions)}",
        "share of the controllable states [%]": percent(median(solutions, "area")),
        "boxes": int(median(solutions, "boxes")),
        "spectral norms": ", ".join(f"{norm:.2g}" for norm in norms),
        "their product": median(solutions, "product"),
        "gradient bound on the set": median(solutions, "local"),
    }
