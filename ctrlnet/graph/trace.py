"""Tracing: a torch function of one state becomes a `Graph`, and the graph is held against the function.

Every operation is recorded as torch dispatches it, below autograd, operations on constants included: a policy's
net(x*) stays a term of the graph and cancels exactly where it is subtracted from net(x*).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ctrlnet.errors import CtrlnetError, LyingTrace, ShapeError, TraceError
from ctrlnet.graph.comparison import compare
from ctrlnet.graph.expression import Graph
from ctrlnet.graph.recording import record

Function = Callable[[Tensor], Tensor]
Tail = tuple[int, ...]
STATES_COMPARED = 32
FAILURES = (RuntimeError, TypeError, IndexError, ValueError, AttributeError, AssertionError)  # of a user's function


def trace(function: Function, dimension: int, states: Tensor, tail: Tail, name: str = "function") -> tuple[Graph, int]:
    """The graph of `function` and the node of its value.

    Args:
        function: maps states (..., n) to (..., *tail), row by row.
        dimension: n.
        states: float64 samples of the region of interest, (count, n); the graph must agree with the function there.
        tail: () for a scalar function, (n,) for a field.
        name: what to call the function in errors.

    Errors: UnsupportedOperation (names the operation and the user's line), LyingTrace (graph and function differ: a
        value went through numpy or `.item()`), UsageError (the rows of a batch are mixed), ShapeError, NonFinite.
    """
    _callable(function, name)
    try:
        return _traced(function, dimension, states, tail, name)
    except CtrlnetError:
        raise
    except FAILURES as error:
        if not _of_precision(error):
            raise _failure(name, error, dimension, _advice(function, states, tail)) from error
    try:  # a float32 module: its weights are exact, and the theorem is about real arithmetic
        return _traced(function, dimension, states.float(), tail, name)
    except CtrlnetError:
        raise
    except FAILURES as error:
        raise _failure(name, error, dimension, _advice(function, states, tail)) from error


def _callable(given: object, name: str) -> None:
    if not callable(given):
        hint = " For V = xᵀPx give ctrlnet.Quadratic(P)." if isinstance(given, Tensor) else ""
        raise TraceError(f"{name} is a {type(given).__name__}; give a function of the state.{hint}")


def _of_precision(error: Exception) -> bool:
    """Whether torch refused to mix float64 and float32."""
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("dtype", "scalar type"))


def _failure(name: str, error: Exception, n: int, advice: str) -> TraceError:
    if "does not require grad" in str(error):
        advice = " For a derivative inside a function use torch.func.grad, jvp or jacrev, not torch.autograd."
    return TraceError(
        f"{name} failed on a state while it was traced: {type(error).__name__}: {error}. It must map a float64 or "
        f"float32 tensor ({n},), and batches (..., {n}), by torch operations: the box, with that of a "
        f"disturbance if any, has {n} coordinates.{advice}"
    )


def _advice(function: Function, states: Tensor, tail: Tail) -> str:
    """How to give a function that is right for batches (count, n) alone, for one state alone, or has one axis more."""
    dimension = states.shape[-1]
    one, two = (_shape_at(function, batch) for batch in (states[0], states[:2]))
    if one == (*tail, 1) and two == (2, *tail, 1):
        return " Give lambda x: f(x)[..., 0]."
    if two in ((2, *tail), (2, *tail, 1)) and tail in ((), (dimension,)):
        shape = "x.shape" if tail else "x.shape[:-1]"
        return f" As it maps batches of two axes, give lambda x: f(x.reshape(-1, {dimension})).reshape({shape})."
    if one == tail:
        return (
            " It maps one state, but not a batch (2, n): write x[..., i] for a coordinate, and ((x @ P) * x).sum(-1) "
            "for a quadratic form."
        )
    return ""


def _shape_at(function: Function, states: Tensor) -> tuple[int, ...] | None:
    """The shape of the result, in the format that the function takes; None where it fails."""
    for given in (states.clone(), states.float()):
        try:
            with torch.no_grad():
                result = function(given)
        except FAILURES:
            continue
        if isinstance(result, Tensor):
            return tuple(result.shape)
    return None


def _traced(function: Function, dimension: int, states: Tensor, tail: Tail, name: str) -> tuple[Graph, int]:
    graph, again = Graph(dimension), Graph(dimension)
    output, precision = _record(function, graph, states, tail, name)
    if (output, precision) != _record(function, again, states.flip(0), tail, name) or not graph.same_as(again):
        raise LyingTrace(
            f"{name} takes another course at another state: it branches, is random, remembers, or copies numbers of "
            "the state with torch.tensor([...]), where torch.stack([...]) keeps them tensors."
        )
    compare(function, graph, output, states[:STATES_COMPARED], name, precision)
    return graph, output


def _record(function: Function, graph: Graph, states: Tensor, tail: Tail, name: str) -> tuple[int, torch.dtype]:
    result, value, precision = record(function, graph, states[0])
    if value is None or value.shape != tail or not result.is_floating_point():
        given = f"{result.dtype} {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        wanted = f"a floating-point tensor of shape {tail}"
        advice = _advice(function, states, tail)
        raise ShapeError(f"{name} must map a state of shape ({graph.dimension},) to {wanted}; it gave {given}.{advice}")
    return value.node, precision
