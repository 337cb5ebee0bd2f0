"""Pictures of a twin: one or several copies side by side, with their controls drawn as arcs and arrows."""

from __future__ import annotations

import atexit
import math
from itertools import pairwise
from types import TracebackType
from typing import Any, Self, final
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.simulation.display import load_mujoco, rendering_unavailable
from ctrlnet.simulation.fleet import compile_twin

Image = NDArray[np.uint8]

_ARC_SEGMENTS = 10
_CONTROL_COLOUR = (0.16, 0.46, 0.85, 1.0)
_HINGE = 3  # mjtJoint


@final
class Painter:
    """An off-screen renderer for `copies` of a twin in a row along x, seen along y; close it, or use `with`.

    Args:
        twin: the model; its MJCF says how one copy looks and from where (statistic, visual/global).
        width, height: [pixels].
        copies: how many states a picture shows.

    Raises:
        RenderingUnavailable: no off-screen OpenGL here.
    """

    def __init__(self, twin: Twin, width: int = 640, height: int = 480, copies: int = 1) -> None:
        self._mujoco = load_mujoco()
        self.twin, self.width, self.height, self.copies = twin, width, height, copies
        self.model = compile_twin(twin)
        self.model.vis.global_.offwidth, self.model.vis.global_.offheight = width, height
        self.spacing = twin.spacing or float(self.model.stat.extent)
        self._data = self._mujoco.MjData(self.model)
        self._camera = self._look()
        self._renderer = self._open()
        _close_at_exit(self)

    def _open(self) -> Any:
        try:
            renderer = self._mujoco.Renderer(self.model, self.height, self.width)
        except Exception as error:  # OpenGL's loaders fail in many ways: import, attribute, EGL and fatal errors
            raise rendering_unavailable(error) from error
        for flag in ("mjRND_SHADOW", "mjRND_REFLECTION"):  # four to ten times faster in software without them
            renderer.scene.flags[getattr(self._mujoco.mjtRndFlag, flag)] = False
        return renderer

    def _look(self) -> Any:
        """The free camera of the MJCF, moved back until every copy is in the picture."""
        camera = self._mujoco.MjvCamera()
        self._mujoco.mjv_defaultFreeCamera(self.model, camera)
        half_height = math.tan(math.radians(self.model.vis.global_.fovy) / 2)
        row = (self.copies - 1) * self.spacing / 2 + 0.56 * self.spacing
        tall = 0.6 * float(self.model.stat.extent)
        camera.distance = max(tall / half_height, row / (half_height * self.width / self.height))
        return camera

    def paint(self, x: Array, u: Array | None = None, limits: Array | None = None) -> Image:
        """The picture of the states x (copies, n), (height, width, 3) of 0…255.

        With controls u (copies, m) and limits (m,) each control is drawn at its joint, in proportion to its limit.
        """
        scene = self._renderer.scene
        q, _ = self.twin.to_simulator(np.asarray(x, dtype=np.float64))
        for copy in range(self.copies):
            self._pose(q[copy])
            first = scene.ngeom if copy else 0
            if copy == 0:
                self._renderer.update_scene(self._data, self._camera)
            else:
                self._add_copy(scene)
            if u is not None and limits is not None:
                self._draw_controls(scene, u[copy] / limits)
            self._shift(scene, first, (copy - (self.copies - 1) / 2) * self.spacing, keep_planes=copy == 0)
        image: Image = self._renderer.render()
        return image

    def _pose(self, q: Array) -> None:
        for name, position in zip(self.twin.joints, q, strict=True):
            self._data.joint(name).qpos = position
        self._mujoco.mj_kinematics(self.model, self._data)
        self._mujoco.mj_comPos(self.model, self._data)
        self._mujoco.mj_camlight(self.model, self._data)

    def _add_copy(self, scene: Any) -> None:
        everything = self._mujoco.mjtCatBit.mjCAT_ALL.value
        self._mujoco.mjv_addGeoms(
            self.model, self._data, self._mujoco.MjvOption(), self._mujoco.MjvPerturb(), everything, scene
        )

    def _shift(self, scene: Any, first: int, offset: float, keep_planes: bool) -> None:
        """Move the geoms from number `first` on along x; a second floor, costly to draw, becomes a hidden speck."""
        for geom in scene.geoms[first : scene.ngeom]:
            if geom.type != self._mujoco.mjtGeom.mjGEOM_PLANE:
                geom.pos[0] += offset
            elif not keep_planes:
                geom.type, geom.size[:], geom.pos[2] = self._mujoco.mjtGeom.mjGEOM_SPHERE.value, 1e-6, -1.0

    def _draw_controls(self, scene: Any, shares: Array) -> None:
        for actuator, share in zip(self.twin.actuators, shares, strict=True):
            joint = int(self.model.actuator(actuator).trnid[0])
            anchor, axis = self._data.xanchor[joint], self._data.xaxis[joint]
            if self.model.jnt_type[joint] == _HINGE:
                self._draw_arc(scene, anchor, axis, float(share))
            else:
                tip = anchor + axis * share * 0.4 * self.model.stat.extent
                self._connect(scene, anchor, tip, arrow=True)

    def _draw_arc(self, scene: Any, anchor: Array, axis: Array, share: float) -> None:
        """An arc about the hinge from the top, ¾ of a half turn at the limit, with an arrow head at its end."""
        if abs(share) < 0.01:
            return
        radius = 0.2 * float(self.model.stat.extent)
        up = np.array([0.0, 0.0, 1.0]) - axis * axis[2]
        up = up / (np.linalg.norm(up) or 1.0)
        side = np.cross(axis, up)
        angles = np.linspace(0.0, 0.75 * math.pi * share, _ARC_SEGMENTS + 1)
        points = anchor + radius * (np.outer(np.cos(angles), up) + np.outer(np.sin(angles), side))
        for start, end in pairwise(points):
            self._connect(scene, start, end)
        tangent = (points[-1] - points[-2]) / np.linalg.norm(points[-1] - points[-2])
        self._connect(scene, points[-1], points[-1] + 0.6 * radius * tangent, arrow=True)

    def _connect(self, scene: Any, start: Array, end: Array, arrow: bool = False) -> None:
        if scene.ngeom >= scene.maxgeom:
            return
        kinds = self._mujoco.mjtGeom
        kind = (kinds.mjGEOM_ARROW if arrow else kinds.mjGEOM_CAPSULE).value
        width = (0.02 if arrow else 0.01) * float(self.model.stat.extent)
        geom = scene.geoms[scene.ngeom]
        colour = np.array(_CONTROL_COLOUR, dtype=np.float32)
        self._mujoco.mjv_initGeom(geom, kind, np.zeros(3), np.zeros(3), np.eye(3).ravel(), colour)
        self._mujoco.mjv_connector(geom, kind, width, start, end)
        scene.ngeom += 1

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_painters: WeakSet[Painter] = WeakSet()


def _close_all() -> None:
    for painter in list(_painters):
        painter.close()


def _close_at_exit(painter: Painter) -> None:
    """Close it at exit if nobody has: before mujoco's own exit function, registered earlier, ends OpenGL."""
    if not _painters:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _painters.add(painter)
