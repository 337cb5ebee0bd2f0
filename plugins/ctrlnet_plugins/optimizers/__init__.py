"""Optimizers, one a file; each is a `torch.optim.Optimizer` that declares its contract.

An optimizer of torch itself carries no `ctrlnet_contract`; a subclass of one line adds it and changes nothing else.
"""
