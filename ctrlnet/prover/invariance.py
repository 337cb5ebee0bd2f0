"""Claims of forward invariance: by a barrier, on the boundary alone, by a chain of barriers, of a box."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ctrlnet.conditions import BarrierInvariance, HighOrderInvariance, NagumoInvariance, StayWithin
from ctrlnet.errors import UsageError
from ctrlnet.graph.dependence import inputs_read
from ctrlnet.prover.certificate import number
from ctrlnet.prover.claims import Claim, faces_inward, no_level
from ctrlnet.prover.goals import Goal, Problem
from ctrlnet.prover.model import Model
from ctrlnet.sets import Box


def barrier(condition: BarrierInvariance, system: Any, box: Box, level: Any) -> Claim:
    """∇h·F + rate h > 0 where h >= 0; on the faces of the box h < 0 or the field points inward."""
    no_level(level, condition)
    model, h, field = _traced(condition.h, system, box)
    rate = Fraction(condition.rate)
    outside = (model.graph.unary("neg", h),)
    interior = Goal("interior", model.lower, model.upper, (model.rate_of_change(h, field, rate),), outside)
    return _claim("barrier_invariance", model, field, interior, outside, {"rate": number(rate)})


def nagumo(condition: NagumoInvariance, system: Any, box: Box, level: Any) -> Claim:
    """∇h·F > 0 where h = 0; on the faces of the box h < 0 or the field points inward."""
    no_level(level, condition)
    model, h, field = _traced(condition.h, system, box)
    outside = (model.graph.unary("neg", h),)
    interior = Goal("interior", model.lower, model.upper, (model.rate_of_change(h, field),), (h, *outside))
    return _claim("nagumo_invariance", model, field, interior, outside, {})


def high_order(condition: HighOrderInvariance, system: Any, box: Box, level: Any) -> Claim:
    """ψ₂ > 0 where h >= 0 and ψ₁ >= 0; on the faces of the box one of them is negative or the field points inward.

    With a disturbance ḣ must be a function of x alone: then so is ψ₁, and ψ₂ = ∇ψ₁·F(x, d) + a₂ ψ₁ for each d.
    """
    rates = [Fraction(rate) for rate in condition.rates]
    if len(rates) == 1:
        return barrier(BarrierInvariance(condition.h, condition.rates[0]), system, box, level)
    if len(rates) != 2:
        raise UsageError(f"certify proves chains of one or two rates; got {len(rates)}: {condition.rates}.")
    no_level(level, condition)
    model, h, field = _traced(condition.h, system, box)
    _check_that_the_first_derivative_is_of_the_state(model)
    first = model.rate_of_change(h, field, rates[0])
    second = model.rate_of_change(first, field, rates[1])
    outside = (model.graph.unary("neg", h), model.graph.unary("neg", first))
    interior = Goal("interior", model.lower, model.upper, (second,), outside)
    numbers = {"rates": [number(rate) for rate in rates]}
    return _claim("high_order_invariance", model, field, interior, outside, numbers)


def stay_within(condition: StayWithin, system: Any, box: Box, level: Any) -> Claim:
    """On every face of the condition's box the field points inward."""
    no_level(level, condition)
    inner = condition.box
    if not bool(((box.lower <= inner.lower) & (inner.upper <= box.upper)).all()):
        raise UsageError(f"StayWithin({inner}) is not inside the box {box} of the proof; give a box that holds it.")
    model = Model(inner, getattr(system, "disturbance", None))
    field = model.field(system)
    problem = Problem(model.graph, tuple(faces_inward(model, field)))
    return Claim("stay_within", f"{inner} is forward invariant.", model, problem)


def _traced(h: Any, system: Any, box: Box) -> tuple[Model, int, int]:
    model = Model(box, getattr(system, "disturbance", None))
    return model, model.of_state("h", h), model.field(system)


def _check_that_the_first_derivative_is_of_the_state(model: Model) -> None:
    """Raise if h reads a coordinate whose entry of F reads the disturbance."""
    (h, of_h), (field, of_field) = model.originals["h"], model.originals["F"]
    (read,) = inputs_read(h, of_h)
    entries = inputs_read(field, of_field)
    for i in sorted(read):
        disturbed = sorted(j - model.n for j in entries[i] if j >= model.n)
        if disturbed:
            raise UsageError(
                f"HighOrderInvariance needs ḣ to be a function of the state, but h reads x[{i}], and entry {i} of the "
                f"field reads d{disturbed}. Let the disturbance act on ψ₂ alone, write entry {i} without what cancels "
                "in it, or take BarrierInvariance or NagumoInvariance."
            )


def _claim(
    kind: str, model: Model, field: int, interior: Goal, outside: Sequence[int], numbers: dict[str, Any]
) -> Claim:
    problem = Problem(model.graph, (interior, *faces_inward(model, field, tuple(outside))))
    words = f"{{h >= 0}} in {model.box} is forward invariant."
    return Claim(kind, words, model, problem, numbers)
