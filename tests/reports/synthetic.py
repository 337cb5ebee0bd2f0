"""A run folder made by hand: a linear system, a quadratic V, a proof tree, trajectories. Nothing in it is proved."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from ctrlnet.reports.material import Material, certificates_of, metrics_of, validation_of
from ctrlnet.reports.records import Checked, Record, Region
from ctrlnet.reports.subject import Array, Subject
from ctrlnet.validation.sealing import sealed

LEVEL, RATE = 6.0, 0.1
P = np.array([[1.6, 0.35], [0.35, 0.5]])
GAIN = np.array([-14.0, -4.0])


VALIDATION = {
    "format": 1,
    "passed": True,
    "fraction": 1.0,
    "status": "confirmed",
    "summary": "1000 of 1000 MuJoCo trajectories converge at 100 Hz.",
    "level": LEVEL,
    "rate": RATE,
    "count": 1000,
    "converged": 1000,
    "failed": 0,
    "control": {"rate_hz": 100.0, "period": 0.01, "substeps": 4, "physics_step": 0.0025, "hold": "zero-order"},
    "decrease": {"worst_increase": -1e-5, "at": [0.1, 0.2], "worst_ratio": 0.93, "above_bound": 0},
    "settle": {"median": 1.1, "p95": 2.2, "longest": 3.3},
    "effort": {"mean": 4.4, "p95": 5.5, "peak": [6.0], "lower": [-6.0], "upper": [6.0], "saturated": 0.12},
    "gap": {"maximum": 2e-9, "per_coordinate": [1e-9, 2e-9], "count": 1000, "period": 0.01, "per_second": 2e-7},
    "definition": {"converged": "V fell below 1e-4 of the level."},
    "state": [["θ", "rad"], ["ω", "rad/s"]],
    "controls": [["u", "N·m"]],
    "seed": 0,
    "seconds": 2.5,
    "simulator": "MuJoCo 3.17.0",
}


def field(x: Array) -> Array:
    """A pendulum with θ = 0 upright, under a saturated linear policy."""
    return np.stack([x[:, 1], 19.62 * np.sin(x[:, 0]) - 2.667 * x[:, 1] + 26.667 * policy(x)[:, 0]], axis=-1)


def policy(x: Array) -> Array:
    return np.clip(x @ GAIN / 10, -6.0, 6.0)[:, None]


def V(x: Array) -> Array:
    return np.einsum("...i,ij,...j->...", x, P, x)


def subject() -> Subject:
    return Subject(
        state=(("θ", "rad"), ("ω", "rad/s")),
        control=(("u", "N·m"),),
        limits=(np.array([-6.0]), np.array([6.0])),
        lower=np.array([-4.0, -6.0]),
        upper=np.array([4.0, 6.0]),
        equilibrium=np.zeros(2),
        field=field,
        policy=policy,
        candidates={"stability": V},
    )


def tree(lower: Array, upper: Array, depth: int = 0) -> str:
    """A tree that looks like a proof of {V <= LEVEL}."""
    corners = np.array([[a, b] for a in (lower[0], upper[0]) for b in (lower[1], upper[1])])
    if depth > 12 or ((inside := V(corners) <= LEVEL).all() and depth > 5):
        return "e" if np.abs(corners).max() < 0.8 else "p"
    middle = (lower + upper) / 2
    if not inside.any() and V(middle[None])[0] > LEVEL + np.abs(upper - lower).max() ** 2 * 2 and depth > 3:
        return "x"
    axis = depth % 2
    low, high = upper.copy(), lower.copy()
    low[axis] = high[axis] = 0.5 * lower[axis] + 0.5 * upper[axis]
    return "AB"[axis] + tree(lower, low, depth + 1) + tree(high, upper, depth + 1)


def trajectory(start: Array, steps: int = 400, h: float = 0.01) -> dict[str, list[float]]:
    states = [start]
    for _ in range(steps):
        states.append(states[-1] + h * field(states[-1][None])[0])
    x = np.array(states)
    t = h * np.arange(steps + 1)
    return {"t": t.tolist(), "x": x.tolist(), "u": policy(x).tolist(), "V": V(x).tolist()}


def record() -> Record:
    return Record(
        name="stability",
        kind="ExponentialStability",
        status="certified",
        level=LEVEL,
        sampled_level=6.08,
        rate=RATE,
        boxes=3210,
        seconds=1.234,
        statement="Let S be the set of states of the box with V(x) <= 6.\nEvery solution that starts in S stays in S "
        "and V(x(t)) <= exp(-0.1 t) V(x(0)).",
        assumptions=("the plant is the model x' = F(x)", "numpy's elementary functions err by at most 4 ulp & < 1"),
        region=Region(volume=22.1, error=0.05, box=96.0, controllable=565.0),
        checked=Checked(confirmed=True, leaves=3000, seconds=0.5),
    )


def folder(home: Path) -> Path:
    """Write every file that a report reads, except run.toml."""
    run = home / "synthetic"
    (run / "certificates").mkdir(parents=True)
    box = {"lower": ["-0x1.0p+2", "-6"], "upper": ["0x1.0p+2", "12/2"]}
    document = {
        "statement": {"kind": "exponential_stability", "box": box},
        "proof": {"interior": tree(subject().lower, subject().upper)},
    }
    body = json.dumps(document)
    digest = hashlib.sha256(body.encode()).hexdigest()
    (run / "certificates" / "stability.cert").write_text(f"ctrlnet-certificate 1 {digest}\n{body}")
    (run / "certificates" / "stability.json").write_bytes(replace(record(), certificate=digest).as_json())
    steps = np.arange(0, 400, 4)
    rows = [f"{k},{3 * np.exp(-k / 60):.6g},{max(0.4 - k / 500, 0):.4g},{k / 40:.3g}" for k in steps]
    (run / "metrics.csv").write_text("\n".join(["step,loss,violation_fraction,seconds", *rows]) + "\n")
    starts = 1.2 * np.random.default_rng(0).uniform(-1, 1, (12, 2))
    validation = {
        **VALIDATION,
        "certificate": digest,
        "video": None,
        "trajectories": [trajectory(start) for start in starts],
    }
    (run / "validation.json").write_text(json.dumps(sealed(validation)))
    return run


def material(run: Path) -> Material:
    records, certificates = certificates_of(run)
    return Material(
        folder=run,
        name="pendulum",
        parameters={"torque_limit": 6.0},
        settings={"task": {"name": "pendulum", "seed": 0}},
        metrics=metrics_of(run / "metrics.csv"),
        records=records,
        certificates=certificates,
        validation=validation_of(run / "validation.json", [record.certificate for record in records])[0],
        video=b"not a film",
        subject=subject(),
    )
