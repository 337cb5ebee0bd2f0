"""What all statement kinds read, say and prove alike.

Solutions. x' = F(x, d) with d in D stands for the inclusion x' in G(x), the convex hull of the values F(x, d) over d in
D, where a switch at its tie takes both of its values. A solution is absolutely continuous and satisfies it almost
everywhere. That covers every measurable d(t) in D, and Filippov's solutions where F switches. G has closed graph and
is locally bounded where F is defined: from a compact set a solution is continued until it leaves, or F is undefined.

Chain rule. If V is Lipschitz near x(t), then V(x(t)) is absolutely continuous and, for almost every t, its derivative
lies between the least and the largest g.y over g in Clarke's gradient of V at x(t) and y in G(x(t)): at a t where both
sides have a derivative, V(x + s x') - V(x) = s g.x' for a g in Clarke's gradient between the two points, and s -> 0. A
claim on g.F(x, d) that is linear in F and holds for all d and both values of a switch holds for all y in G(x).

Leaves. A proof bisects a box into leaves, and this checker bisects these further; a claim is shown with one bound on
each of finitely many closed boxes, on their boundaries too. Let y lie in X. A box whose states do not include y has a
distance to y, so all states in X near y lie in boxes whose states include y.

Faces. Let x be a solution with x(T) = y in X such that F(y, d) points strictly inward on every face of X that contains
y, for all d. So does G near y, as its graph is closed, whence x(t) lies in the interior of X for all t > T close to T.

Source: Filippov, Differential Equations with Discontinuous Righthand Sides (1988), section 7; Clarke, Optimization and
Nonsmooth Analysis (1983), Thms 2.3.7 (Lebourg) and 2.1.5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ctrlnet.checker import enclosures
from ctrlnet.checker.document import Document, fields, float64s, sequence
from ctrlnet.checker.functions import Elementary
from ctrlnet.checker.graph import MAX_DIMENSION, read_graph
from ctrlnet.checker.interval import Array, Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.leaves import Effort, Outcome, settle
from ctrlnet.checker.report import Unreadable
from ctrlnet.checker.tree import Leaves, leaves

NONE = Interval(np.zeros((1, 0)), np.zeros((1, 0)))
"""The box D (1, 0) where there is no disturbance."""


MOST, CACHES = 1024, 32
"""Boxes tested together: so many, with jets of at most so many caches; fewer cost more in calls than they gain."""


class Goal(NamedTuple):
    """A claim that the proof makes on its leaves, and its test on boxes; `order` of the jets that it encloses."""

    leaves: Leaves
    claim: str
    test: Callable[[Interval], Outcome]
    order: int = 1


class Statement(ABC):
    """The statement of one file: `words` is the theorem, `confirm` its check, `effort` what that took.

    A kind says what its fields and graphs are, reads them (`read`), and turns a proof into goals (`goals`).
    """

    names: ClassVar[tuple[str, ...]]
    """Fields of the statement besides kind, box and disturbance."""
    robust: ClassVar[bool] = True
    """Whether F may depend on a disturbance."""

    def __init__(self, document: Document, elementary: Elementary, effort: Effort | None = None) -> None:
        self.document, self.elementary, self.effort = document, elementary, effort or Effort()
        optional = ("disturbance",) if self.robust and "disturbance" in document.statement else ()
        content = fields(document.statement, ("kind", "box", *self.names, *optional), "the statement")
        self.lower, self.upper = root(content["box"])
        self.X = Interval(self.lower, self.upper)
        self.D = disturbance(content["disturbance"]) if optional else NONE
        self.n, self.k = len(self.lower), self.D.shape[1]
        if self.n + self.k > MAX_DIMENSION:
            raise Unreadable(f"{self.n + self.k} states and disturbances; this checker reads up to {MAX_DIMENSION}")
        self.functions: list[Evaluator] = []
        self.words = self.read(content)

    @abstractmethod
    def read(self, content: dict[str, Any]) -> str:
        """Read the parameters and the graphs; the theorem in words."""

    @abstractmethod
    def goals(self, proof: dict[str, Any]) -> Iterable[Goal]:
        """Read the proof, check what needs no leaves, and return what does; raises `Unconfirmed`."""

    def confirm(self) -> None:
        """Check the proof; raises `Unconfirmed`."""
        for goal in list(self.goals(dict(self.document.proof))):
            point = "(x, d)" if goal.leaves.box.shape[1] > self.n else "x"
            widest = min(f.chunk(goal.order, self.n + self.k) for f in self.functions)
            chunk = min(MOST, CACHES * widest)
            settle(goal.leaves, goal.claim, goal.test, self.effort, chunk, point)

    def graphs(self, *scalars: str, field: bool = True) -> list[Evaluator]:
        """The graphs with exactly these names, of size 1 and n inputs, and F, of size n and n + k inputs, ready."""
        content = fields(self.document.graphs, (*scalars, "F") if field else scalars, "graphs")
        for name in content:
            size, inputs = (self.n, self.n + self.k) if field and name == "F" else (1, self.n)
            graph = read_graph(content[name], inputs, repr(name)[:60], self.n + self.k)
            if graph.size != size:
                raise Unreadable(f"graph {name[:60]!r} must have size {size}")
            self.functions.append(Evaluator(graph, inputs, self.elementary))
        by_name = dict(zip(content, self.functions, strict=True))
        return [by_name[name] for name in (*scalars, *(["F"] if field else []))]

    def interior(self, tree: Any, kinds: str, where: str = "the interior", disturbed: bool = True) -> Leaves:
        """Leaves of a tree over X x D; over X if not `disturbed`."""
        return self._leaves(tree, self.lower, self.upper, self.D if disturbed else NONE, kinds, where)

    def faces(self, trees: Any, kinds: str, disturbed: bool = True) -> list[tuple[int, bool, Leaves]]:
        """Axis, whether it is the upper one, and leaves, of every face of X; over face x D if `disturbed`."""
        D = self.D if disturbed else NONE
        found = []
        for i, pair in enumerate(sequence(trees, "faces", self.n)):
            for tree, side in zip(sequence(pair, "faces", 2), (self.lower, self.upper), strict=True):
                low, high = self.lower.copy(), self.upper.copy()
                low[i] = high[i] = side[i]
                part = self._leaves(tree, low, high, D, kinds, f"the face x{i + 1} = {side[i]:g}")
                found.append((i, side is self.upper, part))
        return found

    def inward(self, faces: Iterable[tuple[int, bool, Leaves]], F: Evaluator) -> Iterator[Goal]:
        """F points strictly into X on the leaves 'p' of faces."""
        for axis, upper, part in faces:
            test = partial(enclosures.inward, F, axis=axis, upper=upper)
            yield Goal(part.of_kind("p"), "F points into X on a proved leaf of a face", test)

    def _leaves(self, tree: Any, lower: Array, upper: Array, D: Interval, kinds: str, where: str) -> Leaves:
        low, high = np.concatenate([lower, D.lo[0]]), np.concatenate([upper, D.hi[0]])
        found = leaves(tree, low, high, kinds, where)
        self.effort.leaves += len(found)
        return found

    def spoken(self, words: str, **parts: str) -> str:
        """The template filled in: {X}, {D} and {d} for a disturbance if there is one, {graphs}, and the parts given."""
        named = ", ".join(
            f"{f} {e.graph.digest[:16]}" for f, e in zip(self.document.graphs, self.functions, strict=True)
        )
        values = in_words(self.D.lo[0], self.D.hi[0])
        return words.format(
            X=in_words(self.lower, self.upper), d=", d" if self.k else "", dk=", d(k)" if self.k else "",
            D=f", whatever the disturbance d in D = {values} at every time (measurable in t)" if self.k else "",
            DK=f", whatever the disturbances d(k) in D = {values}" if self.k else "",
            graphs=f"The functions are the graphs in the file ({named}).", **parts,
        )  # fmt: skip


def root(value: Any) -> tuple[Array, Array]:
    """Corners (n,) of the box X of a statement."""
    lower, upper = corners(value, "the box")
    if not (lower < upper).all():
        raise Unreadable("the box is empty: every lower corner must be below its upper corner")
    return lower, upper


def disturbance(value: Any) -> Interval:
    """The box D (1, k) of the disturbance; it may have no width."""
    lower, upper = corners(value, "the box of the disturbance")
    if not (lower <= upper).all():
        raise Unreadable("the box of the disturbance is empty: a lower corner is above its upper corner")
    return Interval(lower[None], upper[None])


def corners(value: Any, where: str) -> tuple[Array, Array]:
    """Lower and upper corners of a box, float64 values."""
    content = fields(value, ("lower", "upper"), where)
    n = len(sequence(content["lower"], "lower"))
    if not 1 <= n <= MAX_DIMENSION:
        raise Unreadable(f"{where} has {n} dimensions; this checker reads 1 to {MAX_DIMENSION}")
    lower, upper = (float64s(content[name], name, n) for name in ("lower", "upper"))
    return lower, upper


def in_words(*values: Fraction | Array) -> str:
    """A number, or the box with these two corners."""
    if isinstance(values[0], Fraction):
        near, ratio = float(Interval.of([values[0]]).lo[0]), str(values[0])
        return repr(near) if Fraction(near) == values[0] else ratio if len(ratio) <= 60 else f"{near!r} (rounded here)"
    lower, upper = values
    return " x ".join(f"[{a!r}, {b!r}]" for a, b in zip(lower.tolist(), upper.tolist(), strict=True))  # type: ignore[union-attr]


def enclosed(values: Sequence[Fraction]) -> list[Interval]:
    """Each number as an interval of shape (1,)."""
    return [Interval.of([value]) for value in values]
