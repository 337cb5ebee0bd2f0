"""Euler's method, x⁺ = x + h f(t, x): order 1, one evaluation a step.

Source: Euler, Institutiones calculi integralis I, 1768, section 650.
"""

from __future__ import annotations

from ctrlnet import RungeKutta, Tableau

Euler = RungeKutta(Tableau(order=1, a=((),), b=(1,)))
