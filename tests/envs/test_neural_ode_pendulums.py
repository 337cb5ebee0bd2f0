"""The pendulum under neural ODEs: its environments, a short training, and what a whole one comes to."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from html import unescape
from pathlib import Path

import pytest
import torch
from ctrlnet_envs.pendulum import Pendulum
from ctrlnet_envs.pendulum_dynamic import DynamicPendulum
from ctrlnet_envs.pendulum_flow import FlowPendulum

from ctrlnet import Environment, Recipe, Sublevel, UsageError, certify, check, train
from ctrlnet.cli import main
from ctrlnet.tasks import rebuild
from ctrlnet.tasks.rebuilding import Rebuilt
from ctrlnet.testing import check_environment
from ctrlnet.validation import validate_region

QUICK = Recipe(
    steps=6, imitation_steps=8, repairs=1, repair_steps=3, probe=256, uniform=32, near=8, hard=8, faces=8, pool=64
)
BOTH = [FlowPendulum(), DynamicPendulum()]
NAMES = ["flow", "dynamic"]


@pytest.mark.parametrize("environment", BOTH, ids=NAMES)
def test_they_are_environments_with_the_plant_of_the_pendulum(environment: Environment) -> None:
    check_environment(environment)
    x, u = torch.randn(9, 2, dtype=torch.float64), torch.randn(9, 1, dtype=torch.float64)
    assert torch.equal(environment.system(x, u), Pendulum().system(x, u))


def test_the_linear_design_estimates_the_speed() -> None:
    """8 z - ω obeys e' = -(b/m l²) e whatever the plant does: the loop has the pendulum's two modes and this one."""
    environment = DynamicPendulum()
    K, _ = environment.linear_feedback()
    assert K[:, 1].tolist() == [0.0, 0.0]  # it does not see the speed
    y = torch.randn(20, 3, dtype=torch.float64) * 1e-6  # so near that the sine is its argument
    moved = environment.whole.system(y, -y @ K.T)
    torch.testing.assert_close(8 * moved[:, 2] - moved[:, 1], -8 / 3 * (8 * y[:, 2] - y[:, 1]), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("environment", BOTH, ids=NAMES)
def test_a_run_is_rebuilt_and_says_what_is_to_be_proved(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(environment), "recipe", QUICK)
    rebuilt = rebuild(train(environment, out=tmp_path / "run"))
    statement = rebuilt.statements["stability"]
    y = statement.box.sample(20, torch.Generator().manual_seed(0))
    assert y.shape[1] == statement.system.plant.n == (2 if environment.memory is None else 3)
    at, fresh = environment.whole.equilibrium, environment.policy(0)
    assert rebuilt.policy(at).tolist() == environment.whole.control_equilibrium.tolist()
    assert statement.system(at).tolist() == [0.0] * len(at)
    assert not torch.equal(rebuilt.policy(y), fresh(y))


def test_arguments_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="steps"):
        FlowPendulum(steps=0)
    with pytest.raises(UsageError, match="torque_limit"):
        DynamicPendulum(torque_limit=0.0).policy()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Environment], Rebuilt]:
    """The whole training of an environment, once."""
    return cache(lambda environment: rebuild(train(environment, out=tmp_path_factory.mktemp("runs") / "run")))


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "area"), [(BOTH[0], 520.0), (BOTH[1], 480.0)], ids=NAMES)
def test_trained_certified_checked_and_validated(
    trained, environment: Environment, area: float, tmp_path: Path
) -> None:
    """Of the 576 of the box, about 541 and 512 are certified, z at rest; of feedback without own dynamics about 523."""
    rebuilt = trained(environment)
    condition, loop, box = rebuilt.statements["stability"]
    verdict = certify(condition, loop, box)
    assert verdict.status == "certified" and 0.97 * verdict.sampled_level <= verdict.level < verdict.sampled_level
    assert check(verdict.save(tmp_path / "proof.cert")).ok
    assert certify(condition, loop, box, level=1.05 * verdict.sampled_level).status == "falsified"
    V: Callable[[torch.Tensor], torch.Tensor] = condition.V
    if (memory := environment.memory) is not None:
        V = memory.at_rest(V)
    generator = torch.Generator().manual_seed(0)
    assert Sublevel(V, verdict.level, environment.box).volume(100_000, generator).estimate > area
    result = validate_region(environment, rebuilt.policy, condition.V, verdict.level, float(condition.rate))
    assert (result.status, result.converged) == ("confirmed", 1000)


@pytest.mark.slow
def test_the_policys_own_state_is_of_use_to_it(trained) -> None:
    """Held at rest, the own state of the trained policy changes the control by more than a tenth of its size."""
    rebuilt = trained(BOTH[1])
    y, h = (
        torch.cat([rebuilt.environment.box.sample(500, torch.Generator().manual_seed(0)), torch.zeros(500, 1)], -1),
        0.01,
    )
    used, whole = [], []
    with torch.no_grad():
        for _ in range(200):
            y = y + h * rebuilt.system(y)
            y0 = torch.cat([y[:, :2], torch.zeros(500, 1, dtype=y.dtype)], -1)
            whole.append(rebuilt.policy(y)[:, 0])
            used.append(whole[-1] - rebuilt.policy(y0)[:, 0])
    assert torch.stack(used).square().mean() > 0.01 * torch.stack(whole).square().mean()


@pytest.mark.slow
def test_the_verbs_serve_a_policy_with_a_state_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hardly trained, it is certified on a small region at least; the report gives that of the plant's states."""
    quick = Recipe(steps=60, repairs=0, probe=256)
    monkeypatch.setattr(DynamicPendulum, "recipe", quick)
    folder = tmp_path / "run"
    train(DynamicPendulum(), out=folder)
    assert main(["certify", str(folder)]) == 0
    assert main(["validate", str(folder), "--count", "20", "--no-video"]) == 0
    assert main(["report", str(folder)]) == 0
    assert main(["check", str(folder / "certificates" / "stability.cert"), "--against", str(folder)]) == 0
    record = json.loads((folder / "certificates" / "stability.json").read_text())
    assert (record["region"]["box"], record["region"]["memory"]) == (576.0, 1)
    assert "with the policy's own state at rest" in unescape((folder / "report.html").read_text(encoding="utf-8"))
    assert "20 of 20" in capsys.readouterr().out
