"""An interrupted training goes on to the same weights, and whatever does not fit is told."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy_environments as toys

import ctrlnet
from ctrlnet import Feedback, NonFinite, Run, RunDamaged, RunExists, RunUnfinished, UsageError, mlp
from ctrlnet.runs import unfinished
from ctrlnet.tasks import resume, train
from ctrlnet.tasks.settings import require_same
from ctrlnet.training import Engine, Stopped, packed, unpacked

PATIENT = toys.Patient(steps=24)
EVERY = Engine(checkpoint_seconds=0, checkpoint_steps=4)
SUPPORT = Path(__file__).parents[1] / "support"


def outcome(run: Run) -> tuple[dict[str, str], list[str], list[str]]:
    """What has to be the same: hashes of the weights, rows less their seconds, names of the files."""
    rows = [line.rpartition(",")[0] for line in (run.path / "metrics.csv").read_text().splitlines()]
    hashes = {name: digest for name, digest in run.hashes.items() if name != "metrics.csv"}
    return hashes, rows, names(run.path)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The training without an interruption."""
    return train(PATIENT, out=tmp_path_factory.mktemp("whole") / "run")


def at_step(number: int, act: Callable[[], object]) -> Callable[[int, int, object], None]:
    return lambda step, steps, row: act() if step == number else None


def stopped(out: Path, step: int = 14, by: int = signal.SIGTERM, **options: object) -> Stopped:
    with pytest.raises(Stopped) as caught:
        train(PATIENT, out=out, progress=at_step(step, lambda: os.kill(os.getpid(), by)), **options)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [1, 14, 30, 36])
def test_a_signal_ends_the_step_and_what_follows_is_the_same(tmp_path: Path, whole: Run, step: int, by: int) -> None:
    """Steps 25 to 36 are rounds of repair; 36 is the last, and a training that is asked to end there does."""
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    stop = stopped(tmp_path / "run", step, by)
    assert stop.number == by and f"after step {step}" in str(stop)
    assert f"ctrlnet train --resume {tmp_path / 'run'}" in str(stop)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert names(tmp_path) == ["run.partial"]
    assert outcome(resume(tmp_path / "run")) == outcome(whole)
    assert names(tmp_path) == ["run"]


def test_it_may_be_interrupted_again_and_again(tmp_path: Path, whole: Run) -> None:
    for step in range(2, 36, 5):
        stopped(tmp_path / "run", step, resume=True)
    assert outcome(train(PATIENT, out=tmp_path / "run", resume=True)) == outcome(whole)


def test_checkpoints_by_the_count_change_nothing(tmp_path: Path, whole: Run) -> None:
    assert outcome(train(PATIENT, out=tmp_path / "run", engine=EVERY)) == outcome(whole)


@pytest.mark.parametrize("name", ctrlnet.names("optimizers"))
def test_every_optimizer_goes_on_bit_for_bit(tmp_path: Path, name: str) -> None:
    stopped(tmp_path / "run", 11, optimizer=name)
    reference = train(PATIENT, out=tmp_path / "whole", optimizer=name)
    assert outcome(resume(tmp_path / "run")) == outcome(reference)


def test_rows_written_after_the_checkpoint_are_not_doubled(tmp_path: Path, whole: Run) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        train(PATIENT, out=tmp_path / "run", engine=EVERY, progress=at_step(11, lambda: _raise(RuntimeError("crash"))))
    assert (tmp_path / "run.partial" / "metrics.csv").read_text().splitlines()[-1].startswith("11,")
    seen: list[int] = []
    again = train(PATIENT, out=tmp_path / "run", engine=EVERY, resume=True, progress=lambda step, *_: seen.append(step))
    assert seen[0] == 9
    assert outcome(again) == outcome(whole)


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "harm", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-9] + b"x" * 9]
)
def test_a_torn_newest_checkpoint_falls_back(
    tmp_path: Path, whole: Run, harm: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    stopped(tmp_path / "run", engine=EVERY)
    kept = sorted((tmp_path / "run.partial" / "checkpoints").iterdir())
    assert [path.stem[-2:] for path in kept] == ["12", "14"]
    kept[-1].write_bytes(harm(kept[-1].read_bytes()))
    assert outcome(resume(tmp_path / "run")) == outcome(whole)
    assert "The checkpoint before it is tried" in caplog.text


def test_without_any_checkpoint_it_begins_anew(tmp_path: Path, whole: Run) -> None:
    stopped(tmp_path / "run")
    for path in (tmp_path / "run.partial" / "checkpoints").iterdir():
        path.unlink()
    assert outcome(resume(tmp_path / "run")) == outcome(whole)


def test_an_unfinished_run_is_no_run(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    for place in (tmp_path / "run", tmp_path / "run.partial"):
        with pytest.raises(RunUnfinished, match=f"ctrlnet train --resume {place}"):
            Run(place)
    with pytest.raises(RunExists, match=r"resume=True.*overwrite=True"):
        train(PATIENT, out=tmp_path / "run")
    run = train(PATIENT, out=tmp_path / "run", overwrite=True, seed=5)
    assert run.settings["training"]["seed"] == 5 and names(tmp_path) == ["run"]


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run = train(PATIENT, out=tmp_path / "run")
    before = (run.path / "run.toml").stat().st_mtime_ns
    assert resume(run.path).hashes == train(PATIENT, out=run.path, resume=True).hashes == run.hashes
    assert (run.path / "run.toml").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"training\.seed was 0 and is 1"):
        train(PATIENT, out=run.path, resume=True, seed=1)


def test_the_run_that_is_replaced_stays_until_the_end(tmp_path: Path, whole: Run) -> None:
    old = train(PATIENT, out=tmp_path / "run", seed=9)
    stopped(tmp_path / "run", overwrite=True)
    assert Run(tmp_path / "run").hashes == old.hashes
    assert outcome(resume(tmp_path / "run")) == outcome(whole)


def test_nothing_to_go_on_with(tmp_path: Path, whole: Run) -> None:
    with pytest.raises(RunDamaged, match="no training to go on with"):
        resume(tmp_path / "run")
    assert outcome(train(PATIENT, out=tmp_path / "run", resume=True)) == outcome(whole)


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    def intrude() -> None:
        with pytest.raises(RunExists, match="Another process"):
            train(PATIENT, out=tmp_path / "run")

    train(PATIENT, out=tmp_path / "run", progress=at_step(3, intrude))


def test_somebody_else_s_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "thesis.tex").write_text("")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(RunExists, match="no unfinished run"):
            train(PATIENT, out=tmp_path / "run", **options)  # type: ignore[arg-type]
    assert names(tmp_path / "run.partial") == ["thesis.tex"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 1}, r"training\.seed was 0 and is 1"),
        ({"optimizer": "sgd"}, r"plugins\.optimizer\.name was 'adamw' and is 'sgd'"),
        ({"integrator": "euler"}, r"plugins\.integrator\.name was 'rk4' and is 'euler'"),
        ({"engine": Engine(accumulate=2)}, r"training\.engine\.accumulate was 1 and is 2"),
        ({"task": toys.Patient(steps=25)}, r"task\.parameters\.steps was 24 and is 25; training\.recipe.*steps"),
    ],
)
def test_another_training_is_refused_by_what_differs(tmp_path: Path, options: dict, told: str) -> None:
    stopped(tmp_path / "run")
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=told):
        train(**{"task": PATIENT, "out": tmp_path / "run", "resume": True, **options})
    assert kept == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_checkpoint_alone_knows_its_training_too(tmp_path: Path, whole: Run) -> None:
    stopped(tmp_path / "run")
    (tmp_path / "run.partial" / "unfinished.toml").unlink()
    for _ in range(2):  # the refusal must leave no trace that would let the second pass
        with pytest.raises(UsageError, match=r"training\.seed was 0 and is 1"):
            train(PATIENT, out=tmp_path / "run", resume=True, seed=1)
        assert names(tmp_path / "run.partial") == ["checkpoints", "metrics.csv"]
    assert outcome(train(PATIENT, out=tmp_path / "run", resume=True)) == outcome(whole)


def test_checkpoints_of_another_training_are_refused(tmp_path: Path) -> None:
    for seed in (0, 7):
        stopped(tmp_path / str(seed), seed=seed)
    shutil.rmtree(tmp_path / "0.partial" / "checkpoints")
    shutil.copytree(tmp_path / "7.partial" / "checkpoints", tmp_path / "0.partial" / "checkpoints")
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for any_versions in (False, True):
        with pytest.raises(UsageError, match=r"training\.seed was 7 and is 0"):
            resume(tmp_path / "0", any_versions=any_versions)
    assert kept == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_checkpoint_alone_may_be_of_other_versions_where_allowed(
    tmp_path: Path, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(tmp_path / "run")
    (tmp_path / "run.partial" / "unfinished.toml").unlink()
    found = ctrlnet.plugins.provenance
    monkeypatch.setattr(ctrlnet.plugins, "provenance", lambda kind, name: {**found(kind, name), "version": "9.9"})
    with pytest.raises(UsageError, match="--any-versions"):
        train(PATIENT, out=tmp_path / "run", resume=True)
    assert outcome(train(PATIENT, out=tmp_path / "run", resume=True, any_versions=True))[:2] == outcome(whole)[:2]


def test_to_go_on_and_to_throw_away_is_refused(tmp_path: Path) -> None:
    stopped(tmp_path / "run")
    with pytest.raises(UsageError, match=r"--resume and --overwrite.*Give one of them"):
        train(PATIENT, out=tmp_path / "run", resume=True, overwrite=True)
    assert any((tmp_path / "run.partial" / "checkpoints").iterdir())


@pytest.mark.parametrize("place", ["task.parameters.version", "training.recipe.optimizers.adamw.version"])
def test_a_parameter_named_version_is_no_version_of_a_package(place: str) -> None:
    def settings(value: str) -> dict[str, object]:
        nested: object = value
        for name in reversed(place.split(".")):
            nested = {name: nested}
        return nested  # type: ignore[return-value]

    with pytest.raises(UsageError, match=f"{place} was '1' and is '2'"):
        require_same(settings("1"), settings("2"), any_versions=True)


@pytest.mark.parametrize("missing", ["random", "place", "weights", "place.step", "random.cpu"])
def test_an_edited_checkpoint_with_a_fitting_hash_is_damaged(tmp_path: Path, missing: str) -> None:
    stopped(tmp_path / "run")
    (path,) = (tmp_path / "run.partial" / "checkpoints").iterdir()
    state = unpacked(path.read_bytes(), "here")
    part, _, name = missing.partition(".")
    del (state[part] if name else state)[name or part]
    path.write_bytes(packed(state))
    with pytest.raises(RunDamaged, match=f"lacks {missing}"):
        resume(tmp_path / "run")


def test_a_full_disk_names_the_file_and_keeps_the_checkpoint_before(
    tmp_path: Path, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"No space left.*step-000000012") as caught:
        train(
            PATIENT, out=tmp_path / "run", engine=EVERY, progress=at_step(9, lambda: patch.setattr(os, "fsync", full))
        )
    assert "last checkpoint stays" in caught.value.__notes__[0]
    assert f"ctrlnet train --resume {tmp_path / 'run'}" in caught.value.__notes__[0]
    kept = sorted((tmp_path / "run.partial" / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["step-000000004.checkpoint", "step-000000008.checkpoint"]
    assert outcome(resume(tmp_path / "run")) == outcome(whole)


def test_another_recipe_is_refused_from_the_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "run")
    changed = replace(PATIENT.recipe, growth=0.7)
    monkeypatch.setattr(toys.Patient, "recipe", changed)
    with pytest.raises(UsageError, match=r"training\.recipe\.growth was 0\.3 and is 0\.7"):
        resume(tmp_path / "run")


def test_another_architecture_is_refused_layer_by_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "run")

    def wider(self: toys.Patient, seed: int = 0) -> torch.nn.Module:
        return Feedback(mlp((2, 5, 1), seed=seed), self.system.limits, at=(0.0, 0.0), control_at=(0.0,))

    monkeypatch.setattr(toys.Patient, "policy", wider)
    with pytest.raises(
        UsageError, match=r"policy\.network\.0\.weight is float64\[4, 2\] in the checkpoint and float64\[5, 2\]"
    ):
        resume(tmp_path / "run")
    assert any((tmp_path / "run.partial" / "checkpoints").iterdir())


def test_other_versions_are_refused_unless_allowed(
    tmp_path: Path, whole: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped(tmp_path / "run")
    found = ctrlnet.plugins.provenance
    monkeypatch.setattr(ctrlnet.plugins, "provenance", lambda kind, name: {**found(kind, name), "version": "9.9"})
    with pytest.raises(UsageError, match=r"plugins\.integrator\.version was .* and is '9\.9'.*--any-versions"):
        resume(tmp_path / "run")
    run = resume(tmp_path / "run", any_versions=True)
    assert "going on with other versions" in caplog.text
    assert outcome(run)[:2] == outcome(whole)[:2]


def test_nan_keeps_and_names_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = toys.Patient(steps=24)
    with pytest.raises(
        NonFinite, match=r"(?s)batch 12: violation = (nan|inf).*last good checkpoint is kept: .*step-000000008"
    ):
        train(patient, out=tmp_path / "run", engine=EVERY, progress=at_step(11, lambda: _spoil(patient, monkeypatch)))
    assert [path.stem[-2:] for path in sorted((tmp_path / "run.partial" / "checkpoints").iterdir())] == ["04", "08"]


def _spoil(patient: toys.Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = type(patient.system)
    plain = plant.__call__
    monkeypatch.setattr(plant, "__call__", lambda self, *given: plain(self, *given) * float("nan"))


def test_tensorboard_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        train(PATIENT, out=tmp_path / "run", engine=Engine(tensorboard=True))
    assert names(tmp_path) == []


def test_tensorboard_gets_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[int, dict[str, float]] = {}

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert folder.endswith("tensorboard")
            assert not any(step >= purge_step for step in written)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.setdefault(step, {})[name] = value

        def close(self) -> None: ...

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", type("module", (), {"SummaryWriter": Writer}))
    stopped(tmp_path / "run", engine=Engine(tensorboard=True))
    run = resume(tmp_path / "run")
    rows = (run.path / "metrics.csv").read_text().splitlines()
    assert len(written) == len(rows) - 1
    assert {"loss", "violating", "seconds"} <= set(written[20])


@pytest.mark.cuda
def test_a_training_on_a_gpu_goes_on_there(tmp_path: Path) -> None:
    """Not bit for bit: sums on a GPU are not ordered."""
    stopped(tmp_path / "run", device="cuda", engine=Engine(compile=False))
    found, whole = resume(tmp_path / "run"), train(PATIENT, out=tmp_path / "whole", device="cuda")
    for name, weight in whole.policy_weights().items():
        torch.testing.assert_close(found.policy_weights()[name], weight, rtol=1e-3, atol=1e-3)


@pytest.mark.cuda
def test_a_gpu_says_late_but_rightly_where_nan_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = toys.Patient(steps=400)  # a row every fourth step
    with pytest.raises(NonFinite, match=r"batch 13: violation = nan"):
        train(
            patient, out=tmp_path / "run", device="cuda", engine=Engine(compile=False),
            progress=at_step(12, lambda: _spoil(patient, monkeypatch)),
        )  # fmt: skip


def killed(verb: str, *arguments: object) -> dict[str, int]:
    command = [sys.executable, str(SUPPORT / "interruptions.py"), verb, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=1500,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SUPPORT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_kill_9_at_some_renames(tmp_path: Path) -> None:
    assert killed("calls", tmp_path, 4)["points"] >= 6


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    assert killed("moments", tmp_path, 3, 0, 40)["kills"] == 3


@pytest.mark.slow
def test_kill_9_at_every_rename(tmp_path: Path) -> None:
    """Of a checkpoint, of each file of the run, of the run that is replaced and of the one that replaces it."""
    assert killed("calls", tmp_path, 1)["points"] >= 20


@pytest.mark.slow
def test_kill_9_at_fifty_random_moments(tmp_path: Path) -> None:
    """Of training and of writing: a checkpoint follows each step."""
    told = killed("moments", tmp_path, 50, 1, 120)
    print(told)
    assert told["kills"] == 50 and told["while_writing"] > 0


@pytest.mark.slow
def test_the_command_line_goes_on_after_kill_9(tmp_path: Path) -> None:
    """As a user would: the pendulum, three kills, then to its end."""
    command = [sys.executable, "-m", "ctrlnet.cli", "train"]
    begin = [*command, "pendulum", "--out", str(tmp_path / "run"), "--checkpoint-steps", "10"]
    run_to_end([*begin[:-3], str(tmp_path / "whole")])
    for number in range(3):
        process = subprocess.Popen(begin if not number else [*command, "--resume", str(tmp_path / "run")])
        wait_for_checkpoints(unfinished(tmp_path / "run"), 2 + number)
        process.kill()
        process.wait()
    assert subprocess.run([*command[:-1], "certify", str(tmp_path / "run")], check=False).returncode == 2
    run_to_end([*command, "--resume", str(tmp_path / "run")])
    assert outcome(Run(tmp_path / "run")) == outcome(Run(tmp_path / "whole"))


def run_to_end(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=300)


def wait_for_checkpoints(folder: Path, count: int) -> None:
    """Until so many steps times a hundred are written, or two minutes have passed."""
    for _ in range(12000):
        newest = max((path.stem for path in (folder / "checkpoints").glob("*.checkpoint")), default="step-0")
        if int(newest.removeprefix("step-")) >= 100 * count:
            return
        time.sleep(0.01)
    pytest.fail("no checkpoint appeared")
