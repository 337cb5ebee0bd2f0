"""A program for each of two processes that torchrun might have started: they train together, and alone, and compare.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... python shared_training.py FOLDER

The first training together is stopped by a SIGTERM to process 1 alone, and gone on with. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from toy_environments import Patient

from ctrlnet.runs import Run
from ctrlnet.tasks import train
from ctrlnet.training import Engine

torch.set_num_threads(1)
FOLDER = Path(sys.argv[1])


def weights_of(run: Run) -> torch.Tensor:
    found = (run.policy_weights(), run.candidate_weights("V"))
    return torch.cat([weights[name].flatten() for weights in found for name in sorted(weights)])


def trained(name: str, **options: Any) -> Run:
    return train(Patient(steps=40), out=FOLDER / name, **options)


def stop_one(step: int, steps: int, row: dict[str, float]) -> None:
    if step == 20 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGTERM)


def interrupted(**options: Any) -> int:
    try:
        trained("joined", progress=stop_one, **options)
    except KeyboardInterrupt as stopped:
        return stopped.number  # type: ignore[attr-defined]
    return 0


def masked() -> torch.Tensor:
    """Weights after a training on a loss whose clause counts some states only."""
    from training.test_descent import fitted

    return torch.cat([one.detach().flatten() for one in fitted(Engine()).network.parameters()])


def together() -> tuple[int, torch.Tensor, torch.Tensor]:
    """The signal that stopped the first training, the weights that the second went on to, those of the other loss."""
    engine = Engine(accumulate=2)
    dist.init_process_group("gloo")
    try:
        return interrupted(engine=engine), weights_of(trained("joined", resume=True, engine=engine)), masked()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    stopped, joined, shared = together()
    os.environ["WORLD_SIZE"] = "1"
    difference = (weights_of(trained(f"alone-{os.environ['RANK']}")) - joined).abs().max()
    masked_difference = (masked() - shared).abs().max()
    print(json.dumps({"stopped": stopped, "largest": float(difference), "masked": float(masked_difference)}))
