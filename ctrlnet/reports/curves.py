"""Figures over time: training, V along trajectories, controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ctrlnet.reports.style import ACCENT, LIMIT, MUTED, REGION, TRACE, canvas, finish
from ctrlnet.reports.subject import Array, label

__all__ = ["Trajectory", "control_curves", "decrease_curves", "state_curves", "training_curves"]

WIDE, HALF = 11.0, 6.4
FLOOR = 1e-12
PANELS = 3
FIRST = {"loss": "loss", "violating": "share of states violating", "inside": "share of the box inside"}
SHARES = ("violating", "inside")
NOT_DRAWN = ("step", "seconds", "learning_rate")


@dataclass(frozen=True)
class Trajectory:
    """One simulated trajectory: t (T,) [s], x (T, n), u (T or T-1, m), V (T,)."""

    t: Array
    x: Array
    u: Array
    V: Array


def training_curves(metrics: Mapping[str, Array]) -> Figure | None:
    """The columns of metrics.csv over the training step: logarithmic where they are positive and span decades."""
    steps = metrics.get("step")
    known = [name for name in metrics if name not in NOT_DRAWN and _varies(metrics[name])]
    panels = sorted(known, key=lambda name: name not in FIRST)[:PANELS]
    if steps is None or not panels:
        return None
    figure, all_axes = canvas(WIDE, 3.2, columns=len(panels))
    for axes, name in zip(all_axes, panels, strict=True):
        finite = np.isfinite(metrics[name])
        axes.plot(steps[finite], metrics[name][finite], color=ACCENT, linewidth=1.3)
        if name not in SHARES and _decades(metrics[name][finite]):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        finish(axes, "step", FIRST.get(name, name.replace("_", " ")))
    return figure


def decrease_curves(trajectories: Sequence[Trajectory], rate: float | None) -> Figure | None:
    """V(x(t)) / V(x(0)) along simulated trajectories against the certified bound exp(-rate t)."""
    shown = [one for one in trajectories if len(one.V) and one.V[0] > 0]
    if not shown:
        return None
    figure, (axes,) = canvas(HALF, 4.2)
    for place, one in enumerate(shown):
        ratio = np.maximum(one.V / one.V[0], FLOOR)
        axes.semilogy(one.t, ratio, color=TRACE, linewidth=1.0, alpha=0.8, label=None if place else "simulated")
    if rate:
        t = np.linspace(0.0, max(one.t[-1] for one in shown), 100)
        axes.semilogy(t, np.exp(-rate * t), color=REGION, linewidth=2.2, label=f"bound, rate {rate:g} 1/s")
    finish(axes, "t [s]", "V(x(t)) / V(x(0))")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=10)
    return figure


def control_curves(
    trajectories: Sequence[Trajectory], control: Sequence[tuple[str, str]], limits: tuple[Array, Array] | None
) -> Figure | None:
    """Controls along simulated trajectories, held between samples, with their limits."""
    shown = [one for one in trajectories if one.u.size]
    if not shown or not control:
        return None
    figure, all_axes = canvas(HALF, 4.2, rows=len(control))
    for place, (axes, quantity) in enumerate(zip(all_axes, control, strict=True)):
        for one in shown:
            u = one.u[:, place]
            axes.step(one.t[: len(u)], u, where="post", color=ACCENT, linewidth=0.9, alpha=0.75)
        for side, bounds in enumerate(limits or ()):
            axes.axhline(bounds[place], color=LIMIT, linestyle="--", linewidth=1.4, label=None if side else "limits")
        finish(axes, "t [s]", label(quantity))
    if limits is not None:
        all_axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=10)
    return figure


def state_curves(trajectories: Sequence[Trajectory], state: Sequence[tuple[str, str]]) -> Figure | None:
    """States along simulated trajectories, one panel a state, the first three."""
    if not trajectories:
        return None
    panels = list(state)[:PANELS]
    figure, all_axes = canvas(HALF, 4.2, rows=len(panels))
    for place, (axes, quantity) in enumerate(zip(all_axes, panels, strict=True)):
        for one in trajectories:
            axes.plot(one.t, one.x[:, place], color=TRACE, linewidth=0.9, alpha=0.8)
        axes.axhline(0.0, color=MUTED, linewidth=0.6)
        finish(axes, "t [s]" if place == len(panels) - 1 else "", label(quantity))
    return figure


def _varies(values: Array) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 1 and float(np.ptp(known)) > 0.0


def _decades(values: Array) -> bool:
    return bool((values > 0).all()) and float(values.max() / values.min()) > 30.0
