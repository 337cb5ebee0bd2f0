"""Ralston's method: the method of order 2 and two stages with the smallest bound on its local error.

Source: Ralston, Runge-Kutta methods with minimum error bounds, 1962.
"""

from __future__ import annotations

from ctrlnet import RungeKutta, Tableau

Ralston = RungeKutta(Tableau(order=2, a=((), (2 / 3,)), b=(1 / 4, 3 / 4)))
