"""The explicit midpoint method, x⁺ = x + h f(t + h/2, x + h/2 f(t, x)): order 2, two evaluations a step.

Source: Runge, Über die numerische Auflösung von Differentialgleichungen, 1895.
"""

from __future__ import annotations

from ctrlnet import RungeKutta, Tableau

Midpoint = RungeKutta(Tableau(order=2, a=((), (1 / 2,)), b=(0, 1)))
