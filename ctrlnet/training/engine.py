"""How a training is carried out: precision, parts of a batch, compilation, checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import nn

from ctrlnet.errors import UsageError

_log = logging.getLogger("ctrlnet")


@final
@dataclass(frozen=True)
class Engine:
    """How a training is carried out, apart from what it minimises.

    Attributes:
        precision: Of the loss: own, that of the networks; bf16, float32 with the layers of the networks in bfloat16
            (torch.autocast). The weights stay float32, and what is saved and proved is those.
        accumulate: Parts of each batch, evaluated one after the other to save memory; their gradients add up to that
            of the whole batch.
        compile: Compile the loss; None does so on a GPU only. A batch that is divided is not compiled.
        checkpoint_seconds: A checkpoint after so many seconds; 0 writes none by the clock.
        checkpoint_steps: A checkpoint every so many steps; 0 writes none by the count.
        keep: So many of the newest checkpoints are kept.
        tensorboard: Write the metrics for TensorBoard too, which has to be installed.

    Raises:
        UsageError: a number that cannot be meant.
    """

    precision: Literal["own", "bf16"] = "own"
    accumulate: int = 1
    compile: bool | None = None
    checkpoint_seconds: float = 30.0
    checkpoint_steps: int = 0
    keep: int = 2
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("own", "bf16"):
            raise UsageError(f"precision is {self.precision!r}; allowed are 'own' and 'bf16'.")
        for name, least in (("accumulate", 1), ("checkpoint_steps", 0), ("keep", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name} is {value!r}; give an integer of at least {least}.")
        if not (isinstance(self.checkpoint_seconds, (int, float)) and 0 <= self.checkpoint_seconds < math.inf):
            raise UsageError(f"checkpoint_seconds is {self.checkpoint_seconds!r}; give seconds, 0 for none.")

    def as_settings(self) -> dict[str, Any]:
        """What the weights depend on, for run.toml."""
        return {"precision": self.precision, "accumulate": self.accumulate, "compile": self.compile}

    def casting(self, module: nn.Module, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
        """Makes the context in which losses are evaluated.

        Raises:
            UsageError: bf16 is asked for and a network is of double precision, which autocast leaves as it is.
        """
        if self.precision == "own":
            return nullcontext
        double = [name for name, weight in module.named_parameters() if weight.dtype == torch.float64]
        if double:
            raise UsageError(
                f"precision 'bf16' needs networks of single precision, but {double[0]} and {len(double) - 1} more "
                "are float64. Build them with dtype=torch.float32, or leave the precision as it is."
            )
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)

    def compiled(self, function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
        """The function compiled where that is wanted and possible; otherwise itself, after one line in the log."""
        wanted = device.type == "cuda" if self.compile is None else self.compile
        return _OrPlain(function) if wanted else function


class _OrPlain:
    """A function compiled by torch, or the plain function from the first failure on."""

    def __init__(self, plain: Callable[..., Any]) -> None:
        # the whole loss or nothing: pieces would be compiled anew for every closure that the conditions make
        self._plain, self._call = plain, torch.compile(plain, fullgraph=True)

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._call(*arguments)
        except Exception as cause:  # whatever the compiler meets in an author's dynamics, at a later step too
            if self._call is self._plain:
                raise
            _log.info("the loss is not compiled: %s: %s", type(cause).__name__, str(cause).partition("\n")[0])
            self._call = self._plain
            return self._plain(*arguments)
