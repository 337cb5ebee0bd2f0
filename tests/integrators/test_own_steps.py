"""Every state of a batch in steps, and through instants, of its own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ctrlnet import NonFinite, ShapeError, SolveFailed, Tolerance, UsageError, mlp, odeint, solve, timed

DTYPE = torch.float64


def oscillator(x: Tensor) -> Tensor:
    """Position, velocity and a frequency of its own, which stays."""
    position, velocity, frequency = x.unbind(-1)
    return torch.stack([frequency * velocity, -frequency * position, torch.zeros_like(frequency)], -1)


def states(*frequencies: float) -> Tensor:
    return torch.tensor([[1.0, 0.0, frequency] for frequency in frequencies], dtype=DTYPE)


def test_each_state_takes_the_steps_that_it_takes_alone() -> None:
    x0 = states(0.1, 1.0, 3.0, 20.0, 0.5)
    t = torch.linspace(0, 3, 7, dtype=DTYPE)
    whole = solve(oscillator, x0, t, method="dopri5")
    alone = [solve(oscillator, row, t, method="dopri5") for row in x0]
    assert whole.sample_steps.tolist() == [one.steps for one in alone]
    assert whole.steps == max(one.steps for one in alone) > 10 * min(one.steps for one in alone)
    assert torch.allclose(whole.x, torch.stack([one.x for one in alone], 1), atol=1e-13)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(solve(oscillator, x0[order], t, method="dopri5").x, whole.x[:, order], atol=1e-13)


def test_the_finished_are_not_evaluated_again() -> None:
    rows = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal rows
        rows += len(x)
        return oscillator(x)

    slow, fast = states(*[1.0] * 255), states(50.0)
    counts = []
    for x0 in (slow, fast, torch.cat([slow, fast])):
        rows = 0
        solve(counted, x0, [0, 2], method="dopri5")
        counts.append(rows)
    assert counts[2] <= 1.01 * (counts[0] + counts[1]) + 1


def test_a_field_that_holds_a_parameter_for_each_state_is_asked_about_all() -> None:
    frequency = torch.tensor([[0.5], [10.0]], dtype=DTYPE)
    field = lambda x: frequency * torch.stack([x[..., 1], -x[..., 0]], -1)  # noqa: E731
    x0 = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=DTYPE)
    t = torch.linspace(0, 2, 9, dtype=DTYPE)
    for method in ("dopri5", "rk4"):
        x = odeint(field, x0, t, method=method, step=0.01 if method == "rk4" else None)
        assert torch.allclose(x[..., 0], torch.cos(frequency[:, 0] * t[:, None]), atol=1e-4)
    deep = x0.reshape(1, 2, 1, 2).expand(3, 2, 1, 2).contiguous()
    wide = lambda x: frequency.reshape(2, 1, 1) * torch.stack([x[..., 1], -x[..., 0]], -1)  # noqa: E731
    assert torch.allclose(odeint(wide, deep, t, method="dopri5")[:, 0, :, 0], x[:], atol=1e-4)


def test_a_field_that_couples_the_states_of_a_batch_is_refused_steps_of_their_own() -> None:
    """They would meet at different times; in equal steps they do not."""
    field = lambda x: x.mean(0) - x  # noqa: E731
    x0, own = torch.tensor([[1.0], [3.0]], dtype=DTYPE), torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    for options in ({"method": "dopri5"}, {"t": own, "step": 0.01}):
        with pytest.raises(UsageError, match="depends on the other states"):
            odeint(field, x0, **{"t": [0, 1], **options})  # type: ignore[arg-type]
    together = odeint(field, x0, [0, 1], method="dopri5", step=0.1)[-1, :, 0]
    assert torch.allclose(together, 2 + torch.tensor([-1, 1], dtype=DTYPE) * math.exp(-1), atol=1e-7)


@pytest.mark.parametrize(("method", "step"), [("rk4", 0.01), ("euler", 1e-3), ("dopri5", None)])
def test_instants_of_its_own_for_each_state(method: str, step: float | None) -> None:
    t = torch.tensor([[0.0, 1.0, -1.0], [1.0, 1.5, 0.0], [2.5, 2.0, 3.0]], dtype=DTYPE)
    x0 = torch.stack([torch.cos(t[0]), -torch.sin(t[0]), torch.ones(3, dtype=DTYPE)], -1)
    solution = solve(oscillator, x0, t, method=method, step=step)
    assert solution.t.shape == (3, 3)
    assert torch.allclose(solution.x[..., 0], torch.cos(t), atol=5e-3 if method == "euler" else 1e-6)
    assert solution.dense is not None


def test_time_reaches_the_field_as_a_tensor_that_broadcasts() -> None:
    seen = set[tuple[int, ...]]()

    def field(t: Tensor, x: Tensor) -> Tensor:
        seen.add(tuple(t.shape[1:]) if t.ndim else ())
        return x * torch.cos(t)

    t = torch.linspace(0, 2, 5, dtype=DTYPE)
    for method in ("rk4", "dopri5"):
        x = odeint(
            timed(field), torch.ones(4, 1, dtype=DTYPE), t, method=method, step=0.01 if method == "rk4" else None
        )
        assert torch.allclose(x[:, :, 0], torch.sin(t).exp()[:, None].expand(5, 4), atol=1e-6)
    assert seen == {(), (1,)}


def test_gradient_with_respect_to_instants() -> None:
    t = torch.tensor([0.2, 1.3], dtype=DTYPE, requires_grad=True)
    own = torch.tensor([[0.2, 0.0], [1.3, 2.0]], dtype=DTYPE, requires_grad=True)
    for times in (t, own):
        for method, step in (("dopri5", None), ("rk4", 0.01)):
            x = odeint(torch.neg, torch.ones(2, 1, dtype=DTYPE), times, method=method, step=step)
            grad = torch.autograd.grad(x[-1].sum(), times)[0]
            length = times.detach()[1] - times.detach()[0]
            assert torch.allclose(grad[1], (-torch.exp(-length)) * (2 if times is t else 1), rtol=1e-5)
            assert torch.allclose(grad[0], -grad[1], rtol=1e-5)


@pytest.mark.parametrize(("method", "step"), [("dopri5", None), ("rk4", 0.01)])
def test_second_derivatives_in_time(method: str, step: float | None) -> None:
    """x = exp(sin t₁ - sin t₀) for x' = x cos t."""
    t = torch.tensor([0.2, 1.3], dtype=DTYPE, requires_grad=True)
    curved = []
    field = timed(lambda t, x: x * torch.cos(t))
    choice = {"step": step} if step else {"tolerance": Tolerance(1e-9, 1e-9)}
    x = odeint(field, torch.ones(2, 1, dtype=DTYPE), t, method=method, **choice)  # type: ignore[arg-type]
    for one in (x[-1, 0, 0], (torch.sin(t[1]) - torch.sin(t[0])).exp()):
        (first,) = torch.autograd.grad(one, t, create_graph=True)
        curved.append(torch.stack([torch.autograd.grad(slope, t, retain_graph=True)[0] for slope in first]))
    assert torch.allclose(*curved, atol=1e-6)


def test_one_state_that_leaves_for_infinity_leaves_the_others_alone() -> None:
    x0 = torch.tensor([[0.1], [1.0], [0.2]], dtype=DTYPE)
    t = torch.linspace(0, 2, 9, dtype=DTYPE)
    for method, status, step in (("dopri5", "minimum step", None), ("rk4", "non-finite", 0.05)):
        solution = solve(torch.square, x0, t, method=method, step=step)
        assert solution.status == status
        assert solution.samples(status).tolist() == [[1]]
        assert solution.samples("done").tolist() == [[0], [2]]
        assert torch.allclose(solution.x[:, [0, 2], 0], 1 / (1 / x0[[0, 2], 0] - t[:, None]), rtol=1e-5)
        assert bool(solution.x[-1, 1].isnan().all())
        with pytest.raises(SolveFailed, match=r"for x0\[1\]"):
            odeint(torch.square, x0, t, method=method, step=step)


def test_the_gradient_of_the_others_is_finite() -> None:
    x0 = torch.tensor([[0.1], [1.0], [0.2]], dtype=DTYPE, requires_grad=True)
    rate = torch.tensor(1.0, dtype=DTYPE, requires_grad=True)
    solution = solve(lambda x: rate * x.square(), x0, [0, 2], method="dopri5")
    grads = torch.autograd.grad(solution.x[-1, [0, 2]].sum(), (x0, rate))
    exact = 1 / (1 - 2 * x0.detach()[[0, 2]]).square()
    assert torch.allclose(grads[0][[0, 2]], exact, rtol=1e-5)
    assert bool(grads[1].isfinite())


def test_limits_of_steps() -> None:
    x0, t = states(1.0, 50.0), [0, 3]
    capped = solve(oscillator, x0, t, method="dopri5", tolerance=Tolerance(steps=100))
    assert capped.samples("step limit").tolist() == [[1]]
    coarse = solve(oscillator, x0, t, method="dopri5", tolerance=Tolerance(shortest=0.05))
    assert coarse.samples("minimum step").tolist() == [[1]]
    long = solve(oscillator, x0[:1], t, method="dopri5", tolerance=Tolerance(longest=0.01))
    assert long.steps >= 300
    with pytest.raises(SolveFailed, match=r"100 allowed.*Tolerance\(steps="):
        odeint(oscillator, x0, t, method="dopri5", tolerance=Tolerance(steps=100))


def test_a_field_that_becomes_nan() -> None:
    field = lambda x: -torch.rsqrt(x)  # noqa: E731  reaches zero at t = 2/3 x^(3/2)
    solution = solve(field, torch.tensor([[1.0], [100.0]], dtype=DTYPE), [0, 0.5, 1], method="dopri5")
    assert solution.samples("done").tolist() == [[1]]
    assert solution.status in ("non-finite", "minimum step")
    assert float(solution.x[1, 0]) == pytest.approx((1 - 1.5 * 0.5) ** (2 / 3), abs=1e-5)


def test_dense_output_of_own_steps() -> None:
    x0 = states(0.3, 5.0, 40.0)
    solution = solve(oscillator, x0, [0, 2], method="dopri5", tolerance=Tolerance(1e-9, 1e-9))
    t = torch.linspace(0, 2, 41, dtype=DTYPE)
    assert solution.dense is not None
    assert torch.allclose(solution.dense(t)[..., 0], torch.cos(t[:, None] * x0[:, 2]), atol=1e-6)
    assert torch.equal(solution.dense(2.0), solution.x[-1]) or torch.allclose(solution.dense(2.0), solution.x[-1])


def test_gradients_of_own_steps_are_those_of_each_alone() -> None:
    network, x0 = mlp((3, 8, 3), seed=0), states(1.0, 4.0, 0.2)
    t = torch.linspace(0, 1, 4, dtype=DTYPE)

    def gradient(x0: Tensor) -> Tensor:
        loss = odeint(lambda x: network(x) + oscillator(x), x0, t, method="dopri5").square().sum()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])

    assert torch.allclose(gradient(x0), torch.stack([gradient(row) for row in x0]).sum(0), rtol=1e-9, atol=1e-12)


def test_the_choice_of_steps_has_no_derivative_in_forward_mode_either() -> None:
    def end(x: Tensor) -> Tensor:
        return odeint(lambda x: torch.sin(x) - x.flip(-1), x, [0, 0.5, 3], method="dopri5", tolerance=coarse)[-1]

    coarse, x0 = Tolerance(1e-3, 1e-3), torch.tensor([1.0, 0.3], dtype=DTYPE)
    assert torch.allclose(torch.func.jacfwd(end)(x0), torch.func.jacrev(end)(x0), rtol=1e-12)


def test_instants_have_derivatives_in_forward_mode_and_from_a_list() -> None:
    x0, t = torch.ones(1, dtype=DTYPE), torch.tensor([0.0, 1.3], dtype=DTYPE)
    for method, step in (("dopri5", None), ("rk4", 0.01)):
        end = lambda t, m=method, h=step: odeint(torch.neg, x0, t, method=m, step=h)[-1, 0]  # noqa: E731
        forward, reverse = torch.func.jacfwd(end)(t), torch.func.grad(end)(t)
        assert torch.allclose(forward, reverse, rtol=1e-12)
        assert float(forward[1]) == pytest.approx(-math.exp(-1.3), rel=1e-5)
        last = t[1].clone().requires_grad_()
        assert torch.allclose(torch.autograd.grad(end([0, last]), last)[0], reverse[1], rtol=1e-12)


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "dopri8"])
def test_dense_output_in_single_precision_far_from_zero(method: str) -> None:
    x0, options = states(1.0, 3.0).float(), {"method": method, "tolerance": Tolerance(1e-4, 1e-4)}
    near, far = (solve(oscillator, x0, [start, start + 3], **options).dense for start in (0.0, 1e6))  # type: ignore[arg-type]
    assert near is not None
    assert far is not None
    for t in (0.0, 0.3, 1.7, 3.0):
        assert torch.allclose(far(1e6 + t), near(t), atol=1e-5)


def test_dense_output_is_nan_before_a_state_begins() -> None:
    own = torch.tensor([[0.0, 1.0], [2.0, 1.5]], dtype=DTYPE)
    for method, step in (("dopri5", None), ("rk4", 0.01)):
        dense = solve(oscillator, states(1.0, 1.0), own, method=method, step=step).dense
        assert dense is not None
        assert dense([0.5, 1.2, 1.7]).isnan().any(-1).tolist() == [[False, True], [False, False], [False, True]]


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "dopri8"])
def test_dense_output_of_a_field_that_must_be_asked_about_all(method: str) -> None:
    frequency = torch.tensor([[0.5], [3.0]], dtype=DTYPE)
    field = lambda x: frequency * torch.stack([x[..., 1], -x[..., 0]], -1)  # noqa: E731
    x0, t = torch.tensor([1.0, 0.0], dtype=DTYPE).expand(3, 2, 2), torch.tensor([0.3, 1.1, 2.0], dtype=DTYPE)
    dense = solve(field, x0, [0, 2], method=method).dense
    assert dense is not None
    assert torch.allclose(dense(t)[..., 0], torch.cos(t[:, None, None] * frequency[:, 0]).expand(3, 3, 2), atol=1e-4)


def test_derivative_of_dense_output_in_time() -> None:
    t = torch.tensor([0.5, 1.3], dtype=DTYPE, requires_grad=True)
    for method, step in (("dopri5", None), ("rk4", 0.01)):
        dense = solve(torch.neg, torch.ones(2, 1, dtype=DTYPE), [0, 2], method=method, step=step).dense
        assert dense is not None
        assert torch.allclose(torch.autograd.grad(dense(t).sum(), t)[0], -2 * torch.exp(-t), atol=1e-4)


@pytest.mark.parametrize(("method", "step"), [("dopri5", None), ("rk4", 0.01)])
def test_dense_output_of_other_gradients_is_constant(method: str, step: float | None) -> None:
    """A part of the derivative, that of the slopes alone, would be a wrong one."""
    rate = torch.tensor(0.7, dtype=DTYPE, requires_grad=True)
    found = {}
    for gradient in ("backprop", "checkpoint"):
        solution = solve(
            lambda x: -rate * x, torch.ones(1, dtype=DTYPE), [0, 2], method=method, step=step, gradient=gradient
        )
        assert solution.dense is not None
        found[gradient] = solution.dense(1.3)
    assert not found["checkpoint"].requires_grad
    assert torch.allclose(torch.autograd.grad(found["backprop"].sum(), rate)[0], -1.3 * found["backprop"], rtol=1e-4)


def test_tolerances_below_rounding_are_refused() -> None:
    with pytest.raises(UsageError, match=r"below the rounding of torch.float32.*double"):
        solve(torch.neg, torch.ones(2, 1), [0, 1], method="dopri5", tolerance=Tolerance(1e-9, 1e-12))
    for wrong in ({"shortest": -1}, {"shortest": 1, "longest": 0.5}, {"longest": math.nan}):
        with pytest.raises(UsageError, match="cannot be met"):
            Tolerance(**wrong)


def test_errors_name_the_state_and_the_shape() -> None:
    with pytest.raises(NonFinite, match=r"states \(1,\)"):
        solve(torch.neg, torch.tensor([[1.0], [math.nan]]), [0, 1])
    with pytest.raises(ShapeError, match=r"or \(t, 2\)"):
        solve(torch.neg, torch.ones(2, 1), torch.zeros(3, 4))
    with pytest.raises(UsageError, match="No status"):
        solve(torch.neg, torch.ones(2, 1), [0, 1]).samples("fine")


def test_a_field_that_differentiates_inside_keeps_its_own_steps() -> None:
    """Whether the start is a leaf that wants a gradient makes no difference."""

    def field(x: Tensor) -> Tensor:
        y = x if x.requires_grad else x.detach().requires_grad_()
        with torch.enable_grad():
            energy = y[..., 0].square() + y[..., 1].square() * 2
            slope = torch.autograd.grad(energy.sum(), y, create_graph=True)[0]
        return torch.stack([slope[..., 1], -slope[..., 0]], -1)

    x0 = torch.tensor([[1.0, 0.0], [0.3, 0.2]], dtype=DTYPE)
    steps = [solve(field, start, [0, 1], method="dopri5").sample_steps for start in (x0, x0.clone().requires_grad_())]
    assert torch.equal(*steps)


def test_multistep_methods_share_their_instants_and_steps_have_an_end() -> None:
    own = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=DTYPE)
    with pytest.raises(UsageError, match="AB2 steps from earlier steps"):
        solve(torch.neg, torch.ones(2, 1, dtype=DTYPE), own, method="ab2", step=0.1)
    with pytest.raises(UsageError, match="more than 10,000,000 steps"):
        solve(torch.neg, torch.ones(1, dtype=DTYPE), [0, 1], step=1e-9)
