"""An integral along one coordinate, verified: the solution z(s) of z' = f(s, z) lies between two polynomials.

Where low' < f(s, low) and up' > f(s, up) for every s of [0, 2], every solution that starts between them at s = 0 stays
between them (Walter, Ordinary Differential Equations, 1998, section 9). Both are claims of one variable for `prove`.

python examples/proving/integral.py
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ctrlnet import Box, exact, prove


def f(s: Tensor, z: Tensor) -> Tensor:
    """Pumped by the phase s, damped by z."""
    return torch.cos(3 * s) - z + exact("0.2") * z**3


# A polynomial near the solution from z(0) = 1, by the midpoint rule. It is a guess: nothing of it is trusted.
step, z = 0.002, [torch.tensor(1.0, dtype=torch.float64)]
grid = torch.arange(1001, dtype=torch.float64) * step
for s in grid[:-1]:
    z.append(z[-1] + step * f(s + step / 2, z[-1] + step / 2 * f(s, z[-1])))
guess = np.polynomial.Polynomial.fit(grid.numpy(), torch.stack(z).numpy(), 14).convert().coef.tolist()


def bound(s: Tensor, side: float) -> Tensor:
    """The guess, moved to one side more and more: 0.001 (1 + s)."""
    value = torch.zeros_like(s)
    for coefficient in reversed(guess):
        value = value * s + coefficient
    return value + side * exact("0.001") * (1 + s)


def lead(s: Tensor, side: float) -> Tensor:
    """side (bound' - f(s, bound)): positive where no solution crosses the bound outwards."""
    value, slope = torch.func.jvp(lambda s: bound(s, side), (s,), (torch.ones_like(s),))
    return side * (slope - f(s, value))


below = prove(lambda x: lead(x[..., 0], -1), Box([0], [2]))
above = prove(lambda x: lead(x[..., 0], 1), Box([0], [2]))
print(f"lower bound {below.status}, upper bound {above.status}")
for name, at in (("from", 0.0), ("to", 2.0)):
    s = torch.tensor(at, dtype=torch.float64)
    print(f"{name} z({at:g}) in [{bound(s, -1):.4f}, {bound(s, 1):.4f}]")
