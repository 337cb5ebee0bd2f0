"""Networks without skips or normalisation, ten to fifty matrices deep: who trains them, and by start or by rule?

Width 64, batches of 64, 50 epochs, the rate times 0.9025 each epoch. Where a method has a rate the best of its grid by
median train accuracy is shown. Cross entropy, but the square loss for AGD, whose rule is derived from it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from digits import Outcome, Training
from pages import median, percent, train_all, write_table

DEPTHS = (10, 20, 30, 50)
SEEDS = range(5)


class Method(NamedTuple):
    """A row of the table: an optimizer, its start, its loss, the rates tried (none: it has no rate)."""

    optimizer: str
    start: str
    loss: str
    rates: tuple[float, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()


PLAIN = (("weight_decay", 0.0),)
MOMENTUM = (("momentum", 0.9),)
METHODS = (
    Method("agd", "orthogonal", "square"),
    Method("agd_spectral", "orthogonal", "square"),
    Method("nero", "orthogonal", "entropy", (3e-2, 2e-2, 1e-2, 1e-3)),
    Method("fromage", "torch", "entropy", (1e-2, 1e-3)),
    Method("adamw", "torch", "entropy", (1e-3, 1e-4), PLAIN),
    Method("sgd", "torch", "entropy", (1e-1, 1e-2), MOMENTUM),
    Method("adamw", "orthogonal", "entropy", (1e-3, 1e-4), PLAIN),
    Method("sgd", "orthogonal", "entropy", (1e-1, 1e-2), MOMENTUM),
    Method("fromage", "orthogonal", "entropy", (1e-2, 1e-3)),
)
Cell = tuple[Method, int, float | None, int]


def run(depths: tuple[int, ...] = DEPTHS, seeds: range = SEEDS, epochs: int = 50) -> dict[str, float]:
    cells: list[Cell] = [
        (method, depth, rate, seed)
        for depth in sorted(depths, reverse=True)
        for method in METHODS
        for rate in method.rates or (None,)
        for seed in seeds
    ]
    outcomes = train_all({cell: _task(cell, epochs) for cell in cells})
    best = {(m, d): _best(outcomes, m, d, seeds) for m in METHODS for d in depths}
    write_table("depth", [_row(best, method, depths) for method in METHODS])
    deepest = max(depths)
    return {
        f"train accuracy at depth {deepest}, {m.optimizer} from {m.start}": median(best[m, deepest][1], "train")
        for m in METHODS
    }


def _task(cell: Cell, epochs: int) -> Training:
    method, depth, rate, seed = cell
    options = {**dict(method.fixed), **({} if rate is None else {"lr": rate})}
    return Training(method.optimizer, options, 64, depth, method.start, method.loss, epochs, 64, 0.95**2, seed)


def _best(
    outcomes: dict[Cell, Outcome], method: Method, depth: int, seeds: range
) -> tuple[float | None, list[Outcome]]:
    """The rate of the highest median train accuracy, and the outcomes with it."""
    found = {rate: [outcomes[method, depth, rate, seed] for seed in seeds] for rate in method.rates or (None,)}
    rate = max(found, key=lambda rate: median(found[rate], "train"))
    return rate, found[rate]


def _row(
    best: dict[tuple[Method, int], tuple[float | None, list[Outcome]]], method: Method, depths: tuple[int, ...]
) -> dict[str, Any]:
    cells = {}
    for depth in depths:
        rate, found = best[method, depth]
        shares = " / ".join(percent(median(found, part)) for part in ("train", "test"))
        cells[f"depth {depth}"] = shares if rate is None else f"{shares} ({rate:g})"
    return {"optimizer": method.optimizer, "start": method.start, "loss": method.loss, **cells}
