"""Statement "discrete_decrease": V shrinks by 1 - kappa in every step x+ = F(x, d) from S = {x in X : V(x) <= level}.

Theorem. x* in S is fixed, F(x*, d) = x* for all d in D, V(x*) = 0 < V elsewhere on S, and every sequence
x(k + 1) = F(x(k), d(k)) from S, whatever d(k) in D, stays in S with V(x(k)) <= (1 - kappa)^k V(x(0)) and converges to
x*.

Proof. Let x in S and d in D. As V > level on leaves 'x', (x, d) is in a box of a leaf 'p' or has x in R. On 'p', y =
F(x, d) lies in X and V(y) < (1 - kappa) V(x). On R, with e = x - x*, Taylor and mean values by rows (V and grad V
vanish at x*, F(x*, d) = x* identically): V(x) = e'H e / 2, y - x* = A e, V(y) = (A e)'K (A e) / 2, with H in Hess V
over R, A in Clarke's Jacobian of F in x over R x D, K in Hess V over a box around R and F(R x D), which lies in X; so
H and (1 - kappa) H - A'K A positive definite give 0 < V(x) and V(y) < (1 - kappa) V(x) for x != x*; where V has a
kink at x*, "rays" give it (rays.py). Hence V(y) <= (1 - kappa) V(x) <= level always, and y is in S. So V(x(k)) -> 0. On
the boxes 'p', finitely many, V is above one c > 0, so x(k) is in R from some k on, where V(x) >= c |x - x*|^2, or
c |x - x*|, for another c > 0: x(k) -> x*. A function that switches may take either value at a tie: neither V nor F need
be continuous outside R.

Source: Bof, Carli, Schenato, Lyapunov theory for discrete time systems, arXiv:1809.05289 (2018), Thm 1.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker import equilibrium
from ctrlnet.checker.document import fields, number, numbers
from ctrlnet.checker.enclosures import ZERO, above
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Outcome, every
from ctrlnet.checker.maps import step
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x(0) of S = {{x in X : V(x) <= {level}}}, X = {X}{DK}:
every sequence x(k + 1) = F(x(k){dk}) stays in S, satisfies V(x(k)) <= (1 - {kappa})^k V(x(0)), and converges to
x* = ({at}). F(x*{d}) = x*, V(x*) = 0, and V > 0 on S except at x*.
{graphs}"""


class DiscreteDecrease(Statement):
    """V > level on leaves 'x', decrease within X on leaves 'p', a clause of its own on R, where leaves 'e' lie."""

    names = ("equilibrium", "kappa", "level")

    def read(self, content: dict[str, Any]) -> str:
        """Read x*, kappa, level, V and F."""
        self.at = numbers(content["equilibrium"], "equilibrium", self.n)
        self.kappa, self.level = (number(content[name], name) for name in ("kappa", "level"))
        self.V, self.F = self.graphs("V")
        self.factor, level, *_ = enclosed([1 - self.kappa, self.level, *self.at])
        self.above_level = lambda box: above(self.V, box, level)
        at = ", ".join(map(in_words, self.at))
        return self.spoken(WORDS, level=in_words(self.level), kappa=in_words(self.kappa), at=at)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """The clause on R is checked at once."""
        if not 0 < self.kappa <= 1 or self.level <= 0:
            raise Rejected("kappa must be positive and at most 1, level positive")
        content = fields(proof, ("equilibrium", "interior"), "the proof")
        interior = self.interior(content["interior"], "pxe")
        block = content["equilibrium"]
        around = equilibrium.neighbourhood(block, self.at, self.lower, self.upper, kinked=True)
        equilibrium.placed(interior, around, self.at)
        equilibrium.discrete(self.V, self.F, self.at, block, around, self.D, self.X, self.effort, self.factor)
        yield Goal(interior.of_kind("x"), "V > level on an excluded leaf", self.above_level)
        yield Goal(interior.of_kind("p"), "V > 0, F in X and V(F) < (1 - kappa) V on a proved leaf", self._decrease, 2)

    def _decrease(self, box: Interval) -> Outcome:
        step_ = step(self.V, self.F, box, self.factor, ZERO)
        return every(step_.w.positive(), step_.V.positive(), step_.inside(self.X))
