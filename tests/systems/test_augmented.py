"""Plants joined with the internal state of a policy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ctrlnet import Box, Memory, Quantity, ShapeError, System, UsageError, augmented

Z = (Quantity("z", "m"), Quantity("w", "N"))
OWN = Memory(Z, box=Box([-1, -2], [1, 2]), rates=Box([-3, -4], [3, 4]), at=(0.5, 0))


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def plant(**options: object) -> System:
    d = options.get("disturbance")
    f = (lambda x, d: torch.sin(x) + d) if d else torch.sin
    names = [Quantity(name, "m") for name in "abc"]
    return System(
        f, lambda x, *d: x.cos().unsqueeze(-1), state=names, control=[("u", "N")], limits=Box([-5], [5]), **options
    )  # type: ignore[arg-type]


def test_the_plant_moves_as_before_and_the_memory_as_it_is_told() -> None:
    alone, whole = plant(), augmented(plant(), OWN)
    y, v = states(4, 6, 5), states(4, 6, 3)
    moved = whole(y, v)
    assert (whole.n, whole.m, whole.memory) == (5, 3, OWN)
    torch.testing.assert_close(moved[..., :3], alone(y[..., :3], v[..., :1]), rtol=1e-15, atol=1e-15)
    assert torch.equal(moved[..., 3:], v[..., 1:])
    assert [str(one) for one in whole.state[3:]] == ["z [m]", "w [N]"]
    assert [str(one) for one in whole.control] == ["u [N]", "z' [m/s]", "w' [N/s]"]
    assert whole.limits == Box([-5, -3, -4], [5, 3, 4])


def test_the_disturbance_is_the_plants() -> None:
    box = Box([-0.1] * 3, [0.1] * 3)
    alone = plant(disturbance=box)
    whole, y, v, d = augmented(alone, OWN), states(7, 5), states(7, 3), 0.1 * torch.ones(7, 3, dtype=torch.float64)
    assert whole.disturbance == box
    torch.testing.assert_close(whole(y, v, d)[..., :3], alone(y[..., :3], v[..., :1], d), rtol=1e-15, atol=1e-15)


def test_at_rest() -> None:
    x, whole = states(6, 3), Box([-1, -2, -3, -1, -2], [1, 2, 3, 1, 2])
    assert torch.equal(OWN.beside(x), torch.cat([x, torch.tensor([[0.5, 0.0]]).double().expand(6, 2)], -1))
    assert torch.equal(OWN.at_rest(lambda y: y.sum(-1))(x), OWN.beside(x).sum(-1))
    assert OWN.without(whole) == Box([-1, -2, -3], [1, 2, 3])


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"box": Box([-1], [1])}, ShapeError, "box of the memory has dimension 1"),
        ({"rates": Box([-1], [1])}, ShapeError, "rates of the memory"),
        ({"at": (2, 0)}, UsageError, "has to be in its box"),
        ({"rates": Box([1, 1], [2, 2])}, UsageError, "0 in its rates"),
        ({"at": (0,)}, ShapeError, "2 numbers"),
        ({"state": ("z",)}, UsageError, "a name and a unit"),
    ],
)
def test_errors(changes: dict[str, object], error: type[Exception], words: str) -> None:
    options: dict[str, object] = {"state": Z, "box": OWN.box, "rates": OWN.rates, **changes}
    with pytest.raises(error, match=words):
        Memory(options.pop("state"), **options)  # type: ignore[arg-type]


def test_one_memory_is_all() -> None:
    with pytest.raises(UsageError, match="already"):
        augmented(augmented(plant(), OWN), OWN)
