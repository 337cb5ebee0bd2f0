"""The conformance kit of integrators."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ctrlnet.integrators import Integrator, Step, odeint
from ctrlnet.integrators.contract import NEEDS
from ctrlnet.systems import timed
from ctrlnet.testing.conformance import Report, examine, require, require_contract, resolved

_ROUNDING = 5e-13  # errors below this say nothing about the order


def check_integrator(plugin: str | Integrator | type) -> Report:
    """Check an integrator against its contract: shapes, batches, no hidden state, measured order, gradients.

    The order is measured on four equations with known solutions over one second, the slowest of them counting; it must
    reach the claimed one less 0.1.

    Args:
        plugin: name of an installed integrator, or the object or class itself.

    Raises:
        Nonconforming: a check failed; the error carries the report.
    """
    name, loaded = resolved("integrators", plugin)
    method = loaded() if isinstance(loaded, type) else loaded
    first = [("contract", _contract), ("attributes", _attributes), ("step", _step)]
    then = [("rows", _rows), ("no hidden state", _pure), ("order", _order), ("error estimate", _error),
            ("reversal", _reversal), ("gradient", _gradient), ("solve", _solve)]  # fmt: skip
    return examine("integrators", name, method, first, then)


def field(t: float, x: Tensor) -> Tensor:
    """Growth x cos t, logistic growth y (1 - y), and a rotation (q, -p): states (..., 4)."""
    x, y, p, q = x.unbind(-1)
    return torch.stack([x * math.cos(t), y * (1 - y), q, -p], -1)


def exact(t: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """The solution of `field` that starts at (1, 1/4, 1, 0), (4,)."""
    growth = [math.exp(math.sin(t)), 1 / (1 + 3 * math.exp(-t)), math.cos(t), -math.sin(t)]
    return torch.tensor(growth, dtype=dtype)


def _contract(method: Any) -> str:
    return require_contract("integrators", method)


def _attributes(method: Any) -> str:
    order, needs = getattr(method, "order", None), getattr(method, "needs", None)
    require(isinstance(order, int) and order >= 1, f"order is {order!r}; it must be an integer, 1 or more")
    require(needs in NEEDS, f"needs is {needs!r}; allowed: {', '.join(NEEDS)}")
    missing = [name for name in ("init", "step") if not callable(getattr(method, name, None))]
    require(not missing, f"no method {' or '.join(missing)}")
    embedded = getattr(method, "embedded_order", None)
    require(embedded is None or isinstance(embedded, int), f"embedded_order is {embedded!r}; an integer or None")
    return f"order {order}, needs {needs}"


def _step(method: Integrator) -> str:
    shapes = [(4,), (3, 4), (2, 3, 4)]
    for dtype in (torch.float64, torch.float32):
        for shape in shapes:
            x = exact(0.0, dtype).expand(shape).clone()
            step = method.step(field, 0.0, x, 0.1, method.init(field, 0.0, x))
            require(isinstance(step, Step), f"step returns a {type(step).__name__}; it must return a ctrlnet.Step")
            parts = [("x", step.x)] if step.error is None else [("x", step.x), ("error", step.error)]
            for part, value in parts:
                given = f"{tuple(value.shape)} of {value.dtype}"
                same = value.shape == x.shape and value.dtype == dtype
                require(same, f"Step.{part} has shape {given} for states {shape} of {dtype}; it must be like them")
    return "keeps shape and dtype"


def _march(method: Integrator, x: Tensor, steps: int, stop: float = 1.0) -> Tensor:
    """From x at 0 through equal steps to `stop`."""
    h, carry = stop / steps, method.init(field, 0.0, x)
    for index in range(steps):
        x, _, carry = method.step(field, index * h, x, h, carry)
    return x


def _states(count: int) -> Tensor:
    return torch.rand(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _rows(method: Integrator) -> str:
    x = _states(5)
    gap = (_march(method, x, 6) - torch.stack([_march(method, row, 6) for row in x])).abs().max()
    require(bool(gap <= 1e-12), f"a batch and its rows differ by {gap:.1e}; every row must be treated by itself")
    return f"batch and rows agree to {gap:.0e}"


def _pure(method: Integrator) -> str:
    x, other = _states(3), _states(6)
    before, first = x.clone(), _march(method, x, 4)
    _march(method, other, 3)
    require(torch.equal(x, before), "it writes into the states it is given")
    again = torch.equal(first, _march(method, x, 4))
    require(again, "the same steps twice give different results; what is remembered must travel in carry")
    return "remembers nothing between calls"


def _order(method: Integrator) -> str:
    errors = [float((_march(method, exact(0.0), 2**k) - exact(1.0)).abs().max()) for k in range(2, 9)]
    pairs = [(coarse, fine) for coarse, fine in pairwise(errors) if fine > _ROUNDING]
    require(bool(pairs), "errors are at rounding level at once; the order cannot be measured")
    measured = math.log2(pairs[-1][0] / pairs[-1][1])
    require(measured >= method.order - 0.1, f"measured order {measured:.2f}, claimed {method.order}")
    return f"measured {measured:.2f}, claimed {method.order}"


def _error(method: Integrator) -> str:
    x = exact(0.0)
    embedded = getattr(method, "embedded_order", None)
    if embedded is None:
        return "none claimed"
    estimates = [method.step(field, 0.0, x, h, method.init(field, 0.0, x)).error for h in (0.2, 0.1)]
    require(None not in estimates, "embedded_order is given, but steps carry no error estimate")
    coarse, fine = (float(estimate.abs().max()) for estimate in estimates if estimate is not None)
    rate = math.log2(coarse / fine) if fine > 0 else math.inf
    require(coarse > 0 and rate >= embedded + 0.5, f"the estimate falls like h^{rate:.2f}, not like h^{embedded + 1}")
    return f"falls like h^{rate:.2f}, claimed h^{embedded + 1}"


def _reversal(method: Integrator) -> str:
    there = _march(method, exact(0.0), 64)
    carry, h, x = method.init(field, 1.0, there), -1 / 64, there
    for index in range(64):
        x, _, carry = method.step(field, 1.0 + index * h, x, h, carry)
    gap = float((x - exact(0.0)).abs().max())
    allowed = 4 * 64.0**-method.order + 1e-10
    require(gap <= allowed, f"there and back in steps of 1/64 misses the start by {gap:.1e}, allowed {allowed:.1e}")
    return f"there and back misses by {gap:.0e}"


def _gradient(method: Integrator) -> str:
    x = _states(1).requires_grad_()
    torch.autograd.gradcheck(lambda x: _march(method, x, 3), (x,))
    return "agrees with finite differences"


def _solve(method: Integrator) -> str:
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    x = odeint(timed(field), exact(0.0), t, method=method, step=1 / 64)
    gap = float((x[-1] - exact(1.0)).abs().max())
    allowed = 4 * 64.0**-method.order + 1e-10
    require(gap <= allowed, f"ctrlnet.solve with step 1/64 misses by {gap:.1e}, allowed {allowed:.1e}")
    return f"misses by {gap:.0e} with step 1/64"
