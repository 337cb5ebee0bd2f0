"""How derivatives of a solution are found.

"backprop" differentiates the operations of the solver. The others make the solution one operation for autograd, whose
derivative goes back over the accepted steps, which are constants:

    mode                memory besides the states asked for     exact       serves
    backprop            every operation of every step           yes         everything, torch.func too
    checkpoint          the states, the graph of one step       yes         every method
    symplectic_adjoint  the states, the graph of one f          yes         explicit Runge-Kutta methods
    reversible          the graph of one step                   yes         methods with an inverse, equal steps
    continuous_adjoint  the graph of one f                      as solver   plain fields, no events

Exact means: equal to backprop up to rounding. Second and higher derivatives of all of them are exact, and take the
memory of backprop; those of "continuous_adjoint" are thus of the discrete solution, unlike the first.
`Solution.dense` carries derivatives with backprop alone. `solve` keeps all steps for it; `odeint` keeps what the mode
needs.

Where steps are compiled, "checkpoint" and "reversible" go back in compiled steps, the first in blocks of five, of which
it keeps the first state alone; the others go back in plain evaluations.
The field must give the same values when it is asked again: no random numbers inside.
"""

from __future__ import annotations

from torch import Tensor

from ctrlnet.integrators.gradients.following import followed
from ctrlnet.integrators.gradients.modes import require_served
from ctrlnet.integrators.marching import Journey, Marched

GRADIENTS = ("backprop", "checkpoint", "symplectic_adjoint", "reversible", "continuous_adjoint")


def follow(gradient: str, journey: Journey, x: Tensor, keep: bool) -> tuple[Tensor, Marched]:
    """The states that were asked for, flat, with derivatives found in this way; and the rest of the march.

    Raises:
        UsageError: this way does not serve the method, its steps or a transform around it.
    """
    if gradient != "backprop":
        require_served(gradient, journey)
        return followed(gradient, journey, x, keep)
    marched = journey.march(x, (lambda move: move) if keep else None)
    return marched.x, marched
