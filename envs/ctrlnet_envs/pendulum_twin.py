"""The MuJoCo twin of the torque-limited inverted pendulum."""

from __future__ import annotations

import math

from ctrlnet import Twin, UsageError

# MuJoCo wants an inertia above 1e-15 kg·m² about the centre of mass of every moving body; a point mass has none.
# This much adds to m l² no more than its own value, and turns with the pole, so that gravity does not see it.
_POINT_INERTIA = 2e-15

_SPACING = 2.5  # lengths between neighbours in a picture

_MJCF = """\
<mujoco model="pendulum">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="0.01" integrator="RK4" gravity="0 0 -{gravity}">
    <flag contact="disable" constraint="disable"/>
  </option>
  <statistic center="0 0 {centre}" extent="{extent}"/>
  <visual>
    <global azimuth="90" elevation="-8" fovy="24"/>
    <headlight ambient="0.5 0.5 0.5" diffuse="0.35 0.35 0.35" specular="0.15 0.15 0.15"/>
    <map znear="0.05" zfar="80"/>
    <quality offsamples="4" numslices="16" numstacks="8"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.84 0.88 0.94" rgb2="1 1 1" width="128" height="128"/>
    <material name="bench" rgba="0.8 0.83 0.87 1" specular="0.1"/>
    <material name="frame" rgba="0.3 0.35 0.43 1" specular="0.4" shininess="0.5"/>
    <material name="pole" rgba="0.47 0.53 0.62 1" specular="0.5" shininess="0.6"/>
    <material name="bob" rgba="0.93 0.42 0.2 1" specular="0.6" shininess="0.7"/>
  </asset>
  <worldbody>
    <light directional="true" castshadow="false" dir="0.35 0.6 -1" diffuse="0.5 0.5 0.5" specular="0.3 0.3 0.3"/>
    <geom name="bench" type="box" pos="0 0 -{bench}" size="{half_spacing} {bench_depth} {bench}" material="bench"/>
    <geom name="foot" type="cylinder" pos="0 {behind} {foot_half}" size="{foot} {foot_half}" material="frame"/>
    <geom name="post" type="capsule" fromto="0 {behind} 0 0 {behind} {pivot}" size="{post}" material="frame"/>
    <geom name="axle" type="capsule" fromto="0 {behind} {pivot} 0 {ahead} {pivot}" size="{axle}" material="frame"/>
    <body name="pole" pos="0 0 {pivot}">
      <joint name="pivot" type="hinge" axis="0 1 0" damping="{damping}" armature="0" limited="false"/>
      <inertial pos="0 0 {length}" mass="{mass}" diaginertia="{inertia} {inertia} {inertia}"/>
      <geom name="rod" type="capsule" fromto="0 0 0 0 0 {length}" size="{rod}" mass="0" material="pole"/>
      <geom name="bob" type="sphere" pos="0 0 {length}" size="{bob}" mass="0" material="bob"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="torque" joint="pivot" gear="1" ctrlrange="-{torque_limit} {torque_limit}"/>
  </actuator>
</mujoco>
"""


def pendulum_twin(torque_limit: float, mass: float, length: float, damping: float, gravity: float) -> Twin:
    """A point mass on a massless rod,  m l² θ̈ = m g l sin θ − b θ̇ + u,  θ = 0 upright, state (θ, ω).

    The hinge turns about +y, so that a positive θ leans towards +x; b is the passive damping of the joint.

    Args:
        torque_limit: bound on |u| [N·m].
        mass: m [kg].
        length: l [m], from the pivot to the point mass.
        damping: b [N·m·s/rad], zero or more.
        gravity: g [m/s²].

    Raises:
        UsageError: a number is not finite or has the wrong sign.
    """
    physics = {"torque_limit": torque_limit, "mass": mass, "length": length, "damping": damping, "gravity": gravity}
    for name, number in physics.items():
        if not math.isfinite(number) or number < 0 or (number == 0 and name not in ("damping", "gravity")):
            raise UsageError(f"{name} is {number}; it must be finite and positive.")
    numbers = {name: float(number) for name, number in physics.items()} | _looks(float(length))
    text = _MJCF.format(**{name: repr(number) for name, number in numbers.items()}, inertia=repr(_POINT_INERTIA))
    return Twin(text, joints=("pivot",), actuators=("torque",), spacing=_SPACING * float(length))


def _looks(length: float) -> dict[str, float]:
    """Sizes [m] of what is seen but has no mass, in proportion to the rod."""
    share = {"pivot": 1.3, "centre": 1.15, "extent": 2.4, "behind": 0.16, "ahead": -0.06, "foot": 0.25,
             "foot_half": 0.02, "post": 0.045, "axle": 0.06, "rod": 0.04, "bob": 0.13, "bench": 0.04,
             "bench_depth": 0.4, "half_spacing": 0.5 * _SPACING}  # fmt: skip
    return {name: fraction * length for name, fraction in share.items()}
