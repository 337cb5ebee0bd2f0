"""`certify`: a condition proved for a system by branch and bound, and confirmed by the independent checker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctrlnet.checker import check_bytes
from ctrlnet.conditions import (
    BarrierInvariance,
    DiscreteDecrease,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    StayWithin,
    UltimateBound,
)
from ctrlnet.errors import UsageError
from ctrlnet.prover import decrease, invariance, sampled
from ctrlnet.prover.budget import Budget, budget_of
from ctrlnet.prover.certificate import Json, certificate_bytes
from ctrlnet.prover.claims import Claim
from ctrlnet.prover.equilibrium import Neighbourhood, neighbourhood, refuted
from ctrlnet.prover.forest import KINDS
from ctrlnet.prover.rays import ray_neighbourhood
from ctrlnet.prover.sampled import SampledLoop, sampled_stability
from ctrlnet.prover.search import Progress, Search
from ctrlnet.prover.verdict import Leaves, Verdict, together
from ctrlnet.prover.warm_start import trees_of
from ctrlnet.sets import Box
from ctrlnet.systems import ClosedLoop, DiscreteMap, System, Timed

SHRINKS = 4  # smaller neighbourhoods tried when the checker does not confirm the largest

CLAIMS: dict[type, Callable[[Any, Any, Box, Any], Claim]] = {
    ExponentialStability: decrease.exponential_stability,
    DiscreteDecrease: decrease.discrete_decrease,
    UltimateBound: decrease.ultimate_bound,
    BarrierInvariance: invariance.barrier,
    NagumoInvariance: invariance.nagumo,
    HighOrderInvariance: invariance.high_order,
    StayWithin: invariance.stay_within,
}
DISCRETE = (DiscreteDecrease, UltimateBound)
LEVELLED = (ExponentialStability, DiscreteDecrease, UltimateBound)


def certify(
    condition: Any,
    system: Callable[..., Any],
    box: Box,
    *,
    level: float | None = None,
    budget: Budget | None = None,
    provenance: Mapping[str, Any] | None = None,
    start: Verdict | str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verdict:
    """Prove a condition for a closed loop inside a box.

    For `ExponentialStability` the theorem sought is, with S = {x in box : V(x) <= level}: S lies in the interior of the
    box, V > 0 on S but at x*, and every solution of x' = F(x) from S stays in S with
    V(x(t)) <= exp(-rate t) V(x(0)). The other conditions say theirs in their docstrings, the verdict in its words.

    Args:
        condition: a condition, or a tuple of them for a conjunction, each proved by itself.
        system: the closed loop: a torch function F (..., n) to (..., n), a `ClosedLoop`, `Disturbed` or `DiscreteMap`.
        box: the region searched; an equilibrium lies in its interior.
        level: the level of V to prove; None for the largest found.
        budget: limits of the search, of each condition's in a conjunction.
        provenance: what to record about the origin of V and F.
        start: boxes to begin with: an earlier verdict, decided or not, or a certificate's path. An interrupted search
            goes on from there, and a network that changed a little is proved without a new search.
        progress: called every other second with a `Progress`; the logger "ctrlnet" hears the same.

    Ctrl-C ends the search with the level proved so far; the verdict can be a `start`.

    Errors: UsageError, ShapeError, TraceError, NonFinite for what cannot be meant. A false claim is a verdict.
    """
    if isinstance(condition, (tuple, list)):
        if start is not None:
            raise UsageError("start belongs to one condition; prove the conditions of a conjunction one by one.")
        claims = [claim_of(part, system, box, own) for part, own in _levels(_flat(condition), level)]
        verdicts = [_verdict(claim, budget, provenance, None, progress) for claim in claims]
        return together(verdicts, provenance or {})
    return _verdict(claim_of(condition, system, box, level), budget, provenance, start, progress)


def _verdict(
    claim: Claim,
    budget: Budget | None,
    provenance: Mapping[str, Any] | None,
    start: Verdict | str | Path | None,
    progress: Callable[[Progress], None] | None,
) -> Verdict:
    limits, trees, local = budget_of(budget), trees_of(start, claim), _at_the_equilibrium(claim)
    if isinstance(local, Verdict):
        return local
    for _ in range(SHRINKS):
        search = Search(claim.problem, local, level=claim.level, budget=limits, start=trees, progress=progress)
        verdict = concluded(claim, search, search.run(), local, provenance or {})
        refused = verdict.report is not None and not verdict.report.ok and "equilibrium" in verdict.report.reason
        if not refused or local is None or claim.loop is None or local.trees is not None:
            return verdict
        local = local.shrunk(0.7, claim.loop.about)
    return verdict


def claim_of(condition: Any, system: Any, box: Box, level: float | None = None) -> Claim:
    """The traced claim of one condition about one system."""
    if not isinstance(box, Box):
        raise UsageError(f"box is {box!r}; give ctrlnet.Box(lower, upper).")
    build = CLAIMS.get(type(condition))
    if build is None:
        known = ", ".join(kind.__name__ for kind in CLAIMS)
        raise UsageError(
            f"certify proves {known}; got {type(condition).__name__}. For another margin use ctrlnet.prove."
        )
    if isinstance(system, (System, Timed)):
        raise UsageError(f"certify proves an autonomous closed loop; got {system!r}. Give ClosedLoop(plant, policy).")
    if isinstance(system, ClosedLoop) and system.period is not None:
        if not isinstance(condition, ExponentialStability):
            kind = type(condition).__name__
            raise UsageError(f"The loop has a hold period; certify proves ExponentialStability of it, not {kind}.")
        return sampled_stability(condition, system, box, level)
    if isinstance(system, DiscreteMap) and not isinstance(condition, DISCRETE):
        known = ", ".join(kind.__name__ for kind in DISCRETE)
        raise UsageError(f"{type(condition).__name__} is about x' = F(x); of a DiscreteMap certify proves {known}.")
    return build(condition, system, box, level)


def statement_of(condition: Any, system: Any, box: Box, level: float | None) -> Json:
    """What a certificate of this condition says, traced anew: `statement` and `graphs`."""
    if isinstance(condition, (tuple, list)):
        parts = [statement_of(part, system, box, level) for part in _flat(condition)]
        return {"statement": {"kind": "conjunction", "parts": parts}, "graphs": {}}
    return claim_of(condition, system, box).document(level)


def concluded(
    claim: Claim, search: Search, level: float | None, local: Neighbourhood | None, provenance: Mapping[str, Any]
) -> Verdict:
    """What a search has shown, as a verdict: certified only if the checker confirms it."""
    trees = claim.proof(search.forest, local)
    _, lower, upper, kind = search.forest.leaves(0)
    verdict = Verdict(
        "undecided",
        claim.words,
        sampled_level=search.falsifier.sampled,
        limiting_state=search.falsifier.worst,
        boxes=search.bounded,
        seconds=search.seconds,
        leaves=Leaves(lower, upper, [KINDS[k] for k in kind.tolist()]),
        trees=trees,
    )
    if level is None or (claim.level_name is not None and not claim.above < level < float("inf")):
        return _without_proof(claim, search, verdict)
    said = claim.document(level)
    data = certificate_bytes(said["statement"], said["graphs"], trees, provenance)
    report = check_bytes(data)
    if not report.ok:
        return replace(verdict, reason=f"The checker did not confirm the proof: {report.reason}", report=report)
    return replace(
        verdict,
        status="certified",
        statement=report.statement,
        level=0.0 if claim.level_name is None else level,
        report=report,
        certificate=data,
    )


def _without_proof(claim: Claim, search: Search, verdict: Verdict) -> Verdict:
    x = search.falsifier.worst
    if search.falsifier.refuted and x is not None:
        below = f", where V(x) <= {search.level}" if search.level is not None else ""
        reason = f"The statement is false at x = {x.tolist()}{below}."
        return replace(verdict, status="falsified", reason=reason, counterexample=x)
    if (
        claim.level_name is not None
        and search.level is None
        and search.falsifier.ceiling <= 0
        and claim.loop is not None
    ):
        return replace(verdict, reason="V is not positive at a sampled state: no level is true.")
    if search.falsifier.hopeless and x is not None:
        return replace(verdict, reason=f"The bounds do not show the claim at the single state x = {x.tolist()}.")
    if search.interrupted:
        return replace(verdict, reason="The search was interrupted; go on with certify(..., start=verdict).")
    spent = search.budget.spent(search.seconds, search.bounded)
    return replace(verdict, reason=f"Boxes were left open{' below the level' if claim.level_name else ''}: {spent}.")


def _at_the_equilibrium(claim: Claim) -> Neighbourhood | Verdict | None:
    """The box around x* that the statement's leaves may rest on; None where there is no equilibrium."""
    loop = claim.loop
    if loop is None:
        return None
    if problem := loop.unsettled():
        reason, certain = problem
        at = loop.about if certain else None
        return Verdict("falsified" if certain else "undecided", claim.words, reason, counterexample=at)
    if isinstance(loop, SampledLoop):
        local = sampled.neighbourhood(loop)
    else:
        local = _by_rays(loop) if loop.kinked else neighbourhood(loop)
    if local is not None:
        return local
    if not (isinstance(loop, SampledLoop) or loop.kinked) and (shown := refuted(loop)):
        return Verdict("falsified", claim.words, shown[0], counterexample=shown[1])
    how = "no box around it satisfies the matrix inequalities"
    if loop.kinked:
        how = "V has a kink there, and no box around it was found on which the claim holds along all rays"
    return Verdict("undecided", claim.words, f"Undecided at the equilibrium: {how}.")


def _by_rays(loop: Any) -> Neighbourhood | None:
    disturbance = loop.model.disturbance
    found = ray_neighbourhood(
        loop.graph,
        loop.value,
        loop.field,
        loop.equilibrium,
        loop.model.box.lower,
        loop.model.box.upper,
        None if disturbance is None else (disturbance.lower, disturbance.upper),
        rate=loop.rate,
        kappa=loop.kappa,
    )
    return None if found is None else Neighbourhood(found.lower, found.upper, found.trees)


def _levels(conditions: list[Any], level: float | None) -> list[tuple[Any, float | None]]:
    """The level belongs to the one condition that has one."""
    levelled = [isinstance(condition, LEVELLED) for condition in conditions]
    if level is not None and sum(levelled) != 1:
        raise UsageError("level is for one condition with a level; this conjunction has none or several.")
    return [(condition, level if has else None) for condition, has in zip(conditions, levelled, strict=True)]


def _flat(conditions: Sequence[Any]) -> list[Any]:
    flat = [part for one in conditions for part in (_flat(one) if isinstance(one, (tuple, list)) else [one])]
    if not flat:
        raise UsageError("The conjunction has no conditions; give at least one.")
    return flat
