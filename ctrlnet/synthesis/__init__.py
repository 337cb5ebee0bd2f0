"""Synthesis: linear-quadratic feedback, Lyapunov equations, linearisation."""

from ctrlnet.synthesis.linear_quadratic import lqr
from ctrlnet.synthesis.linearization import linearize
from ctrlnet.synthesis.lyapunov import lyapunov_equation

__all__ = ["linearize", "lqr", "lyapunov_equation"]
