"""Hand-made certificates for the tests of the checker: a graph builder, a sampling 'prover', and the file around them.

Independent of ctrlnet: the format is written here a second time, from its description. The prover samples, so what it
writes may be wrong; that is what the checker is for.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

Vector = np.ndarray
Graph = dict[str, Any]
Content = dict[str, Any]
"""Of a file, or of a part of it."""


def array(values: Sequence[float]) -> dict[str, str]:
    """Base64 array of the format."""
    return {"f8": base64.b64encode(np.asarray(values, "<f8").tobytes()).decode()}


def numbers(values: Sequence[float | str | Fraction]) -> list[str]:
    """Hex floats, or rationals where strings or fractions are given."""
    return [float(v).hex() if isinstance(v, (int, float)) else str(v) for v in values]


@dataclass
class Node:
    """A handle on a node of a builder, with arithmetic."""

    graph: Builder
    id: int
    size: int

    def __add__(self, other: Node) -> Node:
        return self.graph.op("add", self, other)

    def __sub__(self, other: Node) -> Node:
        return self.graph.op("sub", self, other)

    def __mul__(self, other: Node) -> Node:
        return self.graph.op("mul", self, other)

    def __truediv__(self, other: Node) -> Node:
        return self.graph.op("div", self, other)

    def __neg__(self) -> Node:
        return self.graph.op("neg", self)

    def __getitem__(self, indices: int | Sequence[int]) -> Node:
        listed = [indices] if isinstance(indices, int) else list(indices)
        return self.graph.add("take", [self], listed, len(listed))


@dataclass
class Builder:
    """Writes one graph of the format, and evaluates it at points with numpy."""

    n: int
    nodes: list[list[Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    state: Any = None

    def add(self, operation: str, arguments: Sequence[Node], attribute: Any, size: int) -> Node:
        self.nodes.append([operation, [a.id for a in arguments], attribute])
        self.sizes.append(size)
        return Node(self, len(self.nodes) - 1, size)

    def input(self) -> Node:
        return self.add("input", [], self.n, self.n)

    def constant(self, values: Sequence[float]) -> Node:
        return self.add("constant", [], array(values), len(values))

    def rational(self, *values: str) -> Node:
        return self.add("constant", [], {"q": list(values)}, len(values))

    def op(self, operation: str, *arguments: Node) -> Node:
        return self.add(operation, arguments, None, arguments[0].size)

    def power(self, a: Node, p: int) -> Node:
        return self.add("power", [a], p, a.size)

    def linear(self, weight: Vector, a: Node) -> Node:
        weight = np.atleast_2d(weight)
        return self.add("linear", [a], {"rows": len(weight), "weight": array(weight.ravel())}, len(weight))

    def sum(self, a: Node, count: int = 1) -> Node:
        return self.add("sum", [a], count, count)

    def norm(self, a: Node, count: int = 1) -> Node:
        return self.add("norm", [a], count, count)

    def concatenate(self, *parts: Node) -> Node:
        return self.add("concatenate", parts, None, sum(p.size for p in parts))

    def output(self, node: Node) -> Graph:
        return {"nodes": self.nodes, "output": node.id}


def decoded(value: Content) -> Vector:
    """Float values of an array of the format."""
    ((kind, content),) = value.items()
    if kind == "q":
        return np.array([float(Fraction(v)) if "x" not in v else float.fromhex(v) for v in content])
    return np.frombuffer(base64.b64decode(content), "<" + kind).astype(float)


POINTWISE: dict[str, Callable[..., Vector]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "neg": np.negative, "square": np.square, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "exp": np.exp, "relu": lambda x: np.maximum(x, 0), "abs": np.abs, "sqrt": np.sqrt, "log": np.log,
    "atan": np.arctan, "softplus": lambda x: np.logaddexp(0, x), "erf": np.vectorize(math.erf, otypes=[float]),
    "select": lambda c, a, b: np.where(c > 0, a, b), "floor": np.floor,
}  # fmt: skip


def evaluate(graph: Graph, x: Vector) -> Vector:
    """Values (B, size) of a graph at points (B, n)."""
    values: list[Vector] = []
    for operation, ids, attribute in graph["nodes"]:
        a = [values[i] for i in ids]
        if operation == "input":
            values.append(x)
        elif operation == "constant":
            values.append(np.broadcast_to(decoded(attribute), (len(x), len(decoded(attribute)))))
        elif operation == "take":
            values.append(a[0][:, attribute])
        elif operation == "concatenate":
            values.append(np.concatenate(a, 1))
        elif operation == "linear":
            values.append(a[0] @ decoded(attribute["weight"]).reshape(attribute["rows"], -1).T)
        elif operation == "sum":
            values.append(a[0].reshape(len(x), attribute, -1).sum(-1))
        elif operation == "norm":
            values.append(np.sqrt(np.square(a[0]).reshape(len(x), attribute, -1).sum(-1)))
        elif operation == "power":
            values.append(a[0] ** attribute)
        else:
            values.append(POINTWISE[operation](*a))
    return values[graph["output"]]


def gradient(graph: Graph, x: Vector, step: float = 1e-6) -> Vector:
    """Central differences (B, n) of a graph of size 1."""
    columns = []
    for i in range(x.shape[1]):
        shift = np.zeros(x.shape[1])
        shift[i] = step
        columns.append((evaluate(graph, x + shift) - evaluate(graph, x - shift))[:, 0] / (2 * step))
    return np.stack(columns, 1)


def sealed(content: Content) -> bytes:
    """Bytes of a certificate with the right hash."""
    body = json.dumps(content).encode()
    return b"ctrlnet-certificate 1 " + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def opened(data: bytes) -> Content:
    """JSON of a certificate."""
    content: Content = json.loads(data.split(b"\n", 1)[1])
    return content


def changed(content: Content, edit: Callable[[Content], Any]) -> bytes:
    """Sealed copy after an edit in place."""
    content = copy.deepcopy(content)
    edit(content)
    return sealed(content)


@dataclass
class Sampling:
    """Grows trees by sampling V and G = grad V.F + rate V: splits until one kind of leaf looks right everywhere."""

    V: Graph
    F: Graph
    rate: float
    level: float
    inner: tuple[Vector, Vector]
    depth: int = 20

    def tree(self, lower: Vector, upper: Vector, kinds: str = "pxe", depth: int = 0) -> str:
        kind = self.kind(lower, upper, kinds)
        if kind or depth >= self.depth:
            return kind or kinds[0]
        i = int(np.argmax((upper - lower) / self.scale))
        middle = 0.5 * lower[i] + 0.5 * upper[i]
        low, high = lower.copy(), upper.copy()
        low[i] = high[i] = middle
        return chr(65 + i) + self.tree(lower, high, kinds, depth + 1) + self.tree(low, upper, kinds, depth + 1)

    @property
    def scale(self) -> Vector:
        return self._scale

    def root(self, lower: Vector, upper: Vector, kinds: str = "pxe") -> str:
        self._scale = np.where(upper > lower, upper - lower, np.inf)
        return self.tree(lower, upper, kinds)

    def kind(self, lower: Vector, upper: Vector, kinds: str) -> str:
        if "e" in kinds and (lower >= self.inner[0]).all() and (upper <= self.inner[1]).all():
            return "e"
        axes = [np.linspace(a, b, 5) for a, b in zip(lower, upper, strict=True)]
        x = np.stack([a.ravel() for a in np.meshgrid(*axes)], 1)
        v = evaluate(self.V, x)[:, 0]
        if v.min() > self.level + 0.05 * np.ptp(v):
            return "x"
        g = (gradient(self.V, x) * evaluate(self.F, x)).sum(1) + self.rate * v
        if "p" in kinds and v.min() > 1e-9 and g.max() < -0.1 * np.ptp(g):
            return "p"
        return ""


def stability(
    V: Graph, F: Graph, box: tuple[Sequence[float], Sequence[float]], *, rate: float, level: float,
    inner: float | Sequence[float], at: Sequence[float | str] | None = None,
) -> Content:  # fmt: skip
    """Certificate of exponential stability, R = at +- inner."""
    lower, upper = np.array(box[0], float), np.array(box[1], float)
    at = [0.0] * len(lower) if at is None else at
    centre = np.array([float(Fraction(v)) for v in at])
    around = centre - inner, centre + inner
    sampling = Sampling(V, F, rate, level, around)
    faces = []
    for i in range(len(lower)):
        pair = []
        for side in (lower, upper):
            low, high = lower.copy(), upper.copy()
            low[i] = high[i] = side[i]
            pair.append(sampling.root(low, high, "x"))
        faces.append(pair)
    interior = sampling.root(lower, upper)
    return {
        "statement": {
            "kind": "exponential_stability", "box": {"lower": numbers(lower), "upper": numbers(upper)},
            "equilibrium": numbers(at), "rate": numbers([rate])[0], "level": numbers([level])[0],
        },
        "graphs": {"V": V, "F": F},
        "proof": {
            "equilibrium": {"lower": numbers(around[0]), "upper": numbers(around[1])},
            "interior": interior, "faces": faces,
        },
        "assumptions": ["The mass is what the data sheet says."],
        "provenance": {"made by": "the tests"},
    }  # fmt: skip


def quadratic(R: Vector, at: Sequence[float] | None = None) -> Graph:
    """V = |R (x - at)|^2."""
    g = Builder(len(R))
    x = g.input() if at is None else g.input() - g.constant(at)
    return g.output(g.sum(g.op("square", g.linear(R, x))))


def linear_field(A: Vector) -> Graph:
    """F = A x."""
    g = Builder(len(A))
    return g.output(g.linear(A, g.input()))


def spiral() -> Content:
    """x' = -x + 2y, y' = -2x - y with V = |x|^2, G = -2 V + rate V."""
    return stability(
        quadratic(np.eye(2)), linear_field(np.array([[-1.0, 2.0], [-2.0, -1.0]])), ([-1.0, -1.0], [1.0, 1.0]),
        rate=1.0, level=0.9, inner=0.125,
    )  # fmt: skip


def damped_pendulum() -> Content:
    """x1' = x2, x2' = -sin x1 - x2, V = 1.5 x1^2 + x1 x2 + x2^2 (as |R x|^2)."""
    g = Builder(2)
    x = g.input()
    F = g.output(g.concatenate(x[1], -g.op("sin", x[0]) - x[1]))
    R = np.linalg.cholesky(np.array([[1.5, 0.5], [0.5, 1.0]])).T
    return stability(quadratic(R), F, ([-2.0, -2.0], [2.0, 2.0]), rate=0.1, level=1.5, inner=[0.25, 0.25])


def touching() -> Content:
    """x' = -x (1 + |x - c|^2) / 2 and V = |x|^2 with c = (1/3, 1/3): grad V.F + V = -|x|^2 |x - c|^2 vanishes at c.

    Not negative on the whole level set, so no proof exists, and c is no midpoint, so no midpoint refutes it.
    """
    g = Builder(2)
    x = g.input()
    away = g.sum(g.op("square", x - g.rational("1/3", "1/3")))
    F = g.output(x * g.linear(np.array([[-0.5], [-0.5]]), g.constant([1.0]) + away))
    return stability(quadratic(np.eye(2)), F, ([-1.0, -1.0], [1.0, 1.0]), rate=1.0, level=0.9, inner=2**-5)


def network(g: Builder, x: Node, weights: Sequence[tuple[Vector, Vector]], activation: str) -> Node:
    """Perceptron with the activation between its layers."""
    for k, (W, b) in enumerate(weights):
        x = g.linear(W, x) + g.constant(b)
        x = g.op(activation, x) if k + 1 < len(weights) else x
    return x


def random_weights(widths: Sequence[int], seed: int, scale: float = 1.0) -> list[tuple[Vector, Vector]]:
    """Weights and biases of a perceptron."""
    rng = np.random.default_rng(seed)

    def single(*size: int) -> Vector:
        return rng.normal(size=size).astype(np.float32).astype(float)

    return [(scale / math.sqrt(a) * single(b, a), 0.3 * single(b)) for a, b in itertools.pairwise(widths)]


def neural_pendulum(hidden: int = 16, activation: str = "tanh") -> Content:
    """Torque-limited pendulum under K x + small network, clamped; V = |R x|^2 + |phi(x) - phi(0)|^2."""
    f = Builder(2)
    x = f.input()
    policy = random_weights([2, hidden, hidden, 1], 0, 0.5)
    policy[-1] = (policy[-1][0] * 0.25, policy[-1][1])
    net = network(f, x, policy, activation) - network(f, f.constant([0.0, 0.0]), policy, activation)
    u = f.op(
        "minimum", f.op("maximum", f.linear(np.array([[-6.0, -3.0]]), x) + net, f.constant([-6.0])), f.constant([6.0])
    )
    acceleration = (f.rational("981/50") * f.op("sin", x[0])) + (f.rational("80/3") * (u - f.rational("1/10") * x[1]))
    F = f.output(f.concatenate(x[1], acceleration))
    v = Builder(2)
    y = v.input()
    features = random_weights([2, hidden, hidden], 1, 0.2)
    phi = network(v, y, features, activation) - network(v, v.constant([0.0, 0.0]), features, activation)
    A = np.array([[0.0, 1.0], [981 / 50 - 160.0, -80 - 8 / 3]])
    R = np.linalg.cholesky(lyapunov(A + 0.5 * np.eye(2))).T
    V = v.output(v.sum(v.op("square", v.linear(R, y))) + v.sum(v.op("square", v.linear(0.05 * np.eye(hidden), phi))))
    return stability(V, F, ([-0.5, -3.0], [0.5, 3.0]), rate=0.1, level=0.05, inner=[2**-7, 2**-6])


def lyapunov(A: Vector) -> Vector:
    """P of A'P + PA = -I."""
    n = len(A)
    lhs = np.kron(A.T, np.eye(n)) + np.kron(np.eye(n), A.T)
    return np.linalg.solve(lhs, -np.eye(n).ravel()).reshape(n, n)


UNARY = ["neg", "square", "sin", "cos", "tanh", "atan", "softplus", "erf", "exp", "log", "sqrt", "relu", "abs"]
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum"]
SMOOTH = [name for name in UNARY + BINARY if name not in ("relu", "abs", "maximum", "minimum")]


def random_graph(n: int, seed: int, names: list[str]) -> Graph:
    """A scalar function of every primitive in `names`, in random order, all moderate in size; norms stay above 1/2."""
    rng = np.random.default_rng(seed)
    g = Builder(n)
    pool = [g.input()]
    pool.append(g.linear(rng.normal(size=(n, n)), pool[0]) + g.constant(rng.normal(size=n)))
    pool.append(g.constant(rng.normal(size=n)))
    half = g.constant(np.full(n, 0.5))
    for name in rng.permutation(names):
        a, b = (pool[i] for i in rng.integers(len(pool), size=2))
        a, b = g.op("tanh", a) if name in ("exp", "div") else a, b
        a = g.op("square", a) + half if name in ("log", "sqrt") else a
        if name == "div":
            pool.append(a / (g.op("square", b) + g.constant(np.ones(n))))
        else:
            pool.append(g.op(str(name), a) if name in UNARY else g.op(str(name), a, b))
        if rng.integers(3) == 0:
            pool.append(g.linear(rng.normal(size=(n, n)) * rng.integers(0, 2, size=(n, n)), pool[-1]))
    pool.append(g.power(g.op("sin", pool[-1]), 3))
    paired = g.concatenate(pool[-1], pool[-2], half)[[k * n + j for j in range(n) for k in range(3)]]
    pool.append(g.norm(paired, n))
    joined = g.concatenate(*pool[-5:], pool[0])[rng.permutation(6 * n).tolist()]
    return g.output(g.sum(g.linear(rng.normal(size=(2, 6)), g.sum(joined, 6)), 1))
