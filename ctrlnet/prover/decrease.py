"""Claims about a function V that falls: exponential stability, ultimate bounds, and both from step to step."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ctrlnet.conditions import DiscreteDecrease, ExponentialStability, UltimateBound
from ctrlnet.errors import UsageError
from ctrlnet.prover.certificate import number
from ctrlnet.prover.claims import Claim, equilibrium_of, faces_above, finite_level, positive_level
from ctrlnet.prover.goals import Goal, Problem
from ctrlnet.prover.loop import Loop
from ctrlnet.prover.model import Model
from ctrlnet.sets import Box
from ctrlnet.systems import DiscreteMap


def exponential_stability(condition: ExponentialStability, system: Any, box: Box, level: Any) -> Claim:
    """V > 0 and ∇V·F + rate V < 0 on {V <= level} less x*, and V > level on the faces of the box."""
    level, rate, at = positive_level(level), Fraction(condition.rate), equilibrium_of(condition.at, box)
    model = _model(system, box)
    value, field = model.of_state("V", condition.V), model.field(system)
    margin = model.graph.unary("neg", model.rate_of_change(value, field, rate))
    interior = Goal("interior", model.lower, model.upper, (margin, value), levelled=True, local=True)
    loop = Loop(model, value, field, at, rate=rate)
    problem = Problem(model.graph, (interior, *faces_above(model)), value, loop.about)
    region = f"{{V <= {_or('level', level)}}} inside {box}{_under(model)}"
    words = f"V falls at least as exp(-{float(rate):g} t) on {region}."
    numbers = {"equilibrium": [number(entry) for entry in at], "rate": number(rate)}
    return Claim("exponential_stability", words, model, problem, numbers, "level", level, loop=loop)


def discrete_decrease(condition: DiscreteDecrease, system: Any, box: Box, level: Any) -> Claim:
    """V > 0, (1 - kappa) V(x) - V(x⁺) > 0 and x⁺ in the box, on {V <= level} less x*."""
    level, kappa, at = positive_level(level), Fraction(condition.kappa), equilibrium_of(condition.at, box)
    model = _model(_map(system, condition), box)
    value, field = model.of_state("V", condition.V), model.field(system.function, "the map F")
    margin = model.difference(model.scaled(1 - kappa, value), model.after(value, field))
    margins = (margin, value, *_within(model, field))
    interior = Goal("interior", model.lower, model.upper, margins, levelled=True, local=True)
    loop = Loop(model, value, field, at, kappa=kappa)
    words = (
        f"V falls by the share {float(kappa):g} in every step on {{V <= {_or('level', level)}}} inside {box}"
        f"{_under(model)}."
    )
    numbers = {"equilibrium": [number(entry) for entry in at], "kappa": number(kappa)}
    problem = Problem(model.graph, (interior,), value, loop.about)
    return Claim("discrete_decrease", words, model, problem, numbers, "level", level, loop=loop)


def ultimate_bound(condition: UltimateBound, system: Any, box: Box, level: Any) -> Claim:
    """V falls on {inner <= V <= outer}, which lies inside the box; in discrete time it also stays below inner."""
    if level is not None and condition.outer is not None and float(level) != float(condition.outer):
        raise UsageError(f"UltimateBound has outer={condition.outer} and level={level} was given; give one of them.")
    outer = finite_level(condition.outer if level is None else level)
    inner = Fraction(condition.inner)
    if outer is not None and not outer > inner:
        raise UsageError(f"outer is {outer}; it must be above inner, {float(inner)}.")
    discrete = isinstance(system, DiscreteMap)
    model = _model(system, box)
    value = model.of_state("V", condition.V)
    field = model.field(system.function, "the map F") if discrete else model.field(system)
    outside = (model.difference(inner, value),)
    if discrete:
        after, within = model.after(value, field), _within(model, field)
        fall, stay = model.difference(value, after), model.difference(inner, after)
        whole = (model.lower, model.upper)
        goals = [
            Goal("interior", *whole, (fall, *within), outside, levelled=True),
            Goal("inner", *whole, (stay, *within), (model.difference(value, inner),)),
        ]
    else:
        margin = model.graph.unary("neg", model.rate_of_change(value, field))
        goals = [Goal("interior", model.lower, model.upper, (margin,), outside, levelled=True), *faces_above(model)]
    words = (
        f"Every solution from {{V <= {_or('outer', outer)}}} inside {box} comes to {{V <= {float(inner):g}}} in finite "
        f"time and stays there{_under(model)}."
    )
    kind = "discrete_ultimate_bound" if discrete else "ultimate_bound"
    problem = Problem(model.graph, tuple(goals), value)
    return Claim(kind, words, model, problem, {"inner": number(inner)}, "outer", outer, float(inner))


def _within(model: Model, field: int) -> list[int]:
    """x⁺ lies strictly inside the box: two margins an axis."""
    margins = []
    for axis in range(model.n):
        entry = model.entry(field, axis)
        low, high = (Fraction(float(bound[axis])) for bound in (model.box.lower, model.box.upper))
        margins += [model.difference(entry, low), model.difference(high, entry)]
    return margins


def _model(system: Any, box: Box) -> Model:
    return Model(box, getattr(system, "disturbance", None))


def _map(system: Any, condition: Any) -> DiscreteMap:
    if not isinstance(system, DiscreteMap):
        raise UsageError(
            f"{type(condition).__name__} is about x⁺ = f(x); got {type(system).__name__}. Give ctrlnet.DiscreteMap(f)."
        )
    return system


def _or(name: str, level: float | None) -> str:
    return name if level is None else f"{level:g}"


def _under(model: Model) -> str:
    return "" if model.disturbance is None else f" for every d in {model.disturbance}"
