"""Functions of tensors as compiled graphs, kept by what chooses them; without one where there can be none."""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from inspect import unwrap
from types import FunctionType, MethodType
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.systems import Structured, Timed

Key: TypeAlias = tuple[Any, ...]

GRAPHS = 64  # at most at a time; the one used longest ago makes room
SHAPES = 4  # of the states of one problem with graphs of their own; others share graphs for all sizes
DEPTH = 6  # of functions that hold functions
BACKEND = "inductor"  # of torch.compile

# of the conditions on which a graph relies, those on code alone
_SURE = ("G['__builtins", "G['__import_torch", "G['__import_ctrlnet_dot", "G['___unnamed_scope")

_log = logging.getLogger("ctrlnet")
_graphs: OrderedDict[Key, Graph] = OrderedDict()
_shapes: dict[Key, set[torch.Size]] = {}
_numbers = itertools.count()
_said: list[str] = []


@final
@dataclass
class Graph:
    """A function that is compiled at its first call; None where that has failed."""

    function: Callable[..., Any] | None
    method: Any  # kept, so that no other one can take its place
    made: bool = False


def graph_of(function: Callable[..., Any], name: int, arguments: tuple[Any, ...], x: Tensor, whole: bool) -> Graph:
    """The graph of a function for arguments like these.

    Args:
        name: what chooses the graph besides the tensors.
        arguments: of the function: the method first, tensors, tuples of them, and other objects.
        x: the states among them, (..., n).
        whole: they are not what is left of a larger batch.
    """
    tensors = list(_tensors(arguments))
    kinds = tuple([(one.dtype, one.ndim, one.requires_grad) for one in tensors])
    key: Key = (function, name, kinds, x.device, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    shapes = _shapes.setdefault(key, set())
    if whole and len(shapes) < SHAPES:
        shapes.add(x.shape)
    own = x.shape in shapes
    key = (*key, x.shape if own else tuple([size == 1 for size in x.shape[:-1]]))
    if key not in _graphs:
        _graphs[key] = _graph(function, arguments[0], own and x.is_cuda)
        if not own:
            _mark(tensors, x.shape[:-1])
        if len(_graphs) > GRAPHS:
            _graphs.popitem(last=False)
    _graphs.move_to_end(key)
    return _graphs[key]


def _graph(function: Any, method: Any, replay: bool) -> Graph:
    """A graph of its own: `torch.compile` keeps those of one piece of code together, and only a few of them."""
    function = unwrap(function)
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(_numbers)}")
    alone = FunctionType(code, function.__globals__, code.co_name)
    if replay:
        return Graph(torch.compile(alone, fullgraph=True, backend=BACKEND, mode="reduce-overhead"), method)
    sure = (*_SURE, "method") if isinstance(method, RungeKutta) else _SURE

    def doubts(guards: Sequence[Any]) -> list[bool]:
        """Which conditions of the graph are to be checked at every step: not those on what does not change."""
        return [not guard.name.startswith(sure) for guard in guards]

    return Graph(torch.compile(alone, fullgraph=True, backend=BACKEND, options={"guard_filter_fn": doubts}), method)


def _mark(tensors: Iterable[Tensor], batch: torch.Size) -> None:
    """The sizes of the batch are variables of a graph that serves several."""
    for one in tensors:
        if one.shape[:-1] == batch:
            for dimension in range(len(batch)):
                torch._dynamo.maybe_mark_dynamic(one, dimension)


def tried(graph: Graph, arguments: tuple[Any, ...]) -> Any:
    """The value by the graph; None, and none from it again, where it cannot be made."""
    cause: Exception | None = None
    for context in (nullcontext, _tracing) if graph.made else (_tracing,):
        if graph.function is not None:
            try:
                with context():
                    value = graph.function(*arguments)
                    graph.made = True
                    return value
            except Exception as error:  # the compiler's; or the field's own, which raises it again without a graph
                cause = error
    if graph.function is not None:
        graph.function = None
        _tell(cause)
    return None


def _tell(cause: Exception | None) -> None:
    """One line in a process."""
    if not _said:
        _said.append(str(cause))
        reason = f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
        _log.warning("Compiled steps are not possible here and run as they are. %s", reason)


def _tracing() -> AbstractContextManager[None]:
    """While a graph is made: derivatives are taken within it."""
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        return nullcontext()
    patched: AbstractContextManager[None] = torch._dynamo.config.patch(trace_autograd_ops=True)
    return patched


def identity(thing: Any, depth: int = DEPTH) -> int:
    """A number that tells one field or method from another: code, and what it is about; new closures of both keep it.

    It chooses among graphs. That the graph fits is for the graph itself to see, so that chance does no harm.
    """
    parts: Iterable[Any] = ()
    if isinstance(thing, FunctionType):
        mark, parts = id(thing.__code__), _held(thing)
    elif isinstance(thing, MethodType):
        mark, parts = id(thing.__func__), (thing.__self__,)
    elif isinstance(thing, Timed):
        mark, parts = id(Timed), (thing.function,)
    elif isinstance(thing, Structured):
        mark, parts = id(type(thing)), thing.parts
    else:
        mark = id(thing if isinstance(thing, (nn.Module, RungeKutta)) else type(thing))
    return hash((mark, *[identity(one, depth - 1) for one in parts])) if depth else mark


def _held(function: FunctionType) -> Iterator[Any]:
    """The functions, modules and other things that a closure is about, not its numbers."""
    for cell in function.__closure__ or ():
        try:
            thing = cell.cell_contents
        except ValueError:  # not given yet
            continue
        if callable(thing):
            yield thing


def _tensors(arguments: Iterable[Any]) -> Iterator[Tensor]:
    for one in arguments:
        if isinstance(one, Tensor):
            yield one
        elif type(one) is tuple:
            yield from _tensors(one)


def transformed() -> bool:
    """Within a transform of torch.func, in forward mode or in another compilation: no place for a graph."""
    functorch = torch._C._functorch.peek_interpreter_stack() is not None
    return functorch or forward_ad._current_level >= 0 or torch.compiler.is_compiling()
