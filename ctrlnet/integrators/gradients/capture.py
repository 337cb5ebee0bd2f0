"""The tensors with derivatives that a field uses, wherever they live: in a module, a closure, a global, a list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from ctrlnet.errors import UsageError
from ctrlnet.integrators.moves import Problem
from ctrlnet.integrators.runge_kutta import RungeKutta
from ctrlnet.systems.fields import Time


def captured(problem: Problem, t: Time, x: Tensor, h: float) -> list[Tensor]:
    """The tensors that require a gradient and are used at (t, x), and the parameters of modules that hold the field.

    The field is run twice, or, where the method may have parameters of its own, a step of h [s].

    Raises:
        UsageError: the field gives other values the second time.
    """
    mode = _Watch()
    with torch.enable_grad():
        first = _used(problem, t, x, h)  # what the field makes once and keeps is not made under the eyes of the mode
        with mode:
            again = _used(problem, t, x, h)
    if not torch.allclose(first, again, rtol=1e-3, equal_nan=True):
        raise UsageError(
            "The field gives other values when it is asked again at the same time and state, such as with dropout; "
            "this gradient asks again. Put the module into eval(), or give gradient='backprop'."
        )
    found = {id(one): one for one in mode.used}
    for module in _modules(problem.field):
        found |= {id(one): one for one in module.parameters() if one.requires_grad}
    return list(found.values())


def _used(problem: Problem, t: Time, x: Tensor, h: float) -> Tensor:
    probe = x.detach().requires_grad_()
    if isinstance(problem.method, RungeKutta):
        return problem.rate(t, probe)
    return problem.method.step(problem.given, t, probe, h, problem.begin(t, probe)).x


class _Mode(TorchFunctionMode):
    """Sees every operation: functions that are compiled run as they are meanwhile."""

    def __enter__(self) -> _Mode:
        compiles = "torch._dynamo" in sys.modules  # which is slow to import
        self._stance = torch.compiler.set_stance("force_eager") if compiles else nullcontext()
        self._stance.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *failure: Any) -> None:
        super().__exit__(*failure)  # type: ignore[no-untyped-call]
        self._stance.__exit__(*failure)


class _Watch(_Mode):
    """Notes the tensors with gradients that operations get and that no operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.used: list[Tensor] = []
        self._known: dict[int, Tensor] = {}  # they are kept, so that no other tensor gets their id

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for one in _tensors((args, kwargs)):
            if one.requires_grad and id(one) not in self._known and not _wrapped(one):
                self.used.append(one)
                self._known[id(one)] = one
        result = func(*args, **kwargs or {})
        for one in _tensors(result):
            self._known.setdefault(id(one), one)
        return result


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for one in tree:
            yield from _tensors(one)
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))


def _wrapped(tensor: Tensor) -> bool:
    """Made by torch.func inside the field."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def _modules(part: Any, depth: int = 4) -> Iterator[nn.Module]:
    """The modules that a field is, or that it holds as an attribute or uses as a variable."""
    if isinstance(part, nn.Module):
        yield part
    elif depth:
        for inner in _inside(part):
            yield from _modules(inner, depth - 1)


def _inside(part: Any) -> Sequence[Any]:
    if isinstance(part, (tuple, list)):
        return part
    if isinstance(part, MethodType):
        return (part.__self__, part.__func__)
    if isinstance(part, partial):
        return (part.func, *part.args, *part.keywords.values())
    if isinstance(part, FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or () if _is_full(cell)]
        return [*cells, *(part.__globals__.get(name) for name in part.__code__.co_names)]
    return tuple(getattr(part, "__dict__", {}).values()) if callable(part) and not isinstance(part, type) else ()


def _is_full(cell: CellType) -> bool:
    """The variable has a value by now."""
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def apart(x: Tensor) -> Tensor:
    """The same numbers, where a graph begins; where derivatives go on beyond it, as a view."""
    return x.view_as(x) if torch.is_grad_enabled() and x.requires_grad else x.detach().requires_grad_()


class Standing(NamedTuple):
    """The tensors with respect to which a recomputed step is differentiated, and the context it is computed in."""

    inputs: list[Tensor]
    context: AbstractContextManager[Any]

    @property
    def plain(self) -> bool:
        """All of them are the tensors that the field uses."""
        return not isinstance(self.context, _Exchange)


def standing(parameters: Sequence[Tensor]) -> Standing:
    """Leaves stand for themselves, other tensors are replaced by `apart` ones wherever the field uses them.

    Derivatives then end there, and do not run through what made those tensors once for every step. Where derivatives
    are to go on beyond, leaves are replaced too, so that what comes to them in other ways does not count twice.
    """
    alone = not torch.is_grad_enabled()
    inputs = [one if one.is_leaf and alone else apart(one) for one in parameters]
    table = {id(old): new for old, new in zip(parameters, inputs, strict=True) if new is not old}
    return Standing(inputs, _Exchange(table) if table else nullcontext())


class _Exchange(_Mode):
    """Gives operations other tensors in the place of some."""

    def __init__(self, table: dict[int, Tensor]) -> None:
        super().__init__()
        self._table = table

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*self._exchanged(args), **self._exchanged(kwargs or {}))

    def _exchanged(self, tree: Any) -> Any:
        if isinstance(tree, Tensor):
            return self._table.get(id(tree), tree)
        if type(tree) in (tuple, list):
            return type(tree)(map(self._exchanged, tree))
        if type(tree) is dict:
            return {key: self._exchanged(one) for key, one in tree.items()}
        return tree


def require_known(outputs: Sequence[Tensor], known: Sequence[Tensor]) -> None:
    """Refuse a graph with leaves that nobody knows of: their derivatives would be lost.

    Raises:
        UsageError: there is one.
    """
    names = {id(one) for one in known}
    waiting: list[Node | None] = [one.grad_fn for one in outputs]
    seen: set[Node | None] = {None}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        assert node is not None
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in names:
            raise UsageError(
                f"On the way the field used a tensor of shape {tuple(leaf.shape)} that requires a gradient and was not "
                "used at the start, as in another branch of the field. Make it an nn.Parameter of a module that is "
                "the field, or give gradient='backprop'."
            )
        waiting += [following for following, _ in node.next_functions]
