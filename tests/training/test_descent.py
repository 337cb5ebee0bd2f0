"""A step: parts of a batch add up to it, a line search sees one batch, NaN is found late but surely."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ctrlnet import BarrierInvariance, Box, NonFinite, UsageError, violation
from ctrlnet.conditions import Mean, mean_inside
from ctrlnet.training import Engine, Processes, Schedule, StateSampler, fit, packed, unpacked
from ctrlnet.training.descent import Descent
from ctrlnet.training.finite import Watch

BOX = Box([-2.0, -2.0], [2.0, 2.0])


class Barrier:
    """A barrier's clause counts inside its set only, a quadratic loss everywhere; batches are of 7 and 5 states."""

    def __init__(self) -> None:
        self.network = nn.Linear(2, 2).double()
        self.condition = BarrierInvariance(lambda x: 1.5 - x.square().sum(-1), rate=1.0)
        self.states = StateSampler(BOX, (0.0, 0.0), 0)
        self.seen: list[Tensor] = []

    def draw(self, step: int) -> dict[str, Tensor]:
        return {"inside": self.states.uniform(7), "all": self.states.uniform(5)}

    def terms(self, states: Mapping[str, Tensor], share: float, mean: Mean = mean_inside) -> dict[str, Tensor]:
        self.seen.append(states["all"])
        return {
            "barrier": violation(self.condition, self.network, states["inside"], slack=3.0, mean=mean),
            "square": mean(self.network(states["all"]).square().sum(-1), None),
        }

    def watch(self) -> dict[str, float]:
        return {}

    def seek(self, count: int) -> int:
        return 0


def fitted(engine: Engine, steps: int = 12, optimizer: type = torch.optim.Adam, **options: object) -> Barrier:
    torch.manual_seed(0)
    loss = Barrier()
    moves = optimizer(loss.network.parameters(), lr=0.05, **options)
    fit(loss, loss.network, moves, Schedule(steps=steps), engine=engine)  # type: ignore[arg-type]
    return loss


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_accumulation_equals_one_large_batch(parts: int) -> None:
    """Even where a clause counts only some states, and where a part of the batch is empty."""
    whole, divided = fitted(Engine()), fitted(Engine(accumulate=parts))
    assert len(divided.seen) == 2 * parts * len(whole.seen)
    for one, other in zip(whole.network.parameters(), divided.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_mean_of_means_would_be_another() -> None:
    """The test above can fail: parts have unequal numbers of states inside."""
    loss = fitted(Engine())
    states = loss.draw(1)
    with torch.no_grad():
        loss.network.weight.copy_(torch.eye(2))
    parts = Processes().parts(states, 3)
    naive = torch.stack([loss.terms(part, 0.0)["barrier"] for part in parts]).mean()
    assert (naive - loss.terms(states, 0.0)["barrier"]).abs() > 1e-3


def test_a_line_search_sees_one_batch_a_step() -> None:
    loss = fitted(Engine(), steps=5, optimizer=torch.optim.LBFGS, line_search_fn="strong_wolfe")
    different = {tuple(x.flatten().tolist()) for x in loss.seen}
    assert len(different) == 5 < len(loss.seen)


def test_lbfgs_descends_and_its_state_can_be_kept() -> None:
    torch.manual_seed(0)
    loss = Barrier()
    states = loss.draw(0)
    loss.draw = lambda step: states  # type: ignore[method-assign]
    optimizer = torch.optim.LBFGS(loss.network.parameters(), line_search_fn="strong_wolfe")
    losses = [row["loss"] for row in fit(loss, loss.network, optimizer, Schedule(steps=10))]  # type: ignore[arg-type]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]
    kept = unpacked(packed(optimizer.state_dict()), "here")
    optimizer.load_state_dict(kept)


def test_a_searching_step_that_begins_with_nan_is_named() -> None:
    torch.manual_seed(0)
    loss = Barrier()
    plain = loss.terms
    loss.terms = lambda *given: {**plain(*given), "odd": loss.network.weight.sum() * float("nan")}  # type: ignore[method-assign]
    with pytest.raises(NonFinite, match=r"batch 1: odd = nan, gradient = nan"):
        fit(loss, loss.network, torch.optim.LBFGS(loss.network.parameters()), Schedule(steps=2))  # type: ignore[arg-type]


def test_what_is_seen_late_is_the_first_bad_step() -> None:
    """As on a GPU, where nobody looks before a row or a checkpoint."""
    watch = Watch(deferred=True)
    for step, loss in enumerate([1.0, float("inf"), float("nan"), 2.0], start=1):
        watch.see({"fine": torch.tensor(3.0), "loss": torch.tensor(loss)}, step)
        watch.see({"gradient": torch.tensor(loss)}, step)
    with pytest.raises(NonFinite, match=r"batch 2: loss = inf\."):
        watch.look()
    good = Watch(deferred=True)
    good.see({"loss": torch.tensor(1.0)}, 1)
    good.look()


def test_no_step_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two rows nothing of a step is asked for by the host: on the "meta" device that would be an error."""
    loss = Barrier()
    network = nn.Linear(2, 2, device="meta", dtype=torch.float64)
    loss.network = network
    monkeypatch.setattr(
        loss, "draw", lambda step: {name: torch.empty(6, 2, device="meta").double() for name in ("inside", "all")}
    )
    monkeypatch.setattr(BarrierInvariance, "clauses", lambda self, system: [], raising=True)
    monkeypatch.setattr("ctrlnet.conditions.losses.clauses_of", lambda condition, system: [_plain_clause(network)])
    descent = Descent(
        loss, network, torch.optim.SGD(network.parameters(), lr=0.1), 1.0, Engine(compile=False), Processes()
    )
    for step in (1, 2, 3):
        descent(step, 0.0)
    with pytest.raises((RuntimeError, NotImplementedError)):
        descent.watch.look()


def _plain_clause(network: nn.Module) -> object:
    from ctrlnet import Clause

    return Clause("plain", lambda x: network(x).sum(-1), (lambda x: x[..., 0],))


def test_bf16_is_for_single_precision() -> None:
    with pytest.raises(UsageError, match=r"weight and 1 more are float64.*float32"):
        fitted(Engine(precision="bf16"))


def test_bf16_computes_in_bf16_and_keeps_single_weights() -> None:
    torch.manual_seed(0)
    loss = Barrier()
    loss.network = nn.Linear(2, 2)
    kinds = []
    loss.network.register_forward_hook(lambda module, given, result: kinds.append(result.dtype))
    loss.terms = lambda states, share, mean: {
        "square": mean(loss.network(states["all"]).square().sum(-1).float(), None)
    }  # type: ignore[method-assign]
    fit(
        loss,
        loss.network,
        torch.optim.Adam(loss.network.parameters()),
        Schedule(steps=3),
        engine=Engine(precision="bf16"),
    )  # type: ignore[arg-type]
    assert set(kinds) == {torch.bfloat16}
    assert {weight.dtype for weight in loss.network.parameters()} == {torch.float32}


def test_a_loss_that_cannot_be_compiled_is_evaluated_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("no compiler here\nat all")

    monkeypatch.setattr(torch, "compile", lambda function, **options: broken)
    with caplog.at_level("INFO", "ctrlnet"):
        compiled = fitted(Engine(compile=True))
    told = [record.message for record in caplog.records if "not compiled" in record.message]
    assert told == ["the loss is not compiled: RuntimeError: no compiler here"]
    assert torch.equal(compiled.network.weight, fitted(Engine()).network.weight)


def test_a_loss_that_stops_being_compilable_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(function, **options: object):
        left = iter(range(5))

        def call(*given: object) -> object:
            next(left)  # StopIteration at the sixth step
            return function(*given)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    assert torch.equal(fitted(Engine(compile=True)).network.weight, fitted(Engine()).network.weight)


@pytest.mark.slow
def test_a_compiled_loss_is_the_same_loss(tmp_path: Path) -> None:
    """About a minute, most of it the compiler's; in a process without the checks of shapes, which it cannot compile."""
    program = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from toy_environments import Patient
from ctrlnet import Engine, train
runs = [train(Patient(steps=20), out=f"{sys.argv[1]}/{one}", engine=Engine(compile=one)) for one in (True, False)]
weights = [[value for _, value in sorted(run.policy_weights().items())] for run in runs]
print(max(float((a - b).abs().max()) for a, b in zip(*weights)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1] / "support")},
    )  # fmt: skip
    assert "not compiled" not in done.stderr
    assert float(done.stdout.splitlines()[-1]) <= 1e-10


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("precision", "fp8"),
        ("accumulate", 0),
        ("accumulate", True),
        ("keep", 0),
        ("checkpoint_steps", -1),
        ("checkpoint_seconds", float("nan")),
    ],
)
def test_an_engine_that_cannot_be_meant(option: str, value: object) -> None:
    with pytest.raises(UsageError, match=option):
        Engine(**{option: value})  # type: ignore[arg-type]


def test_two_processes_equal_one_with_the_joined_batch(tmp_path: Path) -> None:
    """Weights after 60 steps of training agree to 1e-12 in double precision; and so with a clause that counts some."""
    support = Path(__file__).parents[1] / "support"
    environment = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + os.getpid() % 20000),
        "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{support}{os.pathsep}{support.parent}",
    }  # fmt: skip
    command = [sys.executable, str(support / "shared_training.py"), str(tmp_path)]
    others = [
        subprocess.Popen(
            command, env={**environment, "RANK": rank, "LOCAL_RANK": rank}, stdout=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    try:
        told = [other.communicate(timeout=120)[0] for other in others]
    finally:
        for other in others:
            other.kill()
    assert [other.returncode for other in others] == [0, 0]
    found = [json.loads(text.splitlines()[-1]) for text in told]
    assert [one["stopped"] for one in found] == [15, 15]
    assert max(one[name] for one in found for name in ("largest", "masked")) <= 1e-12
