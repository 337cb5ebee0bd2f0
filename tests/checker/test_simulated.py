"""Random systems: a statement that was confirmed is never violated by simulation."""

from __future__ import annotations

from typing import Any

import certificates as c
import numpy as np
import proofs as p
import pytest
from certificates import Content

from ctrlnet.checker import check_bytes

SQUARE = ([-1.0, -1.0], [1.0, 1.0])
PARTICLES, STEPS, STEP = 200, 100, 0.03


def random_system(rng: np.random.Generator, decay: float, gain: float) -> Content:
    """A x + W tanh(U x) + d B, A near -decay I, with kinks for some."""
    A, W = 2 * gain * rng.normal(size=(2, 2)) - decay * np.eye(2), gain * rng.normal(size=(2, 3))
    U, B, name = rng.normal(size=(3, 2)), gain * rng.uniform(-1, 1, (2, 1)), str(rng.choice(["tanh", "relu", "sin"]))
    return p.graph(3, lambda g, z: g.linear(A, z[[0, 1]]) + g.linear(W, g.op(name, g.linear(U, z[[0, 1]])))
                   + g.linear(B, z[2]))  # fmt: skip


def random_quadratic(rng: np.random.Generator) -> Content:
    return c.quadratic(np.eye(2) + 0.2 * rng.normal(size=(2, 2)))


def flow(F: Content, x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """States along x' = F(x, d), by the method of Runge and Kutta, d constant on each step and often extreme."""
    path = [x]
    for _ in range(STEPS):
        d = np.sign(rng.normal(size=(len(x), 1))) * rng.choice([1.0, 0.5], (len(x), 1))

        def rate(y: np.ndarray, d: np.ndarray = d) -> np.ndarray:
            return c.evaluate(F, np.hstack([y, d]))

        k1 = rate(x)
        k2 = rate(x + STEP / 2 * k1)
        x = x + STEP * rate(x + STEP / 2 * k2)
        path.append(x)
    return path


def orbit(F: Content, x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    path = [x]
    for _ in range(STEPS):
        x = c.evaluate(F, np.hstack([x, rng.choice([-1.0, 0.3, 1.0], (len(x), 1))]))
        path.append(x)
    return path


def starts(member: Any, rng: np.random.Generator) -> np.ndarray:
    x = rng.uniform(*SQUARE, (20 * PARTICLES, 2))
    return x[member(x)][:PARTICLES]


def inside(x: np.ndarray, slack: float = 1e-4) -> bool:
    return bool((np.abs(x) <= 1 + slack).all())


def confirmed(data: Content) -> bool:
    return check_bytes(c.sealed(data)).ok


def test_invariant_sets_of_flows() -> None:
    counts = {False: 0, True: 0}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        F, V, size = random_system(rng, 1.1, 0.3), random_quadratic(rng), rng.uniform(0.3, 0.9)
        h = {"nodes": [*V["nodes"], ["constant", [], c.array([size])], ["sub", [len(V["nodes"]), V["output"]], None]],
             "output": len(V["nodes"]) + 1}  # fmt: skip
        data = [p.barrier(h, F, SQUARE, 2.0, ([-1.0], [1.0])), p.nagumo(h, F, SQUARE, ([-1.0], [1.0]))][seed % 2]
        ok = confirmed(data)
        counts[ok] += 1
        if ok:
            x = starts(lambda x, h=h: c.evaluate(h, x)[:, 0] >= 0, rng)
            assert all(inside(y) and (c.evaluate(h, y) >= -1e-3).all() for y in flow(F, x, rng))
    assert min(counts.values()) > 1, counts


def test_boxes_of_flows() -> None:
    counts = {False: 0, True: 0}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        F = random_system(rng, 1.7, 0.3)
        ok = confirmed(p.within(F, SQUARE, ([-1.0], [1.0])))
        counts[ok] += 1
        if ok:
            assert all(inside(y) for y in flow(F, starts(lambda x: x[:, 0] < 2, rng), rng))
    assert min(counts.values()) > 1, counts


@pytest.mark.parametrize("kind", ["flow", "map"])
def test_ultimate_bounds(kind: str) -> None:
    counts = {False: 0, True: 0}
    bounds = (0.3, 0.6)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        F, V = random_system(rng, *((1.6, 0.3) if kind == "flow" else (0.0, 0.18))), random_quadratic(rng)
        prove, path = (p.ultimate, flow) if kind == "flow" else (p.discrete_ultimate, orbit)
        ok = confirmed(prove(V, F, SQUARE, bounds, ([-1.0], [1.0])))
        counts[ok] += 1
        if ok:
            x = starts(lambda x, V=V: c.evaluate(V, x)[:, 0] <= bounds[1], rng)
            levels = [c.evaluate(V, y)[:, 0].max() for y in path(F, x, rng)]
            low = next(i for i, level in enumerate(levels) if level <= bounds[0] + 1e-3)
            assert max(levels) <= bounds[1] + 1e-3 and max(levels[low:]) <= bounds[0] + 1e-3
    assert min(counts.values()) > 1, counts


def test_decrease_of_maps() -> None:
    counts = {False: 0, True: 0}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        A, G = 0.3 * rng.normal(size=(2, 2)), 0.12 * rng.normal(size=(2, 2))
        F = p.graph(3, lambda g, z, A=A, G=G: g.op("tanh", g.linear(A, z[[0, 1]]))
                    + g.linear(np.ones((2, 1)), z[2]) * g.op("abs", g.linear(G, z[[0, 1]])))  # fmt: skip
        V, kappa, level = random_quadratic(rng), rng.uniform(0.05, 0.6), rng.uniform(0.3, 0.7)
        ok = confirmed(p.discrete(V, F, SQUARE, kappa, level, 0.125, ([-1.0], [1.0])))
        counts[ok] += 1
        if ok:
            x = starts(lambda x, V=V, level=level: c.evaluate(V, x)[:, 0] <= level, rng)
            first = c.evaluate(V, x)[:, 0]
            for i, y in enumerate(orbit(F, x, rng)):
                assert (c.evaluate(V, y)[:, 0] <= (1 - kappa) ** i * first + 1e-12).all() and inside(y, 1e-12)
    assert min(counts.values()) > 1, counts
