"""Recording: every torch operation of a function on one state, as a node of a graph."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ctrlnet.errors import UnsupportedOperation
from ctrlnet.graph.aten import FACTORIES, HANDLERS, INDEXED, MOVEMENTS, RESHAPES, ZEROING, Traced
from ctrlnet.graph.constants import Constant
from ctrlnet.graph.expression import Graph

OWN_FILES, TORCH_FILES = str(Path(__file__).parent), str(Path(torch.__file__).parent)

# Ways in which a number leaves torch, so that the graph would not see what is done with it.
ESCAPES = {
    "numpy",
    "__array__",
    "tolist",
    "item",
    "is_nonzero",
    "equal",
    "allclose",
    "__bool__",
    "__int__",
    "__float__",
    "__complex__",
    "__index__",
    "__contains__",
    "data_ptr",
    "storage",
    "untyped_storage",
    "__dlpack__",
    "__reduce_ex__",
}


class Tracer(TorchDispatchMode):
    """Records the operations of a function on one state as nodes of a graph."""

    def __init__(self, graph: Graph, state: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph
        self._seen: dict[int, tuple[Tensor, Traced]] = {}  # the tensor is kept: a freed one would give its id away
        self._memory: dict[int, list[int]] = {}  # nodes of the tensors that were seen at an address
        self._remember(state, Traced(graph.input, tuple(state.shape)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if func._schema.is_mutable and packet not in RESHAPES:  # what else looks into the written memory is not known
            raise self.unsupported(func)
        if packet in FACTORIES:
            return func(*args, **kwargs)
        if packet in MOVEMENTS and func is not torch.ops.aten.view.dtype:
            return self._move(func, args, kwargs)
        if packet not in HANDLERS:
            if func is torch.ops.aten._local_scalar_dense.default and not self.depends(args[0]):
                return func(*args, **kwargs)
            raise self.unsupported(func)
        result = func(*args, **kwargs)  # first: torch says best what is wrong with shapes
        symbolic = [self.traced(a) if isinstance(a, Tensor) else a for a in args]
        named = {key: self.traced(a) if isinstance(a, Tensor) else a for key, a in kwargs.items()}
        try:
            node = HANDLERS[packet](self.graph, *symbolic, **named)
        except (NotImplementedError, TypeError) as error:
            raise self.unsupported(func, str(error)) from error
        self._remember(result, node)
        return result

    def traced(self, tensor: Tensor) -> Traced:
        """The graph's view of a tensor: a known result, a declared exact number, else a constant."""
        declared = getattr(tensor, "ctrlnet_exact", None)
        if declared is not None and not tensor.shape and float(tensor) == float(declared):
            return Traced(self.graph.constant([declared]), ())
        if id(tensor) not in self._seen:
            if any(self.graph.depends(node) for node in self._memory.get(_address(tensor), ())):
                raise self.unsupported(type(tensor), "a tensor made of the state's memory behind torch's back")
            values = Constant(tensor.detach().cpu().double().numpy().copy())
            self._remember(tensor, Traced(self.graph.constant(values), tuple(tensor.shape)))
        return self._seen[id(tensor)][1]

    def depends(self, tensor: Any) -> bool:
        """Whether the state enters a tensor."""
        known = isinstance(tensor, Tensor) and id(tensor) in self._seen
        return known and self.graph.depends(self._seen[id(tensor)][1].node)

    def _remember(self, tensor: Tensor, value: Traced) -> None:
        self._seen[id(tensor)] = (tensor, value)
        self._memory.setdefault(_address(tensor), []).append(value.node)

    def _move(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run a movement on entry numbers; the numbers that come out select from the concatenated inputs."""
        places = args[1:] if func.overloadpacket in INDEXED else ()
        if any(self.depends(place) for place in _tensors(places)):
            raise self.unsupported(func, "an index taken from the state")
        moved_args = args[:1] if places else args
        numbered = [0] if func.overloadpacket in ZEROING else []
        nodes = [self.graph.constant([0]) for _ in numbered]
        offset = len(numbered)

        def numbers(value: Any) -> Any:
            nonlocal offset
            if isinstance(value, (list, tuple)):
                return type(value)(map(numbers, value))
            if not isinstance(value, Tensor):
                return value
            traced = self.traced(value)
            nodes.append(traced.node)
            offset += value.numel()
            return torch.arange(offset - value.numel(), offset).reshape(traced.shape)

        options = {key: numbers(value) for key, value in kwargs.items()}
        moved = func(*map(numbers, moved_args), *places, **options)
        source = self.graph.concatenate(nodes)
        result = func(*args, **kwargs)
        for tensor, index in zip(_tensors(result), _tensors(moved), strict=True):
            self._remember(tensor, Traced(self.graph.take(source, index.reshape(-1).tolist()), tuple(index.shape)))
        return result

    def unsupported(self, func: Any, detail: str = "") -> UnsupportedOperation:
        """The error that names an operation and the user's line."""
        name = str(func) if isinstance(func, torch._ops.OpOverload) else f"Tensor.{func.__name__}"
        if getattr(getattr(func, "_schema", None), "is_mutable", False):
            detail = "an operation in place or with out=; build the result with torch.stack or torch.cat"
        inner = {"_to_copy", "rsub", "mm", "addmm", "mv", "bmm", "dot", "clamp_min", "clamp_max"}
        named = {str(packet).removeprefix("aten.") for packet in HANDLERS} - inner
        known = ", ".join(sorted(named | {"matmul", "linear", "einsum", "stack", "cat", "indexing"}))
        why = f" ({detail})" if detail else ""
        return UnsupportedOperation(
            f"No proof rule for the operation {name}{why}, used at {_users_line()}. Rewrite it with: {known}."
        )


class Guard(TorchFunctionMode):
    """Stops numbers that depend on the state from leaving torch while a tracer records."""

    def __init__(self, tracer: Tracer):
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__" and args and getattr(func, "__self__", None) is Tensor.data:
            return args[0].detach()
        if name in ESCAPES and any(self.tracer.depends(value) for value in args):
            detail = "the state's number leaves torch: control flow, numpy or a Python number"
            raise self.tracer.unsupported(func, f"{detail}; write branch-free torch code of x")
        return func(*args, **(kwargs or {}))


def record(function: Any, graph: Graph, state: Tensor) -> tuple[Any, Traced | None]:
    """Call a function on a copy of one state; its result, and the graph's view of it."""
    given = state.clone()
    tracer = Tracer(graph, given)
    with torch.no_grad(), Guard(tracer), tracer:
        result = function(given)
    return result, tracer.traced(result) if isinstance(result, Tensor) else None


def _address(tensor: Tensor) -> int:
    """Where a tensor's memory begins; views and aliases share it, and it is not freed while they are kept."""
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().data_ptr()


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, (list, tuple)):
        return [tensor for part in value for tensor in _tensors(part)]
    return [value] if isinstance(value, Tensor) else []


def _users_line() -> str:
    """The innermost line outside torch and this room."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith((OWN_FILES, TORCH_FILES)):
            return f"{frame.filename}:{frame.lineno} ({frame.line})"
    return "an unknown line"
