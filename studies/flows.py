"""Networks whose layers are steps of an ODE, trained level by level: N layers, then 2N with the same weights in time.

Logits of points: an affine map into the states, x' = f(x; θ(t)) over [0, T] by one step of a method a layer, an affine
map out of them. The loss is the cross entropy, plus α ½ ∫ |θ'|² dt for smooth weights, plus β ∫ |θ|² dt and β |W|² of
the map out. Every level is a run of L-BFGS on all points; the next one begins with its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

import ctrlnet
from ctrlnet.layers import TimeVarying

HISTORY = 20


class Labelled(NamedTuple):
    """Points (N, 2) and their classes (N,)."""

    points: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Penalties:
    """α, of weights that vary in time, and β, of large ones."""

    roughness: float
    size: float


class Flow(nn.Module):
    """Logits (..., classes) of points (..., 2).

    Args:
        opening: maps points to states (..., n).
        varying: the layers.
        readout: maps states to logits.
        method: a name, of a method for a Separable field where the layers are separable.
        unit: the size of a feature: states are `unit` times what the opening gives, and the readout undoes it.
    """

    def __init__(
        self, opening: nn.Module, varying: TimeVarying, readout: nn.Module, method: str, unit: float = 1.0
    ) -> None:
        super().__init__()
        self.opening, self.varying, self.readout, self.method, self.unit = opening, varying, readout, method, unit

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.readout(self.carried(self.entered(points)) / self.unit)
        return logits

    def entered(self, points: Tensor) -> Tensor:
        """The states before the first layer, (..., n)."""
        states: Tensor = self.unit * self.opening(points)
        return states

    def carried(self, x: Tensor) -> Tensor:
        """The states after the last layer, (..., n)."""
        varying = self.varying
        separable = ctrlnet.load("integrators", self.method).needs == "Separable"
        field = varying.separable() if separable else ctrlnet.timed(varying)
        return ctrlnet.odeint(field, x, [0.0, varying.duration], method=self.method, step=varying.step)[-1]

    def refined(self) -> Flow:
        """The same weights in time on twice as many layers."""
        return Flow(self.opening, self.varying.prolonged(), self.readout, self.method, self.unit)


def levels(
    flow: Flow, train: Labelled, layers: int, iterations: Callable[[int], int], penalties: Penalties
) -> Iterator[Flow]:
    """The network after training with each number of layers, doubled up to `layers`."""
    while True:
        fit(flow, train, iterations(flow.varying.intervals), penalties)
        yield flow
        if flow.varying.intervals >= layers:
            return
        flow = flow.refined()


def fit(flow: Flow, data: Labelled, iterations: int, penalties: Penalties) -> None:
    """L-BFGS with a line search for the strong Wolfe conditions."""
    optimizer = torch.optim.LBFGS(
        list(flow.parameters()),
        max_iter=iterations,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(flow(data.points), data.labels) + penalty(flow, penalties)
        value.backward()
        return value.detach()

    optimizer.step(loss)


def penalty(flow: Flow, penalties: Penalties) -> Tensor:
    squares = [stack.square().sum() for stack in flow.varying.weights.values()]
    size = flow.varying.step * torch.stack(squares).sum() + flow.readout.weight.square().sum()
    return penalties.roughness * flow.varying.roughness() + penalties.size * size


def accuracy(flow: Flow, data: Labelled) -> float:
    with torch.no_grad():
        return float((flow(data.points).argmax(-1) == data.labels).double().mean())


def affine(columns: int, rows: int, scale: float, generator: torch.Generator) -> nn.Linear:
    """A map from columns to rows numbers with Gaussian weights of this standard deviation and small biases."""
    layer = nn.Linear(columns, rows, device="meta", dtype=torch.float64).to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.copy_(scale * torch.randn(rows, columns, dtype=torch.float64, generator=generator))
        layer.bias.copy_(0.1 * torch.randn(rows, dtype=torch.float64, generator=generator))
    return layer


class Padded(nn.Module):
    """Points (..., 2) with zeros behind, (..., n)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, points: Tensor) -> Tensor:
        return nn.functional.pad(points, (0, self.n - points.shape[-1]))


def growth(flow: Flow, points: Tensor) -> Tensor:
    """|∂x(T)/∂x(0)|, the largest factor by which the layers magnify a small change, at each point, (N,)."""
    x = flow.entered(points).detach().requires_grad_()
    end = flow.carried(x)
    rows = [torch.autograd.grad(end[:, i].sum(), x, retain_graph=True)[0] for i in range(x.shape[-1])]
    return torch.linalg.matrix_norm(torch.stack(rows, -2), 2)


def regions(flow: Flow, corners: Sequence[float], cells: int = 120) -> Tensor:
    """The classes on a grid over the box (x₁, x₂, y₁, y₂), (cells, cells), rows from below."""
    x, y = (torch.linspace(a, b, cells, dtype=torch.float64) for a, b in (corners[:2], corners[2:]))
    with torch.no_grad():
        return flow(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)).argmax(-1).reshape(cells, -1)


def circle(angles: Tensor, radii: Tensor | float, height: float = 1.0) -> Tensor:
    """Points at these angles and radii, (N, 2), the second coordinate times `height`."""
    return torch.stack([radii * angles.cos(), height * radii * angles.sin()], -1)


def turns(count: int, generator: torch.Generator) -> Tensor:
    """Uniform angles [rad], (count,)."""
    return 2 * math.pi * torch.rand(count, dtype=torch.float64, generator=generator)
