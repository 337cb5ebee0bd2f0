"""The peaks function in five classes by three discretisations of antisymmetric layers: unstable, medium, stable.

Data: the function of MATLAB on [-3, 3]², the classes five equal parts of its range, 2000 points to train with and 2000
to validate, 400 of each class. Eight features, 32 layers and then 64, all of them equal at the start, with Gaussian K
of twice the usual size. What they differ in is h ω: the step times the largest frequency of a layer, for which ab3 is
stable up to 0.72 and Verlet up to 2.

unstable    x' = tanh((K - Kᵀ) x + b),                       T = 10,  ab3
medium      q' = tanh(Kᵀp + c),  p' = -tanh(K q + b),        T = 5,   Verlet
stable      x' = tanh((K - Kᵀ) x/u + b),  u = 0.05,          T = 0.2, ab3

No feature moves further than T, since |tanh| <= 1: so features are of the size u in the last one, which is the network
with T = 4 and u = 1 in other units.

Setting: Haber and Ruthotto, Stable architectures for deep neural networks, 2017; optimiser and generators are ours.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from flows import Flow, Labelled, Penalties, accuracy, affine, growth, levels, regions
from matplotlib.figure import Figure
from pages import in_processes, median, percent, write_figure, write_table
from torch import Tensor, nn

from ctrlnet import Separable
from ctrlnet.layers import TimeVarying

PAGE = "integrator-studies"
SEEDS = range(5)
WIDTH, CLASSES, GAIN, OPENING = 8, 5, 2.0, 0.5
COARSE, LAYERS = 32, 64
POINTS = 2000
ITERATIONS = {COARSE: 250, LAYERS: 50}
PENALTIES = Penalties(roughness=1e-4, size=1e-5)
CORNERS = (-3.0, 3.0, -3.0, 3.0)
AB3_LIMIT, VERLET_LIMIT = 0.7236, 2.0


@dataclass(frozen=True)
class Setting:
    """A discretisation: duration T, method, the size of a feature, and the h ω up to which the method is stable."""

    duration: float
    method: str
    unit: float
    limit: float


SETTINGS = {
    "unstable": Setting(10.0, "ab3", 1.0, AB3_LIMIT),
    "medium": Setting(5.0, "verlet", 1.0, VERLET_LIMIT),
    "stable": Setting(0.2, "ab3", 0.05, AB3_LIMIT),
}


@final
class Turning(nn.Module):
    """x' = tanh((K - Kᵀ) x/u + b): ctrlnet.Antisymmetric with states in units of u, so that K is near 1 for every T."""

    def __init__(self, K: Tensor, b: Tensor, unit: float) -> None:
        super().__init__()
        self.K, self.b, self.unit = nn.Parameter(K), nn.Parameter(b), unit

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(nn.functional.linear(x, (self.K - self.K.T) / self.unit, self.b))


@final
class Staggered(nn.Module, Separable):
    """q' = tanh(Kᵀp + c),  p' = -tanh(K q + b): antisymmetric in blocks, the state (q, p)."""

    def __init__(self, K: Tensor, b: Tensor, c: Tensor) -> None:
        super().__init__()
        self.K, self.b, self.c = nn.Parameter(K), nn.Parameter(b), nn.Parameter(c)

    def velocity(self, t: Any, p: Tensor) -> Tensor:
        return torch.tanh(nn.functional.linear(p, self.K.T, self.c))

    def force(self, t: Any, q: Tensor) -> Tensor:
        return -torch.tanh(nn.functional.linear(q, self.K, self.b))


class Result(NamedTuple):
    """One training: h ω before and after, the median growth of a perturbation before and after, accuracies.

    `finer` is the validation accuracy of the same weights in time on twice as many layers: as good as `validation`
    where the layers follow their equation.
    """

    turning_start: float
    turning: float
    growth_start: float
    growth: float
    train: float
    coarse: float
    validation: float
    finer: float
    regions: Tensor


def run(seeds: range = SEEDS, layers: int = LAYERS) -> dict[str, float]:
    cells = [(name, seed, layers) for name in SETTINGS for seed in seeds]
    found = dict(zip(cells, in_processes(train, cells), strict=True))
    results = {name: [found[name, seed, layers] for seed in seeds] for name in SETTINGS}
    write_table("peaks", [_row(name, results[name]) for name in SETTINGS], PAGE)
    write_figure("peaks", figure({name: results[name][0] for name in SETTINGS}, seeds[0]))
    return {f"median validation accuracy, {name}": median(results[name], "validation") for name in SETTINGS}


def train(cell: tuple[str, int, int]) -> Result:
    name, seed, layers = cell
    torch.set_num_threads(1)
    data, validation = peaks(1000 + seed), peaks(2000 + seed)
    flow, some = start(name, seed), validation.points[:: POINTS // 400]
    before = turning(name, flow), float(growth(flow, some).median())
    reached = []
    for level in levels(flow, data, layers, lambda count: ITERATIONS[count], PENALTIES):
        flow = level
        reached.append(accuracy(flow, validation))
    after = turning(name, flow), float(growth(flow, some).median())
    return Result(
        before[0], after[0], before[1], after[1], accuracy(flow, data), reached[0], reached[-1],
        accuracy(flow.refined(), validation), regions(flow, CORNERS),
    )  # fmt: skip


def start(name: str, seed: int) -> Flow:
    """32 equal layers."""
    setting, generator = SETTINGS[name], torch.Generator().manual_seed(seed)
    opening = affine(2, WIDTH, OPENING, generator)
    layer: nn.Module
    if setting.method == "verlet":
        inner = affine(WIDTH // 2, WIDTH // 2, GAIN / math.sqrt(WIDTH / 2), generator)
        layer = Staggered(inner.weight.detach(), inner.bias.detach(), inner.bias.detach().clone())
    else:
        inner = affine(WIDTH, WIDTH, GAIN / math.sqrt(WIDTH), generator)
        layer = Turning(inner.weight.detach(), inner.bias.detach(), setting.unit)
    readout = affine(WIDTH, CLASSES, 0.1, generator)
    return Flow(opening, TimeVarying([layer] * COARSE, setting.duration), readout, setting.method, setting.unit)


def turning(name: str, flow: Flow) -> float:
    """h ω, at its largest over the layers; ω <= |K - Kᵀ|/u or |K| since the slope of tanh is at most 1."""
    K = flow.varying.weights["K"].detach()
    matrix = K if SETTINGS[name].method == "verlet" else (K - K.mT) / flow.unit
    return flow.varying.step * float(torch.linalg.matrix_norm(matrix, 2).max())


def peaks(seed: int) -> Labelled:
    """Uniform in each class."""
    generator = torch.Generator().manual_seed(seed)
    points = 6 * torch.rand(60 * POINTS, 2, dtype=torch.float64, generator=generator) - 3
    labels = torch.bucketize(height(points), thresholds())
    chosen = torch.cat([(labels == c).nonzero()[: POINTS // CLASSES, 0] for c in range(CLASSES)])
    return Labelled(points[chosen], labels[chosen])


def height(points: Tensor) -> Tensor:
    """The peaks function (...) at points (..., 2)."""
    x, y = points.unbind(-1)
    hill = 3 * (1 - x) ** 2 * torch.exp(-(x**2) - (y + 1) ** 2)
    middle = 10 * (x / 5 - x**3 - y**5) * torch.exp(-(x**2) - y**2)
    return hill - middle - torch.exp(-((x + 1) ** 2) - y**2) / 3


def thresholds() -> Tensor:
    """The heights between the classes, (4,)."""
    axis = torch.linspace(-3, 3, 601, dtype=torch.float64)
    heights = height(torch.cartesian_prod(axis, axis))
    return torch.linspace(float(heights.min()), float(heights.max()), CLASSES + 1, dtype=torch.float64)[1:-1]


def _row(name: str, results: list[Result]) -> dict[str, Any]:
    setting = SETTINGS[name]
    return {
        "setting": f"{name}: {setting.method}, T = {setting.duration:g}",
        "h ω, start": f"{median(results, 'turning_start'):.2f} (limit {setting.limit:.2f})",
        "h ω, trained": f"{median(results, 'turning'):.2f}",
        "growth, start": median(results, "growth_start"),
        "growth, trained": median(results, "growth"),
        "training [%]": percent(median(results, "train")),
        "validation, 32 layers [%]": percent(median(results, "coarse")),
        "validation, 64 layers [%]": percent(median(results, "validation")),
        "over the seeds [%]": _span([result.validation for result in results]),
        "on 128 layers without training [%]": percent(median(results, "finer")),
    }


def _span(shares: list[float]) -> str:
    return f"{percent(min(shares))} to {percent(max(shares))}, spread {percent(statistics.pstdev(shares))}"


def figure(results: dict[str, Result], seed: int) -> Figure:
    """The classes as they are, and by each of the networks of one seed."""
    sheet = Figure(figsize=(10, 2.8))
    axis = torch.linspace(-3, 3, 120, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    pictures = {"the classes": torch.bucketize(height(grid), thresholds())}
    for name, result in results.items():
        pictures[f"{name}, {percent(result.validation)} %"] = result.regions
    panels = sheet.subplots(1, len(pictures), squeeze=False)[0]
    for axes, (title, picture) in zip(panels, pictures.items(), strict=True):
        axes.imshow(picture.numpy(), origin="lower", extent=CORNERS, cmap="viridis", vmin=0, vmax=CLASSES - 1)
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=6)
    return sheet
