"""A program that kills trainings and looks at what becomes of them.

    python interruptions.py moments FOLDER KILLS SEED STEPS  kill -9 at random moments until there were so many
    python interruptions.py calls FOLDER EVERY            kill -9 just before and after every so many renames

Every training is a process of its own, forked after the imports, which take most of the time. The last line of the
output is JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch._dynamo  # in every child again otherwise
from toy_environments import Patient

from ctrlnet.runs import UNFINISHED, Run, unfinished
from ctrlnet.tasks import train
from ctrlnet.training import Engine

torch.set_num_threads(1)


def child(work: Callable[[], object]) -> int:
    """The process id of a fork that does the work and ends with status 0, or 1 after a traceback."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def ended(pid: int) -> int:
    """Status of a child that has ended; -9 for one that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def contents(run: Path) -> dict[str, Any]:
    """Everything that a resumed training has to repeat: weights, settings, and the rows less their seconds."""
    opened = Run(run)
    rows = [line.rpartition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]
    hashes = {name: digest for name, digest in opened.hashes.items() if name != "metrics.csv"}
    return {
        "hashes": hashes,
        "rows": rows,
        "settings": opened.settings,
        "files": sorted(one.name for one in run.iterdir()),
    }


def require_equal(run: Path, reference: dict[str, Any]) -> None:
    found = contents(run)
    different = [name for name in reference if found[name] != reference[name]]
    if different:
        raise SystemExit(f"{run} differs from the training without interruption in {', '.join(different)}")


def reference_of(folder: Path, patient: Patient) -> dict[str, Any]:
    if ended(child(lambda: train(patient, out=folder / "reference", engine=Engine(checkpoint_seconds=0)))):
        raise SystemExit("the training without interruption failed")
    return contents(folder / "reference")


def moments(folder: Path, kills: int, seed: int, steps: int) -> dict[str, int]:
    """Kill trainings at random moments, begin the next where one has ended, until `kills` were killed."""
    rng, patient, engine = random.Random(seed), Patient(steps=steps), Engine(checkpoint_seconds=0, checkpoint_steps=1)
    reference = reference_of(folder, patient)
    told = {"kills": 0, "runs": 0, "while_writing": 0, "without_a_new_checkpoint": 0}
    longest = 0.5  # [s] to the kill; adapted, so that about every other child gets as far as a new checkpoint
    while told["kills"] < kills:
        run = folder / f"run-{told['runs']}"
        checkpoints = run.with_name(f"{run.name}.partial") / "checkpoints"
        while told["kills"] < kills and not run.exists():
            before = newest(checkpoints)
            pid = child(lambda run=run: train(patient, out=run, resume=True, engine=engine))
            time.sleep(rng.uniform(0.0, longest))
            os.kill(pid, signal.SIGKILL)
            told["kills"] += ended(pid) == -signal.SIGKILL
            told["while_writing"] += any(checkpoints.glob(".*.aside"))
            told["without_a_new_checkpoint"] += newest(checkpoints) == before
            longest *= 1.4 if newest(checkpoints) == before else 0.8
        if ended(child(lambda run=run: train(patient, out=run, resume=True, engine=engine))):
            raise SystemExit(f"{run} could not go on")
        require_equal(run, reference)
        told["runs"] += 1
    return told


def newest(checkpoints: Path) -> str:
    return max((path.name for path in checkpoints.glob("*.checkpoint")), default="")


def calls(folder: Path, every: int) -> dict[str, int]:
    """Kill at every so many renames of a file or folder, before and after; an old run and a new are both at stake."""
    patient, engine = Patient(steps=8), Engine(checkpoint_seconds=0, checkpoint_steps=3)
    reference, run, points = reference_of(folder, patient), folder / "run", 0
    for name in ("replace", "rename"):
        for after in (False, True):
            number = 1
            while True:
                shutil.copytree(folder / "reference", run)
                status = ended(child(partial(_killed_at, name, number, after, run, patient, engine)))
                if status == 0:
                    break
                assert status == -signal.SIGKILL, (name, number, after, status)
                begun = (unfinished(run) / UNFINISHED).exists() or not unfinished(run).exists()
                again = {"resume": True} if begun else {"overwrite": True}
                if ended(child(partial(train, patient, out=run, engine=engine, **again))):
                    raise SystemExit(f"{name} {number}, after {after}: the training could not go on")
                require_equal(run, reference)
                if left := {one.name for one in folder.iterdir()} - {"reference", "run"}:
                    raise SystemExit(f"{name} {number}, after {after}: {', '.join(left)} was left over")
                points, number = points + 1, number + every
                for one in folder.iterdir():
                    shutil.rmtree(one) if one.name != "reference" else None
            shutil.rmtree(run)
    return {"points": points}


def _killed_at(name: str, number: int, after: bool, run: Path, patient: Patient, engine: Engine) -> None:
    plain, seen = getattr(Path, name), 0

    def counted(self: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = plain(self, target)
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(Path, name, counted)
    train(patient, out=run, overwrite=True, engine=engine)


if __name__ == "__main__":
    verb, place = sys.argv[1], Path(sys.argv[2])
    numbers = [int(one) for one in sys.argv[3:]]
    print(json.dumps(calls(place, *numbers) if verb == "calls" else moments(place, *numbers)))
