"""ctrlnet: train a stabilizing policy, prove what it keeps invariant, validate it in MuJoCo, then deploy it.

Every public name is an attribute of this package and is imported on first use, so that `import ctrlnet` costs
nothing: neither torch nor mujoco, cvxpy, matplotlib or gymnasium is imported until a name needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# One row a room. The imports below repeat it for type checkers and editors; a test compares the two.
_ROOMS: dict[str, tuple[str, ...]] = {
    "ctrlnet.candidates": ("NeuralCandidate", "Quadratic"),
    "ctrlnet.checker": ("CheckReport", "check"),
    "ctrlnet.conditions": (
        "BarrierInvariance",
        "Clause",
        "Condition",
        "DiscreteDecrease",
        "ExponentialStability",
        "HighOrderInvariance",
        "NagumoInvariance",
        "StayWithin",
        "UltimateBound",
        "lie_derivative",
        "trajectory_violation",
        "violation",
    ),
    "ctrlnet.errors": (
        "BrokenPlugin",
        "ContractMismatch",
        "CtrlnetError",
        "DuplicatePlugin",
        "LyingTrace",
        "NameNotFound",
        "NonFinite",
        "Nonconforming",
        "PluginError",
        "RenderingUnavailable",
        "RunDamaged",
        "RunError",
        "RunExists",
        "RunFormat",
        "RunUnfinished",
        "ShapeError",
        "SolveFailed",
        "TraceError",
        "UnsupportedOperation",
        "UsageError",
    ),
    "ctrlnet.integrators": (
        "Event",
        "Integrator",
        "RungeKutta",
        "Solution",
        "Step",
        "Tableau",
        "Tolerance",
        "odeint",
        "solve",
    ),
    "ctrlnet.layers": (
        "Antisymmetric",
        "GradientFlow",
        "HamiltonianFlow",
        "HamiltonianLayer",
        "NetworkEnergy",
        "NormPreserving",
        "Pieces",
        "SkewGradient",
        "TimeVarying",
        "TwoLayerHamiltonian",
        "layer_parallel",
        "mlp",
        "prolong",
    ),
    "ctrlnet.mechanisms": ("Twin",),
    "ctrlnet.plugins": ("load", "make", "names"),
    "ctrlnet.policies": ("DynamicPolicy", "Feedback", "FlowPolicy"),
    "ctrlnet.prover": ("Budget", "Coordinates", "Progress", "Verdict", "certify", "longest_period", "prove"),
    "ctrlnet.rationals": ("Exact", "exact"),
    "ctrlnet.reports": ("draw_proof",),
    "ctrlnet.runs": ("Run",),
    "ctrlnet.sets": ("Ball", "Box", "Sublevel"),
    "ctrlnet.synthesis": ("linearize", "lqr", "lyapunov_equation"),
    "ctrlnet.systems": (
        "ClosedLoop",
        "DiscreteMap",
        "Disturbed",
        "Energy",
        "Memory",
        "Quantity",
        "Separable",
        "Split",
        "System",
        "augmented",
        "timed",
    ),
    "ctrlnet.tasks": ("Environment", "Recipe", "rebuild", "train"),
    "ctrlnet.training": ("Engine",),
}
_ROOM_OF = {name: room for room, public in _ROOMS.items() for name in public}

__all__ = sorted(_ROOM_OF)

if TYPE_CHECKING:
    from ctrlnet.candidates import NeuralCandidate as NeuralCandidate
    from ctrlnet.candidates import Quadratic as Quadratic
    from ctrlnet.checker import CheckReport as CheckReport
    from ctrlnet.checker import check as check
    from ctrlnet.conditions import BarrierInvariance as BarrierInvariance
    from ctrlnet.conditions import Clause as Clause
    from ctrlnet.conditions import Condition as Condition
    from ctrlnet.conditions import DiscreteDecrease as DiscreteDecrease
    from ctrlnet.conditions import ExponentialStability as ExponentialStability
    from ctrlnet.conditions import HighOrderInvariance as HighOrderInvariance
    from ctrlnet.conditions import NagumoInvariance as NagumoInvariance
    from ctrlnet.conditions import StayWithin as StayWithin
    from ctrlnet.conditions import UltimateBound as UltimateBound
    from ctrlnet.conditions import lie_derivative as lie_derivative
    from ctrlnet.conditions import trajectory_violation as trajectory_violation
    from ctrlnet.conditions import violation as violation
    from ctrlnet.errors import BrokenPlugin as BrokenPlugin
    from ctrlnet.errors import ContractMismatch as ContractMismatch
    from ctrlnet.errors import CtrlnetError as CtrlnetError
    from ctrlnet.errors import DuplicatePlugin as DuplicatePlugin
    from ctrlnet.errors import LyingTrace as LyingTrace
    from ctrlnet.errors import NameNotFound as NameNotFound
    from ctrlnet.errors import Nonconforming as Nonconforming
    from ctrlnet.errors import NonFinite as NonFinite
    from ctrlnet.errors import PluginError as PluginError
    from ctrlnet.errors import RenderingUnavailable as RenderingUnavailable
    from ctrlnet.errors import RunDamaged as RunDamaged
    from ctrlnet.errors import RunError as RunError
    from ctrlnet.errors import RunExists as RunExists
    from ctrlnet.errors import RunFormat as RunFormat
    from ctrlnet.errors import RunUnfinished as RunUnfinished
    from ctrlnet.errors import ShapeError as ShapeError
    from ctrlnet.errors import SolveFailed as SolveFailed
    from ctrlnet.errors import TraceError as TraceError
    from ctrlnet.errors import UnsupportedOperation as UnsupportedOperation
    from ctrlnet.errors import UsageError as UsageError
    from ctrlnet.integrators import Event as Event
    from ctrlnet.integrators import Integrator as Integrator
    from ctrlnet.integrators import RungeKutta as RungeKutta
    from ctrlnet.integrators import Solution as Solution
    from ctrlnet.integrators import Step as Step
    from ctrlnet.integrators import Tableau as Tableau
    from ctrlnet.integrators import Tolerance as Tolerance
    from ctrlnet.integrators import odeint as odeint
    from ctrlnet.integrators import solve as solve
    from ctrlnet.layers import Antisymmetric as Antisymmetric
    from ctrlnet.layers import GradientFlow as GradientFlow
    from ctrlnet.layers import HamiltonianFlow as HamiltonianFlow
    from ctrlnet.layers import HamiltonianLayer as HamiltonianLayer
    from ctrlnet.layers import NetworkEnergy as NetworkEnergy
    from ctrlnet.layers import NormPreserving as NormPreserving
    from ctrlnet.layers import Pieces as Pieces
    from ctrlnet.layers import SkewGradient as SkewGradient
    from ctrlnet.layers import TimeVarying as TimeVarying
    from ctrlnet.layers import TwoLayerHamiltonian as TwoLayerHamiltonian
    from ctrlnet.layers import layer_parallel as layer_parallel
    from ctrlnet.layers import mlp as mlp
    from ctrlnet.layers import prolong as prolong
    from ctrlnet.mechanisms import Twin as Twin
    from ctrlnet.plugins import load as load
    from ctrlnet.plugins import make as make
    from ctrlnet.plugins import names as names
    from ctrlnet.policies import DynamicPolicy as DynamicPolicy
    from ctrlnet.policies import Feedback as Feedback
    from ctrlnet.policies import FlowPolicy as FlowPolicy
    from ctrlnet.prover import Budget as Budget
    from ctrlnet.prover import Coordinates as Coordinates
    from ctrlnet.prover import Progress as Progress
    from ctrlnet.prover import Verdict as Verdict
    from ctrlnet.prover import certify as certify
    from ctrlnet.prover import longest_period as longest_period
    from ctrlnet.prover import prove as prove
    from ctrlnet.rationals import Exact as Exact
    from ctrlnet.rationals import exact as exact
    from ctrlnet.reports import draw_proof as draw_proof
    from ctrlnet.runs import Run as Run
    from ctrlnet.sets import Ball as Ball
    from ctrlnet.sets import Box as Box
    from ctrlnet.sets import Sublevel as Sublevel
    from ctrlnet.synthesis import linearize as linearize
    from ctrlnet.synthesis import lqr as lqr
    from ctrlnet.synthesis import lyapunov_equation as lyapunov_equation
    from ctrlnet.systems import ClosedLoop as ClosedLoop
    from ctrlnet.systems import DiscreteMap as DiscreteMap
    from ctrlnet.systems import Disturbed as Disturbed
    from ctrlnet.systems import Energy as Energy
    from ctrlnet.systems import Memory as Memory
    from ctrlnet.systems import Quantity as Quantity
    from ctrlnet.systems import Separable as Separable
    from ctrlnet.systems import Split as Split
    from ctrlnet.systems import System as System
    from ctrlnet.systems import augmented as augmented
    from ctrlnet.systems import timed as timed
    from ctrlnet.tasks import Environment as Environment
    from ctrlnet.tasks import Recipe as Recipe
    from ctrlnet.tasks import rebuild as rebuild
    from ctrlnet.tasks import train as train
    from ctrlnet.training import Engine as Engine

    __version__: str
else:

    def __getattr__(name: str):
        """The public object `name`, imported now and remembered (PEP 562)."""
        if name == "__version__":
            from importlib.metadata import version

            value = version("ctrlnet")
        elif name in _ROOM_OF:
            from importlib import import_module

            value = getattr(import_module(_ROOM_OF[name]), name)
        else:
            raise AttributeError(f"module 'ctrlnet' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
