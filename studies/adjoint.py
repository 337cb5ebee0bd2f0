"""Discretize then optimise = optimise then discretize, with the right method for the adjoint equation.

The gradient of |x(2)|² through x' = N(x), a network 6-32-6 in float64, by all states and weights: backprop through the
scheme is the gradient of what is computed. The symplectic adjoint solves the adjoint equation by the partner of the
method that together with it conserves λ·δ, and gives the same numbers from the states alone. The same method run
backwards ("continuous_adjoint") is wrong by O(hᵖ).

Source: Sanz-Serna, Symplectic Runge-Kutta schemes for adjoint equations, automatic differentiation, optimal control,
and more, 2016; Benning, Celledoni, Ehrhardt, Owren and Schönlieb, Deep learning as optimal control problems, 2019.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from matplotlib.figure import Figure
from pages import said, write_figure, write_table
from torch import Tensor

import ctrlnet

McCallumFoster = ctrlnet.load("integrators", "mccallum_foster")

PAGE = "integrator-studies"
DURATION, STEPS = 2.0, (10, 20, 40, 80, 160)
TABLE_STEPS, ROUNDING = 40, 1e-13
METHODS = ("euler", "midpoint", "heun", "ralston", "bosh3", "rk4", "rk38", "dopri5", "tsit5", "dopri8")
OTHERS = ("ab3", "reversible_heun")  # no Runge-Kutta methods: exact by checkpoints


def run(methods: tuple[str, ...] = METHODS, steps: tuple[int, ...] = STEPS) -> dict[str, float]:
    wrong = {name: [gap(name, "continuous_adjoint", count) for count in steps] for name in methods}
    right = {name: [gap(name, "symplectic_adjoint", count) for count in steps] for name in methods}
    write_table("adjoint", [_row(name, right[name], wrong[name], steps) for name in methods], PAGE)
    write_figure("adjoint", figure(wrong, right, steps))
    figures = {f"symplectic adjoint against backprop, {name}": max(right[name]) for name in methods}
    figures |= {f"checkpoint against backprop, {name}": gap(name, "checkpoint", TABLE_STEPS) for name in OTHERS}
    # the network contracts by e^-0.025 a step: the usual coupling of 0.999 would be refused
    inverted = {"reversible_heun": "reversible_heun", "mccallum_foster": McCallumFoster(coupling=0.95)}
    return figures | {
        f"reversible against backprop, {name}": gap(method, "reversible", TABLE_STEPS)
        for name, method in inverted.items()
    }


def gap(method: str | ctrlnet.Integrator, gradient: str, steps: int) -> float:
    """The largest relative difference from backprop through the same scheme, over the start and all weights."""
    pairs = zip(derivatives(method, gradient, steps), derivatives(method, "backprop", steps), strict=True)
    return max(float((ours - exact).norm() / exact.norm()) for ours, exact in pairs)


def derivatives(method: str | ctrlnet.Integrator, gradient: str, steps: int) -> tuple[Tensor, ...]:
    """Of the mean of |x(T)|² for 16 starts, with respect to these and to the weights."""
    network = ctrlnet.mlp((6, 32, 6), seed=0)
    start = torch.randn(16, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    times = [0.0, DURATION]
    end = ctrlnet.odeint(network, start, times, method=method, step=DURATION / steps, gradient=gradient)[-1]
    return torch.autograd.grad(end.square().sum(-1).mean(), [start, *network.parameters()])


def slope(steps: tuple[int, ...], errors: list[float]) -> float:
    """The order of the finest pair above rounding; NaN where there is none."""
    pairs = [
        math.log(errors[i] / errors[i + 1]) / math.log(steps[i + 1] / steps[i])
        for i in range(len(steps) - 1)
        if errors[i + 1] > ROUNDING
    ]
    return pairs[-1] if pairs else math.nan


def _row(name: str, right: list[float], wrong: list[float], steps: tuple[int, ...]) -> dict[str, Any]:
    shown = steps.index(TABLE_STEPS)
    return {
        "method": name,
        "order": ctrlnet.load("integrators", name).order,
        "symplectic adjoint, 40 steps": f"{right[shown]:.1e}",
        "the method backwards, 40 steps": f"{wrong[shown]:.1e}",
        "its slope": said(slope(steps, wrong)),
    }


def figure(wrong: dict[str, list[float]], right: dict[str, list[float]], steps: tuple[int, ...]) -> Figure:
    sheet = Figure(figsize=(6, 3.4))
    axes = sheet.subplots()
    lengths = [DURATION / count for count in steps]
    for index, (name, errors) in enumerate(wrong.items()):
        axes.loglog(lengths, errors, "o-", markersize=3, color=f"C{index}", label=name)
        axes.loglog(lengths, right[name], "x", markersize=4, color=f"C{index}")
    axes.set(xlabel="step [s]", ylabel="relative difference from backprop", xticks=lengths)
    axes.set_xticklabels([f"{length:g}" for length in lengths])
    axes.minorticks_off()
    axes.set_title("lines: the method run backwards; crosses: symplectic adjoint", fontsize=9)
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return sheet
