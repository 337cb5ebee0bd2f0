"""Plants of two, four and six states under networks that imitate a saturated linear-quadratic regulator.

A policy is u = u* + clamp(net(x) - net(0)) with tanh layers n-width-width-m, trained on an ellipsoid of the regulator's
cost. The candidate is V = xᵀPx with V' = -xᵀ(Q + KᵀRK)x along the linearised loop, K the network's own gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ctrlnet import exact, linearize, lqr, lyapunov_equation, mlp

Field = Callable[[Tensor], Tensor]
RATE = exact("0.01")
STATES, CHUNK = 3_000_000, 100_000


@dataclass(frozen=True)
class Plant:
    """x' = motion(x, u - u*) with bounds of u - u*, exact numbers; Q and R of the regulator."""

    name: str
    n: int
    motion: Callable[[Tensor, Tensor], Tensor]
    least: object
    most: object
    inputs: int
    Q: Tensor
    R: Tensor

    def loop(self, policy: Field) -> Field:
        """x' = F(x) under u = u* + clamp(policy(x))."""
        return lambda x: self.motion(x, torch.clamp(policy(x), self.least, self.most))  # type: ignore[call-overload]

    def regulator(self) -> tuple[Tensor, Tensor]:
        """K and P of u - u* = -K x."""
        x, u = torch.zeros(self.n, dtype=torch.float64), torch.zeros(self.inputs, dtype=torch.float64)
        A = linearize(lambda state: self.motion(state, u), x)
        return lqr(A, linearize(lambda control: self.motion(x, control), u), self.Q, self.R)


def pendulum(x: Tensor, torque: Tensor) -> Tensor:
    angle, speed = x[..., 0], x[..., 1]
    inertia = exact("0.0375")
    pull = exact("19.62") * torch.sin(angle) - exact("0.1") / inertia * speed + 1 / inertia * torque[..., 0]
    return torch.stack([speed, pull], -1)


def cartpole(x: Tensor, control: Tensor) -> Tensor:
    angle, v, w, force, mass = x[..., 1], x[..., 2], x[..., 3], control[..., 0], exact("0.1")
    sine, cosine = torch.sin(angle), torch.cos(angle)
    inertia = 1 + mass * sine.square()
    acceleration = (force + mass * sine * (w.square() - exact("9.81") * cosine)) / inertia
    turning = (-force * cosine - mass * w.square() * cosine * sine + exact("10.791") * sine) / inertia
    return torch.stack([v, w, acceleration, turning], -1)


def quadrotor(x: Tensor, excess: Tensor) -> Tensor:
    """Of the plane: position, angle and their rates; the excess of both thrusts over half the weight."""
    angle, first, second = x[..., 2], excess[..., 0], excess[..., 1]
    pull = (first + second) / exact("0.486") + exact("9.81")
    turning = exact("0.25") / exact("0.00383") * (first - second)
    motion = [-pull * torch.sin(angle), pull * torch.cos(angle) - exact("9.81"), turning]
    return torch.stack([x[..., 3], x[..., 4], x[..., 5], *motion], -1)


def _diagonal(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def _inverse_squares(*sizes: float) -> Tensor:
    return _diagonal(*(size**-2 for size in sizes))


HOVER = exact("0.486") * exact("9.81") / 2
THRUSTS, SIZES = _inverse_squares(float(HOVER), float(HOVER)), _inverse_squares(0.75, 0.75, 1.57, 4, 4, 3)
_ALL = (
    Plant("pendulum", 2, pendulum, exact("-0.75"), exact("0.75"), 1, _diagonal(1, 1), _diagonal(1)),
    Plant("cart-pole", 4, cartpole, exact(-30), exact(30), 1, _diagonal(1, 10, 1, 1), _diagonal(0.1)),
    Plant("quadrotor", 6, quadrotor, -HOVER, exact("1.5") * HOVER, 2, SIZES, THRUSTS),
)
PLANTS = {plant.name: plant for plant in _ALL}


def imitation(plant: Plant, width: int, steps: int = 6000) -> tuple[Field, Tensor]:
    """The loop under a trained network, and P of its candidate. Errors are weighted by 1/V."""
    gain, P = plant.regulator()
    level = sampled_level(plant.loop(lambda x: -x @ gain.T), P, STATES // 10)
    network, factor = mlp([plant.n, width, width, plant.inputs], seed=0), torch.linalg.cholesky(P)
    origin, generator = torch.zeros(plant.n, dtype=torch.float64), torch.Generator().manual_seed(0)
    with torch.no_grad():  # inputs of the size of one
        next(network.parameters()).div_((level * torch.linalg.inv(P).diagonal()).sqrt())
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-5)
    least, most = float(plant.least), float(plant.most)  # type: ignore[arg-type]
    for _ in range(steps):
        x, value = _of_ellipsoid(factor, 512, 1.3 * level, generator)
        error = network(x) - network(origin) - torch.clamp(-x @ gain.T, least, most)
        optimizer.zero_grad()
        (error.square() / (1e-3 * level + value)).mean().backward()
        optimizer.step()
        schedule.step()
    network.requires_grad_(False)
    field, own = plant.loop(lambda x: network(x) - network(origin)), linearize(network, origin)
    return field, lyapunov_equation(linearize(field, origin), plant.Q + own.T @ plant.R @ own)


def sampled_level(field: Field, P: Tensor, count: int = STATES) -> float:
    """The least V = xᵀPx at so many states of ellipsoids where V' + rate V >= 0, half of them near the worst."""
    factor, generator = torch.linalg.cholesky(P), torch.Generator().manual_seed(0)
    best, worst, top = math.inf, P[0], 1e-6
    while math.isinf(best):  # the first ellipsoid that holds such a state
        top *= 2
        best, worst = _worst(field, P, _of_ellipsoid(factor, 10_000, top, generator)[0])
    for turn in range(count // CHUNK):
        x = _of_ellipsoid(factor, CHUNK, best, generator)[0]
        value, state = _worst(field, P, worst + 0.8**turn * x if turn % 2 else x)
        best, worst = (value, state) if value < best else (best, worst)
    return best


def _worst(field: Field, P: Tensor, x: Tensor) -> tuple[float, Tensor]:
    value = (x @ P * x).sum(-1)
    rises = 2 * (x @ P * field(x)).sum(-1) + float(RATE) * value >= 0
    value = torch.where(rises, value, math.inf)
    return float(value.min()), x[value.argmin()]


def _of_ellipsoid(factor: Tensor, count: int, level: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """States of {V <= level} with V: uniform directions and radii in coordinates where it is a ball."""
    direction = torch.nn.functional.normalize(torch.randn(count, len(factor), generator=generator, dtype=torch.float64))
    radius = level**0.5 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    return torch.linalg.solve_triangular(factor.T, (radius * direction).T, upper=True).T, radius.square()
