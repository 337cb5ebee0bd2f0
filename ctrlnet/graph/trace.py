"""Tracing: a torch function of one state becomes a `Graph`, and the graph is held against the function.

Every operation is recorded as torch dispatches it, below autograd, operations on constants included: a policy's
net(x*) stays a term of the graph and cancels exactly where it is subtracted from net(x*).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ctrlnet.errors import CtrlnetError, LyingTrace, ShapeError, TraceError
from ctrlnet.graph.comparison import compare
from ctrlnet.graph.expression import Graph
from ctrlnet.graph.recording import record

Function = Callable[[Tensor], Tensor]
Tail = tuple[int, ...]
STATES_COMPARED = 32


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
    try:
        return _traced(function, dimension, states, tail, name)
    except RuntimeError as error:
        if "dtype" not in str(error) and "scalar type" not in str(error):
            raise _failure(name, error) from error
    except (TypeError, IndexError, ValueError, AttributeError) as error:
        if isinstance(error, CtrlnetError):
            raise
        raise _failure(name, error) from error
    try:  # a float32 module: its weights are exact, and the theorem is about real arithmetic
        return _traced(function, dimension, states.float(), tail, name)
    except RuntimeError as error:
        raise _failure(name, error) from error


def _failure(name: str, error: Exception) -> TraceError:
    return TraceError(
        f"{name} failed on a state while it was traced: {type(error).__name__}: {error}. It must map a float64 or "
        "float32 tensor (n,), and batches (..., n), by torch operations."
    )


def _traced(function: Function, dimension: int, states: Tensor, tail: Tail, name: str) -> tuple[Graph, int]:
    graph, again = Graph(dimension), Graph(dimension)
    output = _record(function, graph, states[0], tail, name)
    if output != _record(function, again, states[-1], tail, name) or not graph.same_as(again):
        raise LyingTrace(f"{name} takes another course at another state: it branches, is random, or remembers.")
    compare(function, graph, output, states[:STATES_COMPARED], name)
    return graph, output


def _record(function: Function, graph: Graph, state: Tensor, tail: Tail, name: str) -> int:
    result, value = record(function, graph, state)
    if value is None or value.shape != tail or not result.is_floating_point():
        given = f"{result.dtype} {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        wanted = f"a floating-point tensor of shape {tail}"
        raise ShapeError(f"{name} must map a state of shape ({graph.dimension},) to {wanted}; it gave {given}.")
    return value.node
