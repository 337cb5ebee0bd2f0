"""What a search has shown, as a verdict: certified only if the independent checker confirms the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ctrlnet.checker import check_bytes, refusal_without_leaves
from ctrlnet.prover.certificate import certificate_bytes
from ctrlnet.prover.claims import Claim
from ctrlnet.prover.equilibrium import Neighbourhood
from ctrlnet.prover.falsifier import Falsifier
from ctrlnet.prover.forest import EXCLUDED, KINDS, Forest
from ctrlnet.prover.search import Search
from ctrlnet.prover.verdict import Leaves, Verdict

SHRINKS = 24  # sizes of R tried, down to a 3600th


def concluded(
    claim: Claim, search: Search, level: float | None, local: Neighbourhood | None, provenance: Mapping[str, Any]
) -> Verdict:
    """The verdict of a search that has ended with a level, None for no proof."""
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
        return replace(_without_proof(claim, search, verdict), asked=_asked(claim))
    said = claim.document(level)
    data = certificate_bytes(said["statement"], said["graphs"], trees, provenance, claim.notes)
    report = check_bytes(data)
    if not report.ok:
        reason = f"The checker did not confirm the proof: {report.reason}"
        return replace(verdict, reason=reason, report=report, asked=said)
    return replace(
        verdict,
        status="certified",
        statement="\n".join((report.statement, *claim.notes)),
        level=0.0 if claim.level_name is None else level,
        report=report,
        certificate=data,
    )


def _asked(claim: Claim) -> dict[str, Any]:
    """What was to be proved; without a level where none was given."""
    said = claim.document(claim.level)
    if claim.level is None:
        said["statement"].pop(claim.level_name, None)
    return said


def confirmed(claim: Claim, local: Neighbourhood) -> Neighbourhood | Verdict:
    """R, or the first of 0.7 R, 0.49 R, ... for which the checker confirms the clause at the equilibrium.

    It is asked before the search, about a proof whose trees leave everything out: it looks at R before it does at them.
    A proof by rays is taken as it is: it is for one R, and checked in the end.
    """
    assert claim.loop is not None
    if local.trees is not None:
        return local
    goals = claim.problem.goals
    forest = Forest(torch.stack([goal.lower for goal in goals]), torch.stack([goal.upper for goal in goals]))
    forest.settle(torch.arange(len(goals)), EXCLUDED)
    said, reason = claim.document(claim.level), ""
    for _ in range(SHRINKS):
        data = certificate_bytes(said["statement"], said["graphs"], claim.proof(forest, local), {})
        reason = refusal_without_leaves(data)
        if not reason:
            return local
        local = local.shrunk(0.7, claim.loop.about)
    words = f"Undecided at the equilibrium: the checker did not confirm any box around it: {reason}."
    return Verdict("undecided", claim.words, words)


def without_neighbourhood(claim: Claim) -> Verdict:
    """The verdict where no box around the equilibrium was found: no level is true, or a state refutes it or some."""
    assert claim.loop is not None
    if shown := claim.loop.refuted():
        return Verdict("falsified", claim.words, shown[0], counterexample=_below_level(claim, shown[1]))
    falsifier = Falsifier(claim.problem, claim.level)
    falsifier.sample()
    x = falsifier.worst if falsifier.refuted else None
    level = claim.level
    if x is None and (found := falsifier.near_equilibrium()) is not None:
        x, level = found
    if x is not None and claim.level is not None:
        return Verdict("falsified", claim.words, false_at(x, level), counterexample=x)
    words = f"Undecided at the equilibrium: {claim.loop.sought}."
    if x is None or level is None:
        return Verdict("undecided", claim.words, words)
    words = f"{words} The claim fails at x = {x.tolist()}, where V(x) <= {level}: no level from there on is true."
    return Verdict("undecided", claim.words, words, sampled_level=level, limiting_state=x)


def _below_level(claim: Claim, x: Tensor) -> Tensor:
    """The state nearer to x*, in the direction of x, that refutes the level asked for too; x where none is found."""
    goal, about = claim.problem.goals[0], claim.problem.about
    if claim.level is None or about is None or len(x) != len(goal.lower):
        return x
    centre = torch.cat((about, x[len(about) :]))
    nearer = (centre + 2.0**-k * (x - centre) for k in range(0, 64, 4))
    return next((y for y in nearer if claim.problem.violated(goal, y, claim.level)), x)


def _without_proof(claim: Claim, search: Search, verdict: Verdict) -> Verdict:
    x = search.falsifier.worst
    if search.falsifier.refuted and x is not None:
        return replace(verdict, status="falsified", reason=false_at(x, search.level), counterexample=x)
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
    left = search.open.of(search.open.least.argsort()[:1])
    at = f" One of them is around {(0.5 * left.lower + 0.5 * left.upper)[0].tolist()}." if len(left.node) else ""
    return replace(
        verdict, reason=f"Boxes were left open{' below the level' if claim.level_name else ''}: {spent}.{at}"
    )


def false_at(x: Tensor, level: float | None) -> str:
    """A refutation in words."""
    return f"The statement is false at x = {x.tolist()}{'' if level is None else f', where V(x) <= {level}'}."
