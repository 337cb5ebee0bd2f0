"""The video of a validation."""

from __future__ import annotations

import pytest
from simulation.plants import Pendulum, lyapunov, saturated

from ctrlnet.validation import ValidationOptions, film, validate_region


@pytest.mark.render
def test_film_is_no_longer_than_asked_for(tmp_path):
    import imageio.v2 as imageio

    plant, policy = Pendulum(), saturated(1.0, 0.3)
    options = ValidationOptions(count=6, stored=6)
    result = validate_region(plant, policy, lyapunov(1.0, 0.3), 0.5, 0.1, options=options)
    film(plant, policy, result, tmp_path / "video.mp4", seconds=1.0)
    with imageio.get_reader(tmp_path / "video.mp4") as reader:
        meta = reader.get_meta_data()
    assert meta["size"] == (960, 432)
    assert 0.5 < meta["duration"] <= 1.1
