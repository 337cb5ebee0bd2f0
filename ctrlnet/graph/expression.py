"""The traced function as a small graph of flat vectors, simplified while it is built.

A node is (operation, arguments, attribute) and a vector of known size. Equal nodes are one node, so a term minus
itself is zero, and arithmetic on constants is done in rationals: nothing here rounds. Functions of constants whose
value is not rational, such as tanh(0.3), stay in the graph as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ctrlnet.graph import folding, identities
from ctrlnet.graph.constants import Constant, Floats
from ctrlnet.graph.signs import Sign, partial, sign

FOLDED_PRODUCTS = 1 << 16  # larger constant products stay symbolic: a rational costs a microsecond

HIGHEST_POWER = 64


@dataclass(frozen=True)
class Node:
    operation: str
    arguments: tuple[int, ...]
    attribute: Any
    size: int


class Graph:
    """A growing list of nodes in topological order; `add` returns the number of the simplified node.

    defined: every node that is added has a value at every input that is meant, so that all equal terms cancel.
    """

    def __init__(self, dimension: int, defined: bool = False):
        self.dimension, self.defined = dimension, defined
        self.nodes: list[Node] = []
        self._known: dict[object, int] = {}
        self._signs: list[Sign] = []
        self._partial: list[bool] = []
        self.input = self._append("input", (), dimension, dimension)

    def constant(self, values: Constant | Sequence[Fraction] | Sequence[int] | Floats) -> int:
        if not isinstance(values, (Constant, np.ndarray)):
            values = [Fraction(value) for value in values]
        held = values if isinstance(values, Constant) else Constant(values)
        return self._append("constant", (), held, held.size, held.key)

    def held(self, node: int) -> Constant | None:
        """The constant a node holds, or None."""
        attribute = self.nodes[node].attribute
        return attribute if isinstance(attribute, Constant) else None

    def size(self, node: int) -> int:
        return self.nodes[node].size

    def partial(self, node: int) -> bool:
        """Whether the node may be undefined at some state: what is undefined does not cancel."""
        return self._partial[node] and not self.defined

    def sign(self, node: int) -> Sign:
        """What is known of the sign of every entry, wherever it is defined."""
        return self._signs[node]

    # ---- structure -------------------------------------------------------------------------------------------------

    def take(self, a: int, index: Iterable[int]) -> int:
        """Entries a[i] for i in index: indexing, transposition and broadcasting in one."""
        index = tuple(int(i) for i in index)
        node = self.nodes[a]
        if not all(0 <= i < node.size for i in index):
            raise IndexError(f"a selection of {index} from {node.size} entries")
        if index == tuple(range(node.size)):
            return a
        if not index:
            return self.constant([])
        if isinstance(node.attribute, Constant):
            return self.constant(node.attribute.take(index))
        if node.operation == "take":
            return self.take(node.arguments[0], [node.attribute[i] for i in index])
        return (
            self._take_part(a, index)
            if node.operation == "concatenate"
            else self._append("take", (a,), index, len(index))
        )

    def _take_part(self, a: int, index: tuple[int, ...]) -> int:
        """A selection that stays within one part of a concatenation is a selection from that part."""
        start = 0
        for part in self.nodes[a].arguments:
            stop = start + self.size(part)
            if all(start <= i < stop for i in index):
                return self.take(part, [i - start for i in index])
            start = stop
        return self._append("take", (a,), index, len(index))

    def concatenate(self, parts: Sequence[int]) -> int:
        parts = tuple(part for part in parts if self.size(part))
        if len(parts) == 1:
            return parts[0]
        constants = [self.held(part) for part in parts]
        if all(constants):
            return self.constant([value for held in constants if held for value in held.fractions])
        return self._append("concatenate", parts, None, sum(self.size(part) for part in parts))

    # ---- linear maps and sums --------------------------------------------------------------------------------------

    def linear(self, a: int, weight: Floats) -> int:
        """W a with an exact binary matrix W of shape (rows, size of a)."""
        held = self.held(a)
        if (not weight.any() and not self.partial(a)) or (held and held.all_equal(0)):
            return self.constant([0] * len(weight))
        if held and weight.size <= FOLDED_PRODUCTS:
            return self.constant([_dot(row, held.fractions) for row in weight])
        if weight.shape[0] == weight.shape[1] and np.array_equal(weight, np.eye(len(weight))):
            return a
        return self._append("linear", (a,), weight, len(weight), (weight.shape, (weight + 0.0).tobytes()))

    def sum(self, a: int, groups: int) -> int:
        """Sums of consecutive equal parts: entry j is the sum of a[j m], ..., a[j m + m - 1] with m = size / groups."""
        m, held = self.size(a) // groups, self.held(a)
        if m == 1:
            return a
        if held:
            return self.constant([sum(held.fractions[j * m : j * m + m], Fraction(0)) for j in range(groups)])
        return self._append("sum", (a,), groups, groups)

    # ---- elementwise -----------------------------------------------------------------------------------------------

    def unary(self, operation: str, a: int) -> int:
        held = self.held(a)
        values = folding.folded(operation, held.fractions) if held else None
        if values is not None:
            return self.constant(values)
        simpler = identities.of_one(self, operation, a)
        return self._append(operation, (a,), None, self.size(a)) if simpler is None else simpler

    def power(self, a: int, exponent: int) -> int:
        """a^p for an integer p >= 0; a power above 64 is a product of powers."""
        held = self.held(a)
        if held:
            return self.constant([value**exponent for value in held.fractions])
        if exponent < 3:
            return (self.constant([1] * self.size(a)), a, self.unary("square", a))[exponent]
        if exponent > HIGHEST_POWER:
            whole, rest = divmod(exponent, HIGHEST_POWER)
            return self.binary("mul", self.power(self.power(a, HIGHEST_POWER), whole), self.power(a, rest))
        return self._append("power", (a,), exponent, self.size(a))

    def norm(self, a: int, groups: int) -> int:
        """Euclidean norms of consecutive equal parts, as in `sum`; the norm of one number is its absolute value."""
        held = self.held(a)
        values = folding.norms(held.fractions, groups) if held else None
        if values is not None:
            return self.constant(values)
        return self.unary("abs", a) if self.size(a) == groups else self._append("norm", (a,), groups, groups)

    def unit(self, a: int, groups: int) -> int:
        """a / ‖a‖ for consecutive equal parts, the gradient of `norm`; in the unit ball where the norm is zero."""
        return self._append("unit", (a,), groups, self.size(a))

    def binary(self, operation: str, a: int, b: int) -> int:
        left, right = self.held(a), self.held(b)
        if left and right and not (operation == "div" and 0 in right.fractions):
            function = folding.BINARY[operation]
            return self.constant([function(p, q) for p, q in zip(left.fractions, right.fractions, strict=True)])
        simpler = identities.of_two(self, operation, a, b)
        if simpler is not None:
            return simpler
        if operation in ("add", "mul", "maximum", "minimum") and b < a:
            a, b = b, a
        return self._append(operation, (a, b), None, self.size(a))

    def select(self, c: int, a: int, b: int) -> int:
        """a where c > 0, b where c < 0, either where c = 0."""
        simpler = identities.of_choice(self, c, a, b)
        return self._append("select", (c, a, b), None, self.size(a)) if simpler is None else simpler

    # ---- substitution ----------------------------------------------------------------------------------------------

    def copy_into(self, other: Graph, outputs: Sequence[int], state: int) -> list[int]:
        """Rebuild `outputs` in another graph with the input replaced by its node `state`; simplifies on the way."""
        images: dict[int, int] = {self.input: state}
        for number in self.reachable(outputs):
            images.setdefault(number, other.rebuild(self.nodes[number], images))
        return [images[output] for output in outputs]

    def rebuild(self, node: Node, images: dict[int, int]) -> int:
        arguments = [images[argument] for argument in node.arguments]
        match node.operation:
            case "input":
                return self.input
            case "constant":
                return self.constant(node.attribute)
            case "concatenate":
                return self.concatenate(arguments)
            case "select":
                return self.select(*arguments)
            case "take" | "linear" | "sum" | "power" | "norm" | "unit":
                return int(getattr(self, node.operation)(arguments[0], node.attribute))
        return (
            self.unary(node.operation, *arguments) if len(arguments) == 1 else self.binary(node.operation, *arguments)
        )

    def reachable(self, outputs: Sequence[int]) -> list[int]:
        """The nodes that the outputs need, in topological order."""
        needed: set[int] = set()
        pending = list(outputs)
        while pending:
            number = pending.pop()
            if number not in needed:
                needed.add(number)
                pending.extend(self.nodes[number].arguments)
        return sorted(needed)

    def depends(self, node: int) -> bool:
        """Whether the state enters the node."""
        return self.input in self.reachable([node])

    def same_as(self, other: Graph) -> bool:
        """Whether both graphs were built of the same nodes in the same order."""
        return list(self._known) == list(other._known)

    def _append(self, operation: str, arguments: tuple[int, ...], attribute: Any, size: int, key: Any = None) -> int:
        identity = (operation, arguments, attribute if key is None else key)
        if identity not in self._known:
            self._known[identity] = len(self.nodes)
            self.nodes.append(Node(operation, arguments, attribute, size))
            signs = [self._signs[argument] for argument in arguments]
            self._signs.append(sign(operation, signs, attribute))
            self._partial.append(partial(operation, signs) or any(self._partial[argument] for argument in arguments))
        return self._known[identity]


def _dot(row: Floats, values: Sequence[Fraction]) -> Fraction:
    return sum((Fraction(float(w)) * v for w, v in zip(row, values, strict=True) if w and v), Fraction(0))
