"""Traced functions: constants, expression graphs, the primitives with their derivatives, and the tracer."""

from ctrlnet.graph.constants import Constant
from ctrlnet.graph.differentiate import gradient, inner_product, jacobian
from ctrlnet.graph.expression import Graph, Node
from ctrlnet.graph.primitives import PRIMITIVES, evaluate
from ctrlnet.graph.tangents import tangent
from ctrlnet.graph.trace import trace

__all__ = [
    "PRIMITIVES",
    "Constant",
    "Graph",
    "Node",
    "evaluate",
    "gradient",
    "inner_product",
    "jacobian",
    "tangent",
    "trace",
]
