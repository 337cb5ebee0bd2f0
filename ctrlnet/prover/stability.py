"""`certify`: exponential stability on a level set, proved by branch and bound and confirmed by the checker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from torch import Tensor

from ctrlnet.checker import check_bytes
from ctrlnet.conditions import ExponentialStability
from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.prover.budget import Budget, budget_of
from ctrlnet.prover.certificate import Json, certificate_bytes, corners, graph_document, number
from ctrlnet.prover.equilibrium import Neighbourhood, center, neighbourhood, refuted
from ctrlnet.prover.loop import Loop, close_loop
from ctrlnet.prover.points import upper_bounds
from ctrlnet.prover.search import Search
from ctrlnet.prover.verdict import Verdict, leaves_of
from ctrlnet.sets import Box
from ctrlnet.systems import System, Timed

SHRINKS = 4  # smaller neighbourhoods tried when the checker does not confirm the largest


def certify(
    condition: ExponentialStability,
    system: Callable[[Tensor], Tensor],
    box: Box,
    *,
    level: float | None = None,
    budget: Budget | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Verdict:
    """Prove a condition for a closed loop on a level set inside a box, equilibrium included.

    Theorem sought, for S = {x in box : V(x) <= level}: S lies in the interior of the box, V > 0 on S but at x*, and
    every solution of x' = F(x) from S stays in S with V(x(t)) <= exp(-rate t) V(x(0)).

    Args:
        condition: `ExponentialStability(V, rate, at)`.
        system: the closed loop F, maps (..., n) to (..., n): a `ClosedLoop` or any torch function.
        box: the region searched; the equilibrium lies in its interior.
        level: the level to prove; None for the largest found.
        budget: limits of the search.
        provenance: what to record about the origin of V and F.

    Errors: UsageError, ShapeError, TraceError, NonFinite for what cannot be meant. A false claim is a verdict.
    """
    level = _as_level(level)
    _check_usage(condition, system, box, level)
    loop = statement_loop(condition, system, box)
    region = "level" if level is None else str(level)
    words = f"V falls at least as exp(-{float(loop.rate):g} t) on {{V <= {region}}} inside {box}."
    early = _at_the_equilibrium(loop, box, words)
    if isinstance(early, Verdict):
        return early
    for attempt in range(SHRINKS):
        local = early.shrunk(0.7**attempt, center(loop))
        search = Search(loop, box.lower, box.upper, local, level=level, budget=budget_of(budget))
        verdict = _concluded(search, search.run(), words, provenance or {})
        if verdict.report is None or verdict.report.ok or "equilibrium" not in verdict.report.reason:
            return verdict
    return verdict


def statement_loop(condition: ExponentialStability, system: Callable[[Tensor], Tensor], box: Box) -> Loop:
    """The traced closed loop that a certificate of this condition is about."""
    return close_loop(condition.V, system, box, Fraction(condition.rate), _equilibrium(condition, box))


def statement_document(loop: Loop, box: Box, level: float) -> Json:
    """The parts of the certificate that say what is claimed: `statement` and `graphs`."""
    statement = {
        "kind": "exponential_stability",
        "box": corners(box.lower, box.upper),
        "equilibrium": [number(value) for value in loop.equilibrium],
        "rate": number(loop.rate),
        "level": number(level),
    }
    graphs = {"V": graph_document(loop.graph, loop.value), "F": graph_document(loop.graph, loop.field)}
    return {"statement": statement, "graphs": graphs}


def _check_usage(condition: Any, system: Any, box: Box, level: float | None) -> None:
    if not isinstance(condition, ExponentialStability):
        kind = type(condition).__name__
        raise UsageError(f"certify proves ExponentialStability; got {kind}. For another margin use ctrlnet.prove.")
    if isinstance(system, (System, Timed)):
        raise UsageError(f"certify proves an autonomous closed loop; got {system!r}. Give ClosedLoop(plant, policy).")
    if getattr(system, "period", None) is not None:
        raise UsageError("The loop has a hold period; certify proves the continuous loop. Leave the period out.")
    if not isinstance(box, Box):
        raise UsageError(f"box is {box!r}; give ctrlnet.Box(lower, upper).")
    at = box.center.new_tensor([float(value) for value in _equilibrium(condition, box)])
    if at.shape != box.lower.shape:
        raise ShapeError(f"The equilibrium has {len(at)} entries and the box {box.dimension}; give one a coordinate.")
    if not bool(((box.lower < at) & (at < box.upper)).all()):
        raise UsageError(f"The equilibrium {at.tolist()} is not inside {box}. Give a box with it in its interior.")
    if level is not None and not 0 < level < float("inf"):
        raise UsageError(
            f"level is {level}; it must be positive and finite, or None for the largest that can be proved."
        )


def _equilibrium(condition: ExponentialStability, box: Box) -> tuple[Fraction, ...]:
    at: Any = (0.0,) * box.dimension if condition.at is None else condition.at
    return tuple(Fraction(value) for value in (at.tolist() if isinstance(at, Tensor) else at))


def _as_level(level: Any) -> float | None:
    if isinstance(level, str):
        raise UsageError(f"level is the text {level!r}; give a number.")
    return None if level is None else float(level)


def _at_the_equilibrium(loop: Loop, box: Box, words: str) -> Neighbourhood | Verdict:
    if problem := loop.unsettled():
        reason, certain = problem
        at = center(loop) if certain else None
        return Verdict("falsified" if certain else "undecided", words, reason, counterexample=at)
    local = neighbourhood(loop, box.lower, box.upper)
    if local is not None:
        return local
    if shown := refuted(loop, box.lower, box.upper):
        return Verdict("falsified", words, shown[0], counterexample=shown[1])
    return Verdict(
        "undecided", words, "Undecided at the equilibrium: no box around it satisfies the matrix inequalities."
    )


def _concluded(search: Search, level: float, words: str, provenance: Mapping[str, Any]) -> Verdict:
    verdict = Verdict(
        "undecided",
        words,
        sampled_level=search.sampled,
        limiting_state=search.worst,
        boxes=search.bounded,
        seconds=search.seconds,
        leaves=leaves_of(search.forest),
    )
    if level == 0:
        return _without_level(search, verdict)
    box = Box(search.lower, search.upper)
    said = statement_document(search.loop, box, level)
    data = certificate_bytes(said["statement"], said["graphs"], _proof(search), provenance)
    report = check_bytes(data)
    if not report.ok:
        return replace(verdict, reason=f"The checker did not confirm the proof: {report.reason}", report=report)
    return replace(
        verdict, status="certified", statement=report.statement, level=level, report=report, certificate=data
    )


def _proof(search: Search) -> Json:
    trees = [search.forest.encode(root) for root in range(1 + 2 * search.n)]
    faces = [[trees[1 + 2 * axis], trees[2 + 2 * axis]] for axis in range(search.n)]
    return {"equilibrium": corners(search.local.lower, search.local.upper), "interior": trees[0], "faces": faces}


def _without_level(search: Search, verdict: Verdict) -> Verdict:
    x = search.worst
    if search.level is not None and x is not None and _violates(search, x, search.level):
        reason = f"The statement is false at x = {x.tolist()}, where V(x) <= {search.level}."
        return replace(verdict, status="falsified", reason=reason, counterexample=x)
    if search.level is None and search.ceiling <= 0:
        return replace(verdict, reason="V is not positive at a sampled state: no level is true.")
    spent = search.budget.spent(search.seconds, search.bounded)
    return replace(verdict, reason=f"Boxes were left open below the level: {spent}.")


def _violates(search: Search, x: Tensor, level: float) -> bool:
    """With certainty: V(x) <= level, and x lies on the boundary, or the margin or V is not positive there."""
    value, margin = upper_bounds(search.loop.graph, [search.loop.value, search.loop.margin], x)
    boundary = bool(((x == search.lower) | (x == search.upper)).any())
    return value <= level and (boundary or margin <= 0 or value <= 0)
