"""The conformance kit of optimizers."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ctrlnet.testing.claims import claim_checks
from ctrlnet.testing.conformance import Report, examine, require, require_contract, resolved
from ctrlnet.testing.problems import (
    build,
    differentiated,
    distance,
    linear,
    network,
    same,
    step,
    steps,
    weights,
)
from ctrlnet.training import optimizer_options, requires_closure

_ROUNDING = 1e-4  # of the distance moved, in double precision: torch casts states such as NAdam's when it loads them
_LISTS = 1e-9  # of the distance moved, between one tensor at a time and lists of them
_DEVICES = 0.05  # of the distance moved, between a CPU and CUDA: Muon, for one, iterates in bfloat16


def check_optimizer(plugin: str | type[Optimizer]) -> Report:
    """Check an optimizer against its contract: a `torch.optim.Optimizer` that trains a network with biases.

    What a class claims in its attribute `claims` (see `ctrlnet.testing.claims`) is checked too. One whose step requires
    a closure, as that of L-BFGS, gets one.

    Args:
        plugin: name of an installed optimizer, or the class itself.

    Raises:
        Nonconforming: a check failed; the error carries the report.
    """
    name, loaded = resolved("optimizers", plugin)
    first = [("contract", _contract), ("class", _class), ("defaults", _defaults)]
    then = [("convex descent", _convex), ("descent", _descent), ("single precision", _single),
            ("determinism", _determinism), ("missing gradients", _missing), ("zero gradients", _zero),
            ("closure", _closure), ("learning rate", _rate), ("checkpoint", _checkpoint),
            ("lists of tensors", _lists), ("cuda", _cuda)]  # fmt: skip
    return examine("optimizers", name, loaded, first, [*then, *claim_checks(loaded)])


def _contract(optimizer: Any) -> str:
    return require_contract("optimizers", optimizer)


def _class(optimizer: Any) -> str:
    is_class = isinstance(optimizer, type) and issubclass(optimizer, Optimizer)
    require(is_class, f"it is {optimizer!r}; it must be a subclass of torch.optim.Optimizer")
    return "a torch.optim.Optimizer"


def _defaults(optimizer: type[Optimizer]) -> str:
    built = build(optimizer, network())
    require(isinstance(built, Optimizer), f"for_module returns a {type(built).__name__}, not an optimizer")
    require(all("lr" in group for group in built.param_groups), "a parameter group has no 'lr', which schedulers set")
    return "for_module" if hasattr(optimizer, "for_module") else "built from parameters"


def _convex(optimizer: type[Optimizer]) -> str:
    return _descends(optimizer, linear(), "a convex loss")


def _descent(optimizer: type[Optimizer]) -> str:
    return _descends(optimizer, network(), "the loss")


def _descends(optimizer: type[Optimizer], module: nn.Module, what: str) -> str:
    first, last = steps(build(optimizer, module), module, 100)
    require(last < first, f"100 steps with default options take {what} from {first:.3g} to {last:.3g}")
    return f"loss {first:.3g} to {last:.3g} in 100 steps"


def _single(optimizer: type[Optimizer]) -> str:
    module = network(torch.float32)
    first, last = steps(build(optimizer, module), module, 20)
    kept = all(parameter.dtype == torch.float32 for parameter in module.parameters())
    require(kept and last < first, f"float32 weights: dtype kept: {kept}, loss {first:.3g} to {last:.3g}")
    return "trains float32 weights"


def _determinism(optimizer: type[Optimizer]) -> str:
    first, second = network(), network()
    steps(build(optimizer, first), first, 5)
    steps(build(optimizer, second), second, 5)
    require(same(first, weights(second)), "the same five steps twice give different weights")
    return "same steps, same weights"


def _missing(optimizer: type[Optimizer]) -> str:
    module = network()
    frozen, *_, idle = module.parameters()
    frozen.requires_grad_(False)
    built = build(optimizer, module)
    before = [frozen.detach().clone(), idle.detach().clone()]

    def evaluate() -> torch.Tensor:
        loss = differentiated(built, module)()
        idle.grad = None
        return loss

    step(built, evaluate)
    moved = not (torch.equal(frozen, before[0]) and torch.equal(idle, before[1]))
    require(not moved, "a parameter without a gradient was moved")
    return "left alone"


def _zero(optimizer: type[Optimizer]) -> str:
    module = network()
    built = build(optimizer, module)

    def evaluate() -> torch.Tensor:
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return torch.zeros(())

    for _ in range(3):
        step(built, evaluate)
    finite = all(bool(weight.isfinite().all()) for weight in weights(module))
    require(finite, "gradients of zero give weights that are not finite")
    return "weights stay finite"


def _closure(optimizer: type[Optimizer]) -> str:
    module = network()
    built, calls = build(optimizer, module), list[float]()
    evaluate = differentiated(built, module)

    def closure() -> float:
        calls.append(evaluate().item())
        return calls[-1]

    returned = built.step(closure)
    require(bool(calls), "step(closure) does not call the closure")
    right = returned is not None and float(returned) == calls[0]
    require(right, f"step(closure) returns {returned!r}, not the first loss")
    return "required, its loss returned" if requires_closure(built) else "evaluated, its loss returned"


def _rate(optimizer: type[Optimizer]) -> str:
    module = network()
    built = build(optimizer, module)
    for group in built.param_groups:
        group["lr"] = 0.0
    before = weights(module)
    steps(built, module, 3)
    require(same(module, before), "weights move although every group's 'lr' is 0, so schedulers have no effect")
    return "0 stops every weight"


def _checkpoint(optimizer: type[Optimizer]) -> str:
    """Training goes on from `state_dict`: bit for bit in single precision, to rounding in double."""
    gap, moved = _resumed(optimizer, torch.float32)
    require(gap == 0, f"float32 weights after a checkpoint differ by {gap:.1e}, of {moved:.1e} moved: state is lost")
    gap, moved = _resumed(optimizer, torch.float64)
    require(gap <= _ROUNDING * moved, f"float64 weights after a checkpoint differ by {gap:.1e}, of {moved:.1e} moved")
    return "resumes bit for bit" if gap == 0 else f"resumes bit for bit in float32, to {gap:.0e} in float64"


def _resumed(optimizer: type[Optimizer], dtype: torch.dtype) -> tuple[float, float]:
    """How far training on and training resumed part in five steps, and how far they go."""
    module, twin = network(dtype), network(dtype)
    built = build(optimizer, module)
    steps(built, module, 5)
    stored = weights(module)
    resumed = build(optimizer, twin)
    twin.load_state_dict(module.state_dict())  # after the optimizer is built, for one that projects the weights
    resumed.load_state_dict(copy.deepcopy(built.state_dict()))
    steps(built, module, 5)
    steps(resumed, twin, 5)
    return distance(weights(module), weights(twin)), distance(weights(module), stored)


def _lists(optimizer: type[Optimizer]) -> str:
    if "foreach" not in (optimizer_options(optimizer) or ()):
        return "no option 'foreach'"
    loop, lists = network(), network()
    start = weights(loop)
    steps(build(optimizer, loop, foreach=False), loop, 10)
    steps(build(optimizer, lists, foreach=True), lists, 10)
    gap, moved = distance(weights(loop), weights(lists)), distance(weights(loop), start)
    require(gap <= _LISTS * moved, f"foreach=True and foreach=False differ by {gap:.1e}, of {moved:.1e} moved")
    return f"foreach=True moves as foreach=False, to {gap:.0e}"


def _cuda(optimizer: type[Optimizer]) -> str:
    if not torch.cuda.is_available():
        return "not run: no CUDA"
    here, there = network(), network().cuda()
    start = weights(here)
    steps(build(optimizer, here), here, 10)
    steps(build(optimizer, there), there, 10)
    gap, moved = distance(weights(here), weights(there)), distance(weights(here), start)
    require(gap <= _DEVICES * moved, f"CPU and CUDA differ by {gap:.1e}, of {moved:.1e} moved")
    return f"moves as on the CPU, to {gap:.0e}"
