"""The table of torch operations a trace understands, each written in primitives; one row an operation.

A handler gets the graph and the arguments of the call, with every tensor replaced by a `Traced` (a graph node and a
shape), and returns a `Traced`, or one for every result with None for results that no rule reads.
"""

from __future__ import annotations

from typing import Any

from ctrlnet.graph.aten.activations import ACTIVATIONS
from ctrlnet.graph.aten.arithmetic import ARITHMETIC
from ctrlnet.graph.aten.backward import BACKWARD
from ctrlnet.graph.aten.comparisons import COMPARISONS
from ctrlnet.graph.aten.convolution import CONVOLUTION
from ctrlnet.graph.aten.distances import DISTANCES
from ctrlnet.graph.aten.matrices import MATRICES
from ctrlnet.graph.aten.normalization import NORMALIZATION
from ctrlnet.graph.aten.ordering import ORDERING
from ctrlnet.graph.aten.reductions import REDUCTIONS
from ctrlnet.graph.aten.rounding import ROUNDING
from ctrlnet.graph.aten.solving import SOLVING
from ctrlnet.graph.aten.traced import Handler, Traced

HANDLERS: dict[Any, Handler] = {
    **ARITHMETIC,
    **ROUNDING,
    **COMPARISONS,
    **REDUCTIONS,
    **ORDERING,
    **DISTANCES,
    **ACTIVATIONS,
    **MATRICES,
    **CONVOLUTION,
    **SOLVING,
    **NORMALIZATION,
    **BACKWARD,
}

__all__ = ["HANDLERS", "Handler", "Traced"]
