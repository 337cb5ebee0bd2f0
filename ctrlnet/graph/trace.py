"""Tracing: a torch function of one state becomes a `Graph`, and the graph is compared with the function.

Every operation is recorded as torch dispatches it, below autograd, operations on constants included: a policy's
net(x*) stays a term of the graph and cancels exactly where it is subtracted from net(x*).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ctrlnet.errors import LyingTrace, NonFinite, ShapeError, UnsupportedOperation, UsageError
from ctrlnet.graph.aten import FACTORIES, HANDLERS, MOVEMENTS, ZEROING, Traced
from ctrlnet.graph.constants import Constant
from ctrlnet.graph.expression import Graph
from ctrlnet.graph.primitives import evaluate

Function = Callable[[Tensor], Tensor]
STATES_COMPARED = 32
OWN_FILES, TORCH_FILES = str(Path(__file__).parent), str(Path(torch.__file__).parent)


class Tracer(TorchDispatchMode):
    """Records the operations of a function on one state as nodes of a graph."""

    def __init__(self, graph: Graph, state: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph
        self._seen: dict[int, tuple[Tensor, Traced]] = {}  # the tensor is kept: a freed one would give its id away
        self._remember(state, Traced(graph.input, tuple(state.shape)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet in FACTORIES:
            return func(*args, **kwargs)
        if packet in MOVEMENTS:
            return self._move(func, args, kwargs)
        if packet not in HANDLERS:
            raise self._unsupported(func)
        symbolic = [self.traced(a) if isinstance(a, Tensor) else a for a in args]
        named = {key: self.traced(a) if isinstance(a, Tensor) else a for key, a in kwargs.items()}
        try:
            node = HANDLERS[packet](self.graph, *symbolic, **named)
        except (NotImplementedError, TypeError) as error:
            raise self._unsupported(func, str(error)) from error
        result = func(*args, **kwargs)
        self._remember(result, node)
        return result

    def traced(self, tensor: Tensor) -> Traced:
        """The graph's view of a tensor: a declared exact number, a known result, else a constant."""
        if (declared := getattr(tensor, "ctrlnet_exact", None)) is not None:
            return Traced(self.graph.constant([declared]), ())
        if id(tensor) not in self._seen:
            values = Constant(tensor.detach().cpu().double().numpy().copy())
            self._remember(tensor, Traced(self.graph.constant(values), tuple(tensor.shape)))
        return self._seen[id(tensor)][1]

    def _remember(self, tensor: Tensor, value: Traced) -> None:
        self._seen[id(tensor)] = (tensor, value)

    def _move(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run a movement on entry numbers; the numbers that come out select from the concatenated inputs."""
        nodes: list[int] = []
        offset = 1

        def numbers(value: Any) -> Any:
            nonlocal offset
            if isinstance(value, (list, tuple)):
                return type(value)(map(numbers, value))
            if not isinstance(value, Tensor) or not value.is_floating_point():
                return value
            traced = self.traced(value)
            nodes.append(traced.node)
            offset += value.numel()
            return torch.arange(offset - value.numel(), offset).reshape(traced.shape)

        moved = func(*map(numbers, args), **{key: numbers(value) for key, value in kwargs.items()})
        if func.overloadpacket in ZEROING:
            nodes.insert(0, self.graph.constant([0]))
        source, shift = self.graph.concatenate(nodes), int(func.overloadpacket not in ZEROING)
        result = func(*args, **kwargs)
        for tensor, index in zip(_listed(result), _listed(moved), strict=True):
            node = self.graph.take(source, (index - shift).reshape(-1).tolist())
            self._remember(tensor, Traced(node, tuple(index.shape)))
        return result

    def _unsupported(self, func: Any, detail: str = "") -> UnsupportedOperation:
        name, line = str(func), _users_line()
        if "_local_scalar_dense" in name or "is_nonzero" in name:
            detail = "Python control flow or a number taken from the state; write torch.where-free, branch-free code"
        elif func._schema.is_mutable:
            detail = "an operation in place; build the result with torch.stack or torch.cat"
        known = ", ".join(sorted(str(packet).removeprefix("aten.") for packet in HANDLERS))
        why = f" ({detail})" if detail else ""
        return UnsupportedOperation(
            f"No proof rule for the operation {name}{why}, used at {line}. Rewrite it with: {known}."
        )


def trace(function: Function, dimension: int, states: Tensor, size: int, name: str = "function") -> tuple[Graph, int]:
    """The graph of `function` and the node of its value, a vector of `size` entries.

    Args:
        function: maps a state (n,) to a tensor of `size` entries, and batches (..., n) row by row.
        dimension: n.
        states: float64 samples of the region of interest, shape (count, n); the graph must agree with the function
        there. name: what to call the function in errors.

    Errors: UnsupportedOperation (names the operation and the user's line), LyingTrace (graph and function differ: a
        value went through numpy or `.item()`), UsageError (the rows of a batch are mixed), ShapeError, NonFinite.
    """
    for dtype in (torch.float64, torch.float32):
        graph = Graph(dimension)
        try:
            output = _record(function, graph, states[0].to(dtype), size, name)
        except RuntimeError as error:
            if dtype is torch.float64 and "dtype" in str(error):
                continue  # a float32 module: its weights are exact, and the theorem is about real arithmetic
            raise
        _compare(function, graph, output, states[:STATES_COMPARED].to(dtype), name)
        return graph, output
    raise AssertionError("unreachable")


def _record(function: Function, graph: Graph, state: Tensor, size: int, name: str) -> int:
    tracer = Tracer(graph, state)
    with torch.no_grad(), tracer:
        result = function(state)
        value = tracer.traced(result) if isinstance(result, Tensor) else None
    if value is None or graph.size(value.node) != size:
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise ShapeError(
            f"{name} of a state of shape ({graph.dimension},) must have {size} entries; it returned {shape}."
        )
    return value.node


def _compare(function: Function, graph: Graph, output: int, states: Tensor, name: str) -> None:
    """Hold the graph against the function at states it was not traced at."""
    tolerance = 1e-9 if states.dtype == torch.float64 else 1e-3
    expected = torch.stack([function(state).detach().reshape(-1) for state in states])
    if not expected.isfinite().all():
        raise NonFinite(f"{name} is NaN or infinite at {states[~expected.isfinite().all(-1)][0].tolist()}.")
    found = evaluate(graph, [output], states)[0]
    scale = 1 + expected.abs().amax()
    batch = function(states).detach()
    if batch.numel() != expected.numel() or (batch.reshape(expected.shape) - expected).abs().amax() > tolerance * scale:
        raise UsageError(
            f"{name} mixes the rows of a batch, or is random: {name}(X)[i] differs from {name}(X[i]). "
            "Index the state as x[..., i], reduce with dim=-1, and put modules in eval()."
        )
    worst = (found - expected).abs().amax(-1)
    if not (worst <= tolerance * scale).all():
        state = states[worst.argmax()].tolist()
        raise LyingTrace(
            f"The trace of {name} differs from it by {worst.amax():.3g} at x = {state}. Part of the function "
            "is hidden from torch (numpy, .item(), .tolist(), a random or remembered value): write it in torch "
            "operations of x."
        )


def _listed(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _users_line() -> str:
    """The innermost line outside torch and this room."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith((OWN_FILES, TORCH_FILES)):
            return f"{frame.filename}:{frame.lineno} ({frame.line})"
    return "an unknown line"
