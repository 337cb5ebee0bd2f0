"""What an integrator may offer or claim besides steps, and the experiments that would refute it.

| attribute | what it says | experiment |
|---|---|---|
| `interpolate` | dense output | θ = 0, 1 give the ends; the local error falls as that of Hermite's cubic or faster |
| `back` | the exact inverse of `step` | 1000 steps there and back to 1e-10; fewer where `backward_growth` is above 1 |
| `symplectic` | MᵀJM = J for the Jacobian M | to 1e-12, over three steps of a nonlinear oscillator |
| `symmetric` | the step of -h inverts that of h, carry included | 100 steps there and back to 1e-12 a step |
| `conserves_energy` | H(x⁺) = H(x) | 1000 steps of a nonlinear oscillator to 1e-11 |

`backward_growth` is the factor by which `back` amplifies rounding in a step, 1 where the method does not give it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ctrlnet.integrators import Integrator
from ctrlnet.testing.conformance import Check, require
from ctrlnet.testing.known_solutions import BOUND, canonical, known, oscillator
from ctrlnet.testing.marching import march


def claim_checks(method: Any) -> list[Check]:
    """The checks of what a method has or claims."""
    offers = [(name, check) for name, check in _OFFERS.items() if callable(getattr(method, name, None))]
    return offers + [(name, check) for name, check in CLAIMS.items() if getattr(method, name, False)]


def _interpolate(method: Any) -> str:
    if _interpolated(method, 0.1, 0.5) is None:
        return "none: Hermite's cubic serves"
    ends = [float(_interpolated(method, 0.1, theta).abs().max()) for theta in (0.0, 1.0)]
    require(max(ends) <= 1e-13, f"the ends of the step are missed by {ends[0]:.1e} and {ends[1]:.1e}")
    thetas = torch.linspace(0.1, 0.9, 9).tolist()
    errors = [
        max(float(_interpolated(method, h, theta, exact=True).abs().max()) for theta in thetas)
        for h in (0.2, 0.1, 0.05)
    ]
    rate, wanted = min(math.log2(coarse / fine) for coarse, fine in pairwise(errors)), min(method.order + 1, 4)
    require(rate >= wanted - 0.3, f"its local error falls like h^{rate:.2f}, slower than h^{wanted}")
    return f"local error falls like h^{rate:.2f}"


def _interpolated(method: Any, h: float, theta: float, exact: bool = False) -> Any:
    """Dense output after one step less the solution at θ, or less the state at the nearer end; None for none."""
    problem = known(method.needs)
    x = problem.exact(0.0)
    step = method.step(problem.given, 0.0, x, h, method.init(problem.given, 0.0, x))
    value = method.interpolate(x, h, step.carry, theta)
    if value is None:
        return None
    return value - (problem.exact(theta * h) if exact else x if theta < 0.5 else step.x)


def _back(method: Any) -> str:
    growth = float(getattr(method, "backward_growth", 1.0))
    require(growth >= 1, f"backward_growth is {growth}; it must be a number, 1 or more")
    steps = 1000 if growth == 1 else min(1000, int(9 / math.log(growth)))
    require(steps > 0, "no step can be taken back: backward_growth is too large")
    problem, h = known(method.needs), 1 / max(steps, 20)
    start = problem.exact(0.0)
    x, carry = start, method.init(problem.given, 0.0, start)
    first = [start, *(carry or ())]
    for index in range(steps):
        x, _, carry = method.step(problem.given, index * h, x, h, carry)
    for index in reversed(range(steps)):
        x, _, carry = method.back(problem.given, index * h, x, h, carry)
    gap = max(float((now - then).abs().max()) for now, then in zip([x, *(carry or ())], first, strict=True))
    require(gap <= 1e-10, f"{steps} steps there and back miss the start or its carry by {gap:.1e}")
    return f"{steps} steps there and back miss by {gap:.0e}"


def _symplectic(method: Integrator) -> str:
    def end(x: Tensor) -> Tensor:
        return march(method, x, 0.1, 3, given=oscillator(method.needs))

    j, defects = canonical(4), list[float]()
    for x in _oscillating(3):
        m = torch.autograd.functional.jacobian(end, x)
        defects.append(float((m.T @ j @ m - j).abs().max()))
    require(max(defects) <= 1e-12, f"MᵀJM differs from J by {max(defects):.1e}")
    return f"MᵀJM = J to {max(defects):.0e}"


def _symmetric(method: Integrator) -> str:
    field, x, steps, h = oscillator(method.needs), _oscillating(3), 100, 0.05
    start, carry = x, method.init(field, 0.0, x)
    for index in range(2 * steps):
        sign = 1 if index < steps else -1
        x, _, carry = method.step(field, h * min(index, 2 * steps - index), x, sign * h, carry)
    gap = float((x - start).abs().max())
    require(gap <= 1e-12 * steps, f"{steps} steps there and back miss the start by {gap:.1e}")
    return f"{steps} steps there and back miss by {gap:.0e}"


def _conserves(method: Integrator) -> str:
    x = _oscillating(3)
    end = march(method, x, 0.1, 1000, given=oscillator(method.needs))
    gap = float((BOUND(end) - BOUND(x)).abs().max())
    require(gap <= 1e-11, f"1000 steps change the energy by {gap:.1e}")
    return f"1000 steps change the energy by {gap:.0e}"


def _oscillating(count: int) -> Tensor:
    return 2 * torch.rand(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1


_OFFERS: dict[str, Callable[[Any], str]] = {"interpolate": _interpolate, "back": _back}
CLAIMS: dict[str, Callable[[Any], str]] = {
    "symplectic": _symplectic,
    "symmetric": _symmetric,
    "conserves_energy": _conserves,
}
