"""One training of a fully connected network on the handwritten digits, described by plain values.

Data: the 1797 digits of scikit-learn, 1437 for training; inputs centred, each of norm √64, so that its root mean square
is 1. Networks have no biases and end in ten outputs. Depth counts weight matrices.

Every method can be given every start, since much of what is said of optimizers is about initialisation:

| start | weights | activation |
|---|---|---|
| orthogonal | semi-orthogonal times √(d_out/d_in), AGD's | √2 relu |
| gaussian | Gaussian with root mean square singular value 1 | √2 relu |
| torch | `nn.Linear`'s | relu |
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from ctrlnet.errors import NonFinite
from ctrlnet.training import optimizer_named

TRAINED = 1437
CLASSES = 10


@cache
def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and labels to train with, inputs and labels to test with."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(images, dtype=torch.float32)[order], torch.tensor(labels)[order]
    x = x - x[:TRAINED].mean(0)
    x = x * (math.sqrt(x.shape[1]) / x.norm(dim=1, keepdim=True))
    return x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:]


@dataclass(frozen=True)
class Training:
    """What is trained, and how.

    Attributes:
        optimizer: plug-in, with its options.
        start: see above.
        loss: "square" to √10 times the one-hot label, ½ mean over entries, or "entropy".
        epochs, batch: length, and rows of a step.
        decay: of the learning rate, a factor each epoch.
        race: end with the first epoch after which 99 % of the training digits are right.
    """

    optimizer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 64
    depth: int = 4
    start: str = "orthogonal"
    loss: str = "square"
    epochs: int = 20
    batch: int = 128
    decay: float = 1.0
    seed: int = 0
    race: bool = False


@dataclass(frozen=True)
class Outcome:
    """Loss and accuracies at the end; the first epoch after which 99 % of the training digits are right; time [s]."""

    loss: float
    train: float
    test: float
    epochs_to_99: float
    seconds: float


LOST = Outcome(math.inf, 1 / CLASSES, 1 / CLASSES, math.inf, math.nan)


def train(task: Training) -> Outcome:
    """Train; a run that ends in NaN or is refused for it counts as lost: chance, infinite loss."""
    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    x, y, x_test, y_test = data()
    network = build(task)
    optimizer = optimizer_named(task.optimizer, network, task.options)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, task.decay)
    started, reached = time.perf_counter(), math.inf
    for epoch in range(1, task.epochs + 1):
        for rows in torch.randperm(len(x)).split(task.batch):
            optimizer.zero_grad()
            loss = loss_of(task, network(x[rows]), y[rows])
            loss.backward()
            try:
                optimizer.step()
            except NonFinite:
                return LOST
        schedule.step()
        with torch.no_grad():
            if not math.isfinite(loss.item()):
                return LOST
            if reached == math.inf and _accuracy(network(x), y) >= 0.99:
                reached = epoch
                if task.race:
                    break
    with torch.no_grad():
        outputs = network(x)
        final = loss_of(task, outputs, y).item()
        right = _accuracy(outputs, y), _accuracy(network(x_test), y_test)
    if not math.isfinite(final):
        return LOST
    return Outcome(final, *right, reached, time.perf_counter() - started)


def loss_of(task: Training, outputs: Tensor, labels: Tensor) -> Tensor:
    if task.loss == "entropy":
        return nn.functional.cross_entropy(outputs, labels)
    target = math.sqrt(CLASSES) * nn.functional.one_hot(labels, CLASSES)
    return 0.5 * (outputs - target).square().mean()


def build(task: Training) -> nn.Sequential:
    sizes = [64, *[task.width] * (task.depth - 1), CLASSES]
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
    if task.start != "torch":
        for layer in layers:
            START[task.start](layer.weight)
    gain = 1.0 if task.start == "torch" else math.sqrt(2)
    hidden = [module for layer in layers[:-1] for module in (layer, Rectifier(gain))]
    return nn.Sequential(*hidden, layers[-1])


class Rectifier(nn.Module):
    """gain relu; √2 keeps the mean square of a symmetric input."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, z: Tensor) -> Tensor:
        return self.gain * torch.relu(z)


def _orthogonal(weight: Tensor) -> None:
    nn.init.orthogonal_(weight, gain=math.sqrt(weight.shape[0] / weight.shape[1]))


def _gaussian(weight: Tensor) -> None:
    """The squares of the min(d) singular values sum to the d_out d_in squares of the entries."""
    nn.init.normal_(weight, std=1 / math.sqrt(max(weight.shape)))


START: dict[str, Callable[[Tensor], None]] = {"orthogonal": _orthogonal, "gaussian": _gaussian}


def _accuracy(outputs: Tensor, labels: Tensor) -> float:
    return float((outputs.argmax(-1) == labels).float().mean())
