"""Systems: control-affine plants, closed loops, and the check that a function treats a batch row by row."""

from ctrlnet.systems.affine import Quantity, System
from ctrlnet.systems.closed_loop import ClosedLoop
from ctrlnet.systems.fields import Timed, timed
from ctrlnet.systems.rows import check_rows
from ctrlnet.systems.velocity import check_field, checked_velocity

__all__ = ["ClosedLoop", "Quantity", "System", "Timed", "check_field", "check_rows", "checked_velocity", "timed"]
