"""AGD with nothing to choose over width and depth, and how many epochs it and agd_spectral take to 99 %."""

from __future__ import annotations

import statistics
from typing import Any

from digits import Outcome, Training
from pages import median, percent, train_all, write_table

WIDTHS, DEPTHS = (64, 128, 256, 512, 1024), (2, 4, 8, 16)
RACE = ((4, 128), (8, 128), (8, 256))  # depth and width
SEEDS = range(5)


def run(
    widths: tuple[int, ...] = WIDTHS, depths: tuple[int, ...] = DEPTHS, epochs: int = 15, longest: int = 60
) -> dict[str, float]:
    cells = {(d, w): Training("agd", width=w, depth=d, epochs=epochs) for w in reversed(widths) for d in depths}
    outcomes = train_all(cells)
    write_table("agd", [{"depth": d, **{f"width {w}": _accuracies(outcomes[d, w]) for w in widths}} for d in depths])
    ratios = race(longest)
    return {"least train accuracy of AGD": min(o.train for o in outcomes.values()), **ratios}


def race(longest: int) -> dict[str, float]:
    tasks = {
        (name, d, w, seed): Training(name, width=w, depth=d, epochs=longest, seed=seed, race=True)
        for d, w in RACE for name in ("agd_spectral", "agd") for seed in SEEDS
    }  # fmt: skip
    outcomes = train_all(tasks)
    rows, ratios = [], {}
    for d, w in RACE:
        of = {name: [outcomes[name, d, w, seed] for seed in SEEDS] for name in ("agd", "agd_spectral")}
        epochs = {name: median(found, "epochs_to_99") for name, found in of.items()}
        shares = [new.epochs_to_99 / old.epochs_to_99 for new, old in zip(of["agd_spectral"], of["agd"], strict=True)]
        ratios[f"epochs of agd_spectral over AGD, depth {d}, width {w}"] = epochs["agd_spectral"] / epochs["agd"]
        rows.append(_row(d, w, of, epochs, statistics.median(shares)))
    write_table("race", rows)
    return ratios


def _row(d: int, w: int, of: dict[str, list[Outcome]], epochs: dict[str, float], share: float) -> dict[str, Any]:
    cells = {f"epochs to 99 %, {name}": epochs[name] for name in of}
    time = median(of["agd_spectral"], "seconds") / median(of["agd"], "seconds")
    return {"depth": d, "width": w, **cells, "median of their ratios": share, "time to 99 %, ratio": time}


def _accuracies(outcome: Outcome) -> str:
    return f"{percent(outcome.train)} / {percent(outcome.test)}"
