"""Larger plants: what a proof of so much of the sampled level costs, by states, width of the policy and level.

The proof is over boxes of y, in which {V <= level} is about a ball (`ctrlnet.Coordinates`). The sampled level is the
least V at three million states at which V rises. Time is that of the processor, of one thread, which a busy machine
does not lengthen. `measure` holds the cart-pole against its target; the table of docs/scale.md is filled row by row:

    python benchmarks/scale.py cart-pole 128 0.7 0.9       # proves these shares of the sampled level
    python benchmarks/scale.py quadrotor 32 --minutes 30   # the largest level that a search of so long finds
"""

from __future__ import annotations

import argparse
import logging
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from plants import PLANTS, RATE, Field, imitation, sampled_level
from timing import Proof, timed_certify
from torch import Tensor

from ctrlnet import Budget, Coordinates, ExponentialStability, Quadratic

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
ASKED, WIDTHS = 0.91, (16, 128)


class Row(NamedTuple):
    """One proof, and what was asked."""

    plant: str
    width: int
    asked: float | None
    sampled: float
    proof: Proof

    @property
    def share(self) -> float:
        """Of the sampled level; 0 when nothing is certified."""
        return self.proof.verdict.level / self.sampled

    @property
    def cells(self) -> list[str]:
        verdict, search, check, _ = self.proof
        asked = "largest" if self.asked is None else f"{self.asked:g}"
        leaves, seconds = ("–", "–") if verdict.report is None else (f"{verdict.report.leaves:,}", f"{check:.1f}")
        return [
            *(str(PLANTS[self.plant].n), self.plant, str(self.width), asked, verdict.status, f"{self.share:.3f}"),
            *(f"{verdict.boxes:,}", leaves, f"{search:.1f}", seconds),
        ]


def measure() -> dict[str, float]:
    figures = {}
    for width in WIDTHS:
        row = prove("cart-pole", width, ASKED, 10)
        figures[f"level / sampled level, width {width}"] = row.share
        figures[f"minutes, width {width}"] = row.proof.whole / 60
        figures[f"boxes, width {width}"] = float(row.proof.verdict.boxes)
    return figures


def prove(name: str, width: int, asked: float | None, minutes: float) -> Row:
    """Certify the share asked for, None for the largest, of the sampled level of a plant's imitation of this width."""
    field, P, sampled = _problem(name, width)
    level, y = None if asked is None else asked * sampled, Coordinates(P)
    condition = y.condition(ExponentialStability(Quadratic(P), RATE))
    box, budget = y.box(sampled if level is None else level), Budget(seconds=60 * minutes, boxes=10**9)
    proof = timed_certify(condition, y.system(field), box, level=level, budget=budget)
    return Row(name, width, asked, sampled, proof)


@cache
def _problem(name: str, width: int) -> tuple[Field, Tensor, float]:
    """F, P of V = xᵀPx, and the sampled level."""
    torch.set_num_threads(1)
    field, P = imitation(PLANTS[name], width)
    return field, P, sampled_level(field, P)


def entered(page: str, row: Row) -> str:
    """The page with the row in its table, in place of an earlier one of the same plant, width and share."""
    lines = page.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| n | plant |")) + 2
    after = next((i for i in range(first, len(lines)) if not lines[i].startswith("|")), len(lines))
    rows = [line.strip("| ").split(" | ") for line in lines[first:after]]
    rows = sorted([cells for cells in rows if cells[:4] != row.cells[:4]] + [row.cells], key=_order)
    return "\n".join((*lines[:first], *(f"| {' | '.join(cells)} |" for cells in rows), *lines[after:])) + "\n"


def _order(cells: list[str]) -> tuple[int, int, float]:
    return int(cells[0]), int(cells[2]), float(cells[3].replace("largest", "inf"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plant", choices=PLANTS)
    parser.add_argument("width", type=int)
    parser.add_argument("shares", type=float, nargs="*", help="of the sampled level; none: the largest level found")
    parser.add_argument("--minutes", type=float, default=10, help="limit of a search")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)  # ctrlnet says how far a search is
    for share in options.shares or [None]:
        done = prove(options.plant, options.width, share, options.minutes)
        print(done.proof.verdict, done.cells, sep="\n")
        PAGE.write_text(entered(PAGE.read_text(encoding="utf-8"), done), encoding="utf-8")
