"""Pictures and videos."""

from __future__ import annotations

import numpy as np
import pytest
from simulation.plants import Pendulum, saturated

from ctrlnet import UsageError
from ctrlnet.simulation import Legend, Painter, Playback, render_video, rollout

pytestmark = pytest.mark.render

LIMITS = np.array([6.0])


@pytest.fixture(scope="module")
def flown():
    x0 = np.array([[-2.0, 0.0], [0.5, 1.0], [3.0, 0.0]])
    return rollout(Pendulum().twin(), saturated(3, 0.5), x0, 1.0)


def test_picture_follows_the_state():
    with Painter(Pendulum().twin(), 160, 120) as painter:
        upright, leaning = painter.paint(np.zeros((1, 2))), painter.paint(np.array([[0.8, 0.0]]))
        again = painter.paint(np.zeros((1, 2)))
    assert upright.shape == (120, 160, 3) and upright.std() > 10
    assert (upright == again).all()
    assert 0.001 < (upright != leaning).any(-1).mean() < 0.2


def test_picture_shows_as_many_copies_as_states():
    """The bob is the only thing that is orange: count its blobs by their columns."""
    with Painter(Pendulum().twin(), 480, 160, copies=4) as painter:
        picture = painter.paint(np.zeros((4, 2))).astype(int)
    orange = (picture[..., 0] - picture[..., 2] > 90).any(0)
    assert np.count_nonzero(np.diff(orange.astype(int)) == 1) == 4


def test_control_is_drawn_to_its_side():
    with Painter(Pendulum().twin(), 240, 240) as painter:
        pictures = [painter.paint(np.zeros((1, 2)), np.array([[u]]), LIMITS).astype(int) for u in (6.0, -6.0, 0.0)]
    blue = [(picture[..., 2] - picture[..., 0] > 100).sum(0) for picture in pictures]
    right, left = blue[0][125:].sum(), blue[0][:115].sum()
    assert right > 5 * max(left, 1)
    assert blue[1][:115].sum() > 5 * max(blue[1][125:].sum(), 1)
    assert blue[2].sum() == 0


def test_video_has_the_length_and_the_frames_asked_for(flown, tmp_path):
    import imageio.v2 as imageio

    path = tmp_path / "video.mp4"
    legend = Legend("Pendulum", ("θ = -2", "θ = 0.5", "θ = 3"), (("u", "N·m"),))
    render_video(Pendulum().twin(), flown, path, limits=LIMITS, legend=legend, playback=Playback(fps=10, speed=0.5))
    with imageio.get_reader(path) as reader:
        frames = [np.asarray(frame) for frame in reader]
        assert reader.get_meta_data()["fps"] == 10
    assert len(frames) == 21
    assert frames[0].shape == (432, 960, 3)
    assert (frames[0].astype(int) - frames[-1]).std() > 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["video.mp4"]


def test_interrupted_video_leaves_no_file(flown, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "paint", interrupt)
    with pytest.raises(KeyboardInterrupt):
        render_video(Pendulum().twin(), flown, tmp_path / "video.mp4", limits=LIMITS)
    assert not list(tmp_path.iterdir())


def test_path_must_be_an_mp4(flown, tmp_path):
    with pytest.raises(UsageError, match="mp4"):
        render_video(Pendulum().twin(), flown, tmp_path / "video.gif", limits=LIMITS)
