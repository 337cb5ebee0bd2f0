"""Statement "exponential_stability": V decays at a rate along x' = F(x, d) on S = {x in X : V(x) <= level}, X a box.

Theorem. S is a compact subset of the interior of X, x* in S is an equilibrium for all d in D, V(x*) = 0 < V elsewhere
on S, and every solution from S, whatever d(t) in D, stays in S for all t >= 0 with V(x(t)) <= exp(-rate t) V(x(0)),
hence converges to x*.

Proof. The leaves cover X x D and the faces of X. V > level on every face, so S, closed, lies in the interior. A point
of S is in no leaf 'x', so W = int X less those leaves is an open set around S, and for x in W and d in D (x, d) is in a
leaf 'p' or has x in R; F is defined there and V is Lipschitz. On 'p': V > 0, g.F + rate V < 0 for every g in Clarke's
gradient of V. On R, with e = x - x*: grad V = H1 e, F = A1 e, V = e'H2 e / 2 with H1, H2 in [H] enclosing Hess V, A1 in
[A] enclosing Clarke's Jacobian of F in x over R x D (mean values by rows, Taylor; V is C^2 on R as [H] is finite; F, V
and grad V vanish identically at x*, for all d), so [H] positive and [H]'[A] + rate [H] / 2 negative definite give the
same for x != x*; where V has a kink at x*, "rays" give it (rays.py). Thus along a solution, while in W (chain rule of
statement.py), d/dt V <= -rate V almost everywhere: V cannot grow, the solution cannot leave the compact S, where it is
continued for ever, and V -> 0.

Source: Khalil, Nonlinear Systems, 3rd ed., Thm 4.10; Clarke, Optimization and Nonsmooth Analysis, Thms 2.3.7, 2.6.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker import equilibrium
from ctrlnet.checker.document import fields, number, numbers
from ctrlnet.checker.enclosures import above, decrease
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x(0) of S = {{x in X : V(x) <= {level}}}, X = {X}{D}:
every solution of x' = F(x{d}) stays in S for all t >= 0, satisfies V(x(t)) <= exp(-{rate} t) V(x(0)), and converges to
x* = ({at}). S is a compact subset of the interior of X, F(x*{d}) = 0, V(x*) = 0, and V > 0 on S except at x*.
{graphs}"""


class ExponentialStability(Statement):
    """V > level on faces and leaves 'x', decrease on leaves 'p', a clause of its own on R, where leaves 'e' lie."""

    names = ("equilibrium", "rate", "level")

    def read(self, content: dict[str, Any]) -> str:
        """Read x*, rate, level, V and F."""
        self.at = numbers(content["equilibrium"], "equilibrium", self.n)
        self.rate, self.level = (number(content[name], name) for name in ("rate", "level"))
        self.enclosed = enclosed([self.rate, self.level, *self.at])
        self.V, self.F = self.graphs("V")
        at = ", ".join(map(in_words, self.at))
        return self.spoken(WORDS, level=in_words(self.level), rate=in_words(self.rate), at=at)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """The clause on R is checked at once."""
        if self.rate <= 0 or self.level <= 0:
            raise Rejected("rate and level must be positive")
        content, (rate, level, *_) = fields(proof, ("equilibrium", "interior", "faces"), "the proof"), self.enclosed
        interior = self.interior(content["interior"], "pxe")
        faces = self.faces(content["faces"], "x", disturbed=False)
        block = content["equilibrium"]
        around = equilibrium.neighbourhood(block, self.at, self.lower, self.upper, kinked=True)
        equilibrium.placed(interior, around, self.at)
        equilibrium.continuous(self.V, self.F, self.at, block, around, self.D, self.effort, rate)
        for part in (*(tree for _, _, tree in faces), interior.of_kind("x")):
            yield Goal(part, "V > level on an excluded leaf", lambda box: above(self.V, box, level))
        yield Goal(interior.of_kind("p"), "V > 0 and grad V.F + rate V < 0 on a proved leaf",
                   lambda box: decrease(self.V, self.F, box, rate), 2)  # fmt: skip
