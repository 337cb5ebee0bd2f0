"""Candidates: Lyapunov functions V, positive definite by construction."""

from ctrlnet.candidates.neural import NeuralCandidate
from ctrlnet.candidates.quadratic import Quadratic

__all__ = ["NeuralCandidate", "Quadratic"]
