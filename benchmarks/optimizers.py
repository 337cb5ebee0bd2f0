"""One step of every optimizer of ctrlnet over one of torch's fused AdamW: networks 64-w-w-w-10, float32, one thread.

Steps of one optimizer in a row, on a gradient of cross entropy that stays; all optimizers take turns, and each turn is
held against AdamW's turn in the same round; the median over the rounds. Processor time of the whole process, whatever
threads a library has. LBFGS evaluates the loss as it goes and is left out; M-FAC keeps 32 gradients here. The networks
have no biases, which AGD as published cannot train.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import ctrlnet
from ctrlnet import plugins
from ctrlnet.training import optimizer_named

OPTIONS = {"mfac": {"history": 32}}
LEFT_OUT = {"lbfgs"}
ROUNDS, LEAST, MOST = 40, 0.004, 6.0  # rounds; seconds of a turn; seconds after which an optimizer has had enough turns


def measure() -> dict[str, float]:
    torch.set_num_threads(1)
    names = [name for name in ctrlnet.names("optimizers") if name not in LEFT_OUT and ours(name)]
    found = {(name, width): ratio for width in (256, 1024) for name, ratio in ratios(names, width).items()}
    return {f"{name}, 4x{width}": found[name, width] for name, width in itertools.product(names, (256, 1024))}


def ours(name: str) -> bool:
    return plugins.provenance("optimizers", name)["distribution"] == "ctrlnet"


def ratios(names: list[str], width: int) -> dict[str, float]:
    """Time of a step over that of fused AdamW, the median over the rounds, for each name."""
    reference = stepping(lambda module: torch.optim.AdamW(module.parameters(), fused=True), width)
    steps = {
        name: stepping(lambda module, name=name: optimizer_named(name, module, OPTIONS.get(name, {})), width)
        for name in names
    }
    counts = {name: count(step) for name, step in steps.items()}
    spent, found = dict.fromkeys(names, 0.0), {name: [] for name in names}
    often = count(reference)
    for _ in range(ROUNDS):
        floor = turn(reference, often)
        for name in names:
            if spent[name] < MOST:
                seconds = turn(steps[name], counts[name])
                spent[name] += seconds * counts[name]
                found[name].append(seconds / floor)
    return {name: statistics.median(values) for name, values in found.items()}


def stepping(build: Callable[[nn.Module], torch.optim.Optimizer], width: int) -> Callable[[], object]:
    """The step of an optimizer of a new network that has its gradients."""
    torch.manual_seed(0)
    shapes = itertools.pairwise((64, width, width, width, 10))
    layers = [part for inputs, outputs in shapes for part in (nn.Linear(inputs, outputs, bias=False), nn.ReLU())]
    network = nn.Sequential(*layers[:-1])
    optimizer = build(network)
    for group in optimizer.param_groups:
        group["lr"] = 1e-6
    classes = torch.randint(0, 10, (128,))
    nn.functional.cross_entropy(network(torch.randn(128, 64)), classes).backward()
    return optimizer.step


def count(step: Callable[[], object]) -> int:
    """How many steps make a turn."""
    step()
    return max(1, int(LEAST / max(turn(step, 1), 1e-6)))


def turn(step: Callable[[], object], steps: int) -> float:
    """Seconds of the processor for a step, after some that bring its data near."""
    for _ in range(min(steps - 1, 3)):
        step()
    started = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - started) / steps
