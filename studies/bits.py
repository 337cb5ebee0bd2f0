"""Madam in floating point and with weights of 8 to 12 bits, on a function that coarse weights cannot follow.

Regression: y = sin(2 a.x) + (b.x)(c.x)/2 on Gaussian x of R^8, 4096 points to train with and 4096 to test with, network
8-64-64-1 with tanh, batches of 256, 60 epochs, the rate falling along a cosine from the best of three.
"""

from __future__ import annotations

import math
import statistics
from functools import cache
from typing import Any, NamedTuple

import torch
from pages import in_processes, write_table
from torch import Tensor, nn

from ctrlnet.training import optimizer_named

SEEDS = range(3)
POINTS, BATCH, EPOCHS = 4096, 256, 60
RATES = (3e-3, 1e-2, 3e-2)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "AdamW, float32": ("adamw", {"weight_decay": 0.0}),
    "Madam, float32": ("madam", {}),
    **{f"Madam, {bits} bits and sign": ("madam_integer", {"bits": bits}) for bits in (12, 10, 9, 8)},
}
Cell = tuple[str, float, int, int]


class Result(NamedTuple):
    """Mean square errors over the variance of y, and bytes kept for each weight: the weight itself and its state."""

    train: float
    test: float
    bytes: float


def run(epochs: int = EPOCHS, seeds: range = SEEDS) -> dict[str, float]:
    cells: list[Cell] = [(name, rate, seed, epochs) for name in METHODS for rate in RATES for seed in seeds]
    found = dict(zip(cells, in_processes(train, cells), strict=True))
    best = {
        name: _best({rate: [found[name, rate, seed, epochs] for seed in seeds] for rate in RATES}) for name in METHODS
    }
    write_table("bits", [_row(name, *chosen) for name, chosen in best.items()])
    return {f"test error, {name}": result.test for name, (_, result) in best.items()}


def train(cell: Cell) -> Result:
    name, rate, seed, epochs = cell
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    plugin, options = METHODS[name]
    optimizer = optimizer_named(plugin, network, {"lr": rate, **options})
    x, y, x_test, y_test = data()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (POINTS // BATCH))
    for _ in range(epochs):
        for rows in torch.randperm(POINTS).split(BATCH):
            optimizer.zero_grad()
            (network(x[rows])[:, 0] - y[rows]).square().mean().backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        errors = [float((network(a)[:, 0] - b).square().mean()) for a, b in ((x, y), (x_test, y_test))]
    return Result(*errors, _bytes(optimizer, network))


@cache
def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.randn(3, 8, generator=generator) / math.sqrt(8)
    x = torch.randn(2 * POINTS, 8, generator=generator)
    y = torch.sin(2 * (x @ a)) + 0.5 * (x @ b) * (x @ c)
    y = (y - y.mean()) / y.std()
    return x[:POINTS], y[:POINTS], x[POINTS:], y[POINTS:]


def _bytes(optimizer: torch.optim.Optimizer, network: nn.Module) -> float:
    """Of the state, and of the weights unless the state is what they are made of."""
    weights = list(network.parameters())
    state = sum(v.nbytes for w in weights for v in optimizer.state[w].values() if isinstance(v, Tensor))
    kept = 0 if hasattr(optimizer, "memory") else sum(w.nbytes for w in weights)
    return (state + kept) / sum(w.numel() for w in weights)


def _best(by_rate: dict[float, list[Result]]) -> tuple[float, Result]:
    """The rate of the least median training error, and the medians with it."""
    medians = {rate: Result(*map(statistics.median, zip(*found, strict=True))) for rate, found in by_rate.items()}
    rate = min(medians, key=lambda rate: medians[rate].train)
    return rate, medians[rate]


def _row(name: str, rate: float, result: Result) -> dict[str, Any]:
    return {
        "optimizer": name,
        "rate": rate,
        "training error": result.train,
        "test error": result.test,
        "bytes a weight": result.bytes,
    }
