"""Multigrid over the layers of a deep network (MGRIT): many layers at once, in place of one after the other.

The layers u_j = Φ(u_{j-1}; θ_{j-1}) + g_j, j = 1..N, form a triangular system. Every m-th state is a C-point, the
others are F-points. F-relaxation starts at all C-points at once and follows the layers up to the next; C-relaxation
takes the one step more. What is left over is corrected on the C-points by the full approximation scheme, with the
layer at each C-point taken m times as long:

    v_i = Φ_c(v_{i-1}) + [u_{im} - Φ_c(u_{(i-1)m})] + r_i,    r_i = Φ(u_{im-1}) + g_{im} - u_{im}.

This system has the same form and is solved in the same way, on the coarsest level one layer after the other. A process
holds the whole chain or a contiguous piece of it; `Neighbours` is all that it sees of the others.

Source: Falgout, Friedhoff, Kolev, MacLachlan and Schroder, Parallel time integration with multigrid, 2014; for layers:
Günther, Ruthotto, Schroder, Cyr and Gauger, Layer-parallel training of deep residual neural networks, 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

StepFunction: TypeAlias = Callable[[Mapping[str, Tensor], Tensor, float], Tensor]
"""Φ(weights (S, ...), states (S, ..., n), step) -> states (S, ..., n): S layers at once, each on its own states."""


class Neighbours(Protocol):
    """The processes that hold the pieces of the chain before and after this one.

    Attributes:
        first: this piece is the first.
    """

    first: bool

    def total(self, count: int, like: Tensor) -> int:
        """The sum of the pieces' counts; `like` is a tensor of the device on which they talk."""
        ...

    def reversed(self) -> Neighbours:
        """Those in the chain that runs the other way."""
        ...

    def shifted(self, last: Tensor, first: Tensor) -> Tensor:
        """Hand `last` on; what the piece before hands on, or `first` where there is none."""
        ...

    def receive(self, first: Tensor) -> Tensor:
        """What the piece before sends, or `first` where there is none."""
        ...

    def send(self, last: Tensor) -> None:
        """Send to the piece after, where there is one."""
        ...


class Alone:
    """The whole chain in this process."""

    first = True

    def total(self, count: int, like: Tensor) -> int:
        return count

    def reversed(self) -> Alone:
        return self

    def shifted(self, last: Tensor, first: Tensor) -> Tensor:
        return first

    def receive(self, first: Tensor) -> Tensor:
        return first

    def send(self, last: Tensor) -> None:
        pass


class Plan(NamedTuple):
    """How a chain is solved.

    Attributes:
        coarsening: m.
        levels: grids, 1 or more; 1 is the serial chain.
        iterations: V-cycles.
        fcf: relax F, C, F before each correction, not F alone.
    """

    coarsening: int
    levels: int
    iterations: int
    fcf: bool


class Chain(NamedTuple):
    """One level of the problem: u_0 given, u_j = step(weights_{j-1}, u_{j-1}, h) + source_j for j = 1..N.

    Attributes:
        step: Φ.
        weights: of the N layers, (N, ...) each.
        h: step of the level.
        source: g, (N, ..., n), or None for zero.
        offset: which of m layers stands for all on the coarse level: the first, 0, or the last, m - 1.
    """

    step: StepFunction
    weights: Mapping[str, Tensor]
    h: float
    source: Tensor | None = None
    offset: int = 0

    @property
    def layers(self) -> int:
        """N."""
        return len(next(iter(self.weights.values())))

    def after(self, j: int, state: Tensor) -> Tensor:
        """u_{j+1} of u_j, (..., n)."""
        weights = {name: one[j : j + 1] for name, one in self.weights.items()}
        result = self.step(weights, state.unsqueeze(0), self.h).squeeze(0)
        return result if self.source is None else result + self.source[j]

    def next(self, u: Tensor, first: int, stride: int) -> Tensor:
        """The states after layers first, first + stride, ..., from those before them."""
        weights = {name: one[first::stride] for name, one in self.weights.items()}
        result = self.step(weights, u[first:-1:stride], self.h)
        return result if self.source is None else result + self.source[first::stride]

    def coarse(self, m: int) -> Chain:
        """The chain of the C-points; its source is the sum of those on the way, which is right where Φ = 1."""
        weights = {name: one[self.offset :: m] for name, one in self.weights.items()}
        source = None if self.source is None else self.source.unflatten(0, (-1, m)).sum(1)
        return Chain(self.step, weights, self.h * m, source, self.offset)


def solved(chain: Chain, start: Tensor, plan: Plan, neighbours: Neighbours) -> Tensor:
    """The states (N + 1, ..., n) after the plan's iterations.

    Args:
        start: a guess of them; or u_0 alone, (1, ..., n), and the guess is that of the coarsest level.
    """
    if plan.levels == 1:
        return _serial(chain, start[0], neighbours)
    if len(start) == 1:
        u = _guess(chain, start.expand(chain.layers + 1, *start.shape[1:]), plan, neighbours)
    else:
        u = _relax_f(chain, start.clone(), plan.coarsening)
    for _ in range(plan.iterations):
        _cycle(chain, u, plan, neighbours)
    return u


def _guess(chain: Chain, u: Tensor, plan: Plan, neighbours: Neighbours) -> Tensor:
    """The coarsest chain, one layer after the other, and on every finer one the layers between its points."""
    if plan.levels == 1:
        return _serial(chain, u[0], neighbours)
    m, below = plan.coarsening, plan._replace(levels=plan.levels - 1)
    corners = _guess(chain.coarse(m), u[::m], below, neighbours)
    u = u.clone()
    u[::m] = corners
    return _relax_f(chain, u, m)


def _serial(chain: Chain, first: Tensor, neighbours: Neighbours) -> Tensor:
    """The states, one layer after the other and one process after the other."""
    states = [neighbours.receive(first)]
    for j in range(chain.layers):
        states.append(chain.after(j, states[-1]))
    neighbours.send(states[-1])
    return torch.stack(states)


def _cycle(chain: Chain, u: Tensor, plan: Plan, neighbours: Neighbours) -> Tensor:
    """One V-cycle on states that are F-relaxed and remain so, in place."""
    m = plan.coarsening
    if plan.fcf:
        _relax_c(chain, u, m, neighbours)
        _relax_f(chain, u, m)
    corners, coarse = u[::m].clone(), chain.coarse(m)._replace(source=None)
    # u_{im} + r_i is one step into the C-point
    coarse = coarse._replace(source=chain.next(u, m - 1, m) - coarse.next(corners, 0, 1))
    if plan.levels == 2:
        u[::m] = _serial(coarse, corners[0], neighbours)
    else:
        below = plan._replace(levels=plan.levels - 1)
        u[::m] = _cycle(coarse, _relax_f(coarse, corners, m), below, neighbours)
    return _relax_f(chain, u, m)


def _relax_f(chain: Chain, u: Tensor, m: int) -> Tensor:
    """From every C-point through the layers up to the next, all intervals at once, in place."""
    for k in range(m - 1):
        u[k + 1 : -1 : m] = chain.next(u, k, m)
    return u


def _relax_c(chain: Chain, u: Tensor, m: int, neighbours: Neighbours) -> None:
    """One step into every C-point, in place; that of the piece before is handed on."""
    u[m::m] = chain.next(u, m - 1, m)
    u[0] = neighbours.shifted(u[-1], u[0])
