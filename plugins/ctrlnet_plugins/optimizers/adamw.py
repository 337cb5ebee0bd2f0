"""AdamW, as torch has it."""

from __future__ import annotations

import torch


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay,  w ← w − lr·(m̂ / (√v̂ + ε) + λ·w).

    m̂ and v̂ are the bias-corrected exponential means of the gradient and of its square. Options and state are those
    of `torch.optim.AdamW`.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, Algorithm 2.
    """

    ctrlnet_contract = 1
