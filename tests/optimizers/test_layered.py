"""What rules share that know the layers: depth, vectors, refusals, advice, what can be read after a step."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tanh_network import arrays, backward
from torch import nn

import ctrlnet
from ctrlnet import UsageError, mlp

NAMES = ("agd", "agd_spectral", "relative_trust")
AGD = ctrlnet.load("optimizers", "agd")


@pytest.fixture(params=NAMES)
def layered(request):
    return ctrlnet.load("optimizers", request.param)


class Doubled(nn.Module):
    """A layer with two matrices."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))

    def forward(self, x):
        return x @ (self.first + self.second).mT


def test_depth_counts_tensors_or_layers_or_is_given(layered):
    network = nn.Sequential(Doubled(), nn.Tanh(), nn.Linear(4, 2).double())
    assert layered.for_module(network).depth == layered.for_module(network, depth="tensors").depth == 3
    assert layered.for_module(network, depth="layers").depth == 2
    assert layered.for_module(network, depth=7).depth == 7
    for depth in ("path", 0, 1.5, True):
        with pytest.raises(UsageError, match="'tensors', 'layers', or L"):
            layered.for_module(network, depth=depth)
    with pytest.raises(UsageError, match="for_module"):
        layered([torch.ones(2, 2, requires_grad=True)], depth="layers")


def test_depth_follows_groups_that_are_added(layered):
    optimizer = layered([torch.ones(2, 2, requires_grad=True)])
    assert optimizer.depth == 1
    optimizer.add_param_group({"params": [torch.ones(3, 2, requires_grad=True)]})
    assert optimizer.depth == 2


def test_tied_weights_count_once():
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))
    network[2].weight = network[0].weight
    assert AGD.for_module(network).depth == 1


def test_twice_the_depth_halves_every_step():
    moves = []
    for depth in (3, 6):
        network = mlp((3, 8, 8, 2), bias=False, seed=0)
        before = arrays(network)
        backward(network)
        optimizer = ctrlnet.load("optimizers", "relative_trust").for_module(network, depth=depth)
        optimizer.step()
        moves.append([after - old for after, old in zip(arrays(network), before, strict=True)])
    assert all(abs(one - 2 * other).max() < 1e-15 for one, other in zip(*moves, strict=True))


def test_biases_by_adamw_are_torchs(layered):
    network, twin = (mlp((3, 8, 2), seed=0) for _ in range(2))
    ours = layered.for_module(network, bias="adamw", bias_lr=0.01)
    vectors = [weight for weight in twin.parameters() if weight.ndim < 2]
    matrices = [weight for weight in twin.parameters() if weight.ndim >= 2]
    theirs = torch.optim.AdamW(vectors, lr=0.01 * ours.param_groups[0]["lr"]), layered(matrices)
    for _ in range(20):
        backward(network), backward(twin)
        for optimizer in (ours, *theirs):
            optimizer.step()
    assert all(abs(one - other).max() < 1e-14 for one, other in zip(arrays(network), arrays(twin), strict=True))


def test_frozen_biases_stay(layered):
    network = mlp((3, 8, 2), seed=0)
    before = arrays(network)
    optimizer = layered.for_module(network, bias="frozen")
    backward(network)
    optimizer.step()
    moved = [bool((one != other).any()) for one, other in zip(arrays(network), before, strict=True)]
    assert moved == [True, False, True, False]


def test_a_checkpoint_with_biases_by_adamw_goes_on_bit_for_bit(layered):
    network = mlp((3, 8, 2), seed=0)
    optimizer = layered.for_module(network, bias="adamw")
    for _ in range(3):
        backward(network)
        optimizer.step()
    twin = copy.deepcopy(network)
    resumed = layered.for_module(twin, bias="adamw")
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    copied, third = copy.deepcopy((optimizer, network))
    for one, module in ((optimizer, network), (resumed, twin), (copied, third)):
        for _ in range(3):
            backward(module)
            one.step()
    assert all(map(torch.equal, network.parameters(), twin.parameters()))
    assert all(map(torch.equal, network.parameters(), third.parameters()))


def test_lists_move_as_the_loop_does(layered):
    """Convolutions too, and biases of all kinds."""
    for bias in ("block", "adamw"):
        networks = [nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)).double() for _ in range(2)]
        networks[1].load_state_dict(networks[0].state_dict())
        x = torch.randn(5, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        optimizers = [layered.for_module(one, bias=bias, foreach=on) for one, on in zip(networks, (0, 1), strict=True)]
        for _ in range(5):
            for network, optimizer in zip(networks, optimizers, strict=True):
                optimizer.zero_grad()
                network(x).square().mean().backward()
                optimizer.step()
        pairs = zip(arrays(networks[0]), arrays(networks[1]), strict=True)
        assert max(abs(one - other).max() for one, other in pairs) < 1e-13


@pytest.mark.parametrize(
    ("layer", "what", "do"),
    [
        (nn.LayerNorm(8), "the gain of LayerNorm", "elementwise_affine=False"),
        (nn.Embedding(8, 8), "the rows of Embedding", "requires_grad_"),
        (nn.PReLU(), "the slope of PReLU", "LeakyReLU"),
        (nn.Bilinear(8, 8, 8), "the products of Bilinear", "nn.Linear"),
        (nn.GRU(8, 8), "weights used again at every time, as in GRU", "Unroll"),
        (nn.MultiheadAttention(8, 2), "the stacked projections of MultiheadAttention", "nn.Linear"),
        (nn.ConvTranspose1d(8, 8, 3), "the transposed kernel of ConvTranspose1d", "Upsample"),
        (nn.Conv1d(8, 8, 3, groups=4), "the 4 groups of Conv1d", "groups=1"),
        (nn.LazyLinear(8), "has no shape yet", "Pass one batch"),
    ],
)
def test_a_layer_that_cannot_be_treated_is_named_with_what_to_do(layered, layer, what, do):
    network = nn.Sequential(nn.Linear(8, 8), layer)
    with pytest.raises(UsageError, match="at '1'") as error:
        layered.for_module(network)
    assert what in str(error.value) and do in str(error.value)


def test_a_frozen_layer_is_left_alone(layered):
    network = nn.Sequential(nn.Embedding(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))
    network[:2].requires_grad_(False)
    assert layered.for_module(network).depth == 1


def test_building_draws_no_weights(layered):
    network = mlp((3, 8, 2), seed=0)
    before = arrays(network)
    layered.for_module(network)
    layered.check_model(network)
    assert all((one == other).all() for one, other in zip(arrays(network), before, strict=True))


def test_weights_are_drawn_on_request(layered):
    network = mlp((3, 8, 2), seed=0)
    optimizer = layered.for_module(network)
    optimizer.init_weights_(torch.Generator().manual_seed(0))
    sizes = optimizer.spectral_norms
    assert list(sizes) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert sizes["0.weight"] == pytest.approx(1) and sizes["2.weight"] == pytest.approx(1) and sizes["2.bias"] == 0


def test_what_a_step_did_can_be_read():
    network = mlp((3, 8, 2), bias=False, seed=0)
    optimizer = AGD.for_module(network)
    assert optimizer.last_eta is None and optimizer.last_G is None and optimizer.last_relative_updates == {}
    optimizer.init_weights_()
    before = [weight.detach().clone() for weight in network.parameters()]
    backward(network)
    optimizer.step()
    assert optimizer.last_G == pytest.approx(math.exp(optimizer.last_eta) * math.expm1(optimizer.last_eta))
    for (name, share), (known, weight), old in zip(
        optimizer.last_relative_updates.items(), network.named_parameters(), before, strict=True
    ):
        size = torch.linalg.matrix_norm(weight.detach(), 2)
        assert name == known and share == pytest.approx(float((weight.detach() - old).norm() / size))


def test_maximize_goes_the_other_way(layered):
    down, up = mlp((3, 8, 2), seed=0), mlp((3, 8, 2), seed=0)
    start = arrays(down)
    for network, maximize in ((down, False), (up, True)):
        backward(network)
        layered.for_module(network, maximize=maximize).step()
    for one, other, old in zip(arrays(down), arrays(up), start, strict=True):
        assert abs((one - old) + (other - old)).max() < 1e-15


class ScaledReLU(nn.Module):
    def forward(self, x):
        return math.sqrt(2) * torch.relu(x)


def as_assumed() -> nn.Module:
    network = nn.Sequential(nn.Linear(16, 64, bias=False), ScaledReLU(), nn.Linear(64, 4, bias=False)).double()
    AGD.for_module(network).init_weights_(torch.Generator().manual_seed(0))
    return network


def sphere(rows: int, size: int) -> torch.Tensor:
    x = torch.randn(rows, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x / x.norm(dim=1, keepdim=True) * math.sqrt(size)


def test_nothing_to_say_where_all_is_as_assumed():
    assert AGD.check_model(as_assumed(), sphere(50, 16), sphere(50, 4)) == ()


@pytest.mark.parametrize(
    ("spoil", "where", "finding", "do"),
    [
        (lambda net: net.__setitem__(2, nn.Linear(64, 4).double()), "2", "a trainable vector (bias)", "bias=False"),
        (lambda net: net.__setitem__(1, nn.LayerNorm(64).double()), "1", "its gain is trainable", "affine=False"),
        (lambda net: net.__setitem__(1, nn.ReLU()), "1", "ReLU leaves 0.71 of the size", "by 1.41"),
        (lambda net: net[0].weight.data.mul_(3), "0", "3 to 3 times s_k", "init_weights_"),
        (lambda net: net[0].weight.data.mul_(3), "2", "has size 3", "Scale what stands before"),
    ],
)
def test_advice_on_the_model(spoil, where, finding, do):
    network = as_assumed()
    spoil(network)
    advice = AGD.check_model(network, sphere(50, 16))
    assert any(row.where == where and finding in row.finding and do in row.advice for row in advice), advice


def test_advice_on_the_data():
    rows = AGD.check_model(as_assumed(), 2 * sphere(50, 16), torch.eye(4).repeat(13, 1)[:50].double())
    assert {row.where for row in rows} >= {"inputs", "targets"}
    texts = [str(row) for row in rows]
    assert any("norms are 8 to 8" in text and "‖x‖ = √d = 4" in text for text in texts), texts
    assert any("norms are 1 to 1" in text and "√d_L" in text for text in texts), texts


def test_lists_of_tensors_are_moved_without_reading_any(layered, monkeypatch):
    """As on CUDA, where reading a number waits for the device."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)).double()
    optimizer = layered.for_module(network, bias="adamw", foreach=True)
    network(torch.ones(5, 2, 4, 4, dtype=torch.float64)).square().mean().backward()
    before = arrays(network)
    parts = [part for part in map(optimizer._part, optimizer.param_groups) if part.weights]

    def read(*_):
        raise AssertionError("a number was read")

    with torch.no_grad(), monkeypatch.context() as patch:
        for name in ("item", "tolist", "__float__", "__bool__", "__int__", "cpu", "numpy"):
            patch.setattr(torch.Tensor, name, read)
        optimizer.move_all(parts, [optimizer.measure(part) for part in parts])
    assert all((one != other).any() for one, other in zip(arrays(network), before, strict=True))
