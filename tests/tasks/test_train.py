"""train: the same for the same seed, whole or nothing, and what bad input gets."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import toy_environments as toys

import ctrlnet
from ctrlnet import Feedback, NameNotFound, NonFinite, Recipe, Run, RunDamaged, RunExists, UsageError, mlp, train
from ctrlnet.tasks import rebuild
from ctrlnet.tasks.fitting import task_of
from ctrlnet.tasks.origin import environment_at, origin_of
from ctrlnet.tasks.rebuilding import assembled


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return {**run.policy_weights(), **{f"V.{name}": one for name, one in run.candidate_weights("V").items()}}


def same(one: Run, other: Run) -> bool:
    a, b = weights_of(one), weights_of(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("author", [toys.Cart, toys.Forgetful])
def test_the_seed_decides(tmp_path: Path, author: type[ctrlnet.Environment]) -> None:
    runs = []
    for place, (seed, noise) in enumerate([(3, 0), (3, 1), (4, 0)]):
        torch.manual_seed(noise)
        state = torch.random.get_rng_state()
        runs.append(train(author(), seed=seed, out=tmp_path / str(place)))
        assert torch.equal(torch.random.get_rng_state(), state)
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_a_run_says_how_it_was_made(tmp_path: Path) -> None:
    seen: list[int] = []
    run = train(toys.Cart(friction=0.5), out=tmp_path / "run", progress=lambda step, steps, row: seen.append(step))
    assert (run.name, run.parameters) == ("toy_cart", {"friction": 0.5})
    assert run.settings["training"]["recipe"]["steps"] == 12
    assert run.settings["plugins"]["optimizer"]["distribution"] == "ctrlnet"
    assert run.settings["versions"]["torch"] == torch.__version__
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [int(row["step"]) for row in rows] == seen
    assert {"loss", "violation", "violating", "inside", "seconds"} <= set(rows[0])
    assert all(one.dtype == torch.float64 for one in weights_of(run).values())


@pytest.mark.parametrize("name", ctrlnet.names("optimizers"))
def test_every_optimizer_trains(tmp_path: Path, name: str) -> None:
    run = train(toys.Cart(), optimizer=name, out=tmp_path / "run")
    assert not same(run, train(toys.Cart(), optimizer=name, out=tmp_path / "other", seed=1))


def test_trajectories_use_the_integrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys.Cart, "recipe_", replace(toys.QUICK, trajectories=1.0, horizon=0.4, instants=3))
    runs = [train(toys.Cart(), integrator=name, out=tmp_path / name) for name in ("rk4", "euler")]
    assert not same(*runs)
    assert [run.settings["plugins"]["integrator"]["name"] for run in runs] == ["rk4", "euler"]


def test_a_second_run_is_refused_unless_asked_for(tmp_path: Path) -> None:
    kept = weights_of(train(toys.Cart(), out=tmp_path / "run"))
    with pytest.raises(RunExists):
        train(toys.Cart(), seed=1, out=tmp_path / "run")
    assert all(torch.equal(weights_of(Run(tmp_path / "run"))[name], one) for name, one in kept.items())
    replaced = weights_of(train(toys.Cart(), seed=1, out=tmp_path / "run", overwrite=True))
    assert not all(torch.equal(replaced[name], one) for name, one in kept.items())


def test_nan_in_the_dynamics_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NonFinite, match=r"batch \d+: \w+"):
        train(toys.Singular(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_and_keeps_the_old_run(tmp_path: Path) -> None:
    train(toys.Cart(), out=tmp_path / "run")
    before = (tmp_path / "run" / "run.toml").read_bytes()

    def stop(step: int, steps: int, row: object) -> None:
        if step > 5:
            raise KeyboardInterrupt

    for name in ("run", "new"):
        with pytest.raises(KeyboardInterrupt):
            train(toys.Cart(), out=tmp_path / name, overwrite=True, progress=stop)
    assert [one.name for one in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "run.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda out: train("pendlum", out=out), NameNotFound, "pendulum"),
        (lambda out: train(toys.Cart, out=out), UsageError, "is a class"),
        (lambda out: train(3, out=out), UsageError, "no task"),
        (lambda out: train(toys.Cart(), optimizer="adamm", out=out), NameNotFound, "adamw"),
        (lambda out: train(toys.Cart(), integrator="rk5", out=out), NameNotFound, "rk4"),
        (lambda out: train(toys.Cart(), device="quantum", out=out), UsageError, "torch knows no such device. Allowed"),
        (lambda out: train(toys.Cart(), device=0, out=out), UsageError, "device is 0; give a name: 'cpu' or 'cuda'"),
        (
            lambda out: train(toys.Cart(), optimizer=torch.optim.Adam, out=out),
            UsageError,
            "adamw.* plug-in",
        ),
        (lambda out: train(toys.Cart(), integrator=object, out=out), UsageError, "integrator is .* give a name: .*rk4"),
        (lambda out: train(toys.Cart(), seed="x", out=out), UsageError, "seed is 'x'"),
        (lambda out: train(toys.Cart(), seed=-1, out=out), UsageError, "seed is -1"),
        (lambda out: train(toys.Cart(), engine={}, out=out), UsageError, r"engine is \{\}; give an Engine"),
        (lambda out: train(toys.Cart(), device="meta", out=out), UsageError, "'meta' cannot be used"),
        (
            lambda out: train(toys.Cart(), engine=ctrlnet.Engine(accumulate=33), out=out),
            UsageError,
            "accumulate is 33.*allowed here is 1 to 32",
        ),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    tmp_path: Path, call: Callable[[Path], Run], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_of_an_optimizer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys.Cart, "recipe_", replace(toys.QUICK, optimizers={"adamw": {"momentum": 1.0}}))
    with pytest.raises(UsageError, match="momentum"):
        train(toys.Cart(), out=tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"adamw": {"lr": -1}}, r"optimizer 'adamw'.*'lr': -1"),
        ({"adamw": {"betas": (2, 3)}}, r"optimizer 'adamw'.*'betas': \(2, 3\)"),
        ({"adamw": {"lr": "fast"}}, r"optimizer 'adamw'.*'lr': 'fast'"),
        ({"adamww": {"lr": 0.1}}, "'adamww'. Did you mean 'adamw'"),
        ({"adamv": {"lr": 0.1}}, "'adamv'. Did you mean '(adamw|madam)'"),
    ],
)
def test_a_value_or_a_name_that_no_optimizer_takes_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, told: str
) -> None:
    monkeypatch.setattr(toys.Cart, "recipe_", replace(toys.QUICK, optimizers=options))
    with pytest.raises(UsageError, match=told):
        train(toys.Cart(), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("accumulate", [9, 32])
def test_a_batch_may_be_divided_to_single_states(tmp_path: Path, accumulate: int) -> None:
    """Uniform states are 32, near ones 8: some parts have none of these."""
    engine = ctrlnet.Engine(accumulate=accumulate)
    found, whole = train(toys.Cart(), out=tmp_path / "run", engine=engine), train(toys.Cart(), out=tmp_path / "whole")
    for name, weight in weights_of(whole).items():
        torch.testing.assert_close(weights_of(found)[name], weight, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", "x"),
        ("steps", 10.5),
        ("growth", -1.0),
        ("level", 0.0),
        ("level", "x"),
        ("margin", float("nan")),
        ("clip", -1),
        ("state_cost", (1.0, -1.0)),
        ("control_cost", "x"),
        ("optimizers", "adamw"),
        ("optimizers", {"adamw": 3}),
        ("warm_up", 2.0),
        ("rate", "cosinus"),
    ],
)
def test_a_recipe_that_cannot_be_meant(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        Recipe(**{name: value})  # type: ignore[arg-type]


def test_a_run_of_an_importable_class_is_rebuilt_from_its_fields(tmp_path: Path) -> None:
    run = train(toys.Cart(friction=0.5), out=tmp_path / "run")
    assert run.origin == {"importable": True, "kind": "object", "value": "toy_environments:Cart"}
    rebuilt = ctrlnet.rebuild(str(run.path))
    assert rebuilt.environment == toys.Cart(friction=0.5)
    x = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    assert torch.equal(rebuilt.system(x), rebuilt.environment.system(x, rebuilt.policy(x)))
    assert rebuilt.conditions["stability"].V is rebuilt.candidates["V"]


def test_a_run_whose_class_has_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(toys.Cart(), out=tmp_path / "run")
    monkeypatch.delattr(toys, "Cart")
    with pytest.raises(UsageError, match=r"toy_environments:Cart, which cannot be imported here.*PYTHONPATH"):
        rebuild(run)


@pytest.mark.parametrize("value", ["subprocess:Popen", "os:sep", "toy_environments:QUICK"])
def test_only_an_environment_is_built(value: str) -> None:
    with pytest.raises(UsageError, match="is no environment"):
        environment_at(value, {})


def test_a_run_of_a_local_class_can_be_read_but_not_rebuilt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Local(toys.Cart):
        pass

    run = train(Local(), out=tmp_path / "run")
    assert "Local cannot be imported again" in caplog.text
    with pytest.raises(UsageError, match=r"cannot be imported again: .*Local"):
        rebuild(run)
    rebuilt = assembled(run, task_of(Local()))
    assert rebuilt.conditions["stability"].V is rebuilt.candidates["V"]


def test_arguments_that_are_no_fields_are_not_guessed() -> None:
    assert not origin_of(task_of(Sized(3)))["importable"]


class Sized(toys.Cart):
    """Its argument is no field, so nothing says what it was."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        object.__setattr__(self, "size", size)


@dataclass(frozen=True)
class Single(toys.Cart):
    """Its networks are of single precision."""

    def policy(self, seed: int = 0) -> torch.nn.Module:
        network = mlp((2, 4, 1), seed=seed, dtype=torch.float32)
        return Feedback(network, self.system.limits, at=(0.0, 0.0), control_at=(0.0,))


def test_networks_of_single_precision_train_and_are_proved_as_they_are(tmp_path: Path) -> None:
    rebuilt = rebuild(train(Single(), out=tmp_path / "run"))
    assert {weight.dtype for weight in rebuilt.policy.parameters()} == {torch.float32}
    x, (condition, loop, box) = torch.ones(3, 2, dtype=torch.float64), rebuilt.statements["stability"]
    assert ctrlnet.odeint(loop, x, [0, 0.5]).dtype == ctrlnet.violation(condition, loop, x).dtype == torch.float64
    gain, P = rebuilt.environment.linear_feedback()
    linear = torch.nn.Linear(2, 1, bias=False, dtype=torch.float32)
    with torch.no_grad():
        linear.weight.copy_(-gain)
    policy = Feedback(linear, None, at=(0, 0), control_at=(0,))
    loop = ctrlnet.ClosedLoop(rebuilt.environment.system, policy)
    verdict = ctrlnet.certify(ctrlnet.ExponentialStability(ctrlnet.Quadratic(P), 0.1), loop, box)
    assert verdict.status == "certified"
    assert verdict.report is not None
    assert verdict.report.ok


@dataclass(frozen=True)
class Half(Single):
    """All its networks are of single precision, as bf16 wants it."""

    def candidates(self, seed: int = 0) -> dict[str, torch.nn.Module]:
        network = mlp((2, 4, 4), seed=seed + 1, dtype=torch.float32)
        return {"V": ctrlnet.NeuralCandidate(network, self.linear_feedback()[1])}


def test_bf16_trains_what_is_saved_and_proved_in_single_precision(tmp_path: Path) -> None:
    own, half = (train(Half(), out=tmp_path / name, engine=ctrlnet.Engine(precision=name)) for name in ("own", "bf16"))
    assert not same(own, half)
    assert {one.dtype for one in weights_of(half).values()} == {torch.float32}
    rebuilt = rebuild(half)
    saved = half.policy_weights()
    assert all(torch.equal(one, saved[name]) for name, one in rebuilt.policy.state_dict().items())
    assert half.settings["training"]["engine"]["precision"] == "bf16"


def test_weights_of_another_shape_are_told(tmp_path: Path) -> None:
    run = train(toys.Cart(), out=tmp_path / "run")
    with pytest.raises(RunDamaged, match="do not fit"):
        assembled(run, task_of(toys.Forgetful()))


@dataclass(frozen=True)
class Empty(toys.Cart):
    """Gives no candidate."""

    name: ClassVar[str] = "empty"

    def candidates(self, seed: int = 0) -> dict[str, torch.nn.Module]:
        return {}


def test_an_environment_without_a_candidate_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no candidate"):
        train(Empty(), out=tmp_path / "run")


@pytest.mark.cuda
def test_trains_on_a_gpu(tmp_path: Path) -> None:
    run = train(toys.Cart(), device="cuda", out=tmp_path / "run")
    assert all(one.device.type == "cpu" and one.dtype == torch.float64 for one in weights_of(run).values())
