"""Layers: the networks that policies and candidates are made of."""

from ctrlnet.layers.checks import binary_scale, shape_of_network
from ctrlnet.layers.perceptron import mlp

__all__ = ["binary_scale", "mlp", "shape_of_network"]
