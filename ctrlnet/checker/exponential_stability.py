"""Statement "exponential_stability": V decays at a rate along x' = F(x) on S = {x in X : V(x) <= level}, X a box.

Theorem. S is a compact subset of the interior of X, x* in S is an equilibrium, V(x*) = 0 < V elsewhere on S, and every
solution from S stays in S for all t >= 0 with V(x(t)) <= exp(-rate t) V(x(0)), hence converges to x*.

Proof. The leaves cover X and the faces. V > level on every face, so S, closed, lies in the interior. A point of S is in
no leaf 'x', so W = int X less those leaves is an open set around S, covered by leaves 'p' and by R; F and V are
locally Lipschitz there. On 'p': V > 0, g.F + rate V < 0 for every g in Clarke's gradient of V. On R, with d = x - x*:
grad V = H1 d, F = A1 d, V = d'H2 d / 2 with H1, H2 in [H] enclosing Hess V, A1 in [A] enclosing Clarke's Jacobian of F
(mean values by rows, Taylor; V is C^2 on R as [H] is finite; F, V and grad V vanish identically at x*), so [H] positive
and [H]'[A] + rate [H] / 2 negative definite give the same for x != x*. Thus along a solution, while in W,
d/dt V <= max_g g.F <= -rate V almost everywhere: V cannot grow, the solution cannot leave S, and V -> 0.

Source: Khalil, Nonlinear Systems, 3rd ed., Thm 4.10; Clarke, Optimization and Nonsmooth Analysis, Thms 2.3.7, 2.6.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker import enclosures, equilibrium
from ctrlnet.checker.document import Document, fields, number, numbers, sequence
from ctrlnet.checker.functions import Elementary
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Effort, settle
from ctrlnet.checker.report import Rejected, Unreadable
from ctrlnet.checker.statement import evaluators, in_words, root
from ctrlnet.checker.tree import Leaves, leaves

WORDS = """For every state x(0) of S = {{x in X : V(x) <= {level}}}, X = {X}:
the solution of x' = F(x) stays in S for all t >= 0, satisfies V(x(t)) <= exp(-{rate} t) V(x(0)), and converges to
x* = ({at}). S is a compact subset of the interior of X, F(x*) = 0, V(x*) = 0, and V > 0 on S except at x*.
V and F are the graphs in the file (V {V}, F {F})."""


class ExponentialStability:
    """The statement of one file: `words` is the theorem, `confirm` its check, `effort` what that took."""

    def __init__(self, document: Document, elementary: Elementary) -> None:
        content = fields(document.statement, ("kind", "box", "equilibrium", "rate", "level"), "the statement")
        self.lower, self.upper = root(content["box"])
        n = len(self.lower)
        self.at, self.proof = numbers(content["equilibrium"], "equilibrium", n), document.proof
        self.rate, self.level = (number(content[name], name) for name in ("rate", "level"))
        self.enclosed = [Interval.of([value]) for value in (self.rate, self.level, *self.at)]
        self.V, self.F = evaluators(document.graphs, ("V", "F"), n, elementary)
        if (self.V.graph.size, self.F.graph.size) != (1, n):
            raise Unreadable(f"V must have size 1 and F size {n}")
        self.effort = Effort(0)
        self.words = WORDS.format(
            level=in_words(self.level), rate=in_words(self.rate), at=", ".join(map(in_words, self.at)),
            X=in_words(self.lower, self.upper), V=self.V.graph.digest[:16], F=self.F.graph.digest[:16],
        )  # fmt: skip

    def confirm(self) -> None:
        """Check every clause; raises `Unconfirmed`."""
        if self.rate <= 0 or self.level <= 0:
            raise Rejected("rate and level must be positive")
        proof = fields(self.proof, ("equilibrium", "interior", "faces"), "the proof")
        interior = leaves(proof["interior"], self.lower, self.upper, "pxe", "the interior")
        faces = list(self._faces(proof["faces"]))
        self.effort = Effort(len(interior) + sum(map(len, faces)))
        rate, level, *_ = self.enclosed
        around = equilibrium.neighbourhood(proof["equilibrium"], self.at, self.lower, self.upper)
        equilibrium.placed(interior, around, self.at)
        equilibrium.vanishing(self.V, self.F, self.at)
        equilibrium.local(self.V, self.F, around, rate)
        for part in (*faces, interior.of_kind("x")):
            settle(part, "V > level on an excluded leaf", lambda b: enclosures.above(self.V, b, level), self.effort,
                   self.V.chunk(1))  # fmt: skip
        settle(interior.of_kind("p"), "V > 0 and grad V.F + rate V < 0 on a proved leaf",
               lambda b: enclosures.decrease(self.V, self.F, b, rate), self.effort, self.V.chunk(2))  # fmt: skip

    def _faces(self, trees: Any) -> Iterator[Leaves]:
        for i, pair in enumerate(sequence(trees, "faces", len(self.lower))):
            for tree, side in zip(sequence(pair, "faces", 2), (self.lower, self.upper), strict=True):
                low, high = self.lower.copy(), self.upper.copy()
                low[i] = high[i] = side[i]
                yield leaves(tree, low, high, "x", f"the face x{i + 1} = {side[i]:g}")
