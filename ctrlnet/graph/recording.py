"""Recording: every torch operation of a function on one state, as a node of a graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ctrlnet.graph.aten import HANDLERS, Traced
from ctrlnet.graph.aten import movements as m
from ctrlnet.graph.aten.traced import broadcast, number, truth
from ctrlnet.graph.expression import Graph
from ctrlnet.graph.refusals import CONSTANT, FLOATS, IN_PLACE, LEAVES, RANDOM, UNUSED, refusal
from ctrlnet.graph.replay import mapped, moved
from ctrlnet.graph.tensors import Tensors, leaves

aten = torch.ops.aten

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
    "__repr__",
    "__format__",
    "apply_",
    "map_",
    "map2_",
    "register_hook",
    "register_post_accumulate_grad_hook",
}


class Tracer(TorchDispatchMode):
    """Records the operations of a function on one state as nodes of a graph."""

    def __init__(self, graph: Graph, state: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph
        self.known = Tensors(graph, state)
        self.inverses: list[tuple[Any, list[int]]] = []
        self.precision = torch.float64

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, which takes seconds, only to tell it to leave this class alone."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, packet = kwargs or {}, func.overloadpacket
        if torch.Tag.nondeterministic_seeded in func.tags and packet not in HANDLERS:
            raise refusal(func, RANDOM)
        if func._schema.is_mutable and packet not in m.RESHAPES:
            return self._write(func, args, kwargs)
        if packet in m.QUESTIONS or _of_shapes_alone(args, kwargs):
            return func(*args, **kwargs)
        if packet is aten._new_zeros_with_same_feature_meta:
            return self.known.blank(func(*args, **kwargs), zeros=True)
        if packet in m.FACTORIES:
            return self.known.made(func(*args, **kwargs))
        if packet in m.CONVERSIONS:
            return self._convert(func, args, kwargs)
        if packet in m.UNINITIALISED:
            return self.known.blank(func(*args, **kwargs))
        if packet in m.MOVEMENTS and func is not aten.view.dtype and self.known.unfilled(args[0]):
            return self._looked_into(func, args, kwargs)
        if packet in m.MOVEMENTS and func is not aten.view.dtype:
            values = moved(self.known, func, args, kwargs)
            return self.known.remember_all(func, func(*args, **kwargs), values)
        if packet in m.LINEAR and func not in m.NOT_LINEAR:
            result = func(*args, **kwargs)
            return self.known.remember_all(func, result, mapped(self.known, func, args, kwargs, tuple(result.shape)))
        if packet not in HANDLERS:
            return self._constant(func, args, kwargs)
        result = self._rounded(func(*args, **kwargs))  # first: torch says best what is wrong with shapes
        return self.known.remember_all(func, result, self._handled(func, packet, args, kwargs))

    def _rounded(self, result: Any) -> Any:
        """Note the format of a result that torch rounds to."""
        if any(tensor.dtype == torch.float32 for tensor in leaves(result)):
            self.precision = torch.float32
        return result

    def _handled(self, func: Any, packet: Any, args: Any, kwargs: Any) -> Any:
        traced = self.known.traced
        unread = m.UNREAD.get(packet)
        symbolic = [traced(a) if isinstance(a, Tensor) and i != unread else a for i, a in enumerate(args)]
        named = {key: traced(a) if isinstance(a, Tensor) else a for key, a in kwargs.items()}
        count = len(self.graph.nodes)
        try:
            value = HANDLERS[packet](self.graph, *symbolic, **named)
        except (NotImplementedError, TypeError) as error:
            raise refusal(func, str(error)) from error
        if packet in m.RAISING:
            added = range(count, len(self.graph.nodes))
            self.inverses.append((func, [i for i in added if self.graph.nodes[i].operation == "div"]))
        return value

    def use(self, output: int) -> None:
        """Refuse an inverse that does not enter the output: torch's error at a singular matrix, caught, is a branch.

        Where it enters, a proof shows that the determinant is not zero.
        """
        used = set(self.graph.reachable([output]))
        for func, quotients in self.inverses:
            if not used.issuperset(quotients):
                raise refusal(func, UNUSED)

    def _constant(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Integers and truth values computed from constants are exact: they are lifted with torch's values."""
        if any(self.known.depends(tensor) for tensor in leaves([args, list(kwargs.values())])):
            raise refusal(func)
        result = func(*args, **kwargs)
        exact = leaves(result) and not any(t.is_floating_point() or t.is_complex() for t in leaves(result))
        if func is not aten._local_scalar_dense.default and not exact:
            raise refusal(func, CONSTANT)
        return result

    def _convert(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A change of floating-point format is the identity of the real numbers; its rounding belongs to deployment."""
        given = self.known.traced(args[0]) if isinstance(args[0], Tensor) else number(self.graph, args[0])
        result = func(*args, **kwargs)
        if result is args[0]:
            return result
        if result.dtype == torch.bool:
            return self.known.remember_all(func, result, truth(self.graph, given))
        if not result.is_floating_point() and self.known.depends(args[0]):
            raise refusal(func, f"a conversion to {result.dtype} truncates; {FLOATS}")
        if not result.is_floating_point():
            return result  # an integer made of constants is what torch says
        return self.known.remember_all(func, self._rounded(result), number(self.graph, given))

    def _write(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operation in place on a tensor whose memory is its own becomes the operation of the same name."""
        plain = getattr(aten, str(func.overloadpacket).removeprefix("aten.").removesuffix("_"), None)
        if plain in m.FILLING and self.known.constant_memory([args, list(kwargs.values())]):
            return self.known.lift_again(func(*args, **kwargs))
        if plain is aten.copy and self.known.same(*args[:2]):
            return func(*args, **kwargs)
        linear = plain in m.LINEAR and getattr(plain, func._overloadname) not in m.NOT_LINEAR
        ruled = func._schema.name.endswith("_") and (plain in HANDLERS or plain in m.FILLING or linear)
        owned = self.known.owned(args[0])
        if not ruled or not (owned or self.known.writable(args[0])):
            raise refusal(func, IN_PLACE)
        value = self._written(func, plain, args, kwargs)
        result = self.known.remember_all(func, self._rounded(func(*args, **kwargs)), value)
        if owned:
            self.known.write(args[0], value)
        return result

    def _written(self, func: Any, plain: Any, args: Any, kwargs: Any) -> Any:
        """What an operation in place leaves in its first argument: the result of the one without the underscore."""
        if plain in m.FILLING:
            return self._filled(args[0], *args[1:2])
        if plain in m.LINEAR:
            same = getattr(plain, func._overloadname)
            return mapped(self.known, same, args, kwargs, tuple(args[0].shape))
        return self._handled(func, plain, args, kwargs)

    def _looked_into(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A view of a tensor that is still to be filled: something to write to. A copy of it has no known values."""
        self.known.remember(args[0], None)
        result = func(*args, **kwargs)
        return self.known.remember_all(func, result, [None] * len(leaves(result)))

    def _filled(self, written: Tensor, source: Any = 0) -> Traced:
        """zero_, fill_ and copy_ replace all values, whatever they were."""
        given = self.known.traced(source) if isinstance(source, Tensor) else number(self.graph, source)
        fitting = truth(self.graph, given) if written.dtype == torch.bool else number(self.graph, given)
        return broadcast(self.graph, fitting, tuple(written.shape))


def _of_shapes_alone(args: Any, kwargs: Any) -> bool:
    """Whether tensors without memory are asked for or given: they carry shapes and no numbers."""
    asked = kwargs.get("device")
    return (asked is not None and torch.device(asked).type == "meta") or any(t.is_meta for t in leaves(args))


class Guard(TorchFunctionMode):
    """Stops numbers that depend on the state from leaving torch while a tracer records."""

    def __init__(self, tracer: Tracer):
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__" and args and getattr(func, "__self__", None) is Tensor.data:
            return args[0].detach()
        if name == "__setitem__" and self._masks_one(*args[1:]):
            return args[0].masked_fill_(*args[1:])
        given = leaves([args, list((kwargs or {}).values())])
        if name in ESCAPES and any(self.tracer.known.guarded(value) for value in given):
            raise refusal(func, LEAVES)
        if name in ESCAPES:
            for value in given:
                self.tracer.known.gives(value)
        return func(*args, **(kwargs or {}))

    def _masks_one(self, index: Any, value: Any) -> bool:
        """Whether y[index] = value is a choice by one truth value, which torch would ask for: y where it is false."""
        mask = isinstance(index, Tensor) and index.dtype == torch.bool and not index.dim()
        return mask and self.tracer.known.depends(index) and not (isinstance(value, Tensor) and value.dim())


def record(function: Any, graph: Graph, state: Tensor) -> tuple[Any, Traced | None, torch.dtype]:
    """Call a function on a copy of one state; its result, the graph's view of it, and the least precision it rounds to.

    Weights of float32 meet a state of float64 in float64, but a product of two of them is rounded to float32 before.
    """
    given = state.clone()
    tracer = Tracer(graph, given)
    with torch.no_grad(), Guard(tracer), tracer:
        result = function(given)
    value = tracer.known.traced(result) if isinstance(result, Tensor) else None
    if value is not None:
        tracer.use(value.node)
    return result, value, tracer.precision
