"""Hand-made certificates of every kind of statement: trees grown by sampling, so that what they claim may be wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import certificates as c
import numpy as np
from certificates import Graph, Vector

Box = tuple[Sequence[float], Sequence[float]]
Margins = Mapping[str, Callable[[Vector], Vector]]
"""For each letter the function of points (B, N) that must be positive on a leaf of that kind."""
NONE: Box = ([], [])


def grown(
    lower: Vector, upper: Vector, margins: Margins, inner: Box | None = None, most: int = 1000, depth: int = 30
) -> str:
    """A tree over a box: splits, `most` times at most, until samples clearly allow a kind; 'e' within `inner`."""
    scale, count = np.where(upper > lower, upper - lower, np.inf), itertools.count()
    n = 0 if inner is None else len(inner[0])

    def kind(lo: Vector, hi: Vector, left: int) -> str:
        if inner is not None and (lo[:n] >= inner[0]).all() and (hi[:n] <= inner[1]).all():
            return "e"
        axes = [np.linspace(a, b, 5 if a < b else 1) for a, b in zip(lo, hi, strict=True)]
        x = np.stack([a.ravel() for a in np.meshgrid(*axes)], 1)
        for letter, margin in margins.items():
            values = margin(x)
            if values.min() > 0.1 * np.ptp(values) + 1e-9:
                return letter
        return "" if left and next(count) < most else next(iter(margins))

    def grow(lo: Vector, hi: Vector, left: int) -> str:
        letter = kind(lo, hi, left)
        if letter:
            return letter
        i = int(np.argmax((hi - lo) / scale))
        middle = 0.5 * lo[i] + 0.5 * hi[i]
        low, high = lo.copy(), hi.copy()
        low[i] = high[i] = middle
        return chr(65 + i) + grow(lo, high, left - 1) + grow(low, hi, left - 1)

    return grow(lower, upper, depth)


def corners(X: Box, D: Box = NONE) -> tuple[Vector, Vector]:
    """Of X x D."""
    lower, upper = (np.concatenate([np.array(x, float), np.array(d, float)]) for x, d in zip(X, D, strict=True))
    return lower, upper


def sides(X: Box, D: Box, margins: Callable[[int, bool], Margins]) -> list[list[str]]:
    """Trees of all faces of X, each over face x D."""
    faces = []
    for i in range(len(X[0])):
        pair = []
        for upper_side in (False, True):
            lower, upper = corners(X, D)
            lower[i] = upper[i] = X[upper_side][i]
            pair.append(grown(lower, upper, margins(i, upper_side)))
        faces.append(pair)
    return faces


def box(X: Box) -> dict[str, list[str]]:
    """As the format writes it."""
    return {"lower": c.numbers(X[0]), "upper": c.numbers(X[1])}


def file(kind: str, X: Box, D: Box, graphs: Mapping[str, Graph], proof: Mapping[str, Any], **fields: Any) -> Graph:
    """Content of a certificate."""
    statement = {"kind": kind, "box": box(X), **fields, **({"disturbance": box(D)} if len(D[0]) else {})}
    return {"statement": statement, "graphs": dict(graphs), "proof": dict(proof), "assumptions": [], "provenance": None}


def number(value: float | str) -> str:
    """One number of the format."""
    return c.numbers([value])[0]


class Sampled:
    """A scalar function V, a field or map F, and what sampling says of them at points (B, n + k)."""

    def __init__(self, V: Graph | None, F: Graph, n: int) -> None:
        self.V, self.F, self.n = V, F, n

    def value(self, z: Vector) -> Vector:
        return c.evaluate(self.V, z[:, : self.n])[:, 0]

    def field(self, z: Vector) -> Vector:
        return c.evaluate(self.F, z)

    def rise(self, z: Vector) -> Vector:
        """grad V.F, the smaller one of two sides of a kink."""
        gradients = (c.gradient(self.V, z[:, : self.n] + side) for side in (-1e-5, 1e-5))
        return np.min([(gradient * self.field(z)).sum(1) for gradient in gradients], axis=0)

    def after(self, z: Vector) -> Vector:
        """V(F)."""
        return self.value(self.field(z))

    def within(self, z: Vector, X: Box) -> Vector:
        """Distance of F to the complement of X."""
        y = self.field(z)
        return np.minimum(y - np.array(X[0]), np.array(X[1]) - y).min(1)

    def inward(self, axis: int, upper: bool) -> Callable[[Vector], Vector]:
        return lambda z: (-1 if upper else 1) * self.field(z)[:, axis]


def barrier(h: Graph, F: Graph, X: Box, rate: float, D: Box = NONE) -> Graph:
    """Certificate of barrier invariance."""
    s = Sampled(h, F, len(X[0]))
    interior = grown(*corners(X, D), {"x": lambda z: -s.value(z), "p": lambda z: s.rise(z) + rate * s.value(z)})
    faces = sides(X, D, lambda i, up: {"x": lambda z: -s.value(z), "p": s.inward(i, up)})
    proof = {"interior": interior, "faces": faces}
    return file("barrier_invariance", X, D, {"h": h, "F": F}, proof, rate=number(rate))


def nagumo(h: Graph, F: Graph, X: Box, D: Box = NONE) -> Graph:
    """Certificate of Nagumo's condition."""
    s = Sampled(h, F, len(X[0]))
    interior = grown(*corners(X, D), {"x": s.value, "X": lambda z: -s.value(z), "p": s.rise}).translate({88: "x"})
    faces = sides(X, D, lambda i, up: {"x": lambda z: -s.value(z), "p": s.inward(i, up)})
    return file("nagumo_invariance", X, D, {"h": h, "F": F}, {"interior": interior, "faces": faces})


def within(F: Graph, X: Box, D: Box = NONE) -> Graph:
    """Certificate that X is invariant."""
    s = Sampled(None, F, len(X[0]))
    return file("stay_within", X, D, {"F": F}, {"faces": sides(X, D, lambda i, up: {"p": s.inward(i, up)})})


def high_order(h: Graph, F: Graph, X: Box, rates: tuple[float, float], D: Box = NONE) -> Graph:
    """Certificate of a barrier of second order."""
    s, (a, b) = Sampled(h, F, len(X[0])), rates

    def first(z: Vector) -> Vector:
        return s.rise(z) + a * s.value(z)

    def second(z: Vector, e: float = 1e-4) -> Vector:
        y = np.pad(s.field(z), [(0, 0), (0, len(D[0]))])
        return (first(z + e * y) - first(z - e * y)) / (2 * e) + b * first(z)

    out = {"x": lambda z: np.maximum(-s.value(z), -first(z))}
    interior = grown(*corners(X, D), {**out, "p": second})
    faces = sides(X, D, lambda i, up: {**out, "p": s.inward(i, up)})
    proof = {"interior": interior, "faces": faces}
    return file("high_order_invariance", X, D, {"h": h, "F": F}, proof, rates=c.numbers(rates))


def ultimate(V: Graph, F: Graph, X: Box, bounds: tuple[float, float], D: Box = NONE) -> Graph:
    """Certificate of an ultimate bound."""
    s, (inner, outer) = Sampled(V, F, len(X[0])), bounds
    margins = {"x": lambda z: s.value(z) - outer, "X": lambda z: inner - s.value(z), "p": lambda z: -s.rise(z)}
    interior = grown(*corners(X, D), margins).translate({88: "x"})
    faces = sides(X, NONE, lambda i, up: {"x": margins["x"]})
    return file(
        "ultimate_bound", X, D, {"V": V, "F": F}, {"interior": interior, "faces": faces},
        inner=number(inner), outer=number(outer),
    )  # fmt: skip


def discrete(V: Graph, F: Graph, X: Box, kappa: float, level: float, inner: float, D: Box = NONE) -> Graph:
    """Certificate of decrease in discrete time about 0, R = +-inner."""
    n = len(X[0])
    s, R = Sampled(V, F, n), (np.full(n, -inner), np.full(n, inner))
    margins = {
        "x": lambda z: s.value(z) - level,
        "p": lambda z: np.minimum((1 - kappa) * s.value(z) - s.after(z), s.within(z, X)),
    }
    proof = {"equilibrium": box(R), "interior": grown(*corners(X, D), margins, R)}
    fields = {"equilibrium": c.numbers([0.0] * n), "kappa": number(kappa), "level": number(level)}
    return file("discrete_decrease", X, D, {"V": V, "F": F}, proof, **fields)


def discrete_ultimate(V: Graph, F: Graph, X: Box, bounds: tuple[float, float], D: Box = NONE) -> Graph:
    """Certificate of an ultimate bound in discrete time."""
    s, (inner, outer) = Sampled(V, F, len(X[0])), bounds
    falls = {
        "x": lambda z: s.value(z) - outer, "X": lambda z: inner - s.value(z),
        "p": lambda z: np.minimum(s.value(z) - s.after(z), s.within(z, X)),
    }  # fmt: skip
    stays = {"x": lambda z: s.value(z) - inner, "p": lambda z: np.minimum(inner - s.after(z), s.within(z, X))}
    proof = {"interior": grown(*corners(X, D), falls).translate({88: "x"}), "inner": grown(*corners(X, D), stays)}
    fields = {"inner": number(inner), "outer": number(outer)}
    return file("discrete_ultimate_bound", X, D, {"V": V, "F": F}, proof, **fields)


def robust(V: Graph, F: Graph, X: Box, rate: float, level: float, inner: float, D: Box) -> Graph:
    """Certificate of exponential stability of 0 for all disturbances, R = +-inner."""
    n = len(X[0])
    s, R = Sampled(V, F, n), (np.full(n, -inner), np.full(n, inner))
    out = {"x": lambda z: s.value(z) - level}
    margins = {**out, "p": lambda z: np.minimum(s.value(z), -s.rise(z) - rate * s.value(z))}
    faces = sides(X, NONE, lambda i, up: out)
    proof = {"equilibrium": box(R), "interior": grown(*corners(X, D), margins, R), "faces": faces}
    fields = {"equilibrium": c.numbers([0.0] * n), "rate": number(rate), "level": number(level)}
    return file("exponential_stability", X, D, {"V": V, "F": F}, proof, **fields)


def conjunction(*parts: Graph) -> Graph:
    """Certificate of several statements."""
    kept = [{name: part[name] for name in ("statement", "graphs", "proof")} for part in parts]
    statement = {"kind": "conjunction", "parts": kept}
    return {"statement": statement, "graphs": {}, "proof": {}, "assumptions": [], "provenance": None}


def graph(n: int, build: Callable[[c.Builder, c.Node], c.Node]) -> Graph:
    """A function of n inputs."""
    g = c.Builder(n)
    return g.output(build(g, g.input()))


def grid(lower: Sequence[float], upper: Sequence[float], count: int) -> Vector:
    """Regular points of a box."""
    axes = [np.linspace(a, b, count) for a, b in zip(lower, upper, strict=True)]
    return np.array(list(itertools.product(*axes)))
