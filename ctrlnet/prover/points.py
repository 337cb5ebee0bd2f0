"""Signs at single states, certain: exact rationals where the graph allows, outward-rounded bounds where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover.interval import interval_bounds


def upper_bounds(graph: Graph, outputs: Sequence[int], x: Tensor) -> list[Fraction | float]:
    """Numbers that scalar nodes certainly do not exceed at the float64 state x, shape (n,); infinite where undefined.

    The state is put into the graph, which folds rational arithmetic exactly: x² is 0 at 0, not 0 up to a rounding.
    """
    there = Graph(graph.dimension)
    images = graph.copy_into(there, outputs, there.constant([Fraction(value) for value in x.tolist()]))
    found: list[Fraction | float] = []
    for image in images:
        held = there.held(image)
        if held is not None:
            found.append(held.fractions[0])
            continue
        nowhere = torch.zeros(1, graph.dimension, dtype=torch.float64)
        upper = float(interval_bounds(there, [image], nowhere, nowhere)[0].upper[0, 0])
        found.append(upper if upper == upper else float("inf"))
    return found
