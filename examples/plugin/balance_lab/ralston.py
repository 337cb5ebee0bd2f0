"""Ralston's method of order 2, with the smallest error constant of its order, two evaluations a step.

Source: Ralston, Runge-Kutta methods with minimum error bounds, 1962.
"""

from ctrlnet import RungeKutta, Tableau

Ralston = RungeKutta(Tableau(order=2, a=((), (2 / 3,)), b=(1 / 4, 3 / 4)))
