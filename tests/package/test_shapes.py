"""The tests check shapes: the import hook is on, and it looks at shapes only."""

from __future__ import annotations

import pytest
import shapes
import torch
from jaxtyping import TypeCheckError, jaxtyped

import ctrlnet
from ctrlnet.types import Control, State, Value


@jaxtyped(typechecker=shapes.typechecker)
def pair(x: State, v: Value, name: str = "") -> Control:
    return x


def test_shapes_that_fit_pass_and_the_rest_does_not():
    pair(torch.zeros(5, 2), torch.zeros(5))
    with pytest.raises(TypeCheckError):
        pair(torch.zeros(5, 2), torch.zeros(4))
    with pytest.raises(TypeCheckError):
        pair(torch.zeros(5, 2, dtype=torch.int64), torch.zeros(5))


def test_other_types_are_left_to_ctrlnets_own_errors():
    pair(torch.zeros(5, 2), torch.zeros(5), name=3)


@pytest.mark.parametrize("function", [ctrlnet.Quadratic.forward, ctrlnet.Feedback.forward, ctrlnet.lie_derivative])
def test_the_hook_is_on(function):
    assert hasattr(function, "__wrapped__")
