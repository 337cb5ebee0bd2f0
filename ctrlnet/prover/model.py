"""Traced functions of a state and a disturbance, gathered in one graph over (x, d)."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.graph import Graph, gradient, inner_product, tangent, trace
from ctrlnet.sets import Box

Function = Callable[..., Tensor]
STATES = 64
SWITCHES = {"step", "jump", "unit", "select"}  # in the gradient of a function with kinks


class Model:
    """Functions of x in a box of n dimensions and of d in a box of k (none: k = 0).

    graph: holds every node, over n + k inputs; lower, upper: the box of the inputs.
    originals: of every function its own graph, over the inputs that it takes, and its node there: what a certificate
        holds.
    """

    def __init__(self, box: Box, disturbance: Box | None = None):
        self.box, self.disturbance, self.n = box, disturbance, box.dimension
        boxes = (box,) if disturbance is None else (box, disturbance)
        self.lower, self.upper = (torch.cat([getattr(part, side) for part in boxes]) for side in ("lower", "upper"))
        self.graph = Graph(len(self.lower))
        self.state = self.graph.take(self.graph.input, range(self.n))
        self.originals: dict[str, tuple[Graph, int]] = {}

    def of_state(self, name: str, function: Function, words: str = "") -> int:
        """The node of a scalar function of x."""
        return self._add(name, function, self.box, (), words or name, self.state)

    def field(self, function: Function, words: str = "the closed loop F") -> int:
        """The node of F(x) or F(x, d), of size n, called "F" in the certificate."""
        return self.of_inputs("F", function, (self.n,), words)

    def of_inputs(self, name: str, function: Function, tail: tuple[int, ...], words: str) -> int:
        """The node of a function of x, and of d where there is one, with values (..., *tail)."""
        if self.disturbance is None:
            return self._add(name, function, self.box, tail, words, self.state)
        whole, n = Box(self.lower, self.upper), self.n
        return self._add(name, lambda z: function(z[..., :n], z[..., n:]), whole, tail, words, self.graph.input)

    def slope(self, value: int) -> int:
        """The node of ∇v with respect to x, of size n."""
        return self.graph.take(gradient(self.graph, value), range(self.n))

    def rate_of_change(self, value: int, field: int, rate: Fraction = Fraction(0)) -> int:
        """The node of ∇v·F + rate v; undefined wherever F is, in an entry too that v does not depend on."""
        return self.graph.binary("add", along(self.graph, value, field), self.scaled(rate, value))

    def after(self, value: int, state: int) -> int:
        """The node of v(s) for a node s of size n: v of the next state, say."""
        (image,) = self.graph.copy_into(self.graph, [value], self._whole(state))
        return image

    def scaled(self, factor: Fraction, node: int) -> int:
        return self.graph.binary("mul", self.graph.constant([factor] * self.graph.size(node)), node)

    def difference(self, a: int | Fraction, b: int | Fraction) -> int:
        """The node of a - b, of which either may be a number."""
        left, right = (self.graph.constant([part]) if isinstance(part, Fraction) else part for part in (a, b))
        return self.graph.binary("sub", left, right)

    def entry(self, node: int, i: int, sign: int = 1) -> int:
        """± the i-th entry of a node."""
        taken = self.graph.take(node, [i])
        return taken if sign > 0 else self.graph.unary("neg", taken)

    def _whole(self, state: int) -> int:
        rest = self.graph.take(self.graph.input, range(self.n, self.graph.dimension))
        return self.graph.concatenate([state, rest])

    def _add(self, name: str, function: Function, box: Box, tail: tuple[int, ...], words: str, state: int) -> int:
        states = box.sample(STATES, torch.Generator().manual_seed(0))
        traced, output = trace(function, box.dimension, states, tail, words)
        self.originals[name] = (traced, output)
        (node,) = traced.copy_into(self.graph, [output], state)
        return node


def along(graph: Graph, value: int, field: int) -> int:
    """The node of ∇v·F, for F of the size of the state, with which the inputs begin; the others stand still.

    Forwards where v has kinks, whose sides it encloses by their segment; else by the gradient, which is mostly sharper.
    """
    n = graph.size(field)
    slope = graph.take(gradient(graph, value), range(n))
    if not any(graph.nodes[i].operation in SWITCHES for i in graph.reachable([slope])):
        return inner_product(graph, slope, field)
    still = graph.constant([0] * (graph.dimension - n))
    moved = tangent(graph, value, graph.concatenate([field, still]))
    if not graph.partial(field):
        return moved
    return graph.binary("add", moved, inner_product(graph, field, graph.constant([0] * n)))
