"""`certify`: a condition proved for a system by branch and bound, and confirmed by the independent checker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctrlnet.errors import UsageError
from ctrlnet.prover.advice import at_a_jump
from ctrlnet.prover.budget import Budget, budget_of
from ctrlnet.prover.certificate import Json
from ctrlnet.prover.claims import Claim
from ctrlnet.prover.conclusion import concluded, confirmed, without_neighbourhood
from ctrlnet.prover.equilibrium import Neighbourhood
from ctrlnet.prover.kinds import claim_of, flat, is_conjunction, with_levels
from ctrlnet.prover.search import Progress, Search
from ctrlnet.prover.verdict import Verdict, together
from ctrlnet.prover.warm_start import trees_of
from ctrlnet.sets import Box


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
    """Prove a condition for a closed loop inside a box, or that a plant has an admissible control for it.

    For `ExponentialStability` the theorem sought is, with S = {x in box : V(x) <= level}: S lies in the interior of the
    box, V > 0 on S but at x*, and every solution of x' = F(x) from S stays in S with
    V(x(t)) <= exp(-rate t) V(x(0)). The other conditions say theirs in their docstrings, the verdict in its words.

    For a `System`, a plant x' = f(x) + g(x) u without policy, the theorem is that a control exists: at every state of
    {V <= level, every h >= 0} but x* one u within its limits satisfies all conditions, together.

    Args:
        condition: a condition, or a tuple of them for a conjunction, each proved by itself. Of a `System`:
            `BarrierInvariance`, or a tuple of them with at most one `ExponentialStability`, proved together.
        system: the closed loop: a torch function F (..., n) to (..., n), a `ClosedLoop`, `Disturbed` or `DiscreteMap`;
            or a `System` with limits.
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
    if not is_conjunction(condition, system):
        return _verdict(claim_of(condition, system, box, level), budget, provenance, start, progress)
    if start is not None:
        raise UsageError("start belongs to one condition; prove the conditions of a conjunction one by one.")
    claims = [claim_of(part, system, box, own) for part, own in with_levels(condition, level)]
    verdicts = [_verdict(claim, budget, provenance, None, progress) for claim in claims]
    return together(verdicts, provenance or {})


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
    search = Search(claim.problem, local, level=claim.level, budget=limits, start=trees, progress=progress)
    verdict = concluded(claim, search, search.run(), local, provenance or {})
    if verdict.status != "undecided" or verdict.report is not None:
        return verdict
    return replace(verdict, reason=verdict.reason + at_a_jump(claim, search))


def statement_of(condition: Any, system: Any, box: Box, level: float | None) -> Json:
    """What a certificate of this condition says, traced anew: `statement` and `graphs`."""
    if is_conjunction(condition, system):
        parts = [statement_of(part, system, box, level) for part in flat(condition)]
        return {"statement": {"kind": "conjunction", "parts": parts}, "graphs": {}}
    return claim_of(condition, system, box).document(level)


def _at_the_equilibrium(claim: Claim) -> Neighbourhood | Verdict | None:
    """The box around x* that the statement's leaves may rest on; None where there is no equilibrium."""
    loop = claim.loop
    if loop is None:
        return None
    if problem := loop.unsettled():
        reason, certain = problem
        at = loop.about if certain else None
        return Verdict("falsified" if certain else "undecided", claim.words, reason, counterexample=at)
    if (local := loop.neighbourhood()) is not None:
        return confirmed(claim, local)
    return without_neighbourhood(claim)
