"""The checkpoints of a training under way."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet.errors import RunDamaged, UsageError
from ctrlnet.runs import write_aside
from ctrlnet.training.packing import State, packed, unpacked

_log = logging.getLogger("ctrlnet")
_NAME = "step-{:09d}.checkpoint"
PLACE = ("step", "skipped", "rounds", "clean")
_PARTS = ("place", "seconds", "rows", "weights", "optimizer", "rates", "random", "objective")


@final
class Checkpoints:
    """The newest few states of a training, in a folder, each file whole or not there.

    Args:
        folder: where they are, made when the first is written.
        found: the state to go on from, None to begin.
        every_seconds, every_steps: when one is due; 0 for never.
        keep: how many stay.
        settings: kept in each, so that another training is not taken for this one.
    """

    def __init__(
        self,
        folder: Path,
        found: State | None = None,
        *,
        every_seconds: float = 30.0,
        every_steps: int = 0,
        keep: int = 2,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.found, self.settings = folder, found, dict(settings or {})
        self._seconds, self._steps, self._keep = every_seconds, every_steps, keep
        self._last = monotonic()

    def due(self, step: int) -> bool:
        """Whether one is to be written after this step."""
        by_count = self._steps > 0 and step % self._steps == 0
        return by_count or (self._seconds > 0 and monotonic() - self._last >= self._seconds)

    def save(self, step: int, state: State) -> Path:
        """Write the state after a step: aside, flushed, renamed; then drop the oldest files."""
        path = self.folder / _NAME.format(step)
        write_aside(path, packed({**state, "settings": self.settings}))
        for old in _paths(self.folder)[self._keep :]:
            old.unlink()
        self._last = monotonic()
        return path

    @property
    def newest(self) -> Path | None:
        """The newest file, None before the first."""
        return next(iter(_paths(self.folder)), None)


def newest_whole(folder: Path) -> bytes:
    """The bytes of the newest checkpoint that is whole, b"" where there is none.

    A damaged one is passed over and removed, so that it does not outlive those that are written after it.

    Raises:
        RunFormat: another version wrote it.
    """
    for path in _paths(folder):
        data = path.read_bytes()
        try:
            unpacked(data, str(path))
        except RunDamaged as cause:
            path.unlink()
            left = "The checkpoint before it is tried." if _paths(folder) else "No other checkpoint is left."
            _log.warning("%s %s", cause, left)
        else:
            return data
    return b""


def require_whole(state: State, place: str) -> None:
    """Refuse a checkpoint that lacks something that a training goes on from.

    Raises:
        RunDamaged: naming what it lacks.
    """
    missing = [name for name in _PARTS if name not in state]
    missing += [f"place.{name}" for name in PLACE if name not in state.get("place", PLACE)]
    missing += ["random.cpu"] if "cpu" not in state.get("random", ("cpu",)) else []
    if missing:
        raise RunDamaged(
            f"{place} was edited: it lacks {', '.join(missing)}. Remove it to go on from the one before, or begin "
            "anew: overwrite=True, or --overwrite on the command line."
        )


def _paths(folder: Path) -> list[Path]:
    """The checkpoints, newest first."""
    return sorted(folder.glob("step-*.checkpoint"), reverse=True)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a module the weights of a checkpoint.

    Raises:
        UsageError: they are of another architecture; the message lists what differs.
    """
    now = {name: _shape(tensor) for name, tensor in module.state_dict().items()}
    kept = {name: _shape(tensor) for name, tensor in weights.items()}
    if now != kept:
        told = [
            f"{name} is {kept.get(name, 'absent')} in the checkpoint and {now.get(name, 'absent')} now"
            for name in sorted(now.keys() | kept.keys())
            if now.get(name) != kept.get(name)
        ]
        raise UsageError(
            f"The checkpoint is of another architecture: {'; '.join(told)}. Go on with the code that began the "
            "training, or begin anew: overwrite=True, or --overwrite on the command line."
        )
    module.load_state_dict(dict(weights))


def _shape(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def load_optimizer(optimizer: Optimizer, state: State) -> None:
    """Give an optimizer the state of a checkpoint, every tensor in the precision that it had.

    torch casts what it loads to the precision of the weight; moments that are kept shorter or longer would change.

    Raises:
        UsageError: the state does not fit.
    """
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError, RuntimeError) as cause:
        raise UsageError(
            f"The checkpoint does not fit the optimizer {type(optimizer).__name__}: {cause} Go on with the code that "
            "began the training, or begin anew with overwrite."
        ) from cause
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, kept in state["state"].items():
        held = optimizer.state[weights[number]]
        for name, value in kept.items():
            if isinstance(value, Tensor) and isinstance(held.get(name), Tensor) and held[name].dtype != value.dtype:
                held[name] = value.to(held[name].device)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's own generators, that of the device among them."""
    own = {} if device.type != "cuda" else {"cuda": torch.cuda.get_rng_state(device)}
    return {"cpu": torch.get_rng_state(), **own}


def restore_random(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on with the numbers that would have come next."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
