"""The strong-stability-preserving method of Shu and Osher: order 3, three evaluations a step.

Source: Shu and Osher, Efficient implementation of essentially non-oscillatory shock-capturing schemes, 1988.
"""

from ctrlnet import RungeKutta, Tableau

SSP3 = RungeKutta(Tableau(order=3, a=((), (1,), (1 / 4, 1 / 4)), b=(1 / 6, 1 / 6, 2 / 3)))
