"""Closed loops whose V has a kink at the equilibrium, and both halves of their proof along rays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ctrlnet.checker import rays
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Effort
from ctrlnet.graph import Graph, trace
from ctrlnet.prover import Budget
from ctrlnet.prover.certificate import graph_document
from ctrlnet.prover.rays import Claim, RayNeighbourhood, ray_claim, ray_neighbourhood

Function = Callable[[Tensor], Tensor]
BUDGET = Budget(seconds=60.0, boxes=20_000)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@dataclass(frozen=True)
class Kinked:
    """V and F over x* ± half, F a flow where there is a rate, a map where there is a kappa; F may take (x, d)."""

    V: Function
    F: Function
    at: tuple[Fraction, ...]
    rate: Fraction | None = None
    kappa: Fraction | None = None
    disturbance: tuple[Tensor, Tensor] | None = None
    half: float = 1.0

    @property
    def n(self) -> int:
        return len(self.at)

    @property
    def inputs(self) -> int:
        return self.n + (0 if self.disturbance is None else len(self.disturbance[0]))

    @property
    def corners(self) -> tuple[Tensor, Tensor]:
        about = numbers(*map(float, self.at))
        return about - self.half, about + self.half

    def states(self, count: int = 64) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        lower, upper = self.corners
        if self.disturbance is not None:
            lower, upper = (torch.cat(pair) for pair in zip((lower, upper), self.disturbance, strict=True))
        return lower + (upper - lower) * torch.rand(count, self.inputs, generator=generator, dtype=torch.float64)

    def graph(self) -> tuple[Graph, int, int]:
        graph, found = Graph(self.inputs), []
        for function, tail in ((lambda x: self.V(x[..., : self.n]), ()), (self.F, (self.n,))):
            traced, output = trace(function, self.inputs, self.states(), tail)
            found += traced.copy_into(graph, [output], graph.input)
        return graph, found[0], found[1]

    def evaluators(self) -> tuple[Evaluator, Evaluator]:
        found = []
        for function, inputs, tail in ((self.V, self.n, ()), (self.F, self.inputs, (self.n,))):
            document = graph_document(*trace(function, inputs, self.states()[:, :inputs], tail))
            found.append(Evaluator(read_graph(json.loads(json.dumps(document)), inputs, "f"), inputs))
        return found[0], found[1]

    def claim(self) -> Claim:
        return ray_claim(*self.graph(), self.at, self.disturbance, self.rate, self.kappa)

    def proved(self, budget: Budget = BUDGET) -> RayNeighbourhood | None:
        return ray_neighbourhood(self.claim(), self.corners, budget)

    def confirm(self, lower: Tensor, upper: Tensor, trees: object) -> Effort:
        """The checker's answer; raises `Unconfirmed`."""
        V, F = self.evaluators()
        around = Interval(lower.numpy()[None], upper.numpy()[None])
        d = self.disturbance or (torch.zeros(0, dtype=torch.float64),) * 2
        D, effort = Interval(d[0].numpy()[None], d[1].numpy()[None]), Effort()
        with np.errstate(all="ignore"):
            if self.rate is not None:
                rays.flow(V, F, self.at, around, D, trees, effort, Interval.of([self.rate]))
            else:
                X, factor = Interval(*(side.numpy() for side in self.corners)), Interval.of([1 - self.kappa])
                rays.step(V, F, self.at, around, D, X, trees, effort, factor)
        return effort


ORIGIN = (Fraction(0), Fraction(0))
SPIRAL = matrix((-1.0, 0.5), (-0.5, -1.0))
HALF_TURN = matrix((0.5, 0.25), (-0.25, 0.5))


def absolute(x: Tensor) -> Tensor:
    return x.abs().sum(-1)


def network(n: int, seed: int, *, width: int = 8, bias: float = 0.3) -> torch.nn.Sequential:
    """A LeakyReLU network with kinks at and beside the origin."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(n, width), torch.nn.LeakyReLU(0.1), torch.nn.Linear(width, width), torch.nn.LeakyReLU(0.1),
        torch.nn.Linear(width, 4),
    ).double().requires_grad_(False)  # fmt: skip
    for parameter in net.parameters():
        parameter.mul_(bias if parameter.dim() == 1 else 0.6)
    net[0].bias[: width // 2] = 0.0
    return net


def neural(n: int, seed: int, about: Tensor | None = None) -> Function:
    """V = |phi(x) - phi(x*)|₁ + |R (x - x*)|₁."""
    net, at = network(n, seed), torch.zeros(n, dtype=torch.float64) if about is None else about
    R = torch.eye(n, dtype=torch.float64) + 0.1 * torch.randn(n, n, dtype=torch.float64)
    return lambda x: (net(x) - net(at)).abs().sum(-1) + ((x - at) @ R.T).abs().sum(-1)


def relu_policy(n: int, seed: int) -> Function:
    """A ReLU policy with its kinks through the origin, clamped away from it."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(n, 6, bias=False), torch.nn.ReLU(), torch.nn.Linear(6, n, bias=False))
    net = net.double().requires_grad_(False)
    return lambda x: torch.clamp(0.3 * net(x), -0.5, 0.5)


def contraction(n: int, seed: int, rho: float = 0.5) -> Function:
    policy, A = relu_policy(n, seed), rho * torch.eye(n, dtype=torch.float64)
    return lambda x: torch.sin(x[..., :n]) @ A.T + policy(x[..., :n])


def decay(n: int, seed: int) -> Function:
    policy = relu_policy(n, seed)
    return lambda x: -2.0 * torch.sin(x) + policy(x)


SHIFT = numbers(0.25, -0.5)
TRUE: dict[str, Kinked] = {
    "one state": Kinked(lambda x: x.abs()[..., 0], lambda x: -x + 0.5 * torch.relu(x), ORIGIN[:1], rate=Fraction(2, 5)),
    "1-norm, flow": Kinked(absolute, lambda x: x @ SPIRAL.T + 0.3 * torch.relu(-x), ORIGIN, rate=Fraction(1, 5)),
    "1-norm, map": Kinked(absolute, lambda x: torch.sin(x) @ HALF_TURN.T, ORIGIN, kappa=Fraction(24, 100)),
    "max norm, map": Kinked(
        lambda x: torch.maximum(x[..., 0].abs(), x[..., 1].abs()), lambda x: x @ HALF_TURN.T, ORIGIN,
        kappa=Fraction(1, 5),
    ),
    "Euclidean norm, flow": Kinked(
        lambda x: torch.linalg.vector_norm(x, dim=-1), lambda x: x @ SPIRAL.T, ORIGIN, rate=Fraction(1, 2)
    ),
    "mixed with a square": Kinked(
        lambda x: absolute(x) + x.square().sum(-1), lambda x: torch.tanh(x @ SPIRAL.T), ORIGIN, rate=Fraction(1, 5)
    ),
    "disturbed map": Kinked(
        absolute, lambda z: z[..., 2:3] * torch.sin(z[..., :2]) @ HALF_TURN.T, ORIGIN, kappa=Fraction(1, 4),
        disturbance=(numbers(0.5), numbers(0.9)),
    ),
    "disturbed flow": Kinked(
        absolute, lambda z: (z[..., :2] @ SPIRAL.T) * z[..., 2:3], ORIGIN, rate=Fraction(1, 5),
        disturbance=(numbers(0.5), numbers(1.5)),
    ),
    "shifted": Kinked(
        neural(2, 3, SHIFT), lambda x: SHIFT + torch.sin(x - SHIFT) @ HALF_TURN.T,
        (Fraction(1, 4), Fraction(-1, 2)), kappa=Fraction(1, 100), half=0.5,
    ),
    "neural, 2 states, flow": Kinked(neural(2, 0), decay(2, 1), ORIGIN, rate=Fraction(1, 10)),
    "neural, 2 states, map": Kinked(neural(2, 0), contraction(2, 1), ORIGIN, kappa=Fraction(1, 100)),
    "neural, 3 states, map": Kinked(neural(3, 0), contraction(3, 1), (Fraction(0),) * 3, kappa=Fraction(1, 100)),
    "neural, 4 states, map": Kinked(neural(4, 0), contraction(4, 1, 0.4), (Fraction(0),) * 4, kappa=Fraction(1, 100)),
}  # fmt: skip

WHIRL = matrix((-1.0, 1.1), (-1.1, -1.0))
SHEAR = matrix((1.0, 0.0), (0.6, 0.5))
FALSE: dict[str, Kinked] = {
    "kappa too large by one in a million": Kinked(
        absolute, lambda x: x @ HALF_TURN.T, ORIGIN, kappa=Fraction(1, 4) * (1 + Fraction(1, 10**6))
    ),
    "kappa at its bound: no strict decrease": Kinked(absolute, lambda x: x @ HALF_TURN.T, ORIGIN, kappa=Fraction(1, 4)),
    "rate too large by one in a million": Kinked(
        absolute, lambda x: x @ SPIRAL.T, ORIGIN, rate=Fraction(1, 2) * (1 + Fraction(1, 10**6))
    ),
    "a field turned too far": Kinked(absolute, lambda x: x @ WHIRL.T, ORIGIN, rate=Fraction(1, 100)),
    "growth on one side of a kink": Kinked(
        absolute, lambda x: torch.stack((-x[..., 0] + 1.5 * torch.relu(x[..., 0]), -x[..., 1]), -1), ORIGIN,
        rate=Fraction(1, 100),
    ),
    "V zero along a ray": Kinked(
        lambda x: torch.relu(x[..., 0]) + x[..., 1].abs(), lambda x: -x, ORIGIN, rate=Fraction(1, 100)
    ),
    "V negative between two samples": Kinked(
        lambda x: absolute(x) - 1.3001 * torch.relu(x[..., 0] - 2000 * (x[..., 1] - 0.3 * x[..., 0]).abs()),
        lambda x: -x, ORIGIN, rate=Fraction(1, 100),
    ),
    "expansion along one axis": Kinked(absolute, lambda x: x @ SHEAR.T, ORIGIN, kappa=Fraction(1, 100)),
    "smooth V: the quotient vanishes": Kinked(
        lambda x: x.square().sum(-1), lambda x: -x, ORIGIN, rate=Fraction(1, 100)
    ),
    "one disturbance is bad": Kinked(
        absolute, lambda z: z[..., 2:3] * z[..., :2] @ HALF_TURN.T, ORIGIN, kappa=Fraction(1, 100),
        disturbance=(numbers(0.5), numbers(1.4)),
    ),
    "no equilibrium": Kinked(absolute, lambda x: x @ HALF_TURN.T + 1e-9, ORIGIN, kappa=Fraction(1, 100)),
}  # fmt: skip
