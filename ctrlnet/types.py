"""The shape vocabulary of annotations.

With jaxtyping installed (it comes with the `dev` extra) the names carry shapes, which tests check at run time;
without it they are plain `torch.Tensor`. The letters: n state, m control, t time, batch any leading dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor

if TYPE_CHECKING:
    State: TypeAlias = Tensor
    Control: TypeAlias = Tensor
    Value: TypeAlias = Tensor
    Times: TypeAlias = Tensor
else:
    try:
        from jaxtyping import Float
    except ImportError:
        State = Control = Value = Times = Tensor
    else:
        State = Float[Tensor, "*batch n"]  # states x, (..., n)
        Control = Float[Tensor, "*batch m"]  # controls u, (..., m)
        Value = Float[Tensor, "*batch"]  # scalar functions of the state: V, h, margins, (...)
        Times = Float[Tensor, "t"]  # instants [s], (t,)

Field: TypeAlias = Callable[[Tensor], Tensor]  # x' = F(x), (..., n) to (..., n)
Margin: TypeAlias = Callable[[Tensor], Tensor]  # (..., n) to (...)
