"""What holds for every test: shapes are checked, seeds are printed, each skip says why."""

from __future__ import annotations

import os
import random

import pytest
import shapes
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook(shapes.ROOMS, "shapes.typechecker")  # before anything imports ctrlnet

import torch  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("ctrlnet", deadline=None, print_blob=True)
settings.load_profile("ctrlnet")

SEED = int(os.environ.setdefault("CTRLNET_TEST_SEED", str(random.randrange(10**6))))  # one for all processes


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_make_parametrize_id(val: object) -> str | None:
    """The class of an object that would be called by its address, which differs between processes."""
    return type(val).__name__ if type(val).__repr__ is object.__repr__ else None


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.option.hypothesis_seed
    return f"hypothesis seed: {seed}  (CTRLNET_TEST_SEED={seed} repeats it); torch {torch.__version__}, 1 thread"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what the machine cannot do, with the reason."""
    obstacles = {"cuda": _no_cuda, "render": _no_display}
    for marker, reason_of in obstacles.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        reason = reason_of() if marked else ""
        for item in marked if reason else ():
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Global generators start alike in every test, whatever ran before."""
    torch.manual_seed(0)


def _no_cuda() -> str:
    return "" if torch.cuda.is_available() else "no CUDA device here"


def _no_display() -> str:
    from ctrlnet.simulation import load_mujoco

    mujoco = load_mujoco()
    try:
        mujoco.GLContext(8, 8).free()
    except Exception as error:
        return f"no off-screen OpenGL here ({type(error).__name__}: {error}); apt-get install libegl1 libegl-mesa0"
    return ""
