"""What a trace knows of the tensors it has met: their place in the graph, and who looks into their memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctrlnet.graph.aten import Traced
from ctrlnet.graph.constants import Constant
from ctrlnet.graph.contents import Contents, places
from ctrlnet.graph.expression import Graph
from ctrlnet.graph.refusals import ALIAS, COMPLEX, INTEGER, TRUTHS, UNKNOWN, refusal


class Tensors:
    """The tensors of one trace; every one is kept, since a freed one would give its id and its memory away."""

    def __init__(self, graph: Graph, state: Tensor):
        self.graph = graph
        self.state = state
        self._seen: dict[int, tuple[Tensor, Traced | None]] = {}  # None: nothing is known of the values
        self._memory: dict[
            int | None, list[tuple[int, int]]
        ] = {}  # id and node of the tensors that were seen at an address
        self._blank: dict[int, tuple[Any, bool]] = {}  # memory made to be written to, and whether it began as zeros
        self._made: dict[int, Any] = {}  # memory of constants that the function made
        self._own: set[int] = set()  # addresses of memory that operations of the function made
        self._given: set[int] = set()  # addresses that something outside torch may look at
        self.remember(state, Traced(graph.input, tuple(state.shape)))

    def traced(self, tensor: Tensor) -> Traced:
        """The graph's view of a tensor: a known result, a declared exact number, else a constant."""
        declared = getattr(tensor, "ctrlnet_exact", None)
        if declared is not None and not tensor.shape and float(tensor) == float(declared):
            return Traced(self.graph.constant([declared]), ())
        if id(tensor) not in self._seen:
            if self._made_blank(tensor) and not self._still_zero(tensor):
                raise refusal(type(tensor), UNKNOWN)
            if any(self.graph.depends(node) for _, node in self._memory.get(_address(tensor), ())):
                raise refusal(type(tensor), ALIAS)
            self.remember(tensor, self._lifted(tensor))
        known = self._seen[id(tensor)][1]
        if known is None:
            raise refusal(type(tensor), UNKNOWN)
        return known

    def depends(self, tensor: Any) -> bool:
        """Whether the state enters a tensor, or nothing is known of its values."""
        if not isinstance(tensor, Tensor):
            return False
        if id(tensor) not in self._seen:
            return self._made_blank(tensor)
        known = self._seen[id(tensor)][1]
        return known is None or self.graph.depends(known.node)

    def remember(self, tensor: Tensor, value: Traced | None, result: bool = False) -> None:
        """What is unknown counts as made of the state. Memory first seen behind a result is the function's own."""
        self._seen[id(tensor)] = (tensor, value)
        node = self.graph.input if value is None else value.node
        address = _address(tensor)
        if address is None:
            return
        if address not in self._memory and (result or address in self._made or address in self._blank):
            self._own.add(address)
        self._memory.setdefault(address, []).append((id(tensor), node))

    def remember_all(self, func: Any, result: Any, values: Any) -> Any:
        """Remember every tensor of an operation's result, of which a rule gave the values; returns the result."""
        listed = values if isinstance(values, (list, tuple)) else [values]
        for tensor, value in zip(leaves(result, tensors_only=False), listed, strict=True):
            if not isinstance(tensor, Tensor):  # a result that was not asked for
                continue
            if value is not None:
                self._check(func, tensor, value)
            self.remember(tensor, value, result=True)
        return result

    def made(self, tensor: Tensor) -> Tensor:
        """Note a constant that the function made: what is written into it later is no one else's."""
        address = _address(tensor)
        if address is not None:
            self._made[address] = tensor.untyped_storage()
        return tensor

    def constant_memory(self, values: Any) -> bool:
        """Whether constants alone are written, into memory that the function made and holds constants in.

        Not where one of them is a declared exact number, which torch has rounded.
        """
        written = leaves(values)[0]
        address = _address(written)
        inside = [self._seen[seen] for seen, _ in self._memory.get(address, ())]
        plain = all(self._held(value) and value == self._lifted(tensor) for tensor, value in inside)
        rounded = any(hasattr(tensor, "ctrlnet_exact") or self.depends(tensor) for tensor in leaves(values))
        return address in self._made and plain and not rounded

    def _held(self, value: Traced | None) -> bool:
        """Whether a value is a constant, exactly known."""
        return value is not None and self.graph.held(value.node) is not None

    def lift_again(self, written: Tensor) -> Tensor:
        """After constants were written: the values of all tensors that look into that memory."""
        for seen in {seen for seen, _ in self._memory.get(_address(written), ())}:
            tensor = self._seen[seen][0]
            self._seen[seen] = (tensor, self._lifted(tensor))
        return written

    def blank(self, tensor: Tensor, zeros: bool = False) -> Tensor:
        """Remember a tensor that is made to be written to; nothing outside torch may look into it, even when filled.

        Its memory is kept and not the tensor: torch would hand out an alias of a tensor that is already in use.
        """
        address = _address(tensor)
        if address is not None:
            self._blank[address] = tensor.untyped_storage(), zeros
        return tensor

    def guarded(self, tensor: Any) -> bool:
        """Whether the numbers of a tensor must stay inside torch."""
        return self.depends(tensor) or self._made_blank(tensor)

    def same(self, a: Tensor, b: Tensor) -> bool:
        """Whether two tensors are known to hold the same numbers, so that copying one to the other changes nothing."""
        left, right = (self._seen.get(id(tensor), (None, None))[1] for tensor in (a, b))
        return left is not None and left == right and a.dtype == b.dtype

    def gives(self, tensor: Any) -> None:
        """Note that the numbers of a tensor leave torch: its memory may be looked at from outside."""
        if isinstance(tensor, Tensor) and (address := _address(tensor)) is not None:
            self._given.add(address)

    def owned(self, tensor: Any) -> bool:
        """Whether a write changes floating-point tensors of this function alone, all of which are known.

        Not where two entries of the tensor share a place.
        """
        if not isinstance(tensor, Tensor) or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            return False
        address = _address(tensor)
        if address in self._made and id(tensor) not in self._seen:
            self.traced(tensor)
        seen = [self._seen[seen][0] for seen, _ in self._memory.get(address, ())]
        alike = tensor.is_floating_point() and all(other.dtype == tensor.dtype for other in seen)
        alone = address in self._own and address not in self._given and alike and not self._within(tensor)
        return alone and len(set(places(tensor))) == tensor.numel()

    def _within(self, tensor: Tensor) -> bool:
        """Whether another piece of memory that was seen overlaps that of a tensor: an alias made by a foreign hand."""
        start, size = _extent(tensor)
        for address in self._memory:
            if address is None or address == start:
                continue
            known, length = _extent(self._seen[self._memory[address][0][0]][0])
            if known < start + size and start < known + length:
                return True
        return False

    def write(self, tensor: Tensor, value: Traced) -> None:
        """A tensor whose memory is owned holds a new value: so do all that look into that memory."""
        address = _address(tensor)
        contents = Contents(tensor)
        views = [self._seen[seen] for seen in dict.fromkeys(seen for seen, _ in self._memory[address])]
        for view, known in views:
            if known is not None:
                contents.put(view, known.node)
        contents.put(tensor, value.node)
        for view, _ in views:
            node = contents.get(self.graph, view)
            self.remember(view, None if node is None else Traced(node, tuple(view.shape)))

    def unfilled(self, tensor: Any) -> bool:
        """Whether the values of a tensor are not known: it was made to be filled, and is not yet, or holds places."""
        if not isinstance(tensor, Tensor):
            return False
        if id(tensor) in self._seen:
            return self._seen[id(tensor)][1] is None
        return self._made_blank(tensor) and not self._still_zero(tensor)

    def writable(self, tensor: Any) -> bool:
        """Whether a write changes nothing but this tensor's own value.

        So it is for a guarded tensor that no other tensor shares memory with: it gave its memory to nobody outside
        torch, and its views inside torch were seen.
        """
        if not isinstance(tensor, Tensor) or tensor is self.state or not self.guarded(tensor):
            return False
        return all(seen == id(tensor) for seen, _ in self._memory.get(_address(tensor), ()))

    def _still_zero(self, tensor: Tensor) -> bool:
        address = _address(tensor)
        return address is not None and self._blank[address][1] and address not in self._memory

    def _made_blank(self, tensor: Any) -> bool:
        wrapped = not isinstance(tensor, Tensor) or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        return not wrapped and _address(tensor) in self._blank

    def _lifted(self, tensor: Tensor) -> Traced:
        """A constant; truth values are conditions of 1 and -1."""
        if tensor.is_complex() or tensor.is_meta:
            raise refusal(type(tensor), UNKNOWN if tensor.is_meta else COMPLEX)
        values = np.zeros(tensor.shape) if tensor._is_zerotensor() else tensor.detach().cpu().double().numpy().copy()
        boolean = tensor.dtype == torch.bool
        held = Constant(np.asarray(2 * values - 1) if boolean else values)
        return Traced(self.graph.constant(held), tuple(tensor.shape), True if boolean else None)

    def _check(self, func: Any, tensor: Tensor, value: Traced) -> None:
        """The form of a value must fit the type of its tensor."""
        if value.shape != tuple(tensor.shape):
            raise refusal(func, f"the rule gives the shape {value.shape} for {tuple(tensor.shape)}")
        if tensor.is_complex():
            raise refusal(func, COMPLEX)
        if (tensor.dtype == torch.bool) != (value.truth is not None):
            raise refusal(func, TRUTHS)
        whole = not tensor.is_floating_point() and tensor.dtype != torch.bool
        if whole and self.graph.depends(value.node):
            raise refusal(func, INTEGER)


def leaves(value: Any, tensors_only: bool = True) -> list[Any]:
    """The tensors of nested lists and tuples; with `tensors_only` False whatever stands beside them too."""
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in leaves(part, tensors_only)]
    return [value] if isinstance(value, Tensor) or not tensors_only else []


def _address(tensor: Tensor) -> int | None:
    """Where a tensor's memory begins; views and aliases share it, and it is not freed while they are kept.

    The zeros of forward-mode differentiation have no memory, and neither have tensors that are mere shapes.
    """
    if tensor._is_zerotensor() or tensor.is_meta:
        return None
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().data_ptr()


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor's memory begins, and how many bytes it has."""
    with torch._C.DisableTorchFunction():
        memory = tensor.untyped_storage()
        return memory.data_ptr(), memory.nbytes()
