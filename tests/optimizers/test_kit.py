"""The kit of optimizers: what is broken fails at the check that is meant for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ctrlnet
from ctrlnet import Nonconforming, UsageError, mlp
from ctrlnet.plugins import provenance
from ctrlnet.testing import check_optimizer
from ctrlnet.training import optimizer_named, optimizer_options


def outcomes(optimizer: Any) -> dict[str, tuple[bool, str]]:
    try:
        report = check_optimizer(optimizer)
    except Nonconforming as error:
        report = error.report
    return {outcome.check: (outcome.passed, outcome.detail) for outcome in report.outcomes}


class Descent(torch.optim.Optimizer):
    """w ← w − lr·(change of the gradient): right as it stands, and the bad ones below change one thing each."""

    ctrlnet_contract: Any = 1
    claims: Any = frozenset({"rotation"})

    def __init__(self, params, lr=1e-2, foreach=None):
        super().__init__(params, {"lr": lr, "foreach": foreach})

    def change(self, weight, group):
        return weight.grad

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.sub_(group["lr"] * self.change(weight, group))
        return loss


class Ascending(Descent):
    def change(self, weight, group):
        return -weight.grad


class OnlyHidden(Descent):
    """Descends where there are hidden layers, and climbs where there is one layer."""

    def change(self, weight, group):
        return weight.grad if len(group["params"]) > 2 else -weight.grad


class OnlyDouble(Descent):
    def change(self, weight, group):
        return weight.grad @ torch.eye(weight.shape[-1], dtype=torch.float64)


class Widening(Descent):
    def change(self, weight, group):
        weight.data = weight.data.double()
        weight.grad.data = weight.grad.data.double()
        return weight.grad


class Noisy(Descent):
    def change(self, weight, group):
        return weight.grad + 1e-6 * torch.randn_like(weight)


class Restless(Descent):
    """Moves the weights that have no gradient too."""

    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    weight.grad = 0.01 * weight.detach()
        return super().step(closure)


class Dividing(Descent):
    def change(self, weight, group):
        return weight.grad / weight.grad.norm()


class TwoLosses(Descent):
    def step(self, closure=None):
        loss = super().step(closure)
        return loss if closure is None else closure()


class DeafToRate(Descent):
    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = 1e-2
        return super().step(closure)


class Forgetful(Descent):
    """Keeps its momentum where no checkpoint sees it."""

    def change(self, weight, group):
        hidden = self.__dict__.setdefault("hidden", {})
        hidden[weight] = 0.9 * hidden.get(weight, 0) + weight.grad
        return hidden[weight]


class Halving(Forgetful):
    """Keeps its momentum in half precision, and only there rounds it: at a checkpoint."""

    def change(self, weight, group):
        state = self.state[weight]
        state["mean"] = 0.9 * state.get("mean", 0) + weight.grad
        return state["mean"]

    def state_dict(self):
        saved = super().state_dict()
        rounded = {key: {"mean": value["mean"].half().to(value["mean"])} for key, value in saved["state"].items()}
        return {**saved, "state": rounded}


class OtherLists(Descent):
    def change(self, weight, group):
        return weight.grad * (1 + 1e-6 * bool(group["foreach"]))


class Claiming(Descent):
    claims = frozenset({"loss scale", "sign", "row norms", "relative update"})


class Elementwise(Descent):
    def change(self, weight, group):
        return weight.grad.sign()


@pytest.mark.parametrize(
    ("optimizer", "failing", "reason"),
    [
        (Ascending, {"convex descent", "descent", "single precision"}, "100 steps with default options take"),
        (OnlyHidden, {"convex descent"}, "take a convex loss from"),
        (OnlyDouble, {"single precision", "checkpoint"}, "same dtype"),
        (Widening, {"single precision"}, "dtype kept: False"),
        (Noisy, {"determinism"}, "the same five steps twice"),
        (Restless, {"missing gradients"}, "without a gradient was moved"),
        (Dividing, {"zero gradients"}, "not finite"),
        (TwoLosses, {"closure"}, "not the first loss"),
        (DeafToRate, {"learning rate"}, "schedulers have no effect"),
        (Forgetful, {"checkpoint"}, "state is lost"),
        (Halving, {"checkpoint"}, "state is lost"),
        (OtherLists, {"lists of tensors"}, "foreach=True and foreach=False differ"),
        (Claiming, {"claims loss scale"}, "with 1024 times the loss the weights differ"),
        (Claiming, {"claims sign"}, "have changed their sign"),
        (Claiming, {"claims row norms"}, "the norm of a row has changed"),
        (Claiming, {"claims relative update"}, "do not move four times as far"),
        (Elementwise, {"claims rotation"}, "do not move to the turned weights"),
        (type("Boasting", (Descent,), {"claims": {"sing"}}), {"claims sing"}, "Did you mean 'sign'"),
        (type("Text", (Descent,), {"claims": "sign"}), {"claims"}, "give a set of names"),
    ],
)
def test_a_broken_optimizer_fails_at_its_check(optimizer, failing, reason):
    found = outcomes(optimizer)
    for check in failing:
        assert not found[check][0], found
    assert any(reason in detail for passed, detail in found.values() if not passed), found


def test_the_good_one_passes():
    assert check_optimizer(Descent).passed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_without_cuda_the_kit_says_so():
    assert outcomes(Descent)["cuda"] == (True, "not run: no CUDA")


def test_an_optimizer_that_asks_for_a_closure_gets_one():
    found = outcomes("lbfgs")
    assert found["closure"] == (True, "required, its loss returned")
    deaf = type("Deaf", (torch.optim.LBFGS,), {"ctrlnet_contract": 1, "step": lambda self, closure: None})
    assert not outcomes(deaf)["closure"][0] and not outcomes(deaf)["descent"][0]


@pytest.mark.parametrize(
    ("name", "option", "reason"),
    [
        ("agd", "deph", "The optimizer 'agd' has no option 'deph'. Did you mean 'depth'? Options: bias, depth, lr, "),
        ("agd_spectral", "polr", "Did you mean 'polar'?"),
        ("relative_trust", "on_nonfinit", "Did you mean 'on_nonfinite'?"),
        ("adamw", "weigth_decay", "Did you mean 'weight_decay'?"),
        ("muon", "momentun", "Did you mean 'momentum'?"),
        ("lbfgs", "history", "Did you mean 'history_size'?"),
        ("adamw", "learning_rate", "has no option 'learning_rate'. Did you mean 'lr'? Options: lr, betas"),
        ("fromage", "step_size", "Did you mean 'lr'? Options: lr, p_bound, maximize, foreach, on_nonfinite."),
        ("sgd", "xyz", "has no option 'xyz'. Options: lr, momentum"),
    ],
)
def test_an_option_that_does_not_exist(name, option, reason):
    with pytest.raises(UsageError) as error:
        optimizer_named(name, mlp((2, 3)), {option: 1})
    assert reason in str(error.value), str(error.value)


def test_options_that_no_signature_tells():
    anything = type("Anything", (Descent,), {"__init__": lambda self, params, **rest: None})
    assert optimizer_options(anything) == ("lr", "foreach")  # handed on to the base class
    for name in ("fromage", "nero", "madam", "madam_integer", "mfac"):
        options = optimizer_options(ctrlnet.load("optimizers", name))
        assert options[-3:] == ("maximize", "foreach", "on_nonfinite") and not {"options", "shared"} & set(options)
    assert "polar" in optimizer_options(ctrlnet.load("optimizers", "agd_spectral"))
    assert optimizer_options(lambda params: None) is None


def test_options_that_exist_are_taken():
    optimizer = optimizer_named("agd", mlp((2, 3)), {"depth": 4, "lr": 0.5})
    assert optimizer.depth == 4 and optimizer.param_groups[0]["lr"] == 0.5


def test_the_table_has_one_row_for_each_optimizer_and_its_claims():
    page = Path(__file__).parents[2] / "docs" / "optimizers.md"
    table = page.read_text(encoding="utf-8").split("## The rules\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    ours = [name for name in ctrlnet.names("optimizers") if provenance("optimizers", name)["distribution"] == "ctrlnet"]
    assert sorted(row[0].strip("`") for row in rows) == sorted(ours)
    for row in rows:
        claims = getattr(ctrlnet.load("optimizers", row[0].strip("`")), "claims", frozenset())
        assert set(filter(None, row[5].split(", ") if len(row) > 5 else ())) == claims, row[0]
