"""Layers: the networks that policies and candidates are made of, and fields with a structure of their own."""

from ctrlnet.layers.antisymmetric import Antisymmetric, NormPreserving, SkewGradient
from ctrlnet.layers.checks import binary_scale, shape_of_network
from ctrlnet.layers.energies import NetworkEnergy
from ctrlnet.layers.gradient_flow import GradientFlow
from ctrlnet.layers.hamiltonian import HamiltonianFlow, HamiltonianLayer, TwoLayerHamiltonian
from ctrlnet.layers.parallel import layer_parallel
from ctrlnet.layers.perceptron import mlp
from ctrlnet.layers.pieces import Pieces
from ctrlnet.layers.precision import at_precision, wider
from ctrlnet.layers.varying import TimeVarying, prolong

__all__ = [
    "Antisymmetric",
    "GradientFlow",
    "HamiltonianFlow",
    "HamiltonianLayer",
    "NetworkEnergy",
    "NormPreserving",
    "Pieces",
    "SkewGradient",
    "TimeVarying",
    "TwoLayerHamiltonian",
    "at_precision",
    "binary_scale",
    "layer_parallel",
    "mlp",
    "prolong",
    "shape_of_network",
    "wider",
]
