"""No false statement is certified; most are refuted by a state, confirmed in interval arithmetic."""

from __future__ import annotations

import pytest
import torch

from ctrlnet import Box, Budget, ExponentialStability, Verdict, certify, prove
from ctrlnet.errors import NonFinite, TraceError
from tests.prover.false_statements import KINDS, POSITIVITY, STABILITY
from tests.prover.plants import pendulum, quadratic

BUDGET = Budget(seconds=3.0, boxes=100_000)


@pytest.mark.parametrize("name", STABILITY)
def test_no_false_stability_is_certified(name: str) -> None:
    row = STABILITY[name]
    try:
        verdict = certify(
            ExponentialStability(row.V, row.rate, row.at), row.field, row.box, level=row.level, budget=BUDGET
        )
    except (TraceError, NonFinite):
        assert row.refused
        return
    _refuted(verdict, row.found)


@pytest.mark.parametrize("name", KINDS)
def test_no_false_statement_of_another_kind_is_certified(name: str) -> None:
    row = KINDS[name]
    verdict = certify(row.condition, row.system, row.box, level=row.level, budget=BUDGET)
    _refuted(verdict, row.found)


def _refuted(verdict: Verdict, found: bool) -> None:
    """Never certified; falsified by a state where one is to be found."""
    assert verdict.status != "certified", verdict.statement
    assert verdict.reason
    if found:
        assert verdict.status == "falsified" and verdict.counterexample is not None, verdict.reason


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
