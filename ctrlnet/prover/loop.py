"""A closed loop and its candidate as one graph: V, F, ∇V and the decrease margin, differentiated by our own rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from torch import Tensor

from ctrlnet.graph import Graph, gradient, inner_product, jacobian, trace
from ctrlnet.prover.interval import interval_bounds
from ctrlnet.sets import Box

Function = Callable[[Tensor], Tensor]
STATES = 64


@dataclass(frozen=True)
class Loop:
    """x' = F(x) with candidate V, decay rate and equilibrium, in exact arithmetic.

    graph: holds every node; `value` is V, `field` is F, `gradient` is ∇V,
    margin: -(∇V·F + rate V), positive where V falls fast enough.
    """

    graph: Graph
    value: int
    field: int
    gradient: int
    margin: int
    rate: Fraction
    equilibrium: tuple[Fraction, ...]

    @cached_property
    def hessian(self) -> list[int]:
        """The rows of Hess V."""
        return jacobian(self.graph, self.gradient)

    @cached_property
    def jacobian(self) -> list[int]:
        """The rows of ∂F, in Clarke's sense."""
        return jacobian(self.graph, self.field)

    def unsettled(self) -> tuple[str, bool] | None:
        """What is not identically zero at the equilibrium, in words, and whether it certainly is not zero.

        None when F, V and ∇V all vanish there: x* is substituted into the graph, and what remains cancels exactly.
        """
        there = Graph(self.graph.dimension)
        state = there.constant(self.equilibrium)
        outputs = self.graph.copy_into(there, [self.field, self.value, self.gradient], state)
        for name, output in zip(("F", "V", "∇V"), outputs, strict=True):
            held = there.held(output)
            if held is None or not held.all_equal(0):
                at = ", ".join(str(value) for value in self.equilibrium)
                kinked = any(there.nodes[number].operation == "step" for number in there.reachable([output]))
                advice = (
                    "V has a kink there; take a V that is smooth at its minimum."
                    if kinked
                    else "Shift the coordinates so that the equilibrium is the origin, or subtract the value at x* "
                    "inside the function."
                )
                words = f"{name}(x*) = 0 is not an identity at x* = ({at}). {advice}"
                nowhere = torch.zeros(1, self.graph.dimension, dtype=torch.float64)
                bounds = interval_bounds(there, [output], nowhere, nowhere)[0]
                return words, bool(((bounds.lower > 0) | (bounds.upper < 0)).any())
        return None


def close_loop(V: Function, F: Function, box: Box, rate: Fraction, equilibrium: tuple[Fraction, ...]) -> Loop:
    """Trace V and F over the box and build the loop's graph."""
    states = box.sample(STATES, torch.Generator().manual_seed(0))
    n = box.dimension
    graph = Graph(n)
    (value,) = _traced_into(graph, V, states, (), "V")
    (field,) = _traced_into(graph, F, states, (n,), "the closed loop F")
    slope = gradient(graph, value)
    decay = graph.binary("mul", graph.constant([rate]), value)
    margin = graph.unary("neg", graph.binary("add", inner_product(graph, slope, field), decay))
    return Loop(graph, value, field, slope, margin, rate, equilibrium)


def _traced_into(graph: Graph, function: Function, states: Tensor, tail: tuple[int, ...], name: str) -> list[int]:
    traced, output = trace(function, graph.dimension, states, tail, name)
    return traced.copy_into(graph, [output], graph.input)
