"""Energy of the pendulum over a thousand seconds: which methods let it drift.

From (1.2, 0.3), about 150 swings, h = 0.1. "verlet, steps by the speed" takes h = 0.15/(1 + |p|) anew from every
state, about 0.1 in the mean: a symplectic method, but not the same map in every step.
"""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure
from pages import in_processes, write_figure, write_table
from pendulum import ENERGY, integrator, pendulum, start
from torch import Tensor

import ctrlnet

PAGE = "integrator-studies"
STEP = 0.1
CHANGING = "verlet, steps by the speed"
ADAPTIVE = "dopri5, tolerance 1e-4"
METHODS = (
    *("euler", "symplectic_euler", "verlet", CHANGING, "implicit_midpoint", "avf", "gauss4"),
    *("heun", "ab3", "rk4", "dopri5", ADAPTIVE, "reversible_heun"),
)
TIMES = (10.0, 100.0, 1000.0)


def run(names: tuple[str, ...] = METHODS, times: tuple[float, ...] = TIMES) -> dict[str, float]:
    tasks = [(name, times[-1]) for name in names]
    found = dict(zip(names, in_processes(drift, tasks), strict=True))
    write_table("energy", [_row(name, *found[name], times) for name in names], PAGE)
    write_figure("energy", figure(found))
    return {f"energy error up to {times[-1]:g} s, {name}": float(error.max()) for name, (_, error) in found.items()}


def drift(task: tuple[str, float]) -> tuple[Tensor, Tensor]:
    """Times (T,) and the magnitude of the energy error there, (T,)."""
    torch.set_num_threads(1)
    name, end = task
    with torch.no_grad():
        t, x = changing(end) if name == CHANGING else equal(name, end)
        return t, (ENERGY(x) - ENERGY(x[0])).abs()


def equal(name: str, end: float) -> tuple[Tensor, Tensor]:
    t = torch.linspace(0, end, round(end / STEP) + 1, dtype=torch.float64)
    if name == ADAPTIVE:
        method, options = "dopri5", {"tolerance": ctrlnet.Tolerance(1e-4, 1e-4)}
        t = t[::10]  # instants cut steps short
    else:
        method, options = name, {"step": STEP * (1 + 1e-9)}
    return t, ctrlnet.odeint(pendulum(integrator(method).needs), start(), t, method=method, **options)


def changing(end: float) -> tuple[Tensor, Tensor]:
    """Verlet with a step chosen by the state before it."""
    method, field = integrator("verlet"), pendulum("Separable")
    t, x = [0.0], [start()]
    carry = method.init(field, 0.0, x[0])
    while t[-1] < end:
        h = 1.5 * STEP / (1 + abs(float(x[-1][1])))
        step = method.step(field, t[-1], x[-1], h, carry)
        t.append(t[-1] + h)
        x.append(step.x)
        carry = step.carry
    return torch.tensor(t, dtype=torch.float64), torch.stack(x)


def _row(name: str, t: Tensor, error: Tensor, times: tuple[float, ...]) -> dict[str, Any]:
    return {"method": name} | {
        f"largest energy error up to {end:g} s": f"{float(error[t <= end].max()):.1e}" for end in times
    }


def figure(found: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """The largest error so far, against time."""
    sheet = Figure(figsize=(7, 3.8))
    axes = sheet.subplots()
    for index, (name, (t, error)) in enumerate(found.items()):
        style = ("-", "--")[index // 10 % 2]
        largest = error.cummax(0).values[1:].clamp_min(1e-17)
        axes.loglog(t[1:], largest, style, color=f"C{index % 10}", label=name, linewidth=1.2)
    axes.set(xlabel="time [s]", ylabel="largest energy error so far")
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return sheet
