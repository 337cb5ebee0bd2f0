"""Certificates under attack: their graphs in plain floating point, and a search for a state that refutes them.

Nothing here is shared with prover or checker. A graph of the file is evaluated in complex numbers: with z = x + i ε y
the imaginary part over ε is the derivative along y, exact to rounding (Squire, Trapp, SIAM Review 40, 1998). What a
certificate of each kind implies for single states is a `score` that must not be positive; the attack draws states, then
climbs from the worst of them. It finds violations; that it finds none is evidence.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Document = dict[str, Any]
Array = NDArray[Any]
Score = Callable[[Array], Array]

STEP = 1e-150
SAMPLES, CLIMBERS, ROUNDS = 2048, 64, 24
STEPS = 20
TOLERANCE = 1e-9
"""Of the size of the terms: more than the rounding of the small graphs of these tests."""


def rational(text: str) -> Fraction:
    """A number of the file."""
    return Fraction(float.fromhex(text)) if "0x" in text else Fraction(text)


def numbers(texts: list[str]) -> Array:
    return np.array([float(rational(text)) for text in texts])


def array(value: dict[str, Any]) -> Array:
    ((kind, content),) = value.items()
    if kind == "q":
        return numbers(content)
    return np.frombuffer(base64.b64decode(content), "<" + kind).astype(np.float64)


def _parts(a: Array, count: int) -> Array:
    return a.reshape(len(a), count, -1)


def _chosen(a: Array, above: Array, below: Array) -> Array:
    return np.where(a.real > 0, above, below)


RULES: dict[str, Callable[..., Array]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "square": lambda a: a * a,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "atan": np.arctan,
    "relu": lambda a: _chosen(a, a, 0 * a),
    "abs": lambda a: _chosen(a, a, -a),
    "floor": lambda a: np.floor(a.real) + 0 * a,
    "maximum": lambda a, b: _chosen(a - b, a, b),
    "minimum": lambda a, b: _chosen(a - b, b, a),
    "select": lambda c, a, b: _chosen(c, a, b),
}


def evaluated(graph: Document, z: Array) -> Array:
    """The output (B, size) of a graph of the file at states (B, n), real or complex."""
    found: list[Array] = []
    for operation, arguments, attribute in graph["nodes"]:
        a = [found[i] for i in arguments]
        match operation:
            case "input":
                value = z
            case "constant":
                value = np.broadcast_to(array(attribute), (len(z), len(array(attribute))))
            case "linear":
                value = a[0] @ array(attribute["weight"]).reshape(attribute["rows"], -1).T
            case "take":
                value = a[0][:, attribute]
            case "concatenate":
                value = np.concatenate(a, 1)
            case "sum":
                value = _parts(a[0], attribute).sum(2)
            case "norm":
                value = np.sqrt((_parts(a[0], attribute) ** 2).sum(2))
            case "power":
                value = a[0] ** attribute
            case _:
                value = RULES[operation](*a)
        found.append(value)
    return found[graph["output"]]


def slope(graph: Document, x: Array, y: Array) -> Array:
    """The derivative of a scalar graph at x along y."""
    return evaluated(graph, x + 1j * STEP * y)[:, 0].imag / STEP


class Claims:
    """What a certificate implies for single states z = (x, d) of a box: scores that are nowhere positive."""

    def __init__(self, part: Document) -> None:
        self.said, self.graphs = part["statement"], part["graphs"]
        self.lower, self.upper = (numbers(self.said["box"][side]) for side in ("lower", "upper"))
        d = self.said.get("disturbance", {"lower": [], "upper": []})
        self.n = len(self.lower)
        self.least, self.most = (
            np.concatenate([own, numbers(d[side])]) for own, side in ((self.lower, "lower"), (self.upper, "upper"))
        )
        names = ("rate", "level", "kappa", "inner", "outer")
        self.rate, self.level, self.kappa, self.inner, self.outer = (
            float(rational(self.said[name])) if name in self.said else np.nan for name in names
        )
        self.scalar = next((self.graphs[name] for name in ("V", "h", "margin") if name in self.graphs), {})

    def of(self, z: Array) -> Array:
        """V, h or the margin."""
        return evaluated(self.scalar, z[:, : self.n])[:, 0]

    def field(self, z: Array) -> Array:
        return evaluated(self.graphs["F"], z)

    def rise(self, z: Array) -> Array:
        """V' or h', NaN where F is undefined, be it in an entry that V or h does not depend on."""
        y = self.field(z)
        return np.where(np.isnan(y).any(1), np.nan, slope(self.scalar, z[:, : self.n], y))

    def excess(self, y: Array) -> Array:
        """How far states are outside the box."""
        return np.maximum(self.lower - y, y - self.upper).max(1)

    def scores(self) -> Iterator[tuple[Score, Array, Array]]:
        """Each with the box on which it is claimed."""
        kind = self.said["kind"]
        yield from getattr(self, kind)()

    # ---- a score is positive where a claim is violated; where a side condition fails it is -inf ----------------------

    def exponential_stability(self) -> Iterator[tuple[Score, Array, Array]]:
        at = numbers(self.said["equilibrium"])

        def inside(z: Array) -> Array:
            v = self.of(z)
            away = (z[:, : self.n] != at).any(1)
            return where((v <= self.level) & away, np.maximum(-v, self.rise(z) + self.rate * v), v)

        yield inside, self.least, self.most
        yield from self._closed(lambda z: self.level - self.of(z))

    def ultimate_bound(self) -> Iterator[tuple[Score, Array, Array]]:
        def falls(z: Array) -> Array:
            v = self.of(z)
            return where((self.inner <= v) & (v <= self.outer), self.rise(z), v)

        yield falls, self.least, self.most
        yield from self._closed(lambda z: self.outer - self.of(z))

    def discrete_decrease(self) -> Iterator[tuple[Score, Array, Array]]:
        at = numbers(self.said["equilibrium"])

        def falls(z: Array) -> Array:
            v, y = self.of(z), self.field(z)
            worst = np.maximum(np.maximum(-v, self.of(y) - (1 - self.kappa) * v), self.excess(y))
            return where((v <= self.level) & (z[:, : self.n] != at).any(1), worst, v)

        yield falls, self.least, self.most

    def discrete_ultimate_bound(self) -> Iterator[tuple[Score, Array, Array]]:
        def falls(z: Array) -> Array:
            v, y = self.of(z), self.field(z)
            bound = np.where(v > self.inner, v, self.inner)
            return where(v <= self.outer, np.maximum(self.of(y) - bound, self.excess(y)), v)

        yield falls, self.least, self.most

    def barrier_invariance(self) -> Iterator[tuple[Score, Array, Array]]:
        def grows(z: Array) -> Array:
            h = self.of(z)
            return where(h >= 0, -self.rise(z) - self.rate * h, h)

        yield grows, self.least, self.most
        yield from self._inward(lambda z: self.of(z) >= 0)

    def nagumo_invariance(self) -> Iterator[tuple[Score, Array, Array]]:
        def grows(z: Array) -> Array:
            y = self._boundary(z)
            return where(np.abs(self.of(y)) <= 1e-12, -self.rise(y), self.of(y))

        yield grows, self.least, self.most
        yield from self._inward(lambda z: self.of(z) >= 0)

    def high_order_invariance(self) -> Iterator[tuple[Score, Array, Array]]:
        a1, a2 = (float(rational(rate)) for rate in self.said["rates"])

        def psi(z: Array) -> Array:
            return self.rise(z) + a1 * self.of(z)

        def inside(z: Array) -> Array:
            return (self.of(z) >= 0) & ~(psi(z) < 0)

        def grows(z: Array) -> Array:
            step = 1e-5 * np.pad(
                self.field(z), [(0, 0), (0, z.shape[1] - self.n)]
            )  # a central difference: exact to 1e-9 or so for these small polynomials
            change = (psi(z + step) - psi(z - step)) / 2e-5
            return where(inside(z), -change - a2 * psi(z) - 1e-7, self.of(z))

        yield grows, self.least, self.most
        yield from self._inward(inside)

    def stay_within(self) -> Iterator[tuple[Score, Array, Array]]:
        yield from self._inward(lambda z: np.ones(len(z), dtype=bool))

    def positivity(self) -> Iterator[tuple[Score, Array, Array]]:
        sides = [self.graphs[name] for name in self.said["where"]]

        def negative(z: Array) -> Array:
            holds = np.array([evaluated(w, z)[:, 0] <= 0 for w in sides] or [np.ones(len(z), dtype=bool)]).all(0)
            margin = evaluated(self.graphs["margin"], z)[:, 0]
            return where(holds, -margin, margin)

        yield negative, self.least, self.most

    def sampled_stability(self) -> Iterator[tuple[Score, Array, Array]]:
        at, period = numbers(self.said["equilibrium"]), float(rational(self.said["period"]))

        def shrinks(z: Array) -> Array:
            v, x, path = self.of(z), z[:, : self.n], list(self._held(z, period))
            out = np.max([self.excess(y) for y in path], axis=0)
            worst = np.maximum(np.maximum(-v, self.of(path[-1]) - (1 - self.rate * period) * v), out)
            return where((v <= self.level) & (x != at).any(1), worst, v)

        yield shrinks, self.least, self.most

    def _held(self, z: Array, period: float) -> Iterator[Array]:
        """States along one period, by Runge and Kutta's method, under a disturbance that is constant."""
        x, d = z[:, : self.n], z[:, self.n :]
        u, h = evaluated(self.graphs["policy"], x), period / STEPS

        def f(y: Array) -> Array:
            return evaluated(self.graphs["f"], np.concatenate([y, u, d], 1))

        for _ in range(STEPS):
            k1 = f(x)
            k2 = f(x + h / 2 * k1)
            k3 = f(x + h / 2 * k2)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(x + h * k3))
            yield x

    def admissible_control(self) -> Iterator[tuple[Score, Array, Array]]:
        """Of one control and a decrease alone: the best u for one d is an end of U, as all is affine in u."""
        (said,), (lower,), (upper,) = self.said["conditions"], *(numbers(c) for c in self.said["controls"].values())
        at, rate, level = (numbers(said["equilibrium"]), *(float(rational(said[k])) for k in ("rate", "level")))

        def falls(z: Array) -> Array:
            v, x = self.of(z), z[:, : self.n]
            drift, push = (slope(self.scalar, x, evaluated(self.graphs[k], z)) for k in "fg")
            least = drift + rate * v + np.minimum(lower * push, upper * push)
            return where((v <= level) & (x != at).any(1), np.maximum(-v, least), v)

        yield falls, self.least, self.most
        yield from self._closed(lambda z: level - self.of(z))

    # ---- the faces of the box ----------------------------------------------------------------------------------------

    def _faces(self) -> Iterator[tuple[int, int, Array, Array]]:
        for axis in range(self.n):
            for side, bounds in ((1, self.least), (-1, self.most)):
                low, high = self.least.copy(), self.most.copy()
                low[axis] = high[axis] = bounds[axis]
                yield axis, side, low, high

    def _closed(self, score: Score) -> Iterator[tuple[Score, Array, Array]]:
        for _, _, low, high in self._faces():
            yield score, low, high

    def _inward(self, inside: Callable[[Array], Array]) -> Iterator[tuple[Score, Array, Array]]:
        for axis, side, low, high in self._faces():

            def score(z: Array, axis: int = axis, side: int = side) -> Array:
                out = -side * self.field(z)[:, axis]
                return where(inside(z), out, out)

            yield score, low, high

    def _boundary(self, z: Array) -> Array:
        """States moved along chords to h = 0, where neighbours in the batch have h of other signs."""
        a, b = z, np.concatenate([np.roll(z[:, : self.n], 1, 0), z[:, self.n :]], 1)
        first = self.of(a) > 0
        for _ in range(45):
            middle = 0.5 * (a + b)
            same = ((self.of(middle) > 0) == first)[:, None]
            a, b = np.where(same, middle, a), np.where(same, b, middle)
        return a


def where(condition: Array, score: Array, size: Array) -> Array:
    """The score beyond rounding, -inf where the claim says nothing; NaN violates every claim."""
    slack = TOLERANCE * (np.abs(size) + 1e-3)
    return np.where(condition, np.where(np.isnan(score), np.inf, score - slack), -np.inf)


def violation(part: Document, seed: int) -> Array | None:
    """A state (x, d) that refutes a certificate, or a part of a conjunction; None when none is found."""
    draw = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        for score, low, high in Claims(part).scores():
            z = low + (high - low) * draw.random((SAMPLES, len(low)))
            z[: SAMPLES // 8] = np.where(draw.random((SAMPLES // 8, len(low))) < 0.5, low, high)  # corners
            z = z[np.argsort(-score(z))[:CLIMBERS]] if not _bad(score, z) else z
            for k in range(ROUNDS):
                if _bad(score, z):
                    return z[int(np.argmax(score(z)))]
                reach = 0.3 * 0.7**k * (high - low)
                tried = np.clip(z + reach * draw.standard_normal(z.shape), low, high)
                z = np.where((score(tried) > score(z))[:, None], tried, z)
    return None


def _bad(score: Score, z: Array) -> bool:
    return bool((score(z) > 0).any())
