"""The checker's own arithmetic, in every test of its parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """As in the checker, where NaN proves nothing."""
    with np.errstate(all="ignore"):
        yield
