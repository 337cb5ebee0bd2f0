"""Layers: the networks that policies and candidates are made of."""

from ctrlnet.layers.checks import binary_scale, shape_of_network
from ctrlnet.layers.perceptron import mlp
from ctrlnet.layers.precision import at_precision, wider

__all__ = ["at_precision", "binary_scale", "mlp", "shape_of_network", "wider"]
