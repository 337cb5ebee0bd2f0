"""Hamiltonian networks from 2 to 1024 layers on two nested ellipses and two spirals.

q'' = -Aᵀ tanh(A q + b) over T = 20 with Verlet, states of width 4: a point and two zeros as q and p. Every level
starts from the one before, with the weights constant over each of its intervals. Data: ellipses, 1000 points to train
with and 2000 to validate, half of them in {x² + (y/0.4)² < 1}, half around it, without a gap; spirals, of two
windings, 256 points of each to train with and the 256 between these to validate.

Setting: Haber and Ruthotto, Stable architectures for deep neural networks, 2017; optimiser and generators are ours.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from flows import Flow, Labelled, Padded, Penalties, accuracy, affine, circle, levels, regions, turns
from matplotlib.figure import Figure
from pages import in_processes, percent, write_figure, write_table
from torch import Tensor

from ctrlnet.layers import HamiltonianLayer, TimeVarying

PAGE = "integrator-studies"
SEEDS = range(5)
DURATION, WIDTH, LAYERS = 20.0, 4, 1024
PENALTIES = Penalties(roughness=5e-3, size=3e-4)
CORNERS = {"ellipses": (-2.2, 2.2, -1.0, 1.0), "swiss roll": (-1.3, 1.3, -1.3, 1.3)}


class Level(NamedTuple):
    """A number of layers; after training with it the largest h ω, at most h |A|, and the accuracies."""

    layers: int
    turning: float
    train: float
    validation: float


class Trained(NamedTuple):
    """The levels of one training, and the classes of the last one on a grid."""

    levels: list[Level]
    regions: Tensor


def run(seeds: range = SEEDS, layers: int = LAYERS) -> dict[str, float]:
    cells = [(name, seed, layers) for name in DATA for seed in seeds]
    found = dict(zip(cells, in_processes(train, cells), strict=True))
    trained = {name: [found[name, seed, layers] for seed in seeds] for name in DATA}
    write_table("deep", _rows(trained), PAGE)
    write_figure("deep", figure({name: found[name, seeds[0], layers] for name in DATA}, seeds[0]))
    return {
        f"median validation accuracy, {name}, {layers} layers": statistics.median(
            one.levels[-1].validation for one in results
        )
        for name, results in trained.items()
    }


def train(cell: tuple[str, int, int]) -> Trained:
    name, seed, layers = cell
    torch.set_num_threads(1)
    data, validation = DATA[name](seed)
    reached = []
    for flow in levels(start(seed), data, layers, iterations, PENALTIES):
        accuracies = accuracy(flow, data), accuracy(flow, validation)
        reached.append(Level(flow.varying.intervals, turning(flow), *accuracies))
    return Trained(reached, regions(flow, CORNERS[name]))


def turning(flow: Flow) -> float:
    return flow.varying.step * float(torch.linalg.matrix_norm(flow.varying.weights["potential.A"].detach(), 2).max())


def iterations(layers: int) -> int:
    """Most where layers are few, and yet enough for the steps to follow the equation."""
    return next(count for most, count in ((8, 60), (32, 200), (64, 40), (256, 12), (1 << 30, 5)) if layers <= most)


def start(seed: int) -> Flow:
    """Two layers near A = I."""
    generator = torch.Generator().manual_seed(seed)
    varying = TimeVarying([HamiltonianLayer(WIDTH), HamiltonianLayer(WIDTH)], DURATION)
    with torch.no_grad():
        for name, stack in varying.weights.items():
            noise = torch.randn(stack.shape, dtype=torch.float64, generator=generator)
            stack.copy_(torch.eye(WIDTH // 2) + 0.3 * noise if name.endswith("A") else 0.1 * noise)
    return Flow(Padded(WIDTH), varying, affine(WIDTH, 2, 0.1, generator), "verlet")


def ellipses(seed: int) -> tuple[Labelled, Labelled]:
    generator = torch.Generator().manual_seed(1000 + seed)
    return _ellipses(1000, generator), _ellipses(2000, generator)


def _ellipses(count: int, generator: torch.Generator) -> Labelled:
    radii = torch.rand(count, dtype=torch.float64, generator=generator)
    labels = torch.arange(count) % 2
    return Labelled(circle(turns(count, generator), radii + labels, 0.4), labels)


def swiss_roll(seed: int) -> tuple[Labelled, Labelled]:
    """The same points for every seed, the radii of the spirals 0 to 1 and 0.2 to 1.2."""
    angles, radii = (torch.linspace(0, end, 512, dtype=torch.float64) for end in (4 * math.pi, 1.0))
    points = torch.stack([circle(angles, radii), circle(angles, radii + 0.2)])
    labels = torch.tensor([[0], [1]]).expand(2, 256)
    train, validation = (Labelled(points[:, i::2].flatten(0, 1), labels.flatten()) for i in (0, 1))
    return train, validation


DATA: dict[str, Callable[[int], tuple[Labelled, Labelled]]] = {"ellipses": ellipses, "swiss roll": swiss_roll}


def _rows(trained: dict[str, list[Trained]]) -> list[dict[str, Any]]:
    some = next(iter(trained.values()))[0].levels
    return [_row(index, level.layers, trained) for index, level in enumerate(some)]


def _row(index: int, layers: int, trained: dict[str, list[Trained]]) -> dict[str, Any]:
    row: dict[str, Any] = {"layers": layers, "step [s]": DURATION / layers}
    for name, results in trained.items():
        reached = [one.levels[index] for one in results]
        row[f"{name}: h ω"] = statistics.median(level.turning for level in reached)
        row[f"{name}: training [%]"] = percent(statistics.median(level.train for level in reached))
        row[f"{name}: validation [%]"] = percent(statistics.median(level.validation for level in reached))
        row[f"{name}: worst validation [%]"] = percent(min(level.validation for level in reached))
    return row


def figure(trained: dict[str, Trained], seed: int) -> Figure:
    """The regions of the last level, for one seed, under the points that it was trained with."""
    sheet = Figure(figsize=(9, 3.2))
    panels = sheet.subplots(1, len(trained), squeeze=False)[0]
    for axes, (name, one) in zip(panels, trained.items(), strict=True):
        points, labels = DATA[name](seed)[0]
        shown = {"origin": "lower", "extent": CORNERS[name], "aspect": "auto"}
        axes.imshow(one.regions.numpy(), cmap="coolwarm", alpha=0.35, **shown)
        axes.scatter(*points.T.numpy(), c=labels.numpy(), cmap="coolwarm", s=3)
        axes.set_title(f"{name}, {one.levels[-1].layers} layers")
    return sheet
