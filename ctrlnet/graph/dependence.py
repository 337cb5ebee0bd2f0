"""Which inputs the entries of a node read, by the structure of its graph.

An entry that reads no input of a set does not change with them. The converse may fail: terms that cancel, or a factor
that is zero everywhere, count as read. So does every argument, in every entry, of an operation without a rule here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctrlnet.graph.expression import Graph, Node

Reads = list[int]  # of every entry: a number whose i-th bit says whether the entry reads input i

ENTRYWISE = {
    *(
        "add",
        "sub",
        "mul",
        "div",
        "maximum",
        "minimum",
        "select",
        "neg",
        "square",
        "power",
        "sqrt",
        "abs",
        "relu",
        "floor",
    ),
    *("sin", "cos", "tanh", "atan", "exp", "log", "softplus", "erf"),
}


def inputs_read(graph: Graph, output: int) -> list[frozenset[int]]:
    """The inputs that each entry of a node reads."""
    found: dict[int, Reads] = {}
    for number in graph.reachable([output]):
        node = graph.nodes[number]
        if node.operation == "input":
            found[number] = [1 << i for i in range(node.size)]
        else:
            found[number] = _of_node(node, [found[argument] for argument in node.arguments])
    return [frozenset(i for i in range(graph.dimension) if reads >> i & 1) for reads in found[output]]


def _of_node(node: Node, arguments: list[Reads]) -> Reads:
    if not arguments:
        return [0] * node.size
    first = arguments[0]
    if node.operation in ENTRYWISE:
        return [_union(entries) for entries in zip(*arguments, strict=True)]
    if node.operation == "take":
        return [first[i] for i in node.attribute]
    if node.operation == "concatenate":
        return [entry for part in arguments for entry in part]
    if node.operation == "linear":
        return [_union([first[i] for i in np.flatnonzero(row)]) for row in node.attribute]
    if node.operation in ("sum", "norm"):
        m = len(first) // node.size
        return [_union(first[j * m : j * m + m]) for j in range(node.size)]
    return [_union([entry for part in arguments for entry in part])] * node.size


def _union(entries: Sequence[int]) -> int:
    total = 0
    for entry in entries:
        total |= entry
    return total
