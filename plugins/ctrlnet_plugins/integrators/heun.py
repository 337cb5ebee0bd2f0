"""Heun's method, the explicit trapezoidal rule  x⁺ = x + h/2 (k₁ + k₂),  k₂ = f(t + h, x + h k₁): order 2.

Source: Heun, Neue Methode zur approximativen Integration der Differentialgleichungen einer unabhängigen
Veränderlichen, 1900.
"""

from __future__ import annotations

from ctrlnet import RungeKutta, Tableau

Heun = RungeKutta(Tableau(order=2, a=((), (1,)), b=(1 / 2, 1 / 2)))
