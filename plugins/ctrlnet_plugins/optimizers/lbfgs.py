"""L-BFGS, as torch has it."""

from __future__ import annotations

import torch


class LBFGS(torch.optim.LBFGS):
    """Quasi-Newton descent with a limited memory,  w ← w − lr·H g,  H from the last m pairs of steps and gradients.

    Options and state are those of `torch.optim.LBFGS` (lr = 1, up to 20 inner iterations a step, m = 100 pairs,
    line_search_fn=None or "strong_wolfe"). A step needs a closure, which it calls several times, each time for the loss
    and gradient of the same batch: the loss must not be drawn anew in between. All parameters are one group.

    Source: Nocedal and Wright, Numerical Optimization, 2nd ed., Algorithms 7.4 and 7.5.
    """

    ctrlnet_contract = 1
