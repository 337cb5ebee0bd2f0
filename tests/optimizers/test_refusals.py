"""What the rules refuse before anything moves: options, learning rates gone wrong, and states that are not theirs."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import ctrlnet
from ctrlnet import UsageError

NAMES = ["fromage", "nero", "madam", "madam_integer", "mfac", "agd", "agd_spectral", "relative_trust"]


def started(name: str, shape: tuple[int, ...] = (4, 3), dtype: torch.dtype = torch.float64, **options):
    """A rule over one weight that has a gradient, and the weight."""
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype))
    weight.grad = torch.randn(shape, generator=generator, dtype=dtype)
    return ctrlnet.load("optimizers", name)([("weight", weight)], **options), weight


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lr", ["0.1", None, [0.1], True, 1j, torch.ones(2)])
def test_a_learning_rate_that_is_no_number(name, lr):
    with pytest.raises(UsageError, match="lr must be a number"):
        started(name, lr=lr)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lr", [1, torch.tensor(0.1), np.float32(0.1)])
def test_a_learning_rate_of_any_type_of_number(name, lr):
    optimizer, weight = started(name, lr=lr)
    before = weight.detach().clone()
    optimizer.step()
    assert not torch.equal(weight, before) and bool(weight.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", [{"foreach": "x"}, {"maximize": "no"}, {"maximize": None}, {"foreach": 2}])
def test_a_switch_that_is_no_truth_value(name, option):
    key, value = next(iter(option.items()))
    with pytest.raises(UsageError, match=f"{key} is {value!r}; allowed: True, False"):
        started(name, **option)


@pytest.mark.parametrize(("name", "option"), [
    ("nero", {"constrain": "no"}), ("nero", {"beta": "0.9"}), ("fromage", {"p_bound": "2"}),
    ("madam", {"p_scale": None}), ("madam_integer", {"bits": 8.0}), ("mfac", {"history": True}),
    ("agd", {"bias_lr": "1"}),
])  # fmt: skip
def test_an_option_of_the_wrong_type(name, option):
    with pytest.raises(UsageError, match=next(iter(option))):
        started(name, **option)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lr", [math.nan, -1e-3, math.inf, "0.1", torch.tensor(math.nan)])
def test_a_learning_rate_gone_wrong_moves_nothing(name, lr):
    """The second of two groups has it; the first does not move either."""
    optimizer, weight = started(name)
    other = nn.Parameter(weight.detach() + torch.eye(4, 3))
    other.grad = torch.ones_like(other)
    optimizer.add_param_group({"params": [("other", other)]})
    optimizer.step()
    before, state = [weight.detach().clone(), other.detach().clone()], copy.deepcopy(optimizer.state_dict()["state"])
    optimizer.param_groups[1]["lr"] = lr
    with pytest.raises(UsageError, match="lr must be a number"):
        optimizer.step()
    assert torch.equal(weight, before[0]) and torch.equal(other, before[1])
    for index, kept in optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, state[index][key]) for key, value in kept.items())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("foreach", [False, True])
def test_a_parameter_without_axes(name, foreach):
    options = {"bias": "block"} if name in ("agd", "agd_spectral", "relative_trust") else {}
    weight = nn.Parameter(torch.tensor(2.0))
    optimizer = ctrlnet.load("optimizers", name)([weight], foreach=foreach, **options)
    for _ in range(3):
        optimizer.zero_grad()
        weight.square().backward()
        optimizer.step()
    assert weight.shape == () and 0 < abs(float(weight.detach())) < 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("foreign", ["adamw", "sgd", "muon"])
def test_the_state_of_another_optimizer(name, foreign):
    optimizer, weight = started(name)
    other = ctrlnet.load("optimizers", foreign)([weight])
    other.step()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(UsageError, match=rf"no state of .*groups lack .*seems to be one of '{foreign}': load it"):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.state_dict() == before
    optimizer.step()


def test_the_state_of_a_rule_with_the_same_options_and_more():
    optimizer, _ = started("madam")
    other, _ = started("madam_integer")
    other.step()
    with pytest.raises(UsageError, match=r"of 'weight' it has bound \[\], code \[4, 3\], .* instead of bound \[\]"):
        optimizer.load_state_dict(other.state_dict())
    assert not optimizer.state


@pytest.mark.parametrize("name", ["nero", "madam", "madam_integer", "mfac"])
def test_the_state_of_another_network(name):
    optimizer, weight = started(name)
    optimizer.step()
    before = copy.deepcopy(optimizer.state[weight])
    other, _ = started(name, shape=(5, 3))
    other.step()
    with pytest.raises(UsageError, match=r"it has .*5.* instead of .*4"):
        optimizer.load_state_dict(other.state_dict())
    more, _ = started(name)
    more.add_param_group({"params": [("other", nn.Parameter(torch.eye(3)))]})
    with pytest.raises(UsageError, match=r"groups of \[1, 1\] tensors, the optimizer of \[1\]"):
        optimizer.load_state_dict(more.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in optimizer.state[weight].items())


def test_a_state_with_another_history():
    optimizer, _ = started("mfac", history=8)
    other, _ = started("mfac", history=4)
    other.step()
    with pytest.raises(UsageError, match=r"history is one for all .* has 4, the optimizer 8. Pass history=4 to MFAC"):
        optimizer.load_state_dict(other.state_dict())
    assert not optimizer.state and optimizer.param_groups[0]["history"] == 8
    optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_a_rule_under_a_scheduler_is_its_own(name):
    """A scheduler adds entries to the groups, and the weights may still be zero when the state arrives."""
    options = {"constrain": False} if name == "nero" else {}
    optimizer, _ = started(name, **options)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step(), scheduler.step()
    resumed, weight = started(name, **options)
    with torch.no_grad():
        weight.zero_()
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == optimizer.defaults["lr"] / 2


def displacement(name: str, shape: tuple[int, ...], dtype: torch.dtype, size: float) -> torch.Tensor:
    """Of five steps whose gradients are of about that size."""
    generator, options = torch.Generator().manual_seed(0), {"bits": 14} if name == "madam_integer" else {}
    optimizer, weight = started(name, shape, dtype, **options)
    before = weight.detach().double().clone()
    for _ in range(5):
        gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
        weight.grad = (size * gradient.sign() * (gradient.abs() + 0.5) / 1.3).to(dtype)
        optimizer.step()
    return weight.detach().double() - before


@pytest.mark.parametrize("name", ["nero", "madam", "madam_integer"])
@pytest.mark.parametrize("shape", [(6,), (8, 6)])
@pytest.mark.parametrize(("dtype", "sizes", "too_small"), [
    (torch.float32, (1e-16, 1e18), (1e-20, 1e-21, 1e-23, 1e-30)),
    (torch.float64, (1e-150, 1e153), (1e-155, 1e-160)),
])  # fmt: skip
def test_the_sizes_of_gradients_between_which_the_scale_of_the_loss_does_not_matter(
    name, shape, dtype, sizes, too_small
):
    plain = displacement(name, shape, dtype, 1.0)
    for size in sizes:
        assert float((displacement(name, shape, dtype, size) - plain).norm()) <= 0.01 * float(plain.norm())
    for size in too_small:  # never farther than the rule would go
        assert float(displacement(name, shape, dtype, size).norm()) < 0.5 * float(plain.norm())
