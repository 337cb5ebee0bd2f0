"""No false statement is certified; most are refuted by a state, confirmed in interval arithmetic."""

from __future__ import annotations

import pytest
import torch

from ctrlnet import Box, Budget, ExponentialStability, Verdict, certify, prove
from ctrlnet.errors import NonFinite, TraceError
from ctrlnet.prover import claim_of
from ctrlnet.prover.claims import Claim
from ctrlnet.prover.goals import Goal
from tests.prover.false_statements import KINDS, POSITIVITY, STABILITY
from tests.prover.oracle import exact_value
from tests.prover.plants import pendulum, quadratic

BUDGET = Budget(seconds=3.0, boxes=100_000)


@pytest.mark.parametrize("name", STABILITY)
def test_no_false_stability_is_certified(name: str) -> None:
    row = STABILITY[name]
    condition = ExponentialStability(row.V, row.rate, row.at)
    try:
        verdict = certify(condition, row.field, row.box, level=row.level, budget=BUDGET)
    except (TraceError, NonFinite):
        assert row.refused
        return
    _refuted(verdict, row.found, claim_of(condition, row.field, row.box, row.level))


@pytest.mark.parametrize("name", KINDS)
def test_no_false_statement_of_another_kind_is_certified(name: str) -> None:
    row = KINDS[name]
    verdict = certify(row.condition, row.system, row.box, level=row.level, budget=BUDGET)
    single = not isinstance(row.condition, tuple)
    _refuted(verdict, row.found, claim_of(row.condition, row.system, row.box, row.level) if single else None)


def _refuted(verdict: Verdict, found: bool, claim: Claim | None) -> None:
    """Never certified; falsified by a state where one is to be found, which 60 digits confirm."""
    assert verdict.status != "certified", verdict.statement
    assert verdict.reason
    if found:
        assert verdict.status == "falsified" and verdict.counterexample is not None, verdict.reason
    if claim is not None and verdict.reason.startswith("The statement is false at") and claim.problem.extend is None:
        assert any(_violated(claim, goal, verdict.counterexample.tolist()) for goal in claim.problem.goals)


def _violated(claim: Claim, goal: Goal, x: list[float]) -> bool:
    """The state is one that the goal speaks of, and a margin is not positive there."""
    graph, (_, value) = claim.problem.graph, claim.problem.nodes(goal)

    def at(node: int) -> float:
        return exact_value(graph, node, x)[0]

    inside = all(low <= v <= high for low, v, high in zip(goal.lower.tolist(), x, goal.upper.tolist(), strict=True))
    below = value is None or claim.level is None or at(value) <= claim.level
    asked = inside and below and all(at(node) <= 0 for node in goal.where)
    return asked and (not goal.margins or any(at(node) <= 0 for node in goal.margins))


@pytest.mark.parametrize("name", POSITIVITY)
def test_no_false_positivity_is_certified(name: str) -> None:
    margin, box, where = POSITIVITY[name]
    verdict = prove(margin, box, where=where, budget=BUDGET)
    assert verdict.status != "certified", verdict.statement


def test_five_percent_above_the_sampled_level_is_refuted() -> None:
    box = Box([-2.0, -8.0], [2.0, 8.0])
    condition = ExponentialStability(quadratic, 0.1)
    found = certify(condition, pendulum, box)
    assert found.status == "certified"
    above = certify(condition, pendulum, box, level=1.05 * found.sampled_level)
    assert above.status == "falsified"
    assert quadratic(above.counterexample) <= 1.05 * found.sampled_level


def test_a_refutation_is_a_state_that_violates_the_statement() -> None:
    row = STABILITY["a limit cycle inside"]
    verdict = certify(ExponentialStability(row.V, row.rate), row.field, row.box, level=row.level)
    assert verdict.status == "falsified"
    x = verdict.counterexample
    decrease = 2 * (x * row.field(x)).sum() + row.rate * row.V(x)
    assert decrease >= 0 and row.V(x) <= row.level


def test_the_unstable_equilibrium_is_refuted_without_a_level() -> None:
    row = STABILITY["a policy scaled by -1"]
    verdict = certify(ExponentialStability(row.V, row.rate), row.field, row.box)
    assert verdict.status == "falsified" and "ray" in verdict.reason


def test_a_moved_equilibrium_is_refuted_at_the_equilibrium() -> None:
    row = STABILITY["a field moved by 1e-9"]
    verdict = certify(ExponentialStability(row.V, row.rate), row.field, row.box)
    assert verdict.status == "falsified" and torch.equal(verdict.counterexample, torch.zeros(2, dtype=torch.float64))
