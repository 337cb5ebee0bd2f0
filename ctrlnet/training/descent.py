"""One step of a training: the loss of a batch, its gradient, the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Protocol, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ctrlnet.conditions import Mean, mean_inside
from ctrlnet.training.distributed import Counted, Joined, Processes, States, summed_gradients
from ctrlnet.training.engine import Engine
from ctrlnet.training.finite import Watch

Terms = dict[str, Tensor]


class Loss(Protocol):
    """What a step minimises: the sum of terms over the states of a batch."""

    def draw(self, step: int) -> States:
        """The states of step 1, 2, ... by name, each (k, n); every one may be divided by rows."""
        ...

    def terms(self, states: States, share: float, mean: Mean) -> Mapping[str, Tensor]:
        """Scalar terms by name; `share` of the training is over; `mean` makes every mean over states."""
        ...


@final
class Descent:
    """Takes the steps of a training.

    Args:
        loss: to be minimised.
        parameters: what the optimizer moves.
        optimizer: a torch optimizer; one whose step requires a closure gets one that evaluates the same batch again.
        clip: largest norm of the gradient. A line search compares gradients, so those of a closure stay as they are.
        engine: precision, parts, compilation.
        processes: that share each batch.
    """

    def __init__(
        self,
        loss: Loss,
        parameters: nn.Module,
        optimizer: Optimizer,
        clip: float,
        engine: Engine,
        processes: Processes,
    ) -> None:
        self._loss, self._optimizer, self._clip, self._processes = loss, optimizer, clip, processes
        self._parameters = list(parameters.parameters())
        self.device = self._parameters[0].device
        self.watch = Watch(deferred=self.device.type != "cpu")
        self._parts = engine.accumulate
        self._single = engine.precision == "bf16"
        self._cast = engine.casting(parameters, self.device)
        # the means of a divided batch differ from step to step, and would be compiled anew
        whole = engine.accumulate == processes.size == 1
        self._terms = engine.compiled(loss.terms, self.device) if whole else loss.terms
        self._searches = requires_closure(optimizer)

    def __call__(self, step: int, share: float) -> Terms:
        """Take step 1, 2, ...; the terms of its batch before the step.

        Raises:
            NonFinite: a term or the gradient is NaN or infinite; on a GPU, `watch.look` raises it.
        """
        states = self._loss.draw(step)
        if self._single:  # networks compute in the wider precision of weights and states
            states = {name: x.float() for name, x in states.items()}
        if self._searches:
            return self._search(step, states, share)
        terms = self._differentiate(states, share)
        self.watch.see(terms, step)
        self.watch.see({"gradient": nn.utils.clip_grad_norm_(self._parameters, self._clip)}, step)
        self._optimizer.step()
        return terms

    def _search(self, step: int, states: States, share: float) -> Terms:
        """A step of an optimizer that evaluates the batch as often as it likes."""
        first: list[Terms] = []
        random = torch.get_rng_state()

        def evaluate() -> Tensor:
            torch.set_rng_state(random)
            terms = self._differentiate(states, share)
            if not first:  # only where the step begins: a line search may look too far
                first.append(terms)
                self.watch.see({**terms, "gradient": self._length()}, step)
            return torch.stack(list(terms.values())).sum()

        self._optimizer.step(evaluate)  # type: ignore[arg-type]
        return first[0]

    def _length(self) -> Tensor:
        return nn.utils.get_total_norm([one.grad for one in self._parameters if one.grad is not None])

    def _differentiate(self, states: States, share: float) -> Terms:
        """Leave the gradient of the joined batch with the parameters; its terms."""
        self._optimizer.zero_grad()
        if self._parts == self._processes.size == 1:
            return self._backward(states, share, mean_inside)
        parts = self._processes.parts(states, self._parts)
        counts = None if self._parts == 1 else self._counts(parts, share)
        found = [self._backward(part, share, Joined(self._processes, counts)) for part in parts]
        terms = torch.stack([torch.stack(list(one.values())) for one in found]).sum(0)
        if self._processes.size > 1:
            terms = summed_gradients(self._processes, self._parameters, terms.double())
        return dict(zip(found[0], terms, strict=True))

    def _backward(self, states: States, share: float, mean: Mean) -> Terms:
        with self._cast():
            terms = self._terms(states, share, mean)
        torch.stack(list(terms.values())).sum().backward()
        return {name: term.detach() for name, term in terms.items()}

    def _counts(self, parts: Sequence[States], share: float) -> list[Tensor]:
        """How many states each mean of the loss is over, in the joined batch."""
        each = []
        for part in parts:
            counted = Counted()
            with torch.no_grad(), _same_random_numbers(), self._cast():
                self._loss.terms(part, share, counted)
            each.append(torch.stack([count.double() for count in counted.counts]))
        return list(self._processes.sum(torch.stack(each).sum(0)))


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """The block draws the numbers that are drawn again after it."""
    before = torch.get_rng_state()
    yield
    torch.set_rng_state(before)


def requires_closure(optimizer: Optimizer) -> bool:
    """Whether `step` cannot be called without a closure, as that of L-BFGS."""
    closure = signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is Parameter.empty
