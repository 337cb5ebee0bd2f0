"""Peak memory of a solution with its derivative, for every way to the gradient, as a share of that of backprop.

Classic Runge-Kutta steps (reversible: those of reversible Heun) on MLP 12-64-64-12, batch 256, float32. Each figure is
the growth of a fresh process from before the first step to its peak, as the operating system counts it:

    python benchmarks/gradient_memory.py            # prints a table
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import cache

STEPS = (50, 1000)
METHODS = {
    "backprop": "rk4",
    "checkpoint": "rk4",
    "symplectic_adjoint": "rk4",
    "continuous_adjoint": "rk4",
    "reversible": "reversible_heun",
}


def measure() -> dict[str, float]:
    return {
        f"memory / backprop, {gradient}, {steps} steps": peak(gradient, steps) / peak("backprop", steps)
        for gradient in METHODS
        for steps in STEPS
        if gradient != "backprop"
    }


@cache
def peak(gradient: str, steps: int) -> float:
    """Megabytes."""
    command = [sys.executable, __file__, gradient, str(steps)]
    each_tensor_by_itself = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_MMAP_MAX_": "65000"}  # else gaps are counted
    environment = os.environ | each_tensor_by_itself
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def _grown(gradient: str, steps: int) -> float:
    """Megabytes by which this process grows."""
    import ctrlnet_plugins.integrators as plugins
    import torch

    from ctrlnet import odeint

    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = ((12, 64), (64, 64), (64, 12))
    layers = [part for size in sizes for part in (torch.nn.Linear(*size), torch.nn.Tanh())][:-1]
    network, x0 = torch.nn.Sequential(*layers), torch.randn(256, 12, requires_grad=True)
    method = plugins.ReversibleHeun() if METHODS[gradient] == "reversible_heun" else METHODS[gradient]

    def run(count: int) -> None:
        x = odeint(network, x0, [0, 1], method=method, step=1 / count, gradient=gradient)
        x[-1].square().sum().backward()

    run(2)  # what is loaded and allocated once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(steps)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _print_table() -> None:
    print(f"{'gradient':20}" + "".join(f"{f'{steps} steps [MB]':>18}" for steps in STEPS))
    for gradient in METHODS:
        print(f"{gradient:20}" + "".join(f"{peak(gradient, steps):18.1f}" for steps in STEPS))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(_grown(sys.argv[1], int(sys.argv[2])))
    else:
        _print_table()
