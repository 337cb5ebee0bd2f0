"""The conformance kits: everything installed passes them, and what breaks a contract does not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

import ctrlnet
from ctrlnet import Nonconforming, RungeKutta, Step, Tableau
from ctrlnet.cli.plugins import main
from ctrlnet.testing import check_environment, check_integrator, check_optimizer, check_task


@pytest.mark.parametrize("name", ctrlnet.names("integrators"))
def test_every_integrator_conforms(name):
    assert check_integrator(name).passed


@pytest.mark.parametrize("name", ctrlnet.names("optimizers"))
def test_every_optimizer_conforms_resumes_bit_for_bit_and_keeps_its_claims(name):
    report = check_optimizer(name)
    found = {outcome.check: outcome.detail for outcome in report.outcomes}
    assert report.passed and found["checkpoint"] == "resumes bit for bit"
    claims = {check.removeprefix("claims ") for check in found if check.startswith("claims ")}
    assert claims == set(getattr(ctrlnet.load("optimizers", name), "claims", ()))


@pytest.mark.parametrize("name", ctrlnet.names("environments"))
def test_every_environment_conforms(name):
    assert check_environment(name).passed


class Midpoint:
    """A good method, from which the bad ones below are made."""

    ctrlnet_contract: Any = 1
    order: Any = 2
    needs = "Field"

    def init(self, field, t, x):
        return None

    def step(self, field, t, x, h, carry):
        return Step(x + h * field(t + h / 2, x + h / 2 * field(t, x)), None, None)


class NoContract(Midpoint):
    ctrlnet_contract = None


class Boasting(Midpoint):
    order = 3


class NoOrder(Midpoint):
    order = None


class Mixing(Midpoint):
    def step(self, field, t, x, h, carry):
        return Step(super().step(field, t, x, h, carry).x + 1e-6 * (x.mean() - x), None, None)


class Widening(Midpoint):
    def step(self, field, t, x, h, carry):
        return Step(super().step(field, t, x, h, carry).x.double(), None, None)


class Remembering(Midpoint):
    count = 0

    def step(self, field, t, x, h, carry):
        self.count += 1
        return Step(super().step(field, t, x, h, carry).x * (1 + 1e-12 * self.count), None, None)


class Overwriting(Midpoint):
    def step(self, field, t, x, h, carry):
        with torch.no_grad():
            x += h * field(t + h / 2, x + h / 2 * field(t, x))
        return Step(x.clone(), None, None)


class IgnoringTime(Midpoint):
    def step(self, field, t, x, h, carry):
        return super().step(lambda _, x: field(0.0, x), t, x, h, carry)


class Detached(Midpoint):
    def step(self, field, t, x, h, carry):
        return Step(super().step(field, t, x.detach(), h, carry).x, None, None)


class WrongTuple(Midpoint):
    def step(self, field, t, x, h, carry):
        return tuple(super().step(field, t, x, h, carry))


def test_the_good_one_passes():
    assert check_integrator(Midpoint).passed


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (NoContract, "ctrlnet_contract is None, not 1"),
        (Boasting, "measured order 2.0., claimed 3"),
        (NoOrder, "order is None"),
        (Mixing, "every row must be treated by itself"),
        (Widening, "it must be like them"),
        (Remembering, "must travel in carry"),
        (Overwriting, "writes into the states"),
        (IgnoringTime, "measured order"),
        (Detached, "gradient: "),
        (WrongTuple, "must return a ctrlnet.Step"),
        (RungeKutta(Tableau(order=3, a=((), (1 / 2,)), b=(0, 1))), "measured order"),
        (RungeKutta(Tableau(2, ((), (1 / 2,)), (0, 1), b_low=(0, 1), embedded_order=1)), "error estimate"),
    ],
)
def test_an_integrator_that_breaks_the_contract(method, reason):
    with pytest.raises(Nonconforming, match=reason) as error:
        check_integrator(method)
    assert not error.value.report.passed and "FAILED" in str(error.value.report)


class Descent(torch.optim.SGD):
    """A good optimizer, from which the bad ones below are made."""

    ctrlnet_contract: Any = 1


class Undeclared(Descent):
    ctrlnet_contract = None


class Ascending(Descent):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, lr=lr, maximize=True)


class DeafToRate(Descent):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = 1e-3
        return super().step(closure)


class Forgetful(Descent):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, lr=lr, momentum=0.9)

    def state_dict(self):
        return {**super().state_dict(), "state": {}}


class DeafToClosure(Descent):
    def step(self, closure=None):
        return super().step(None)


class Dividing(Descent):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.grad /= weight.grad.norm()
        return super().step(closure)


class NeedsRate(Descent):
    def __init__(self, params, *, rate):
        super().__init__(params, lr=rate)


class Stumbling(Descent):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad.clamp_(-1, 1)
        return super().step(closure)


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (Undeclared, "ctrlnet_contract is None"),
        (type("NoOptimizer", (), {"ctrlnet_contract": 1}), "subclass of torch.optim.Optimizer"),
        (Ascending, "descent: "),
        (DeafToRate, "learning rate: "),
        (Forgetful, "checkpoint: "),
        (DeafToClosure, "closure: "),
        (Dividing, "zero gradients: "),
        (NeedsRate, "defaults: "),
        (Stumbling, "missing gradients: "),
    ],
)
def test_an_optimizer_that_breaks_the_contract(optimizer, reason):
    with pytest.raises(Nonconforming, match=reason):
        check_optimizer(optimizer)


def test_the_command_line_checks_by_name(capsys):
    assert main(["check", "rk4", "agd"]) == 0
    text = capsys.readouterr().out
    assert "integrator 'rk4'" in text and "2 of 2 pass" in text


def test_the_command_line_speaks_json(capsys):
    assert main(["check", "rk4", "--json"]) == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["passed"] and line["name"] == "rk4" and {row["check"] for row in line["checks"]} >= {"order", "rows"}
    assert main(["list", "--kind", "optimizers"], json=True) == 0
    rows = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [row["name"] for row in rows] == ctrlnet.names("optimizers")


def test_show_says_where_it_comes_from_and_what_it_is(capsys):
    assert main(["show", "agd"]) == 0 and main(["show", "rk4"]) == 0
    text = capsys.readouterr().out
    assert "on_nonfinite: str = 'skip'" in text and "arXiv 2304.05187" in text
    assert "Kutta" in text and "ctrlnet_plugins.integrators" in text


Pendulum: Any = ctrlnet.load("environments", "pendulum")


def variation(**members: Any) -> Any:
    """The pendulum with other members."""
    return dataclasses.dataclass(frozen=True)(type("Variation", (Parent,), members))


class Parent(ctrlnet.Environment):
    """Everything as the pendulum has it."""

    ctrlnet_contract: Any = 1
    name: Any = "pendulum"
    pendulum = Pendulum()

    @property
    def system(self):
        return self.pendulum.system

    @property
    def box(self):
        return self.pendulum.box

    def policy(self, seed=0):
        return self.pendulum.policy(seed)

    def candidates(self, seed=0):
        return self.pendulum.candidates(seed)

    def conditions(self, candidates):
        return self.pendulum.conditions(candidates)


def test_the_variation_passes():
    assert check_environment(variation()).passed


def lying_twin(self):
    twin = Pendulum().twin()
    return dataclasses.replace(twin, mjcf=twin.mjcf.replace('damping="0.1"', 'damping="0.1001"'))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"ctrlnet_contract": 2}, "ctrlnet_contract is 2, not 1"),
        ({"name": ""}, "name: "),
        ({"box": ctrlnet.Box([-1.0], [1.0])}, "box has dimension 1"),
        ({"box": ctrlnet.Box([0.0, -1.0], [1.0, 1.0])}, "not in the interior"),
        ({"box": property(lambda self: 1 / 0)}, "ZeroDivisionError"),
        ({"equilibrium": (0.5, 0.0)}, "it must vanish"),
        ({"control_equilibrium": (7.0,)}, "outside the limits"),
        ({"system": property(lambda self: Pendulum().system)}, "functools.cached_property"),
        ({"policy": lambda self, seed=0: ctrlnet.mlp((2, 8, 1), seed=seed)}, "misses u"),
        ({"policy": lambda self, seed=0: self.pendulum.policy(0)}, "use the seed"),
        ({"policy": lambda self, seed=0: self.pendulum.policy(None)}, "two different policies"),
        ({"candidates": lambda self, seed=0: {}}, "candidates: "),
        ({"candidates": lambda self, seed=0: {"V": ctrlnet.mlp((2, 8, 1), seed=1)}}, "candidate 'V'"),
        ({"conditions": lambda self, candidates: {}}, "conditions: "),
        ({"recipe": 3}, "recipe is a int"),
        ({"twin": lying_twin}, "x' of the twin and of the system differ"),
    ],
)
def test_an_environment_that_breaks_the_contract(members, reason):
    with pytest.raises(Nonconforming, match=reason):
        check_environment(variation(**members))


def test_an_environment_that_is_no_dataclass():
    with pytest.raises(Nonconforming, match="no frozen dataclass"):
        check_environment(Parent)
    with pytest.raises(Nonconforming, match=r"no subclass of ctrlnet\.Environment"):
        check_environment(type("Nothing", (), {"ctrlnet_contract": 1}))


class Chore:
    """What a task must be able to do."""

    ctrlnet_contract = 1
    name = "chore"
    parameters = property(lambda self: {})
    train = untrained = statements = recipe_settings = lambda self: None


def test_a_task():
    assert check_task(Chore).passed
    with pytest.raises(Nonconforming, match="it has no train"):
        check_task(type("Idle", (Chore,), {"train": None}))
