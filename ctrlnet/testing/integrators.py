"""The conformance kit of integrators."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ctrlnet.integrators import Integrator, Step, odeint
from ctrlnet.integrators.contract import NEEDS
from ctrlnet.systems.fields import Time
from ctrlnet.testing.conformance import Report, examine, require, require_contract, resolved
from ctrlnet.testing.integrator_claims import CLAIMS, claim_checks
from ctrlnet.testing.known_solutions import known
from ctrlnet.testing.marching import march, states

_ROUNDING = 5e-13  # errors below this say nothing about the order


def check_integrator(plugin: str | Integrator | type) -> Report:
    """Check an integrator against its contract: shapes, batches, no hidden state, measured order, gradients, claims.

    The order is measured on equations with known solutions over two seconds, in the form that the method needs (a
    plain field, a Separable, a Split or an Energy), the slowest coordinate counting; it must reach the claimed one less
    0.1. What the method offers or claims besides is checked too: `interpolate`, `back`, `symplectic`, `symmetric`,
    `conserves_energy` (see `ctrlnet.testing.integrator_claims`).

    Args:
        plugin: name of an installed integrator, or the object or class itself.

    Raises:
        Nonconforming: a check failed; the error carries the report.
    """
    name, loaded = resolved("integrators", plugin)
    method = loaded() if isinstance(loaded, type) else loaded
    first = [("contract", _contract), ("attributes", _attributes), ("step", _step)]
    then = [("rows", _rows), ("no hidden state", _pure), ("own times", _own_times), ("step of zero", _stays),
            ("order", _order), ("changing steps", _changing), ("error estimate", _error), ("reversal", _reversal),
            ("gradient", _gradient), ("solve", _solve)]  # fmt: skip
    return examine("integrators", name, method, first, [*then, *claim_checks(method)])


def _contract(method: Any) -> str:
    return require_contract("integrators", method)


def _attributes(method: Any) -> str:
    order, needs = getattr(method, "order", None), getattr(method, "needs", None)
    require(isinstance(order, int) and order >= 1, f"order is {order!r}; it must be an integer, 1 or more")
    require(needs in NEEDS, f"needs is {needs!r}; allowed: {', '.join(NEEDS)}")
    missing = [name for name in ("init", "step") if not callable(getattr(method, name, None))]
    require(not missing, f"no method {' or '.join(missing)}")
    embedded, multistep = getattr(method, "embedded_order", None), getattr(method, "multistep", False)
    require(embedded is None or isinstance(embedded, int), f"embedded_order is {embedded!r}; an integer or None")
    require(not (multistep and embedded), "a multistep method has no embedded_order: its steps are not adapted")
    for name in ("multistep", *CLAIMS):
        claim = getattr(method, name, False)
        require(isinstance(claim, bool), f"{name} is {claim!r}; it must be True or False")
    return f"order {order}, needs {needs}"


def _step(method: Integrator) -> str:
    problem = known(method.needs)
    start = problem.exact(0.0)
    for dtype in (torch.float64, torch.float32):
        for batch in ((), (3,), (2, 3)):
            x = start.to(dtype).expand(*batch, len(start)).clone()
            carry = method.init(problem.given, 0.0, x)
            for index in range(4):  # a multistep method that starts changes its carry
                _check_carry(carry, x)
                step = method.step(problem.given, 0.1 * index, x, 0.1, carry)
                _check_step(step, x)
                x, carry = step.x, step.carry
            _check_carry(carry, x)
    return "keeps shape and dtype"


def _check_step(step: Any, x: Tensor) -> None:
    require(isinstance(step, Step), f"step returns a {type(step).__name__}; it must return a ctrlnet.Step")
    for part, value in (("x", step.x), ("error", step.error)):
        given = f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else repr(value)
        same = isinstance(value, Tensor) and value.shape == x.shape and value.dtype == x.dtype
        wanted = f"{tuple(x.shape)} of {x.dtype}"
        require(
            same or (part == "error" and value is None),
            f"Step.{part} has shape {given} for states {wanted}; it must be like them",
        )


def _check_carry(carry: Any, x: Tensor) -> None:
    require(carry is None or type(carry) is tuple, f"the carry is a {type(carry).__name__}; a tuple of tensors or None")
    for value in carry or ():
        require(
            isinstance(value, Tensor) and value.shape == x.shape,
            f"the carry holds {tuple(value.shape) if isinstance(value, Tensor) else repr(value)} for states "
            f"{tuple(x.shape)}; its tensors must have the states' shape, so that rows can be taken from both",
        )


def _rows(method: Integrator) -> str:
    x = states(method, 5)
    gap = (march(method, x, 1 / 6, 6) - torch.stack([march(method, row, 1 / 6, 6) for row in x])).abs().max()
    require(bool(gap <= 1e-12), f"a batch and its rows differ by {gap:.1e}; every row must be treated by itself")
    return f"batch and rows agree to {gap:.0e}"


def _pure(method: Integrator) -> str:
    x, other = states(method, 3), states(method, 6)
    before, first = x.clone(), march(method, x, 1 / 4, 4)
    march(method, other, 1 / 3, 3)
    require(torch.equal(x, before), "it writes into the states it is given")
    again = torch.equal(first, march(method, x, 1 / 4, 4))
    require(again, "the same steps twice give different results; what is remembered must travel in carry")
    return "remembers nothing between calls"


def _own_times(method: Integrator) -> str:
    """Rows with their own t and h in one batch, and t and h without dimensions, are as each row alone with numbers."""
    x = states(method, 3)
    t, h = torch.tensor([[[0.0], [0.3], [0.1]], [[0.1], [0.05], [0.2]]], dtype=x.dtype)
    rows = [(row, float(start), float(step)) for row, start, step in zip(x, t, h, strict=True)]
    alone = torch.stack([march(method, row, step, 4, t=start) for row, start, step in rows])
    bare = [march(method, row, step[0], 4, t=start[0]) for row, start, step in zip(x, t, h, strict=True)]
    ends = {"of shape (rows, 1)": march(method, x, h, 4, t=t), "without dimensions": torch.stack(bare)}
    for form, end in ends.items():
        same = end.shape == alone.shape and bool((end - alone).abs().max() <= 1e-12)
        require(same, f"t and h as tensors {form} give other states than numbers; use plain arithmetic with them")
    return "t and h may be numbers or tensors"


def _stays(method: Integrator) -> str:
    x = states(method, 2)
    zeros: list[Time] = [0.0, torch.zeros(2, 1, dtype=x.dtype)]
    gap = max(float((march(method, x, zero, 1) - x).abs().max()) for zero in zeros)
    require(gap <= 1e-14, f"a step with h = 0 moves the states by {gap:.1e}")
    return "stays"


def _order(method: Integrator) -> str:
    exact = known(method.needs).exact
    errors = [float((march(method, exact(0.0), 2 / 2**k, 2**k) - exact(2.0)).abs().max()) for k in range(2, 10)]
    pairs = [(coarse, fine) for coarse, fine in pairwise(errors) if fine > _ROUNDING]
    require(bool(pairs), "errors are at rounding level at once; the order cannot be measured")
    measured = math.log2(pairs[-1][0] / pairs[-1][1])
    require(measured >= method.order - 0.1, f"measured order {measured:.2f}, claimed {method.order}")
    return f"measured {measured:.2f}, claimed {method.order}"


def _changing(method: Integrator) -> str:
    """Steps of h/2 and 3h/2 in turn: the error is that of h times the mean of their powers order + 1."""
    if getattr(method, "multistep", False):
        return "multistep: solve begins anew where the step changes"
    exact, p = known(method.needs).exact, method.order
    equal = float((march(method, exact(0.0), 1 / 64, 128) - exact(2.0)).abs().max())
    turns = float((march(method, exact(0.0), 1 / 64, 128, turns=(0.5, 1.5)) - exact(2.0)).abs().max())
    allowed = 2 * (0.5 ** (p + 1) + 1.5 ** (p + 1)) * equal + 1e-11
    require(
        turns <= allowed,
        f"steps of 1/128 and 3/128 in turn give an error {turns:.1e}, equal ones {equal:.1e}; a method that relies on "
        "equal steps says multistep = True",
    )
    return f"steps of 1/128 and 3/128 in turn give an error {turns:.0e}, equal ones {equal:.0e}"


def _error(method: Integrator) -> str:
    problem, embedded = known(method.needs), getattr(method, "embedded_order", None)
    if embedded is None:
        return "none claimed"
    x = problem.exact(0.0)
    carry = method.init(problem.given, 0.0, x)
    estimates = [method.step(problem.given, 0.0, x, h, carry).error for h in (0.2, 0.1)]
    require(None not in estimates, "embedded_order is given, but steps carry no error estimate")
    coarse, fine = (float(estimate.abs().max()) for estimate in estimates if estimate is not None)
    rate = math.log2(coarse / fine) if fine > 0 else math.inf
    require(coarse > 0 and rate >= embedded + 0.5, f"the estimate falls like h^{rate:.2f}, not like h^{embedded + 1}")
    return f"falls like h^{rate:.2f}, claimed h^{embedded + 1}"


def _reversal(method: Integrator) -> str:
    exact = known(method.needs).exact
    there = march(method, exact(0.0), 1 / 64, 64)
    gap = float((march(method, there, -1 / 64, 64, t=1.0) - exact(0.0)).abs().max())
    allowed = 4 * 64.0**-method.order + 1e-10
    require(gap <= allowed, f"there and back in steps of 1/64 misses the start by {gap:.1e}, allowed {allowed:.1e}")
    return f"there and back misses by {gap:.0e}"


def _gradient(method: Integrator) -> str:
    x = states(method, 1).requires_grad_()
    torch.autograd.gradcheck(lambda x: march(method, x, 1 / 3, 3), (x,))
    return "agrees with finite differences"


def _solve(method: Integrator) -> str:
    problem, t = known(method.needs), torch.linspace(0, 1, 5, dtype=torch.float64)
    x = odeint(problem.field, problem.exact(0.0), t, method=method, step=1 / 64)
    gap = float((x[-1] - problem.exact(1.0)).abs().max())
    allowed = 4 * 64.0**-method.order + 1e-10
    require(gap <= allowed, f"ctrlnet.solve with step 1/64 misses by {gap:.1e}, allowed {allowed:.1e}")
    return f"misses by {gap:.0e} with step 1/64"
