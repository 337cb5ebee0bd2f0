"""Every installed environment as a Gymnasium environment.

Importing this module registers each name that `ctrlnet.names("environments")` lists as `ctrlnet/<name>-v0`; no plug-in
is imported before its environment is made:

    env = gymnasium.make("ctrlnet.gym:ctrlnet/pendulum-v0", torque_limit=0.75)

Keywords that are not `ControlEnv`'s own are the environment's parameters.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from ctrlnet import plugins
from ctrlnet.errors import UsageError
from ctrlnet.mechanisms import Twin
from ctrlnet.mechanisms.twin import Array
from ctrlnet.sets import Box
from ctrlnet.simulation import EquationFleet, Fleet, Painter, Simulations
from ctrlnet.systems import System

EPISODE = 1000  # steps, 10 s at the default control rate

_START = 0.1  # of the box's half widths: where episodes start
_EFFORT = 0.1  # weight of the control in the reward
_FINE = 4  # physics steps a control period


class ControlEnv(gymnasium.Env[Any, Any]):
    """The regulation problem of a ctrlnet environment: bring the state to the equilibrium and keep it there.

    ## Observation
    The state x, float64 (n,), in the order, with the names and in the units of `environment.system.state`.

    ## Action
    The control u, float64 (m,), in SI units within the limits of `environment.system.limits`; held for one control
    period (zero-order hold).

    ## Dynamics
    The MuJoCo twin of the environment where it has one, else its analytic model by rk4.

    ## Reward
    −(Σᵢ ((xᵢ − xᵢ*)/hᵢ)² + 0.1 Σⱼ ((uⱼ − uⱼ*)/kⱼ)²) · period, with h the half widths of the box and k those of the
    control's limits (1 where there are none), of the state before the step and of the control applied.

    ## Start
    x uniform within a tenth of the box about the equilibrium; `reset(options={"state": x})` starts anywhere in the box.

    ## End
    Terminated when the state leaves `environment.box`; truncated after `max_episode_steps` (1000) steps. The
    observation space is twice as wide as the box, so that the last state of an episode lies in it.

    Args:
        environment: name of the plug-in.
        render_mode: None or "rgb_array", which needs a twin.
        rate_hz: control rate [1/s].
        parameters: of the environment, such as `torque_limit=0.75`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 100}  # type: ignore[misc]

    def __init__(
        self, environment: str, render_mode: str | None = None, rate_hz: float = 100.0, **parameters: Any
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UsageError(f"render_mode is {render_mode!r}; allowed: None, 'rgb_array'.")
        if not (math.isfinite(rate_hz) and rate_hz > 0):
            raise UsageError(f"rate_hz is {rate_hz}; give a positive control rate [1/s].")
        plant = plugins.make(environment, **parameters)
        self.metadata = {**self.metadata, "render_fps": round(rate_hz)}  # type: ignore[misc]
        self.render_mode = render_mode
        self.period = 1 / rate_hz
        self.box: Box = plant.box
        self.rest = np.array([float(number) for number in plant.equilibrium])
        self.control_rest = np.array([float(number) for number in plant.control_equilibrium])
        self._system: System = plant.system
        self._twin: Twin | None = plant.twin()
        if render_mode is not None and self._twin is None:
            raise UsageError(f"The environment {environment!r} has no MuJoCo twin, so it cannot be rendered.")
        self._plant = self._simulation()
        self._painter: Painter | None = None
        self._u = self.control_rest
        self._half = self.box.half_widths.numpy()
        self._actions, self._control_half = _actions(self._system)
        self.action_space = self._actions
        self.observation_space = _space(self.box.center.numpy(), 2 * self._half)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start an episode, from `options["state"]` or a random state near the equilibrium."""
        super().reset(seed=seed)
        start = self.rest + _START * self._half * self.np_random.uniform(-1.0, 1.0, len(self.rest))
        if options is not None and "state" in options:
            start = np.asarray(options["state"], dtype=np.float64)
        if start.shape != self.rest.shape or not self._inside(start):
            raise UsageError(f"The start {start.tolist()} is no state in {self.box!r}.")
        self._plant.place(start[None])
        self._u = self.control_rest
        return self._state(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Hold the control for one period; controls beyond the limits are clipped to them."""
        u = np.asarray(action, dtype=np.float64)
        if u.shape != self.control_rest.shape or not np.isfinite(u).all():
            raise UsageError(f"The action {action!r} is no control: give {len(self.control_rest)} finite numbers.")
        u = np.clip(u, self._actions.low, self._actions.high)
        reward = self._reward(self._state(), u)
        self._plant.hold(u[None])
        self._u = u
        x = self._state()
        return x, reward, not self._inside(x), False, {}

    def render(self) -> NDArray[np.uint8] | None:
        """The present state as a picture, (480, 480, 3).

        Raises:
            RenderingUnavailable: no off-screen OpenGL here.
        """
        if self.render_mode is None or self._twin is None:
            gymnasium.logger.warn("render() needs gymnasium.make(..., render_mode='rgb_array').")
            return None
        self._painter = self._painter or Painter(self._twin, 480, 480)
        return self._painter.paint(self._plant.states(), self._u[None], self._control_half)

    def close(self) -> None:
        """Free the renderer."""
        if self._painter is not None:
            self._painter.close()
            self._painter = None

    def _simulation(self) -> Simulations:
        if self._twin is None:
            return EquationFleet(self._system, 1, period=self.period, substeps=_FINE)
        return Fleet(self._twin, 1, period=self.period, substeps=_FINE, threads=1)

    def _state(self) -> Array:
        return np.asarray(self._plant.states()[0])

    def _reward(self, x: Array, u: Array) -> float:
        state = np.square((x - self.rest) / self._half).sum()
        control = np.square((u - self.control_rest) / self._control_half).sum()
        return -float(state + _EFFORT * control) * self.period

    def _inside(self, x: Array) -> bool:
        return bool(np.isfinite(x).all() and self.box.contains(torch.from_numpy(x)))


def _space(center: Array, half: Array) -> spaces.Box:
    return spaces.Box(center - half, center + half, dtype=np.float64)


def _actions(system: System) -> tuple[spaces.Box, Array]:
    """The space of controls, and the half widths of their limits, 1 where they are unlimited."""
    if system.limits is None:
        return spaces.Box(-np.inf, np.inf, (system.m,), dtype=np.float64), np.ones(system.m)
    return spaces.Box(system.limits.lower.numpy(), system.limits.upper.numpy(), dtype=np.float64), (
        system.limits.half_widths.numpy()
    )


def register() -> list[str]:
    """Register every installed environment with Gymnasium; the ids registered now."""
    fresh = [name for name in plugins.names("environments") if identifier(name) not in gymnasium.registry]
    for name in fresh:
        gymnasium.register(
            id=identifier(name),
            entry_point="ctrlnet.gym:ControlEnv",
            max_episode_steps=EPISODE,
            kwargs={"environment": name},
        )
    return [identifier(name) for name in fresh]


def identifier(name: str) -> str:
    """Gymnasium's id of an environment plug-in."""
    return f"ctrlnet/{name}-v0"


register()
