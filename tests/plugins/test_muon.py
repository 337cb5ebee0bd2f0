"""Muon for a whole module: who gets which rule, and that the parts look like one optimizer."""

from __future__ import annotations

import copy

import pytest
import torch

import ctrlnet
from ctrlnet import UsageError, mlp

Muon = ctrlnet.load("optimizers", "muon")


def backward(network: torch.nn.Module) -> None:
    x = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(10, 2)
    network.zero_grad()
    (network(x).squeeze(-1) - x.prod(-1)).square().mean().backward()


def test_matrices_move_as_torchs_muon_and_the_rest_as_torchs_adamw():
    network, twin = mlp((2, 8, 1), seed=0), mlp((2, 8, 1), seed=0)
    ours = Muon.for_module(network, lr=1e-2)
    matrices = [p for p in twin.parameters() if p.ndim == 2]
    vectors = [p for p in twin.parameters() if p.ndim != 2]
    theirs = [
        torch.optim.Muon(matrices, lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(vectors, lr=1e-2),
    ]
    for _ in range(5):
        backward(network), backward(twin)
        for optimizer in (ours, *theirs):
            optimizer.step()
    assert all(map(torch.equal, network.parameters(), twin.parameters()))
    assert all(parameter.dtype == torch.float64 for parameter in network.parameters())


def test_schedulers_reach_both_parts():
    network = mlp((2, 8, 1), seed=0)
    optimizer = Muon.for_module(network)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    backward(network)
    optimizer.step()
    schedule.step()
    assert all(map(torch.equal, before, network.parameters()))


def test_a_copy_and_a_checkpoint_go_on_alike():
    network = mlp((2, 8, 1), seed=0)
    optimizer = Muon.for_module(network)
    backward(network)
    optimizer.step()
    copied, copied_network = copy.deepcopy((optimizer, network))
    loaded_network = copy.deepcopy(network)
    loaded = Muon.for_module(loaded_network)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, net in ((optimizer, network), (copied, copied_network), (loaded, loaded_network)):
        backward(net)
        one.step()
    assert all(map(torch.equal, network.parameters(), copied_network.parameters()))
    assert all(map(torch.equal, network.parameters(), loaded_network.parameters()))


@pytest.mark.parametrize("widths", [(2, 1)])
def test_it_works_with_one_part_only(widths):
    assert len(Muon.for_module(mlp(widths, bias=False)).param_groups) == 1
    assert len(Muon([torch.zeros(3, requires_grad=True)]).param_groups) == 1


def test_groups_are_refused():
    weight = torch.zeros(3, 3, requires_grad=True)
    with pytest.raises(UsageError, match="tensors, not parameter groups"):
        Muon([{"params": [weight]}])
    with pytest.raises(UsageError, match="takes no group afterwards"):
        Muon([weight]).add_param_group({"params": [torch.zeros(2, requires_grad=True)]})
