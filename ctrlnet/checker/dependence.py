"""Which inputs each entry of a graph's output may depend on.

Entries are followed through the operations that act entry by entry or rearrange, and through sums over the entries with
a weight that is not exactly zero; any other operation is taken to mix all entries of its arguments. So an output that
is said not to depend on an input has the same value whatever that input is.
"""

from __future__ import annotations

import numpy as np

from ctrlnet.checker.functions import FUNCTIONS
from ctrlnet.checker.graph import Graph, Node
from ctrlnet.checker.interval import Mask

BY_ENTRY = {*FUNCTIONS, "add", "sub", "mul", "div", "maximum", "minimum", "neg", "power", "select"}


def dependence(graph: Graph, inputs: int) -> Mask:
    """Row i says which of the inputs entry i of the output may depend on, shape (size, inputs)."""
    rows: dict[int, Mask] = {}
    for i in graph.needed:
        node = graph.nodes[i]
        rows[i] = np.eye(inputs, dtype=bool) if node.operation == "input" else _rows(node, rows, inputs)
    return rows[graph.output]


def undetermined(h: Graph, F: Graph, n: int, inputs: int) -> list[int]:
    """The entries of the state that h may read and whose entry of F may depend on inputs after it, as grad h.F may."""
    disturbed = dependence(F, inputs)[:, n:].any(1)
    return [int(i) for i in np.flatnonzero(dependence(h, n)[0] & disturbed)]


def _rows(node: Node, rows: dict[int, Mask], inputs: int) -> Mask:
    of = [rows[a] for a in node.arguments]
    if node.operation == "constant":
        return np.zeros((node.size, inputs), dtype=bool)
    if node.operation in BY_ENTRY:
        return np.asarray(np.logical_or.reduce(of))
    match node.operation:
        case "take":
            return np.asarray(of[0][node.attribute])
        case "concatenate":
            return np.concatenate(of)
        case "sum" | "norm":
            return np.asarray(of[0].reshape(node.size, -1, inputs).any(1))
        case "linear":
            weights = node.attribute
            zero = (weights.values.low == 0) & (weights.values.high == 0)
            return np.asarray(~zero.reshape(weights.rows, weights.columns) @ of[0])
    return np.broadcast_to(np.concatenate(of).any(0), (node.size, inputs))
