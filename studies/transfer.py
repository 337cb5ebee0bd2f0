"""Learning-rate transfer over width and depth: the loss at a rate tuned once, over the best loss of the same cell.

108 steps of 128 digits, square loss, Gaussian start with root mean square singular value 1, √2 relu, for all. The rate
is tuned at depth 4 and width 64. The thesis has the figure on CIFAR-10, widths 64 to 8192, depths 2 to 10 (Bernstein,
Optimisation and generalisation in networks of neurons, arXiv 2210.10101, ch. 5).
"""

from __future__ import annotations

import math
from typing import Any

from digits import Outcome, Training
from matplotlib.figure import Figure
from pages import train_all, write_figure, write_table

WIDTHS, DEPTHS = (64, 256, 1024), (2, 4, 10)
TUNED = (4, 64)
EPOCHS, BATCH = 9, 128  # of 12 steps
RATES = {
    "relative_trust": [2.0**k for k in range(-5, 2)],
    "adamw": [10 ** (k / 2) for k in range(-8, -2)],
    "fromage": [2.0**k for k in range(-10, -1)],
}
FIXED: dict[str, dict[str, Any]] = {"adamw": {"weight_decay": 0.0}}
Cell = tuple[str, int, int, float]


def run(widths: tuple[int, ...] = WIDTHS, depths: tuple[int, ...] = DEPTHS, epochs: int = EPOCHS) -> dict[str, float]:
    cells = [
        (name, d, w, rate)
        for w in sorted(widths, reverse=True)
        for d in depths
        for name in RATES
        for rate in RATES[name]
    ]
    outcomes = train_all({cell: task(cell, epochs) for cell in cells})
    write_table("transfer", [row(outcomes, name, d, w) for name in RATES for w in widths for d in depths])
    write_figure("transfer", figure(outcomes, widths, depths))
    return {
        f"worst ratio of {name}": max(ratio(outcomes, name, d, w) for d in depths for w in widths) for name in RATES
    }


def task(cell: Cell, epochs: int = EPOCHS) -> Training:
    name, depth, width, rate = cell
    options = {"lr": rate, **FIXED.get(name, {})}
    return Training(name, options, width, depth, start="gaussian", epochs=epochs, batch=BATCH)


def row(outcomes: dict[Cell, Outcome], name: str, depth: int, width: int) -> dict[str, Any]:
    best, rate = least(outcomes, name, depth, width)
    return {
        "optimizer": name,
        "width": width,
        "depth": depth,
        "best rate": rate,
        "best loss": best,
        "loss at the rate of depth 4, width 64": outcomes[name, depth, width, tuned(outcomes, name)].loss,
        "ratio": ratio(outcomes, name, depth, width),
    }


def ratio(outcomes: dict[Cell, Outcome], name: str, depth: int, width: int) -> float:
    return outcomes[name, depth, width, tuned(outcomes, name)].loss / least(outcomes, name, depth, width)[0]


def tuned(outcomes: dict[Cell, Outcome], name: str) -> float:
    return least(outcomes, name, *TUNED)[1]


def least(outcomes: dict[Cell, Outcome], name: str, depth: int, width: int) -> tuple[float, float]:
    """The best loss, and its rate."""
    return min((outcomes[name, depth, width, rate].loss, rate) for rate in RATES[name])


def figure(outcomes: dict[Cell, Outcome], widths: tuple[int, ...], depths: tuple[int, ...]) -> Figure:
    sheet = Figure(figsize=(4 * len(RATES), 3.4))
    panels = sheet.subplots(1, len(RATES), sharey=True, squeeze=False)[0]
    for axes, (name, rates) in zip(panels, RATES.items(), strict=True):
        for i, depth in enumerate(depths):
            for style, width in zip(("-", "--", ":"), widths, strict=False):
                losses = [outcomes[name, depth, width, rate].loss for rate in rates]
                shown = [loss if math.isfinite(loss) else math.nan for loss in losses]
                axes.loglog(rates, shown, style, color=f"C{i}", label=f"depth {depth}, width {width}")
        axes.axvline(tuned(outcomes, name), color="black", linewidth=0.6)
        axes.set(title=name, xlabel="learning rate", ylim=(3e-4, 3))
    panels[0].set_ylabel("training loss after 108 steps")
    panels[-1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return sheet
