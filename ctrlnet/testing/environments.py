"""The conformance kits of environments and tasks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from ctrlnet.sets import Box, vector
from ctrlnet.systems import ClosedLoop, System
from ctrlnet.systems.rows import check_rows
from ctrlnet.tasks import Environment, Recipe
from ctrlnet.testing.conformance import Check, Failure, Report, examine, require, require_contract, resolved
from ctrlnet.testing.twins import twin_agrees

_ZERO = 1e-9  # of what must vanish at the equilibrium, in floating point; the proof wants it exactly
_PLAIN = (bool, int, float, str)


def check_environment(plugin: str | Environment | type[Environment]) -> Report:
    """Check an environment against its contract, with its default parameters or as it stands.

    Names, units and shapes; the equilibrium; policy, candidates and conditions; that it can be built again from its
    parameters; that its MuJoCo twin, where there is one, has the accelerations of its equations.

    Args:
        plugin: name of an installed environment, its class, or an environment.

    Raises:
        Nonconforming: a check failed; the error carries the report.
    """
    name, loaded = resolved("environments", plugin)
    build = cache(lambda: loaded() if isinstance(loaded, type) else loaded)  # in a check, which may fail

    def of(*checks: tuple[str, Callable[[Any], str]]) -> list[Check]:
        return [(check, partial(_on_built, build, run)) for check, run in checks]

    first = [("contract", _contract), *of(("parameters", _parameters), ("system", _system), ("box", _box))]
    then = of(("name", partial(_name, name if isinstance(plugin, str) else None)), ("equilibrium", _equilibrium),
              ("policy", _policy), ("candidates", _candidates), ("conditions", _conditions), ("recipe", _recipe),
              ("linear feedback", _linear_feedback), ("twin", twin_agrees))  # fmt: skip
    return examine("environments", name, loaded, first, then)


def _on_built(build: Callable[[], Any], run: Callable[[Any], str], _: Any) -> str:
    return run(build())


def _contract(plugin: Any) -> str:
    author = plugin if isinstance(plugin, type) else type(plugin)
    require(issubclass(author, Environment), f"{author.__name__} is no subclass of ctrlnet.Environment")
    return require_contract("environments", author)


def _parameters(environment: Any) -> str:
    """A frozen dataclass of plain values can be written to a file and built again."""
    author: Any = type(environment)
    fields = dataclasses.fields(author) if dataclasses.is_dataclass(author) else None
    require(fields is not None and author.__dataclass_params__.frozen, f"{author.__name__} is no frozen dataclass")
    values = {one.name: getattr(environment, one.name) for one in fields or ()}
    strange = [name for name, value in values.items() if not isinstance(value, _PLAIN)]
    require(not strange, f"{', '.join(strange)}: parameters must be numbers, strings or booleans")
    require(author(**values) == environment, "built again from its parameters it is not equal to itself")
    return ", ".join(f"{name}={value!r}" for name, value in values.items()) or "none"


def _name(asked: str | None, environment: Any) -> str:
    name = getattr(environment, "name", None)
    require(isinstance(name, str) and bool(name), f"name is {name!r}; it must be the plug-in's name")
    require(asked in (None, name), f"name is {name!r}, but it is installed as {asked!r}")
    return repr(name)


def _system(environment: Environment) -> str:
    system = environment.system
    require(isinstance(system, System), f"system is a {type(system).__name__}, not a ctrlnet.System")
    quantities = (*system.state, *system.control)
    require(all(quantity.name and quantity.unit for quantity in quantities), "a quantity has no name or no unit")
    require(len(set(quantities)) == len(quantities), "two quantities have the same name and unit")
    require(environment.system is system, "every access builds a new system; use functools.cached_property")
    return f"state {', '.join(map(str, system.state))}; control {', '.join(map(str, system.control))}"


def _box(environment: Environment) -> str:
    box, n = environment.box, environment.system.n
    require(isinstance(box, Box), f"box is a {type(box).__name__}, not a ctrlnet.Box")
    require(box.dimension == n, f"box has dimension {box.dimension}, the state {n}")
    at = vector(environment.equilibrium, "equilibrium", n)
    inside = bool(((at > box.lower) & (at < box.upper)).all())
    require(inside, f"the equilibrium {at.tolist()} is not in the interior of {box!r}")
    return repr(box)


def _states(environment: Environment, count: int = 64) -> Tensor:
    """Random states of the box."""
    return environment.box.sample(count, torch.Generator().manual_seed(0))


def _joint_states(environment: Environment, count: int = 64) -> Tensor:
    """Random states of the box, with those of the policy's memory where it has one."""
    return environment.whole.box.sample(count, torch.Generator().manual_seed(0))


def _at(environment: Environment) -> tuple[Tensor, Tensor]:
    system = environment.system
    return vector(environment.equilibrium, "equilibrium", system.n), vector(
        environment.control_equilibrium, "control_equilibrium", system.m
    )


def _equilibrium(environment: Environment) -> str:
    at, control = _at(environment)
    limits = environment.system.limits
    require(
        limits is None or bool(limits.contains(control)), f"u* = {control.tolist()} is outside the limits {limits!r}"
    )
    rate = environment.system(at, control).abs().max()
    require(bool(rate <= _ZERO), f"x' = {float(rate):.1e} at x*, u*; it must vanish")
    moving = environment.system(_states(environment), control.expand(64, -1))
    require(bool(moving.isfinite().all()), "x' is not finite at random states of the box")
    return f"x' = {float(rate):.0e} at x*, u*"


def _policy(environment: Environment) -> str:
    whole = environment.whole
    system, at, control = whole.system, whole.equilibrium, whole.control_equilibrium
    policy, again, other = environment.policy(0), environment.policy(0), environment.policy(1)
    require(isinstance(policy, nn.Module), f"policy(seed) returns a {type(policy).__name__}, not a torch.nn.Module")
    check_rows(policy, system.n, (system.m,), "policy")
    x = _joint_states(environment).to(next(policy.parameters()).dtype)
    require(torch.equal(policy(x), again(x)), "policy(0) twice gives two different policies")
    require(not torch.equal(policy(x), other(x)), "policy(0) and policy(1) are the same; use the seed")
    gap = (policy(at.to(x)) - control.to(x)).abs().max().item()
    require(gap <= _ZERO, f"π(x*) misses u* by {gap:.1e}; see ctrlnet.Feedback")
    require(system.limits is None or bool(system.limits.contains(policy(x)).all()), "controls leave the limits")
    return f"π(x*) - u* = {gap:.0e}"


def _candidates(environment: Environment) -> str:
    candidates, at = environment.candidates(0), environment.whole.equilibrium
    require(bool(candidates), "candidates(seed) is empty; a condition needs a V")
    for name, V in candidates.items():
        require(isinstance(V, nn.Module), f"candidate {name!r} is a {type(V).__name__}, not a torch.nn.Module")
        check_rows(V, environment.whole.system.n, (), f"candidate {name!r}")
        x = _joint_states(environment).to(next(V.parameters()).dtype)
        value = V(at.to(x)).abs().item()
        require(value <= _ZERO, f"candidate {name!r} is {value:.1e} at the equilibrium; it must vanish")
        require(bool((V(x) > 0).all()), f"candidate {name!r} is not positive at random states of the box")
    return ", ".join(candidates)


def _conditions(environment: Environment) -> str:
    conditions = environment.conditions(environment.candidates(0))
    require(isinstance(conditions, dict) and bool(conditions), "conditions(candidates) must be a dict, not empty")
    loop = ClosedLoop(environment.whole.system, environment.policy(0))
    for name, condition in conditions.items():
        for clause in condition.clauses(loop):
            margin = clause.margin(_joint_states(environment))
            good = margin.shape == (64,) and bool(margin.isfinite().all())
            require(good, f"the margin of {name!r}, {clause.name}, has shape {tuple(margin.shape)} or is not finite")
    return ", ".join(conditions)


def _recipe(environment: Environment) -> str:
    recipe = environment.recipe
    require(isinstance(recipe, Recipe), f"recipe is a {type(recipe).__name__}, not a ctrlnet.Recipe")
    return f"{recipe.steps} steps"


def _linear_feedback(environment: Environment) -> str:
    """Training starts from it, so the linearised plant must be stabilisable."""
    gain, P = environment.linear_feedback()
    if not (bool(gain.isfinite().all()) and math.isfinite(float(P.det()))):
        raise Failure("the linear-quadratic feedback is not finite")
    return f"gain {[[round(entry, 3) for entry in row] for row in gain.tolist()]}"
