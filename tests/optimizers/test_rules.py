"""What every update rule of our own does alike, whatever its equation."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import ctrlnet
from ctrlnet import NonFinite, UsageError, mlp

NAMES = ["fromage", "nero", "madam", "madam_integer", "mfac"]
STATE = {"fromage": 0, "nero": 1 / 8, "madam": 1, "madam_integer": 1 + 1 / 8, "mfac": 4}  # numbers a weight, rows of 8


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    return mlp((3, 8, 8, 2), seed=0, dtype=dtype)


def optimizer(name: str, module: nn.Module, **options):
    options = {"history": 4, **options} if name == "mfac" else options
    return ctrlnet.load("optimizers", name).for_module(module, **options)


def backward(module: nn.Module, scale: float = 1.0) -> Tensor:
    weight = next(module.parameters())
    x = torch.linspace(-1, 1, 60, dtype=weight.dtype, device=weight.device).reshape(20, 3)
    module.zero_grad()
    loss = (module(x) - torch.stack([x.prod(-1), x[:, 0].sin()], -1)).square().mean()
    (scale * loss).backward()
    return loss.detach()


def steps(built, module: nn.Module, count: int, scale: float = 1.0) -> list[Tensor]:
    for _ in range(count):
        backward(module, scale)
        built.step()
    return [parameter.detach().clone() for parameter in module.parameters()]


def bits(built) -> list[tuple[str, torch.dtype, bytes]]:
    state = built.state_dict()["state"]
    return [
        (key, value.dtype, value.detach().cpu().numpy().tobytes())
        for index in sorted(state)
        for key, value in sorted(state[index].items())
    ]


@pytest.mark.parametrize("name", NAMES)
def test_state_travels_bit_for_bit(name):
    module = network(torch.float32)
    built = optimizer(name, module)
    steps(built, module, 7)
    stored, copied_module = copy.deepcopy(built.state_dict()), copy.deepcopy(module)
    loaded = optimizer(name, copied_module)
    loaded.load_state_dict(stored)
    assert bits(loaded) == bits(built)
    pickled, pickled_module = pickle.loads(pickle.dumps((built, module)))
    one, *others = (steps(*pair, 6) for pair in ((built, module), (loaded, copied_module), (pickled, pickled_module)))
    for other in others:
        assert all(map(torch.equal, one, other))
    assert bits(loaded) == bits(built) == bits(pickled)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_kept_a_weight(name):
    weight = nn.Parameter(torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))
    built = ctrlnet.load("optimizers", name)([weight], **({"history": 4} if name == "mfac" else {}))
    weight.grad = torch.ones_like(weight)
    built.step()
    kept = sum(value.numel() for key, value in built.state[weight].items() if value.ndim and key != "gram")
    assert kept == STATE[name] * weight.numel()


@pytest.mark.parametrize("name", NAMES)
def test_maximize_climbs_as_descent_falls(name):
    up, down = network(), network()
    climbing, falling = optimizer(name, up, maximize=True), optimizer(name, down)
    for _ in range(5):
        backward(down, -1.0)
        for one, other in zip(up.parameters(), down.parameters(), strict=True):
            one.grad = -other.grad
        climbing.step(), falling.step()
    for one, other in zip(up.parameters(), down.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_a_closure_is_evaluated_with_gradients(name):
    module, twin = network(), network()
    built, other = optimizer(name, module), optimizer(name, twin)
    expected = backward(twin)
    other.step()
    assert built.step(lambda: backward(module)) == expected
    assert all(map(torch.equal, module.parameters(), twin.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_lists_and_loops_agree(name):
    one, other = network(), network()
    loop = steps(optimizer(name, one, foreach=False), one, 30)
    lists = steps(optimizer(name, other, foreach=True), other, 30)
    for left, right in zip(loop, lists, strict=True):
        assert torch.allclose(left, right, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("begun", [0, 3])
def test_a_gradient_that_is_not_finite_changes_nothing(name, poison, begun, caplog):
    module = network()
    built = optimizer(name, module, on_nonfinite="raise")
    before = steps(built, module, begun)
    backward(module)
    module[2].weight.grad[1, 2] = poison
    state = bits(built)
    with pytest.raises(NonFinite, match=r"'2\.weight'"):
        built.step()
    assert all(map(torch.equal, before, module.parameters()))
    assert bits(built) == state or not begun
    skipping = optimizer(name, module, on_nonfinite="skip")
    before = [parameter.detach().clone() for parameter in module.parameters()]
    skipping.step()
    assert skipping.skipped == 1 and "2.weight" in caplog.text
    assert all(map(torch.equal, before, module.parameters()))
    assert all(bool(weight.isfinite().all()) for weight in steps(skipping, module, 3))


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_meant_is_refused(name):
    kind = ctrlnet.load("optimizers", name)
    weight = nn.Parameter(torch.randn(4, 4))
    for options in ({"lr": -1.0}, {"lr": math.nan}, {"on_nonfinite": "ignore"}):
        with pytest.raises(UsageError):
            kind([weight], **options)
    with pytest.raises(UsageError, match=r"view_as_complex"):
        kind([nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))])
    built = kind([("embedding", weight)])
    weight.grad = torch.eye(4).to_sparse()
    with pytest.raises(UsageError, match=r"'embedding'.*sparse=False"):
        built.step()
    before = len(built.param_groups)
    with pytest.raises(UsageError):
        built.add_param_group({"params": [("bias", nn.Parameter(torch.ones(2)))], "lr": -1.0})
    assert len(built.param_groups) == before


@pytest.mark.parametrize("name", ["nero", "madam"])
def test_half_precision_is_refused_where_it_would_stand_still(name):
    with pytest.raises(UsageError, match=r"bfloat16 cannot hold; 'weight' has it.*autocast"):
        ctrlnet.load("optimizers", name).for_module(nn.Linear(4, 3).to(torch.bfloat16))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_tensor_is_left_alone(name):
    weight, empty = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.zeros(0, 3))
    built = ctrlnet.load("optimizers", name)([empty, weight])
    before = weight.detach().clone()
    weight.grad, empty.grad = torch.ones(4, 3), torch.zeros(0, 3)
    weight.grad[0] = -2
    built.step()
    assert bool(weight.isfinite().all()) and not torch.equal(weight, before)


@pytest.mark.parametrize(("name", "option"), [
    ("fromage", {"p_bound": 0.0}), ("nero", {"beta": 1.0}), ("madam", {"p_scale": -1.0}), ("madam", {"g_bound": 0}),
    ("madam", {"beta": -0.1}), ("madam_integer", {"bits": 15}), ("madam_integer", {"bits": 8.5}),
    ("madam_integer", {"span": math.inf}), ("mfac", {"damping": 0.0}), ("mfac", {"history": 0}),
])  # fmt: skip
def test_options_are_checked(name, option):
    with pytest.raises(UsageError, match=next(iter(option))):
        ctrlnet.load("optimizers", name)([nn.Parameter(torch.randn(4, 4))], **option)


@pytest.mark.parametrize("name", ["fromage", "nero", "madam"])
@pytest.mark.parametrize("scale", [2.0**-30, 3e-9, 1e7])
def test_the_scale_of_the_loss_does_not_matter(name, scale):
    one, other = network(), network()
    plain = steps(optimizer(name, one), one, 20)
    scaled = steps(optimizer(name, other), other, 20, scale)
    for left, right in zip(plain, scaled, strict=True):
        assert torch.allclose(left, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_any_layout(name):
    """A convolution in channels-last order, and a transposed gradient, move as contiguous ones do."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, 2, 2, generator=generator, dtype=torch.float64)
    plain, last = nn.Parameter(start.clone()), nn.Parameter(start.clone().to(memory_format=torch.channels_last))
    kind = ctrlnet.load("optimizers", name)
    one, other = kind([plain]), kind([last])
    for _ in range(5):
        gradient = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        plain.grad, last.grad = gradient, gradient.clone().to(memory_format=torch.channels_last)
        one.step(), other.step()
    assert torch.allclose(plain, last, rtol=1e-12, atol=1e-14) and not torch.equal(plain, start)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_whose_square_overflows_changes_nothing(name):
    module = network(torch.float32)
    built = optimizer(name, module)
    before, state = steps(built, module, 2), bits(built)
    backward(module)
    module[2].weight.grad[1, 2] = 1e30
    with pytest.raises(NonFinite, match=r"overflows: '2\.weight'"):
        built.step()
    assert all(map(torch.equal, before, module.parameters())) and bits(built) == state


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_was_made_without_looking_is_put_back(name):
    """What CUDA does with on_nonfinite="skip", here on a processor."""
    module = network()
    built = optimizer(name, module, on_nonfinite="skip")
    before, state = steps(built, module, 3), bits(built)
    for poison, moved in ((math.nan, False), (math.inf, False), (1.0, True)):
        backward(module)
        module[2].weight.grad[1, 2] *= poison
        with torch.no_grad():
            parts = [built._part(group) for group in built.param_groups]
            measures = [built.measure(part) for part in parts]
            finite = torch.stack([torch.as_tensor(m).isfinite().all() for own in measures for m in own]).all()
            built._move_or_put_back(parts, measures, finite)
        assert all(map(torch.equal, before, module.parameters())) is not moved
        assert (bits(built) == state) is (not moved or name == "fromage")
    assert built.skipped == 2


@pytest.mark.parametrize("name", NAMES)
def test_hooks_and_the_profiler_see_a_step(name):
    """Each kind of hook by itself, as long as it is registered; and the step's name in a profile."""
    module, seen = network(), []
    built = optimizer(name, module)
    for register in (
        built.register_step_pre_hook, built.register_step_post_hook,
        register_optimizer_step_pre_hook, register_optimizer_step_post_hook,
    ):  # fmt: skip
        handle = register(lambda stepped, *_: seen.append(stepped))
        steps(built, module, 1)
        handle.remove()
        steps(built, module, 1)
    assert seen == [built] * 4
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        steps(built, module, 2)
    (label,) = (event for event in profile.key_averages() if event.key.startswith("Optimizer.step#"))
    assert label.key == f"Optimizer.step#{type(built).__name__}.step" and label.count == 2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("name", NAMES)
def test_cuda_moves_as_the_processor_and_waits_for_nothing(name):
    here, there = network(), network().cuda()
    expected = steps(optimizer(name, here), here, 20)
    built = optimizer(name, there, on_nonfinite="skip")
    steps(built, there, 2)
    backward(there)
    next(there.parameters()).grad[0, 0] = math.nan
    torch.cuda.set_sync_debug_mode("error")
    try:
        built.step()  # skipped
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert built.skipped == 1
    for left, right in zip(expected, steps(built, there, 18), strict=True):
        assert torch.allclose(left, right.cpu(), rtol=1e-9, atol=1e-11)
