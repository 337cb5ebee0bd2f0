"""The method of Bogacki and Shampine: order 3, error estimate by an embedded order 2.

Three evaluations a step: the fourth stage is the first of the next step. For loose tolerances.

Source: Bogacki and Shampine, A 3(2) pair of Runge-Kutta formulas, 1989.
"""

from __future__ import annotations

from ctrlnet import RungeKutta, Tableau

_B = (2 / 9, 1 / 3, 4 / 9)

Bosh3 = RungeKutta(
    Tableau(
        order=3,
        a=((), (1 / 2,), (0, 3 / 4), _B),
        b=(*_B, 0),
        b_low=(7 / 24, 1 / 4, 1 / 3, 1 / 8),
        embedded_order=2,
    )
)
