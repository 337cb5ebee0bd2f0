"""Options of `solve` that do not go together are refused; compiled steps where no graph can be."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import Energy, NetworkEnergy, Tolerance, UsageError, load, mlp, odeint, solve
from ctrlnet.integrators import graphs

D = torch.float64
X0 = torch.tensor([[1.0, 0.5], [-0.3, 0.2]], dtype=D)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "dopri5", "step": 0.1, "tolerance": Tolerance(1e-3, 1e-3)}, "Leave out step, and 'dopri5' chooses"),
        ({"method": "dopri5", "step": 0.1, "tolerance": Tolerance()}, "or leave out tolerance"),
        ({"method": load("integrators", "tsit5"), "step": 0.1, "tolerance": Tolerance()}, "Leave out step"),
        ({"method": "rk4", "step": 0.1, "tolerance": Tolerance(longest=0.1)}, "give step=.*'dopri5'"),
        ({"method": "rk4", "tolerance": Tolerance()}, "equal steps"),
        ({"method": "ab3", "tolerance": Tolerance()}, "the method 'ab3' takes equal steps"),
        ({"step": "0.1"}, "number of seconds"),
    ],
)
def test_what_the_steps_would_not_know_is_refused(options: dict[str, Any], words: str) -> None:
    for call in (solve, odeint):
        with pytest.raises(UsageError, match=words):
            call(torch.neg, X0, [0, 1], **options)  # type: ignore[operator]


def test_the_tolerance_of_one_who_gives_none_goes_with_everything() -> None:
    for options in ({"step": 0.1}, {"method": "dopri5"}, {"method": "dopri5", "step": 0.1}, {}):
        assert solve(torch.neg, X0, [0, 1], **options).status == "done"  # type: ignore[arg-type]


def test_instants_with_an_imaginary_part_are_refused() -> None:
    with pytest.raises(UsageError, match="list of numbers"):
        solve(torch.neg, X0, torch.tensor([0, 1 + 1j]))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No graphs, nothing said yet."""
    monkeypatch.setattr(graphs, "BACKEND", "aot_eager")
    for kept in (graphs._graphs, graphs._shapes, graphs._said):
        kept.clear()
    yield


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("method", ["implicit_midpoint", "gauss4", "avf"])
def test_implicit_methods_iterate_as_they_are(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """Until every state has arrived, which no graph can say; the log does, once, and the numbers are the same."""
    turn, x0 = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=D), X0.clone().requires_grad_()
    weights = torch.arange(6, dtype=D).reshape(3, 2).cos()
    field = Energy(NetworkEnergy(weights, weights[:, 0]), turn) if method == "avf" else mlp((2, 8, 2), seed=0)

    def both(gradient: str) -> Iterator[tuple[Tensor, Tensor]]:
        for compiled in (False, True):
            x = odeint(field, x0, [0, 0.3, 1], method=method, step=0.2, gradient=gradient, compiled=compiled)
            yield x.detach(), torch.autograd.grad(x.square().sum(), x0)[0]

    with caplog.at_level(logging.WARNING, "ctrlnet"):
        for gradient in ("backprop", "checkpoint"):
            plain, quick = both(gradient)
            assert all(torch.equal(one, other) for one, other in zip(plain, quick, strict=True))
    assert len([one for one in caplog.records if "run as they are" in one.message]) == 1


def test_a_solution_goes_to_another_process_without_its_dense_output() -> None:
    solution = solve(lambda x: -x, torch.ones(3, 2), [0, 1], step=0.1)
    again = pickle.loads(pickle.dumps(solution))
    assert solution.dense is not None
    assert again.dense is None
    assert torch.equal(again.x, solution.x)
    assert again.status == "done"
