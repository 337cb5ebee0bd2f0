"""Sets of states and of controls: boxes, balls, sublevel sets, and their samplers."""

from ctrlnet.sets.ball import Ball
from ctrlnet.sets.box import Box, product
from ctrlnet.sets.sublevel import Sublevel
from ctrlnet.sets.vectors import Number, check_states, vector

__all__ = ["Ball", "Box", "Number", "Sublevel", "check_states", "product", "vector"]
