"""A condition asked for within a level set."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet import ExponentialStability, Quadratic, violation
from ctrlnet.training import Within

LEVEL = 1.0


def system(x: Tensor) -> Tensor:
    """Falls for |x| < 2, grows beyond."""
    return x * (x.square().sum(-1, keepdim=True) / 4 - 1)


def within(level: float = LEVEL) -> tuple[Within, Quadratic]:
    V = Quadratic(2)
    return Within(ExponentialStability(V, rate=1.0), V, level), V


def test_nothing_is_asked_outside() -> None:
    condition, _ = within()
    x = torch.tensor([[1.5, 0.0], [3.0, 4.0]], dtype=torch.float64)
    assert all(bool((clause.margin(x) > 0).all()) for clause in condition.clauses(system))
    assert violation(condition, system, x, relative=True).item() == 0


def test_inside_the_margin_is_the_condition_s_own() -> None:
    condition, V = within(level=16.0)
    x = torch.tensor([[0.5, 0.2], [0.1, -1.0], [1e-4, 0.0]], dtype=torch.float64)
    own = ExponentialStability(V, rate=1.0).clauses(system)
    for clause, wanted in zip(condition.clauses(system), own, strict=True):
        assert clause.name == wanted.name
        torch.testing.assert_close(clause.margin(x), wanted.margin(x))


def test_a_violated_state_near_the_level_is_given_up() -> None:
    condition, V = within(level=9.0)
    x = torch.tensor([[2.99, 0.0]], dtype=torch.float64)
    violation(condition, system, x, relative=True).backward()
    assert V.R.grad is not None
    assert float((V.R.grad * V.R.detach()).sum()) < 0  # descent makes V larger there


def test_a_value_without_gradient_is_not_remembered_for_one_with_it() -> None:
    condition, V = within(level=9.0)
    clauses, x = condition.clauses(system), torch.tensor([[2.5, 0.0]], dtype=torch.float64)
    with torch.no_grad():
        values = [clause.margin(x) for clause in clauses]
    again = [clause.margin(x) for clause in clauses]
    assert [value.item() for value in values] == [value.item() for value in again]
    again[0].sum().backward()
    assert V.R.grad is not None
