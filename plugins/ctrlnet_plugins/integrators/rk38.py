"""Kutta's 3/8 rule: order 4, four evaluations a step, a smaller error constant than the classical method.

Source: Kutta, Beitrag zur näherungsweisen Integration totaler Differentialgleichungen, 1901;
Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 2nd ed., Table II.1.2 (right).
"""

from __future__ import annotations

from ctrlnet import RungeKutta, Tableau

RK38 = RungeKutta(
    Tableau(
        order=4,
        a=((), (1 / 3,), (-1 / 3, 1), (1, -1, 1)),
        b=(1 / 8, 3 / 8, 3 / 8, 1 / 8),
    )
)
