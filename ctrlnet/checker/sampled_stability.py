"""Statement "sampled_stability": V shrinks in every period of a zero-order hold, from S = {x in X : V(x) <= level}.

Theorem. With u = pi(x(kT)) on [kT, kT + T), q = 1 - rate T: x* in S is an equilibrium for all d in D, V(x*) = 0 < V
elsewhere on S, and from every x(0) in S, whatever the measurable d(t) in D, the solution of x' = f(x, u, d(t)) exists
for all t >= 0, stays in X, has V(x(kT)) <= q^k V(x(0)), and converges to x*.

Proof. Let x = x(kT) in S, and d(t) be given from kT on, with the mean m in D over this period. The leaves cover X x D;
as V > level on leaves 'x', (x, m) is in a leaf 'p' or x in R. On 'p' the solution from x stays in X for a period
(flow.py), V(x) > 0 and V(x(T)) < q V(x), at any d(t) with this mean (disturbed_flow.py). So it does on R, where, with
e = x - x*, by Taylor and mean values by rows (f(., pi(.), d), V and grad V vanish at x* identically)
V(x) = e'H e / 2, x(T) - x* = A e, V(x(T)) = e'A'KAe / 2, H in Hess V over R, A in the slopes of x -> x(T) over R, K in
Hess V over a box around R and x(T): H and q H - A'K A positive definite, for each part of D that m may be in, give
0 < V(x), V(x(T)) < q V(x) for x != x*; where V has a kink at x*, "rays" give it (held.py). Hence x(T) is in S, and so
on: V(x(kT)) -> 0. On the boxes 'p', finitely many, V is above one c > 0, so x(kT) is in R from some k on, where V >=
c |e|^2, or c |e|, for another c: x(kT) -> x*. There x(kT + t) - x* is (I + t N) (x(kT) - x*) with bounded N, or ((I, 0)
+ t N) (x(kT) - x*, u - pi(x*)) with |u - pi(x*)| <= c |x(kT) - x*| (flow.py), so x(t) -> x*.

Source: Nesic, Teel, Carnevale, Explicit computation of the sampling period in emulation of controllers for nonlinear
sampled-data systems, IEEE Trans. Automatic Control 54 (2009), for the setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctrlnet.checker import equilibrium
from ctrlnet.checker.disturbed_flow import DisturbedFlow
from ctrlnet.checker.document import fields, number, numbers
from ctrlnet.checker.enclosures import ZERO, above
from ctrlnet.checker.flow import Flow, evaluators
from ctrlnet.checker.held import clause
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.leaves import Outcome, every
from ctrlnet.checker.maps import step
from ctrlnet.checker.report import Rejected
from ctrlnet.checker.statement import Goal, Statement, enclosed, in_words

WORDS = """For every state x(0) of S = {{x in X : V(x) <= {level}}}, X = {X}{D}:
the solution of x' = f(x, u{d}), u = policy(x(kT)) held for kT <= t < kT + T, T = {period}, exists and stays in X
for all t >= 0, satisfies V(x(kT)) <= (1 - {rate} T)^k V(x(0)), and converges to x* = ({at}).
f(x*, policy(x*){d}) = 0, V(x*) = 0, and V > 0 on S except at x*.
{graphs}"""


class SampledStability(Statement):
    """V > level on leaves 'x', decrease over a period within X on 'p', a clause of its own on R, where 'e' lie."""

    names = ("equilibrium", "period", "rate", "level")

    def read(self, content: dict[str, Any]) -> str:
        """Read x*, period, rate, level, V, f and the policy."""
        self.at = numbers(content["equilibrium"], "equilibrium", self.n)
        self.period, self.rate, self.level = (number(content[name], name) for name in ("period", "rate", "level"))
        found = evaluators(self.document.graphs, self.n, self.k, self.elementary)
        self.functions, self.V = list(found.values()), found["V"]
        kind = DisturbedFlow if self.k else Flow
        self.flow: Any = kind(found["f"], found["policy"], self.period, self.D)  # called like the Evaluator of a map
        said = {name: in_words(getattr(self, name)) for name in ("level", "period", "rate")}
        return self.spoken(WORDS, at=", ".join(map(in_words, self.at)), **said)

    def goals(self, proof: dict[str, Any]) -> Iterator[Goal]:
        """The clause on R is checked at once."""
        if self.period <= 0 or self.level <= 0 or not 0 < self.rate * self.period < 1:
            raise Rejected("period and level must be positive, rate times period between 0 and 1")
        content = fields(proof, ("equilibrium", "interior"), "the proof")
        self.factor, level = enclosed([1 - self.rate * self.period, self.level])
        interior, block = self.interior(content["interior"], "pxe"), content["equilibrium"]
        around = equilibrium.neighbourhood(block, self.at, self.lower, self.upper, kinked=True)
        equilibrium.placed(interior, around, self.at)
        clause(self.V, self.flow, self.at, block, around, self.X, self.effort, self.factor)
        yield Goal(interior.of_kind("x"), "V > level on an excluded leaf", lambda box: above(self.V, box, level))
        yield Goal(interior.of_kind("p"), "x(t) in X, V > 0 and V(x(T)) < q V on a proved leaf", self._decrease, 2)

    def _decrease(self, box: Interval) -> Outcome:
        done = step(self.V, self.flow, box, self.factor, ZERO)
        arrived = done.inside(self.X)
        staying = Outcome(self.flow.stays(box[:, : self.n], self.X), arrived.refuted, arrived.doubt)
        return every(done.w.positive(), done.V.positive(), staying)
