"""Enclosures of a graph's value, gradient and Hessian over many boxes at once.

A jet is here one `Interval` (K, B, size) over B boxes: row 0 the value, rows 1..N the partial derivatives d_i in N
variables, then (order 2) the second derivatives, first d_ii for every i, then d_ij for i < j. At kinks and where a
function is not locally Lipschitz see ctrlnet.checker.forward, which has the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ctrlnet.checker.document import Constants
from ctrlnet.checker.forward import Jet, Jets, difference, opposite, parts, total
from ctrlnet.checker.functions import FUNCTIONS, Elementary, numpy_elementary, powers
from ctrlnet.checker.graph import Graph, Node, Weights
from ctrlnet.checker.interval import Interval, Matrix, linear

CHUNK_BYTES = 2**19
"""Size of the jet of a graph's widest node, one bound; small enough for a processor's cache."""


class Evaluator:
    """A graph of n inputs ready to be enclosed: its constants and weights as float64 enclosures."""

    def __init__(self, graph: Graph, n: int, elementary: Elementary = numpy_elementary) -> None:
        self.graph, self.n, self.elementary = graph, n, elementary
        self.attributes = {i: _enclosed(graph.nodes[i]) for i in graph.needed}

    def chunk(self, order: int, variables: int | None = None) -> int:
        """Boxes to enclose together, so that the jet of the widest node stays small; by default in n variables."""
        widest = max(self.graph.nodes[i].size for i in self.graph.needed)
        return max(16, CHUNK_BYTES // (8 * widest * Jets(variables or self.n, order).rows))

    def __call__(self, box: Interval, order: int, state: Interval | None = None) -> Interval:
        """Jet (K, B, size) of the output over boxes (B, N), all K rows of `order` in N variables written out.

        The inputs are the first n of the N variables; or, when a jet (K, B, n) of this order or more in the same
        variables is given as `state`, what it encloses: f(state(x)) by the chain rule.
        """
        jets = Jets(box.shape[-1], order, self.elementary)
        inputs = jets.variables(box, self.n) if state is None else jets.parted(state)
        values: dict[int, Jet] = {}
        for i in self.graph.needed:
            node = self.graph.nodes[i]
            arguments = [values[a] for a in node.arguments]
            values[i] = inputs if node.operation == "input" else self.apply(jets, node, i, arguments)
            for expired in self.graph.expired.get(i, ()):
                del values[expired]
        return jets.whole(values[self.graph.output], len(box.lo))

    def apply(self, jets: Jets, node: Node, i: int, arguments: list[Jet]) -> Jet:
        """Node i of its arguments."""
        if node.operation in FUNCTIONS:
            return jets.chain(arguments[0], FUNCTIONS[node.operation])
        if node.operation == "mul" and node.arguments[0] == node.arguments[1]:
            return jets.chain(arguments[0], FUNCTIONS["square"])
        return OPERATIONS[node.operation](jets, arguments, self.attributes[i])


def _enclosed(node: Node) -> Any:
    if isinstance(node.attribute, Constants):
        return Jet(Interval(node.attribute.low[None], node.attribute.high[None]))
    if isinstance(node.attribute, Weights):
        shape = (node.attribute.rows, node.attribute.columns)
        return Matrix.of(node.attribute.values.low.reshape(shape), node.attribute.values.high.reshape(shape))
    return node.attribute


OPERATIONS: dict[str, Callable[[Jets, list[Jet], Any], Jet]] = {
    "constant": lambda jets, x, value: value,
    "take": lambda jets, x, indices: x[0].map(lambda rows: rows[..., indices]),
    "concatenate": lambda jets, x, _: jets.concatenate(x),
    "linear": lambda jets, x, matrix: x[0].map(lambda rows: linear(rows, matrix)),
    "sum": lambda jets, x, count: x[0].map(lambda rows: parts(rows, count).sum()),
    "add": lambda jets, x, _: total(x[0], x[1]),
    "sub": lambda jets, x, _: difference(x[0], x[1]),
    "mul": lambda jets, x, _: jets.multiply(x[0], x[1]),
    "div": lambda jets, x, _: jets.multiply(x[0], jets.chain(x[1], FUNCTIONS["reciprocal"])),
    "maximum": lambda jets, x, _: jets.maximum(x[0], x[1]),
    "minimum": lambda jets, x, _: opposite(jets.maximum(opposite(x[0]), opposite(x[1]))),
    "neg": lambda jets, x, _: opposite(x[0]),
    "power": lambda jets, x, p: jets.chain(x[0], powers(p)),
    "norm": lambda jets, x, count: jets.norm(x[0], count),
    "select": lambda jets, x, _: jets.select(x[0], x[1], x[2]),
}
"""(jets, arguments, enclosed attribute) -> jet, one row an operation that is no elementary function."""
