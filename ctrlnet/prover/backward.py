"""How the error of a node follows from the errors made on the way to it: adjoints of the remainders.

Write the value of a node as v = T(e) + ρ, T its polynomial and |ρ| <= r its remainder. A rule bounds what it adds:
    ρ_v = Σ_a J_a ρ_a + ε,        |ε| <= local,
over the arguments a, with matrices J_a: the weights of a linear map, the slope of a function, the centre of the other
factor of a product. Forward, r_v = Σ |J_a| r_a + local, and the signs of J are lost at every step. Backward, the
remainder of an output is exactly linear in all the ε on the way to it,
    ρ_out = Σ_v λ_v ε_v,        |ρ_out| <= Σ_v |λ_v| local_v,        λ_a = Σ_v λ_v J_a,   λ_out = 1.
For two random layers of width k the product of absolute values is about √k times the absolute value of the product.

Rounding: a computed λ errs by at most γ(K) times the same sum over paths with absolute values, K the number of
operations, and with those the bound is the forward one: γ(K) r_out covers it, as r_out is not refined on the way.

Source: the backward pass of Zhang, Weng, Chen, Hsieh and Daniel (CROWN), NeurIPS 2018, for errors in place of values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover.rounding import gamma, raised

SCALE = 2.0**800  # of the adjoints


class Influence(Protocol):
    """The matrix J of one argument, one for each box."""

    def spread(self, remainder: Tensor) -> Tensor:
        """An upper bound of |J| r, for r of shape (B, k)."""
        ...

    def adjoint(self, weights: Tensor) -> Tensor:
        """λ J for λ of shape (B, m, k)."""
        ...


@dataclass(frozen=True)
class Factor:
    """A diagonal: factors (B, k)."""

    values: Tensor

    def spread(self, remainder: Tensor) -> Tensor:
        return self.values.abs() * remainder

    def adjoint(self, weights: Tensor) -> Tensor:
        return weights * self.values[:, None]


@dataclass(frozen=True)
class Sign:
    """1 or -1."""

    value: float

    def spread(self, remainder: Tensor) -> Tensor:
        return remainder

    def adjoint(self, weights: Tensor) -> Tensor:
        return weights if self.value > 0 else -weights


@dataclass(frozen=True)
class Matrix:
    """W (k, m)."""

    weight: Tensor

    def spread(self, remainder: Tensor) -> Tensor:
        return (remainder @ self.weight.T.abs()) * (1 + gamma(self.weight.shape[1]))

    def adjoint(self, weights: Tensor) -> Tensor:
        return weights @ self.weight


@dataclass(frozen=True)
class Selection:
    """Entries `index` of `size`."""

    index: Tensor
    size: int

    def spread(self, remainder: Tensor) -> Tensor:
        return remainder[:, self.index]

    def adjoint(self, weights: Tensor) -> Tensor:
        return weights.new_zeros(*weights.shape[:2], self.size).index_add(2, self.index, weights)


@dataclass(frozen=True)
class Groups:
    """Sums of `groups` consecutive parts of length m."""

    groups: int
    m: int

    def spread(self, remainder: Tensor) -> Tensor:
        total: Tensor = remainder.unflatten(-1, (self.groups, self.m)).sum(-1)
        return total * (1 + gamma(self.m))

    def adjoint(self, weights: Tensor) -> Tensor:
        return weights.repeat_interleave(self.m, 2)


@dataclass(frozen=True)
class Part:
    """The place [start, stop) of an argument within a concatenation of `size`."""

    start: int
    stop: int
    size: int

    def spread(self, remainder: Tensor) -> Tensor:
        padded: Tensor = torch.nn.functional.pad(remainder, (self.start, self.size - self.stop))
        return padded

    def adjoint(self, weights: Tensor) -> Tensor:
        return weights[:, :, self.start : self.stop]


@dataclass(frozen=True)
class Through:
    """One after another: `last` @ `first`."""

    last: Influence
    first: Influence

    def spread(self, remainder: Tensor) -> Tensor:
        return self.last.spread(raised(self.first.spread(remainder)))

    def adjoint(self, weights: Tensor) -> Tensor:
        return self.first.adjoint(self.last.adjoint(weights))


class Step(NamedTuple):
    """What a rule gives: the polynomial's rows, the error it adds, and J of every argument.

    There is no J for an argument whose error the rule has counted as its own. The arguments are those of the node, if
    no others are given.
    """

    terms: Tensor
    local: Tensor
    influences: Sequence[Influence | None]
    arguments: Sequence[int] | None = None


def forward_remainder(step: Step, remainders: Sequence[Tensor]) -> Tensor:
    """Σ |J_a| r_a + local."""
    total = step.local
    for influence, remainder in zip(step.influences, remainders, strict=True):
        if influence is not None:
            total = total + influence.spread(remainder)
    return raised(total)


def backward_remainder(graph: Graph, output: int, steps: Mapping[int, Step], forward: Tensor) -> Tensor:
    """The remainder of an output (B, m) by the adjoints, or the forward one where that is less.

    An adjoint that underflows loses its share of a remainder, which may be large. So all are SCALE times too large:
    what underflows then is below 2⁻¹⁸⁷⁰, its share of remainders up to 1e250 below TINY; what overflows is not used.
    """
    m = graph.size(output)
    weights: dict[int, Tensor] = {output: SCALE * torch.eye(m, dtype=forward.dtype, device=forward.device)[None]}
    total, operations = torch.zeros_like(forward), 0
    for number in reversed(graph.reachable([output])):
        weight, step = weights.pop(number, None), steps.get(number)
        if weight is None or step is None:
            continue
        total = total + (weight.abs() * step.local[:, None]).sum(2)
        operations += 4 * max(graph.size(one) for one in (number, *graph.nodes[number].arguments)) + 8
        arguments = graph.nodes[number].arguments if step.arguments is None else step.arguments
        for argument, influence in zip(arguments, step.influences, strict=True):
            if influence is not None and argument in steps:
                part = influence.adjoint(weight)
                weights[argument] = weights[argument] + part if argument in weights else part
    backward = raised(total / SCALE) + gamma(operations) * forward
    return torch.where(backward < forward, backward, forward)  # NaN: forward
