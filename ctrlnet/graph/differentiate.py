"""Derivatives of a graph as further nodes of it, by our own rules: torch's autograd has no part in a proof."""

from __future__ import annotations

from ctrlnet.graph.expression import Graph
from ctrlnet.graph.primitives import PRIMITIVES


def gradient(graph: Graph, output: int, component: int = 0) -> int:
    """The node of ∇f, size n, for one component of an output (reverse mode).

    At kinks its enclosure contains Clarke's generalised gradient: the chain rule of locally Lipschitz functions
    (Clarke, Optimization and Nonsmooth Analysis, Thm 2.3.9) holds as an inclusion, and every `step` takes its hull.
    """
    size = graph.size(output)
    adjoints = {output: graph.constant([int(i == component) for i in range(size)])}
    for number in reversed(graph.reachable([output])):
        bar = adjoints.get(number)
        if bar is None or number == graph.input:
            continue
        node = graph.nodes[number]
        contributions = PRIMITIVES[node.operation].adjoint(graph, node, number, bar)
        for argument, contribution in zip(node.arguments, contributions, strict=bool(contributions)):
            known = adjoints.get(argument)
            adjoints[argument] = contribution if known is None else graph.binary("add", known, contribution)
    return adjoints.get(graph.input, graph.constant([0] * graph.dimension))


def jacobian(graph: Graph, output: int) -> list[int]:
    """The gradients of all components: row i is the node of ∇fᵢ."""
    return [gradient(graph, output, component) for component in range(graph.size(output))]


def inner_product(graph: Graph, a: int, b: int) -> int:
    return graph.sum(graph.binary("mul", a, b), 1)
