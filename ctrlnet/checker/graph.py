"""Graphs of a certificate: a list of primitives on flat vectors, sizes inferred and checked.

A node is (operation, earlier nodes, attribute). Limits keep a small file from asking for much memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ctrlnet.checker.document import Constants, array, fields, integer, sequence, text
from ctrlnet.checker.report import Unreadable, printable

MAX_SCALARS = 2**22
"""Most scalars in all nodes of a graph, each counted with its derivatives."""
MAX_POWER = 64
MAX_DIMENSION = 26
"""A tree names dimensions by the letters A to Z."""

MANY = -1
ARITY = {
    **dict.fromkeys(("input", "constant"), 0),
    **dict.fromkeys(("take", "linear", "sum", "norm", "power"), 1),
    **dict.fromkeys(("neg", "square", "sqrt", "relu", "abs", "floor"), 1),
    **dict.fromkeys(("sin", "cos", "tanh", "atan", "exp", "log", "softplus", "erf"), 1),
    **dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), 2),
    "select": 3,
    "concatenate": MANY,
}
"""Number of arguments of each operation; MANY means one or more."""


class Weights(NamedTuple):
    """Exact matrix of a linear node, `values` flat and row-major, shape (rows, columns)."""

    values: Constants
    rows: int
    columns: int


class Node(NamedTuple):
    """One primitive; `attribute` is None, an integer, indices, Constants or Weights, as its operation wants."""

    operation: str
    arguments: tuple[int, ...]
    attribute: Any
    size: int


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in order; `needed` are those the output depends on, `expired[i]` those never used after node i."""

    nodes: tuple[Node, ...]
    output: int
    needed: tuple[int, ...]
    expired: dict[int, tuple[int, ...]]

    @property
    def size(self) -> int:
        """Length of the output vector."""
        return self.nodes[self.output].size

    @cached_property
    def digests(self) -> dict[int, str]:
        """One for each needed node: equal exactly when the expressions are, however numbered or encoded."""
        keys: dict[int, str] = {}
        for i in self.needed:
            item = self.nodes[i]
            parts = [item.operation, *(keys[a] for a in item.arguments)]
            keys[i] = hashlib.sha256(" ".join(parts).encode() + b"|" + _attribute_key(item.attribute)).hexdigest()
        return keys

    @property
    def digest(self) -> str:
        """That of the output."""
        return self.digests[self.output]


def read_graph(value: Any, n: int, name: str, variables: int | None = None) -> Graph:
    """Read and check a graph of n inputs, to be differentiated with respect to `variables`, by default its inputs."""
    content = fields(value, ("nodes", "output"), f"graph {name}")
    nodes: list[Node] = []
    count = n if variables is None else variables
    scalars, limit = 0, MAX_SCALARS // (1 + count + count * (count + 1) // 2)
    for i, item in enumerate(sequence(content["nodes"], f"nodes of {name}")):
        nodes.append(_node(item, nodes, n, f"graph {name}, node {i}"))
        scalars += nodes[-1].size
        if scalars > limit:
            raise Unreadable(f"graph {name} is too large for this checker: more than {limit} scalars")
    if sum(node.operation == "input" for node in nodes) > 1:
        raise Unreadable(f"graph {name} has more than one input")
    output = integer(content["output"], f"output of {name}", 0, len(nodes) - 1)
    return Graph(tuple(nodes), output, *_schedule(nodes, output))


def _schedule(nodes: Sequence[Node], output: int) -> tuple[tuple[int, ...], dict[int, tuple[int, ...]]]:
    last = {output: output}
    for i in range(output, -1, -1):
        if i in last:
            for a in nodes[i].arguments:
                last.setdefault(a, i)
    expired: dict[int, tuple[int, ...]] = {}
    for a, i in last.items():
        if a != output:
            expired[i] = (*expired.get(i, ()), a)
    return tuple(sorted(last)), expired


def _node(item: Any, nodes: Sequence[Node], n: int, where: str) -> Node:
    operation, arguments, attribute = sequence(item, where, 3)
    arity = ARITY.get(text(operation, f"{where}: operation"))
    if arity is None:
        raise Unreadable(f"{where}: unknown operation '{printable(operation, 60)}'")
    ids = tuple(integer(a, f"{where}: argument", 0, len(nodes) - 1) for a in sequence(arguments, where))
    if len(ids) != arity and not (arity == MANY and ids):
        raise Unreadable(f"{where}: '{operation}' got {len(ids)} arguments")
    parsed, size = _attribute(operation, attribute, [nodes[a].size for a in ids], n, where)
    if size < 1:
        raise Unreadable(f"{where} is empty")
    return Node(operation, ids, parsed, size)


def _attribute(operation: str, value: Any, sizes: list[int], n: int, where: str) -> tuple[Any, int]:
    """The attribute, read and checked, and the size of the node."""
    match operation:
        case "input":
            return None, integer(value, f"{where}: size of the state", n, n)
        case "constant":
            values = array(value, where)
            return values, len(values.low)
        case "take":
            indices = [integer(i, f"{where}: index", 0, sizes[0] - 1) for i in sequence(value, where)]
            return np.array(indices, dtype=np.int64), len(indices)
        case "linear":
            weights = _weights(value, sizes[0], where)
            return weights, weights.rows
        case "sum" | "norm":
            count = integer(value, f"{where}: number of parts", 1, sizes[0])
            if sizes[0] % count:
                raise Unreadable(f"{where}: {sizes[0]} is not a multiple of {count}")
            return count, count
        case "power":
            return integer(value, f"{where}: exponent", 2, MAX_POWER), sizes[0]
    if value is not None or (operation != "concatenate" and len(set(sizes)) != 1):
        raise Unreadable(f"{where}: an attribute that is not null, or arguments of sizes {sizes[:9]}")
    return None, sum(sizes) if operation == "concatenate" else sizes[0]


def _weights(value: Any, columns: int, where: str) -> Weights:
    content = fields(value, ("rows", "weight"), where)
    rows, values = integer(content["rows"], f"{where}: rows", 1, MAX_SCALARS), array(content["weight"], where)
    if len(values.low) != rows * columns:
        raise Unreadable(f"{where}: {len(values.low)} weights for {rows} rows of {columns}")
    return Weights(values, rows, columns)


def _attribute_key(attribute: Any) -> bytes:
    if isinstance(attribute, Weights):
        return f"{attribute.rows} ".encode() + attribute.values.key()
    if isinstance(attribute, Constants):
        return attribute.key()
    return str(attribute.tolist() if isinstance(attribute, np.ndarray) else attribute).encode()
