"""Stochastic gradient descent, as torch has it."""

from __future__ import annotations

import torch


class SGD(torch.optim.SGD):
    """Gradient descent with optional momentum,  b ← μ·b + g,  w ← w − lr·b.

    Options and state are those of `torch.optim.SGD` (momentum μ = 0 by default).

    Source: Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in deep learning,
    ICML 2013 (torch scales the velocity by lr at the step, as written above).
    """

    ctrlnet_contract = 1
    claims = frozenset({"rotation"})
