"""Statement "admissible_control": everywhere on S some u in U satisfies all conditions, x' = f(x, d) + g(x, d) u.

S = {x in X : V(x) <= level, h_i(x) >= 0}; U and X are boxes. There may be no V, or no h_i.

Theorem. S is a compact subset of the interior of X. For every x in S but x* one u in U has, for all d in D, p.(f + g u)
+ rate V < 0 < V for every p in Clarke's gradient of V at x, and q.(f + g u) + a_i h_i > 0 for every q in that of h_i. A
feedback k with values in U, locally Lipschitz near S, has these everywhere on S but at x*; f + g k = 0 there, and under
u = k(x), whatever d(t) in D, every solution from S stays in S for all t >= 0, with V(x(t)) <= exp(-rate t) V(x(0)), and
converges to x*. Without V the same holds on all of S, less what is said of V.

Proof. On the faces of X and on leaves 'x' V > level or some h_i < 0. So S lies in W, int X less the leaves 'x', which
is open; and S is compact, as V and h_i are continuous on the finitely many other leaves. A point of W is in a box of a
leaf 'p', with one u in U for all inequalities on all of the box, for all of D, or it is in R: there the law u* + K (x -
x*) is in U and has those of h_i, and those of V but at x* (resting.py). x* is in S: a_i h_i > 0 and V = 0 < level
there, as f + g u* = 0. No leaf 'p' contains x*, so it is in leaves 'e' alone, and the interior of R contains it. By
"Blending" of controls.py W has a locally Lipschitz k with values in U, the law near x*, under which all inequalities
hold on W x D, at x* those of h_i. While a solution under k is in W, V' <= -rate V and h_i' >= -a_i h_i almost
everywhere ("Chain rule" of statement.py), so exp(rate t) V does not rise, exp(a_i t) h_i does not fall, and a solution
from S is in S. S is compact and W open: the solution never leaves S, hence exists for ever. V > 0 on S but at x*, so
V -> 0 means x -> x*.

Source: Artstein, Stabilization with relaxed controls, Nonlinear Analysis 7 (1983); Ames et al. (barrier_invariance.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker import resting
from ctrlnet.checker.common_control import met
from ctrlnet.checker.conditions import Conditions, box_of_controls, graphs
from ctrlnet.checker.controls import Condition, Plant
from ctrlnet.checker.document import fields
from ctrlnet.checker.enclosures import ZERO, above, below
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Outcome, some
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x of S = {{x in X : {set}}}, X = {X}{but}: one u in U = {U} has{every}
{conditions}, where v' stands for p.(f(x{d}) + g(x{d}) u), p every element of Clarke's gradient of v at x.
S is a compact subset of the interior of X. There is a feedback k, locally Lipschitz near S, with k(x) as such a u at
these states, under which every solution of x' = f(x{d}) + g(x{d}) k(x) from S stays in S for all t >= 0{end}{D}.
{graphs}"""


class AdmissibleControl(Statement):
    """V > level or h_i < 0 on faces and leaves 'x', one u for all conditions on 'p', a law on R, where 'e' lie."""

    names = ("controls", "conditions")

    def read(self, content: dict[str, Any]) -> str:
        """Read U, the conditions, and the graphs V (if one of them is a decrease), h0, h1, ..., f and g."""
        U, self.said = box_of_controls(content["controls"]), Conditions.of(content["conditions"], self.n)
        found = graphs(self.document.graphs, self.said.names, self.n, self.k, len(U.lo), self.elementary)
        self.functions, self.plant = list(found.values()), Plant(found["f"], found["g"], U, self.D)
        signed = zip(self.said.names, enclosed(self.said.rates), strict=True)
        self.conditions = [Condition(found[name], rate, -1 if name == "V" else 1) for name, rate in signed]
        d, every = (", d", ", for every d in D,") if self.k else ("", "")
        return self.spoken(WORDS, U=in_words(U.lo, U.hi), every=every, **self.said.words(d))

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """Excluded leaves and faces, the clause on R, proved leaves."""
        self.said.check()
        falls, X = self.said.level is not None, Interval(self.lower, self.upper)
        content = fields(proof, ("interior", "faces", *["equilibrium"] * falls), "the proof")
        interior = self.interior(content["interior"], "pxe" if falls else "px", disturbed=False)
        for part in (interior.of_kind("x"), *(tree for _, _, tree in self.faces(content["faces"], "x", False))):
            yield Goal(part, "V > level or some h < 0 on an excluded leaf", self._outside)
        if falls:
            yield from resting.clause(content["equilibrium"], interior, self.plant, self.conditions, self.said.at, X)
        yield Goal(interior.of_kind("p"), "one u in U for all conditions on a part of a proved leaf", self._inside, 2)

    def _outside(self, box: Interval) -> Outcome:
        levels = [] if self.said.level is None else enclosed([self.said.level])
        barriers = [below(condition.v, box, ZERO) for condition in self.conditions[len(levels) :]]
        return some(*(above(self.conditions[0].v, box, level) for level in levels), *barriers)

    def _inside(self, box: Interval) -> Outcome:
        return met(self.plant, self.conditions, box)
