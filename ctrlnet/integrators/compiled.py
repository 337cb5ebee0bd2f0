"""Steps as compiled graphs.

A step, and a step with its vector-Jacobian product, become one graph each, by `torch.compile` with nothing left to the
interpreter. The field, its parameters, the time and the step size are arguments of the graph, so that new weights, new
closures of the same code and other steps cost no compilation; shape, dtype, device and what carries derivatives choose
the graph. Where a batch shrinks, because some of its states have finished, one graph serves all its sizes.

Where no graph can be made (no C++ compiler, a field or a method whose control flow depends on values) the step runs as
it is, and one line of the log of a process says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, final

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ctrlnet.integrators.contract import Carry, Integrator, Step
from ctrlnet.integrators.graphs import Graph, graph_of, identity, transformed, tried
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.systems.fields import Time, TimeField

Advance: TypeAlias = Callable[[Any, Tensor, Time, Carry], Step]

BLOCK = 5  # steps in one graph, where nobody asks for the states between them


def stepping(method: Integrator, given: Any, rate: TimeField, compiled: bool) -> Advance:
    """The steps of a method on a field.

    Args:
        given: what the method gets for a field.
        rate: f(t, x).
    """
    return CompiledSteps(method, given, rate) if compiled else partial(method.step, given)


@final
class CompiledSteps:
    """The steps of a method on a field, (t, x, h, carry) to Step, compiled.

    They have first derivatives, in reverse mode; second ones are those of gradient="checkpoint", or of plain steps.
    Within torch.func's transforms and in forward mode they run as they are. Several equal steps may be taken at once,
    which saves the time between them.

    Args:
        given: what the method gets for a field.
        rate: f(t, x).
    """

    def __init__(self, method: Integrator, given: Any, rate: TimeField) -> None:
        self.method, self.given, self.rate = method, given, rate
        self.name = hash((identity(method), identity(given)))
        self._whole: torch.Size | None = None
        self._derived: bool | None = None
        self._sizes = _Sizes()
        self._one = isinstance(method, RungeKutta)  # which reads the last part of its carry alone
        self._found: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, t: Time, x: Tensor, h: Time, carry: Carry, count: int = 1) -> Step:
        """From x (..., n) at t to t + count h."""
        if carry is not None and self._one:
            carry = carry[-1:]
        kind = (count, x.shape, x.requires_grad, carry and len(carry), torch.is_grad_enabled())
        graph = self._found.get(kind)
        if graph is None or transformed():
            return self._first(kind, t, x, h, carry, count)
        size = h if isinstance(h, Tensor) else self._sizes(h, x)
        try:
            done: Step = graph(self.method, self.given, _scalar(t, x), x, size, carry, count)
        except Exception:  # whatever it is, it happens again there
            return self._first(kind, t, x, h, carry, count)
        return Step(*_owned(done)) if x.is_cuda else done

    def _first(self, kind: tuple[Any, ...], t: Time, x: Tensor, h: Time, carry: Carry, count: int) -> Step:
        """Steps of a new kind of states."""
        if transformed():
            return repeated(self.method, self.given, t, x, h, carry, count)
        self._whole = x.shape if self._whole is None else self._whole
        start, kept = self._with_derivatives(t, x, carry)
        arguments = (self.method, self.given, _scalar(t, x), start, self._sizes(h, x), kept, count)
        graph = graph_of(repeated, hash((self.name, count)), arguments, x, x.shape == self._whole)
        done: Step | None = tried(graph, arguments)
        if done is None:
            return repeated(self.method, self.given, t, x, h, carry, count)
        if start is x:
            self._found[kind] = graph.function or self._found[kind]
        return Step(*_owned(done)) if x.is_cuda else done

    def _with_derivatives(self, t: Time, x: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        """All or none of them require a gradient, so that the first step has the graph of the others."""
        states = (x, *(carry or ()))
        wanted = torch.is_grad_enabled() and (any(one.requires_grad for one in states) or self._depends(t, x))
        x, *kept = [one if one.requires_grad == wanted else one.detach().requires_grad_(wanted) for one in states]
        return x, None if carry is None else tuple(kept)

    def _depends(self, t: Time, x: Tensor) -> bool:
        """Whether the field gives derivatives to states that have none."""
        if self._derived is None:
            self._derived = self.rate(t, x).requires_grad
        return self._derived


@final
class CompiledPullback:
    """The vector-Jacobian product of a step, or of several, found from the start alone, compiled.

    Args:
        given: what the method gets for a field.
        parameters: tensors that the step depends on besides x and the carry.
    """

    def __init__(self, method: Integrator, given: Any, parameters: Sequence[Tensor]) -> None:
        self.method, self.given, self.parameters = method, given, tuple(parameters)
        self.name = hash((identity(method), identity(given)))
        self._sizes = _Sizes()
        self._found: dict[tuple[Any, ...], Graph] = {}

    def __call__(
        self,
        t: Time,
        x: Tensor,
        h: Time,
        carry: Carry,
        cotangent: Tensor,
        carried: Sequence[Tensor | None] = (),
        count: int = 1,
    ) -> tuple[Tensor | None, ...]:
        """The gradients of x, of each tensor of the carry and of each parameter; None for what has no influence.

        Args:
            t, x, h, carry: the start of the first step.
            cotangent: gradient of the loss with respect to the state after the last step, (..., n).
            carried: those of the carry after it, None for what the loss does not depend on.
            count: of steps.
        """
        rest = (self.parameters, cotangent, tuple(carried), count)
        if transformed() or not hasattr(torch._dynamo.config, "trace_autograd_ops"):
            return pulled(self.method, self.given, t, x, h, carry, *rest)
        arguments = (self.method, self.given, _scalar(t, x), x, self._sizes(h, x), carry, *rest)
        kind = (x.shape, carry and len(carry), len(carried), count)
        with torch.no_grad():
            if (graph := self._found.get(kind)) is None:
                graph = self._found[kind] = graph_of(pulled, hash((self.name, count)), arguments, x, True)
            grads: tuple[Tensor | None, ...] | None = tried(graph, arguments)
        if grads is None:
            return pulled(self.method, self.given, t, x, h, carry, *rest)
        return tuple(_owned(grads)) if x.is_cuda else grads


def pulled(
    method: Integrator,
    given: Any,
    t: Time,
    x: Tensor,
    h: Time,
    carry: Carry,
    parameters: tuple[Tensor, ...],
    cotangent: Tensor,
    carried: tuple[Tensor | None, ...],
    count: int,
) -> tuple[Tensor | None, ...]:
    """The gradients of x, of each tensor of the carry and of each parameter by the steps; see `CompiledPullback`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        kept = None if carry is None else tuple(one.detach().requires_grad_() for one in carry)
        done = repeated(method, given, t, x, h, kept, count)
        pairs = [(done.x, cotangent)]
        pairs += [(one, to) for one, to in zip(done.carry or (), carried, strict=False) if to is not None]
        outputs, cotangents = zip(*((one, to) for one, to in pairs if one.requires_grad), strict=True)
    return torch.autograd.grad(outputs, (x, *(kept or ()), *parameters), cotangents, allow_unused=True)


def repeated(method: Integrator, given: Any, t: Time, x: Tensor, h: Time, carry: Carry, count: int) -> Step:
    """So many steps of h, one after another."""
    done = method.step(given, t, x, h, carry)
    for number in range(1, count):
        done = method.step(given, t + number * h, done.x, h, done.carry)
    return done


class _Sizes:
    """Step sizes as tensors; the last one is kept, since most steps have the size of the one before."""

    def __init__(self) -> None:
        self.last: tuple[Time, Tensor] | None = None

    def __call__(self, h: Time, x: Tensor) -> Tensor:
        if isinstance(h, Tensor):
            return h
        if self.last is None or self.last[0] != h:
            self.last = h, _scalar(h, x)
        return self.last[1]


def _scalar(value: Time, x: Tensor) -> Tensor:
    """A number as a tensor without dimensions, of the precision of the states and beside them."""
    return value if isinstance(value, Tensor) else torch.full((), value, dtype=x.dtype, device=x.device)


def _owned(results: Any) -> Any:
    """Copies: a CUDA graph writes its next results over the last ones."""
    return tree_map_only(Tensor, Tensor.clone, results)
