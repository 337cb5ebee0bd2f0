"""The classical Runge-Kutta method: order 4, four evaluations a step.

Source: Kutta, Beitrag zur näherungsweisen Integration totaler Differentialgleichungen, 1901;
Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 2nd ed., Table II.1.2 (left).
"""

from __future__ import annotations

from ctrlnet import RungeKutta, Tableau

RK4 = RungeKutta(
    Tableau(
        order=4,
        a=((), (1 / 2,), (0, 1 / 2), (0, 0, 1)),
        b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    )
)
