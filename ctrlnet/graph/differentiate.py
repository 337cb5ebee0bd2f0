"""Derivatives of a graph as further nodes of it, by our own rules: torch's autograd has no part in a proof."""

from __future__ import annotations

from ctrlnet.graph.expression import Graph
from ctrlnet.graph.primitives import PRIMITIVES
from ctrlnet.graph.tangents import tangent


def gradient(graph: Graph, output: int, component: int = 0) -> int:
    """The node of ∇f, size n, for one component of an output.

    At kinks its enclosure contains Clarke's generalised gradient: the chain rule of locally Lipschitz functions
    (Clarke, Optimization and Nonsmooth Analysis, Thm 2.3.9) holds as an inclusion, and every `step` takes its hull.
    """
    return jacobian(graph, graph.take(output, [component]))[0]


def jacobian(graph: Graph, output: int) -> list[int]:
    """The gradients of all components: row i is the node of ∇fᵢ.

    In reverse mode, one row at a time, where f has no choices; else in forward mode, one column at a time. Let
    f = select(c, a, b) with c < 0 on a neighbourhood: there f = b, whatever a is, and select(c, a' y, b' y) forwards
    says so too. Backwards, ā = select(c, f̄, 0) = 0 multiplies the derivatives within a, which may be unbounded, as
    those of sign(u) at u = 0 in where(|u| > 1, sign(u), u), or undefined: 0 times unbounded is no number. A product
    that the function itself takes, select(c, p, 0) q, is undefined where q is, and so is its derivative.
    """
    if all(graph.nodes[number].operation != "select" for number in graph.reachable([output])):
        return [_pulled_back(graph, output, component) for component in range(graph.size(output))]
    n = graph.dimension
    columns = [tangent(graph, output, graph.constant([int(i == j) for i in range(n)])) for j in range(n)]
    return [graph.concatenate([graph.take(column, [i]) for column in columns]) for i in range(graph.size(output))]


def _pulled_back(graph: Graph, output: int, component: int) -> int:
    """∇fᵢ by reverse mode."""
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


def inner_product(graph: Graph, a: int, b: int) -> int:
    return graph.sum(graph.binary("mul", a, b), 1)
