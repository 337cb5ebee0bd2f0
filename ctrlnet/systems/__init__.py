"""Systems: plants, closed loops, disturbed fields, discrete maps, and the check that a batch is treated row by row."""

from ctrlnet.systems.affine import System
from ctrlnet.systems.augmentation import augmented
from ctrlnet.systems.closed_loop import ClosedLoop
from ctrlnet.systems.discrete import DiscreteMap
from ctrlnet.systems.disturbance import draw
from ctrlnet.systems.disturbed import Disturbed
from ctrlnet.systems.fields import Timed, timed
from ctrlnet.systems.memory import Memory
from ctrlnet.systems.quantity import Quantity
from ctrlnet.systems.rows import check_rows
from ctrlnet.systems.structured import STRUCTURES, Energy, Potential, Separable, Split, Structured, halves
from ctrlnet.systems.velocity import AnySystem, check_field, checked_velocity

__all__ = [
    "STRUCTURES",
    "AnySystem",
    "ClosedLoop",
    "DiscreteMap",
    "Disturbed",
    "Energy",
    "Memory",
    "Potential",
    "Quantity",
    "Separable",
    "Split",
    "Structured",
    "System",
    "Timed",
    "augmented",
    "check_field",
    "check_rows",
    "checked_velocity",
    "draw",
    "halves",
    "timed",
]
