"""Every torch operation with a rule: its traced graph is the function, and its gradient is torch's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ctrlnet.errors import UnsupportedOperation
from ctrlnet.graph import evaluate, gradient, trace
from ctrlnet.graph.aten import HANDLERS
from ctrlnet.graph.aten.movements import CONVERSIONS, LINEAR, MOVEMENTS, RESHAPES
from ctrlnet.graph.aten.ordering import LARGEST, comparators

Function = Callable[[Tensor], Tensor]
STATES = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
NUMBERS = torch.Generator().manual_seed(4)
aten = torch.ops.aten


def _numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=NUMBERS)


M, W, VECTOR, CUBE = _numbers(3, 3), _numbers(2, 3), _numbers(3), _numbers(2, 3, 3)
ELEVEN = torch.linspace(-1, 2, 11, dtype=torch.float64)
MASK = torch.tensor([True, False, True])
GATED = torch.nn.GRUCell(3, 2, dtype=torch.float64).requires_grad_(False)
NORMALISED = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2, dtype=torch.float64)).requires_grad_(
    False
)


def _by(function: Callable[..., Any], *arguments: Any, **options: Any) -> Function:
    """The sum of the entries of a function of the state."""
    return lambda x: function(x, *arguments, **options).sum(-1)


def _slope(function: Callable[..., Any], *arguments: Any, **options: Any) -> Function:
    """The derivative of an elementwise function along the state, as torch.func writes it."""
    return lambda x: (torch.func.grad(lambda y: function(y, *arguments, **options).sum())(x) * x).sum(-1)


def _pulled(function: Callable[[Tensor], Tensor]) -> Function:
    """The same by vjp, outside of which no graph of autograd is kept."""
    return lambda x: (torch.func.vjp(lambda y: function(y).sum(), x)[1](torch.ones((), dtype=x.dtype))[0] * x).sum(-1)


def _rows(function: Function) -> Function:
    """A function of one state (3,), mapped over the leading dimensions."""

    def mapped(x: Tensor) -> Tensor:
        return torch.stack([function(row) for row in x.reshape(-1, 3)]).reshape(x.shape[:-1])

    return mapped


def _matrix(x: Tensor) -> Tensor:
    """A regular matrix of the state, (..., 3, 3)."""
    return x[..., :, None] * x[..., None, :] + 2 * torch.eye(3, dtype=x.dtype) + 0.2 * M


def _apart(p: float) -> Function:
    """Distances in the norm of order p."""
    return _rows(lambda x: (torch.cdist(torch.stack([x, x.sin()]), M, p=p) * W).sum())


CASES: dict[Any, Function | list[Function]] = {
    aten.add: [_by(torch.add, 1.5, alpha=2), lambda x: ((x > 0) + (x < -1)).double().sum(-1)],
    aten.sub: _by(torch.sub, VECTOR, alpha=0.5),
    aten.rsub: lambda x: (2 - x).sum(-1),
    aten.mul: [lambda x: (x * VECTOR * x).sum(-1), lambda x: ((x > 0) * (x < 1)).double().sum(-1)],
    aten.div: [
        lambda x: (x / (1 + x.square()) + x / 3).sum(-1),
        lambda x: (torch.div(x, 0.3, rounding_mode="floor") * x).sum(-1),
        lambda x: (torch.div(4 * x, VECTOR, rounding_mode="trunc") * x).sum(-1),
    ],
    aten.addcmul: lambda x: torch.addcmul(x, x, VECTOR, value=0.5).sum(-1),
    aten.addcdiv: lambda x: torch.addcdiv(x, x, 1 + x.square(), value=0.5).sum(-1),
    aten.lerp: [lambda x: torch.lerp(x, x.sin(), 0.3).sum(-1), lambda x: torch.lerp(x, x.sin(), x.cos()).sum(-1)],
    aten.reciprocal: lambda x: (2 + x.square()).reciprocal().sum(-1),
    aten.neg: lambda x: (-x).exp().sum(-1),
    aten.abs: _by(torch.abs),
    aten.sign: lambda x: (x.sign() * x.square()).sum(-1),
    aten.sgn: lambda x: (x.sgn() * x.square()).sum(-1),
    aten.floor: _by(torch.floor),
    aten.ceil: _by(torch.ceil),
    aten.trunc: [_by(lambda x: torch.trunc(3 * x)), _by(torch.trunc)],
    aten.round: [_by(torch.round), _by(torch.round, decimals=1)],
    aten.frac: lambda x: torch.frac(3 * x).square().sum(-1),
    aten.remainder: [
        lambda x: ((4 * x + math.pi) % (2 * math.pi) - math.pi).square().sum(-1),
        lambda x: torch.remainder(4 * x, -1.5).square().sum(-1),
        lambda x: torch.remainder(4 * x, VECTOR).square().sum(-1),
        lambda x: (4 * x % (1 + x.flip(-1).square())).square().sum(-1),
    ],
    aten.fmod: [lambda x: torch.fmod(4 * x, 1.5).square().sum(-1), lambda x: torch.fmod(4 * x, VECTOR).sum(-1)],
    aten.floor_divide: lambda x: (x // 0.3).sum(-1),
    aten.copysign: lambda x: torch.copysign(x.sin() + 2, x).sum(-1),
    aten.ldexp: lambda x: torch.ldexp(x, torch.tensor([3, 0, 2])).sum(-1),
    aten.pow: [
        lambda x: (x**2 + x**3 + x**7).sum(-1) / 100,
        lambda x: ((1 + x**2) ** 1.5 + (1 + x**2) ** -0.5 + (1 + x**2) ** 0.3).sum(-1),
        lambda x: (2.0**x + x ** torch.tensor([2.0, 1.0, 3.0])).sum(-1),
        lambda x: ((1 + x.square()) ** x.tanh()).sum(-1),
        lambda x: (0.01 * x) ** 70 @ VECTOR,
    ],
    aten.sqrt: lambda x: (1 + x.square()).sqrt().sum(-1),
    aten.rsqrt: lambda x: (1 + x.square()).rsqrt().sum(-1),
    aten.hypot: lambda x: torch.hypot(x[..., 0], x[..., 1]),
    aten.exp: _by(torch.exp),
    aten.exp2: _by(torch.exp2),
    aten.expm1: _by(torch.expm1),
    aten.log: lambda x: (1 + x.square()).log().sum(-1),
    aten.log1p: lambda x: x.square().log1p().sum(-1),
    aten.log2: lambda x: (1 + x.square()).log2().sum(-1),
    aten.log10: lambda x: (1 + x.square()).log10().sum(-1),
    aten.logit: [
        lambda x: torch.sigmoid(x).logit().sum(-1),
        lambda x: torch.sigmoid(x).logit(eps=0.3).sum(-1),
    ],
    aten.logaddexp: lambda x: torch.logaddexp(x[..., 0], x[..., 1]),
    aten.sin: _by(torch.sin),
    aten.cos: _by(torch.cos),
    aten.tan: lambda x: (x.tanh()).tan().sum(-1),
    aten.asin: lambda x: x.sin().mul(0.9).asin().sum(-1),
    aten.acos: lambda x: x.sin().mul(0.9).acos().sum(-1),
    aten.atan: _by(torch.atan),
    aten.atan2: lambda x: torch.atan2(x[..., 0], 1.1 + x[..., 1].sin()) + torch.atan2(x[..., 2], x[..., 0]),
    aten.sinh: _by(torch.sinh),
    aten.cosh: _by(torch.cosh),
    aten.tanh: _by(torch.tanh),
    aten.asinh: _by(torch.asinh),
    aten.acosh: lambda x: (2 + x.square()).acosh().sum(-1),
    aten.atanh: lambda x: (0.9 * x.sin()).atanh().sum(-1),
    aten.erf: _by(torch.erf),
    aten.erfc: _by(torch.erfc),
    aten.deg2rad: _by(torch.deg2rad),
    aten.rad2deg: _by(torch.rad2deg),
    aten.gt: lambda x: torch.where(x > 0.5, x.square(), -x).sum(-1),
    aten.lt: lambda x: torch.where(x < x.flip(-1) + 0.1, x.square(), -x).sum(-1),
    aten.ge: lambda x: torch.where(torch.relu(x) >= 0, x.square(), -x).sum(-1),
    aten.le: lambda x: torch.where(x <= VECTOR, x.square(), -x).sum(-1),
    aten.eq: lambda x: torch.where(x == x.relu(), x.square(), x).sum(-1),
    aten.logical_and: lambda x: torch.logical_and(x > 0, x.flip(-1) <= 1).to(x).mul(x).sum(-1),
    aten.logical_or: lambda x: torch.logical_or(x > 0, x.flip(-1) <= -1).to(x).mul(x).sum(-1),
    aten.logical_xor: lambda x: torch.logical_xor(x > 0, x.flip(-1) < 1).to(x).mul(x).sum(-1),
    aten.logical_not: lambda x: torch.logical_not(x > 0).to(x).mul(x).sum(-1),
    aten.bitwise_and: lambda x: ((x > 0) & (x < 1) & MASK).to(x).mul(x).sum(-1),
    aten.bitwise_or: lambda x: ((x > 1) | (x < -1) | MASK).to(x).mul(x).sum(-1),
    aten.bitwise_xor: lambda x: ((x > 0) ^ MASK).to(x).mul(x).sum(-1),
    aten.bitwise_not: lambda x: (~(x > 0)).to(x).mul(x).sum(-1),
    aten.where: lambda x: torch.where(MASK, x, x.square()).sum(-1) + torch.where(x[..., 0] > 0, 1.0, 2.0),
    aten.masked_fill: [_by(torch.masked_fill, MASK, 2.0), lambda x: x.masked_fill(x > 0.5, 0.5).sum(-1)],
    aten.isnan: lambda x: torch.where(torch.isnan(x), 0.0, x.sin()).sum(-1),
    aten.ne: lambda x: torch.where(x.isfinite(), x.square(), 0.0).sum(-1) + torch.where(x != 0, x, 1.0).sum(-1),
    aten.nan_to_num: lambda x: (torch.nan_to_num(x.sin()) * x).sum(-1),
    aten.signbit: lambda x: torch.where(torch.signbit(x), x.square(), x).sum(-1),
    aten.isinf: lambda x: x.square().sum(-1) if not torch.isinf(x.exp()).any() else 0 * x[..., 0],
    aten.heaviside: lambda x: (torch.heaviside(x, torch.tensor(0.5, dtype=x.dtype)) * x).sum(-1),
    aten.sum: lambda x: x.square().sum(-1, keepdim=True).sin().squeeze(-1),
    aten.mean: lambda x: (x - x.mean(-1, keepdim=True)).square().mean(-1),
    aten.prod: [_by(lambda x: x.prod(-1, keepdim=True)), _rows(lambda x: x.prod())],
    aten.cumprod: lambda x: (x.cumprod(-1) * VECTOR).sum(-1),
    aten.sort: [
        lambda x: (x.sort(-1).values * VECTOR).sum(-1),
        lambda x: (torch.sort(x, dim=-1, descending=True, stable=True).values * VECTOR).sum(-1),
        lambda x: (torch.cat([x, x.sin(), x.cos(), x[..., :2]], -1).sort(-1).values * ELEVEN).sum(-1),
        _rows(lambda x: (torch.stack([x, x.sin(), VECTOR]).sort(0).values * M).sum()),
    ],
    aten.topk: [
        lambda x: (torch.cat([x, x.sin()], -1).topk(2, -1).values * VECTOR[:2]).sum(-1),
        _rows(lambda x: (torch.stack([x, x.sin(), VECTOR]).topk(2, 0, largest=False).values * W).sum()),
    ],
    aten.kthvalue: lambda x: x.kthvalue(2, -1).values + torch.kthvalue(x, 1, -1, keepdim=True).values[..., 0],
    aten.median: [lambda x: x.median(-1).values, _rows(lambda x: torch.cat([x, x[:1].sin()]).median())],
    aten.nanmedian: lambda x: x.nanmedian(-1, keepdim=True).values.squeeze(-1),
    aten.cummax: lambda x: (x.cummax(-1).values * VECTOR).sum(-1),
    aten.cummin: lambda x: (x.cummin(-1).values * VECTOR).sum(-1),
    aten.logcumsumexp: lambda x: (x.logcumsumexp(-1) * VECTOR).sum(-1),
    aten._cdist_forward: [
        *(_apart(p) for p in (1.0, 2.0, 3.0, math.inf)),
        lambda x: torch.cdist(torch.stack([x, x.sin()], -2), M).amin((-1, -2)),
    ],
    aten._pdist_forward: _rows(lambda x: (torch.pdist(torch.stack([x, x.sin(), VECTOR])) * VECTOR).sum()),
    aten.mse_loss: [
        _rows(lambda x: F.mse_loss(x, VECTOR) + F.mse_loss(x, x.sin(), reduction="sum")),
        lambda x: F.mse_loss(x, x.sin(), reduction="none").sum(-1),
    ],
    aten.huber_loss: [
        _rows(lambda x: F.huber_loss(x, VECTOR, delta=0.7)),
        lambda x: F.huber_loss(x, VECTOR.expand_as(x), reduction="none", delta=0.4).sum(-1),
    ],
    aten.smooth_l1_loss: [
        _rows(lambda x: F.smooth_l1_loss(x, VECTOR, beta=0.3, reduction="sum")),
        lambda x: F.smooth_l1_loss(x, VECTOR.expand_as(x), reduction="none").sum(-1),
    ],
    aten.amax: lambda x: x.amax(-1),
    aten.amin: lambda x: x.amin(-1, keepdim=True).squeeze(-1),
    aten.aminmax: lambda x: x.aminmax(dim=-1).max - x.aminmax(dim=-1).min,
    aten.max: [lambda x: x.max(-1).values, _rows(lambda x: x.max())],
    aten.min: [lambda x: x.min(-1).values, _rows(lambda x: x.min())],
    aten.maximum: [
        lambda x: torch.maximum(x[..., 0], x[..., 1]) + torch.max(x[..., 1], x[..., 2]),
        lambda x: torch.maximum(x[..., 0] > 0, x[..., 1] > 0).to(x) * x[..., 2],
    ],
    aten.minimum: lambda x: torch.minimum(x[..., 0], x[..., 1]) - torch.min(x[..., 1], x[..., 2]),
    aten.fmax: lambda x: torch.fmax(x[..., 0], x[..., 1]),
    aten.fmin: lambda x: torch.fmin(x[..., 0], x[..., 1]),
    aten.clamp: [_by(torch.clamp, -0.3, 0.7), _by(torch.clamp, -VECTOR.abs(), VECTOR.abs())],
    aten.clamp_min: _by(torch.clamp_min, 0.2),
    aten.clamp_max: _by(torch.clamp_max, 0.2),
    aten.any: lambda x: (x > 0.5).any(-1).to(x) * x[..., 0],
    aten.all: lambda x: (x < 0.5).all(-1).to(x) * x[..., 0],
    aten.var: [lambda x: x.var(-1), lambda x: x.var(-1, correction=0), lambda x: x.var(-1, unbiased=False)],
    aten.std: lambda x: x.std(-1),
    aten.var_mean: lambda x: torch.var_mean(x, -1)[0] + torch.var_mean(x, -1)[1],
    aten.std_mean: lambda x: torch.std_mean(x, -1)[0] + torch.std_mean(x, -1, correction=0)[1],
    aten.linalg_vector_norm: [
        lambda x: torch.linalg.vector_norm(x, dim=-1) + x.norm(dim=-1) * x[..., 0],
        lambda x: torch.linalg.vector_norm(x, 1, dim=-1) + torch.linalg.norm(x, math.inf, dim=-1),
        lambda x: torch.linalg.vector_norm(x, 3, dim=-1) + torch.linalg.vector_norm(x, 4.5, dim=-1),
        lambda x: torch.linalg.vector_norm(x, -math.inf, dim=-1),
        lambda x: torch.linalg.matrix_norm(_matrix(x)),
    ],
    aten.norm: [lambda x: torch.ops.aten.norm.ScalarOpt_dim(x, 2, [-1])],
    aten.dist: _rows(lambda x: torch.dist(x, VECTOR)),
    aten.logsumexp: lambda x: x.logsumexp(-1),
    aten._softmax: lambda x: (torch.softmax(x, -1) * VECTOR).sum(-1),
    aten._log_softmax: lambda x: (torch.log_softmax(x, -1) * VECTOR).sum(-1),
    aten.sigmoid: _by(torch.sigmoid),
    aten.log_sigmoid_forward: _by(F.logsigmoid),
    aten.silu: _by(F.silu),
    aten.mish: _by(F.mish),
    aten.softplus: [_by(F.softplus), _by(F.softplus, beta=3.0)],
    aten.relu: _by(torch.relu),
    aten.leaky_relu: _by(F.leaky_relu, 0.2),
    aten._prelu_kernel: _rows(lambda x: F.prelu(x[None], torch.tensor([0.1, 0.2, 0.3], dtype=x.dtype)).sum()),
    aten.elu: [_by(F.elu, 0.7), _by(F.selu)],
    aten.celu: _by(F.celu, 0.7),
    aten.gelu: [_by(F.gelu), _by(F.gelu, approximate="tanh")],
    aten.glu: lambda x: F.glu(torch.cat([x, x.sin()], -1)).sum(-1),
    aten.hardtanh: [_by(F.hardtanh, -0.5, 0.8), _by(F.relu6)],
    aten.hardsigmoid: _by(lambda x: F.hardsigmoid(4 * x)),
    aten.hardswish: _by(lambda x: F.hardswish(4 * x)),
    aten.hardshrink: _by(F.hardshrink),
    aten.softshrink: _by(F.softshrink),
    aten.threshold: _by(F.threshold, 0.3, -1.0),
    aten.mm: lambda x: (x.reshape(-1, 3) @ M).reshape(x.shape).square().sum(-1),
    aten.bmm: lambda x: (
        (_matrix(x).reshape(-1, 3, 3) @ _matrix(x).reshape(-1, 3, 3)).reshape(*x.shape, 3).sum((-1, -2))
    ),
    aten.mv: _rows(lambda x: (M @ x).square().sum()),
    aten.dot: _rows(lambda x: torch.dot(x, x.sin())),
    aten.vdot: _rows(lambda x: torch.vdot(x, x.sin())),
    aten.addmm: lambda x: F.linear(x, W, VECTOR[:2]).square().sum(-1),
    aten.baddbmm: lambda x: (
        torch.baddbmm(CUBE, CUBE, CUBE * x.reshape(-1, 3)[0], beta=0.5, alpha=2).sum()
        if x.dim() == 1
        else _rows(CASES[aten.baddbmm])(x)
    ),
    aten.addbmm: _rows(lambda x: torch.addbmm(M, CUBE, CUBE * x, beta=0.5).square().sum()),
    aten.addmv: _rows(lambda x: torch.addmv(VECTOR, M, x, alpha=2).square().sum()),
    aten.addr: _rows(lambda x: torch.addr(M, x, x.sin()).square().sum()),
    aten._trilinear: lambda x: F.bilinear(x, x.sin(), CUBE).square().sum(-1),
    aten.linalg_cross: lambda x: (torch.linalg.cross(x, x.flip(-1).sin()) * VECTOR).sum(-1),
    aten.convolution: [
        lambda x: (
            F.conv1d(x.reshape(-1, 1, 3), W[:, None, :2], VECTOR[:2], padding=1)
            .square()
            .sum((1, 2))
            .reshape(x.shape[:-1])
        ),
        _rows(lambda x: (F.conv1d((M * x)[None], CUBE, stride=2, padding=2, dilation=2) * W[:, :1]).sum()),
        _rows(lambda x: F.conv1d((M * x)[None, :, :2], CUBE[:, :1, :2].repeat(3, 1, 1)[:3], groups=3).sin().sum()),
        _rows(lambda x: F.conv1d(torch.cat([x, x.sin()])[None, None], x[None, None], padding="same").square().sum()),
        _rows(lambda x: (F.conv2d((M * x)[None, None], CUBE[:, None, :2], padding=(1, 0), stride=(2, 1))).sin().sum()),
    ],
    aten.avg_pool2d: [
        _rows(lambda x: F.avg_pool1d(x[None], 2, stride=1, padding=1).square().sum()),
        _rows(lambda x: F.avg_pool1d(x[None, None], 2, 1, 1, count_include_pad=False).square().sum()),
        _rows(lambda x: F.avg_pool2d((M * x)[None], (2, 3), 1, divisor_override=5).square().sum()),
    ],
    aten.max_pool2d_with_indices: [
        _rows(lambda x: (F.max_pool1d(x[None], 2, stride=1, padding=1) * M[:1, :1]).sum()),
        _rows(lambda x: F.max_pool2d((M * x)[None, None], 2, 1, dilation=(1, 2)).square().sum()),
    ],
    aten._linalg_det: lambda x: torch.linalg.det(_matrix(x)),
    aten._linalg_slogdet: lambda x: torch.linalg.slogdet(_matrix(x)).logabsdet + torch.slogdet(_matrix(x))[0],
    aten.linalg_solve_triangular: [
        lambda x: torch.linalg.solve_triangular(_matrix(x), x.unsqueeze(-1), upper=False).square().sum((-1, -2)),
        lambda x: torch.linalg.solve_triangular(_matrix(x), _matrix(x.sin()), upper=True, left=False).sum((-1, -2)),
        lambda x: torch.linalg.solve_triangular(M + 3 * torch.eye(3), x.unsqueeze(-1), upper=False).sum((-1, -2)),
    ],
    aten.linalg_inv_ex: lambda x: (torch.linalg.inv(_matrix(x)) * M).sum((-1, -2)),
    aten._linalg_solve_ex: [
        lambda x: torch.linalg.solve(_matrix(x), x).sum(-1),
        lambda x: torch.linalg.solve(_matrix(x), _matrix(x.sin())).sum((-1, -2)),
        lambda x: torch.linalg.solve(_matrix(x), _matrix(x.sin()), left=False).sum((-1, -2)),
    ],
    aten.native_batch_norm: lambda x: (
        F.batch_norm(x.reshape(-1, 3), VECTOR, VECTOR.abs(), M[0], M[1], training=False).reshape(x.shape).sum(-1)
    ),
    aten.native_layer_norm: lambda x: F.layer_norm(x, (3,), VECTOR, M[0]).square().sum(-1),
    aten._weight_norm_interface: lambda x: NORMALISED(x).square().sum(-1),
    aten.native_group_norm: _rows(lambda x: F.group_norm((x[:, None] * M[:, :2])[None], 3).square().sum()),
    aten.native_layer_norm_backward: _slope(lambda x: F.layer_norm(x, (3,), VECTOR, M[0]).square()),
    aten.threshold_backward: [_slope(torch.relu), _slope(F.threshold, 0.3, -1.0)],
    aten.tanh_backward: _slope(torch.tanh),
    aten.sigmoid_backward: _slope(torch.sigmoid),
    aten.leaky_relu_backward: _slope(F.leaky_relu, 0.2),
    aten._prelu_kernel_backward: _rows(
        lambda x: torch.func.grad(lambda y: F.prelu(y[None], VECTOR).square().sum())(x).sum()
    ),
    aten.elu_backward: [_slope(F.elu, 0.7), _slope(F.celu, 0.7), _slope(F.selu)],
    aten.gelu_backward: [_slope(F.gelu), _slope(F.gelu, approximate="tanh")],
    aten.silu_backward: _pulled(F.silu),
    aten.mish_backward: _pulled(F.mish),
    aten.softplus_backward: _slope(F.softplus, beta=3.0),
    aten.log_sigmoid_backward: _slope(F.logsigmoid),
    aten.hardtanh_backward: _slope(F.hardtanh, -0.5, 0.8),
    aten.hardsigmoid_backward: _slope(lambda x: F.hardsigmoid(4 * x)),
    aten.hardswish_backward: _slope(lambda x: F.hardswish(4 * x)),
    aten.hardshrink_backward: _slope(F.hardshrink),
    aten.softshrink_backward: _slope(F.softshrink),
    aten._softmax_backward_data: _slope(lambda x: torch.softmax(x, -1) * VECTOR),
    aten._log_softmax_backward_data: _slope(lambda x: torch.log_softmax(x, -1) * VECTOR),
}

FURTHER: dict[str, Function] = {
    "logical_not of numbers": lambda x: (~x.relu().bool()).to(x).mul(x).sum(-1),
    "outer": _rows(lambda x: torch.outer(x, x.sin()).square().sum()),
    "kron": _rows(lambda x: torch.kron(x, VECTOR).square().sum()),
    "matrix power": lambda x: torch.linalg.matrix_power(_matrix(x), 3).sum((-1, -2)),
    "pairwise distance": lambda x: F.pairwise_distance(x, VECTOR.expand_as(x)),
    "normalize": lambda x: (F.normalize(x, dim=-1) * VECTOR).sum(-1),
    "rms norm": lambda x: (F.rms_norm(x, (3,)) * VECTOR).sum(-1),
    "softsign": lambda x: F.softsign(x).sum(-1) + F.tanhshrink(x).sum(-1),
    "softmin": lambda x: (F.softmin(x, -1) * VECTOR).sum(-1),
    "repeat interleave": lambda x: (x.repeat_interleave(2, -1) * torch.cat([VECTOR, VECTOR])).sum(-1),
    "repeat interleave by counts": lambda x: x.repeat_interleave(torch.tensor([2, 0, 1]), -1).square().sum(-1),
    "meshgrid": _rows(lambda x: (torch.meshgrid(x, x.sin(), indexing="ij")[0] * M).sum()),
    "take along": lambda x: torch.take_along_dim(x, torch.tensor([2, 0]).expand(*x.shape[:-1], 2), -1).square().sum(-1),
    "tensor indices": lambda x: (x[..., torch.tensor([[0, 1], [2, 2]])] * M[:2, :2]).sum((-1, -2)),
    "atleast": _rows(lambda x: torch.hstack([x, x]).sum() + torch.vstack([x, x.sin()]).square().sum()),
    "tensordot": lambda x: torch.tensordot(x, M, dims=1).square().sum(-1),
    "linspace": lambda x: (x * torch.linspace(0, 1, 3, dtype=x.dtype)).sum(-1),
    "numbers of a constant comparison": lambda x: (x * (VECTOR > 0)).sum(-1),
    "quantile": lambda x: x.quantile(0.3, -1) + torch.quantile(x, 0.5, -1, interpolation="lower"),
    "an angle from its sine and cosine": lambda x: torch.atan2(x.sin(), x.cos()).square().sum(-1),
    "a quantised signal": lambda x: (torch.round(x / 0.1) * 0.1).square().sum(-1),
    "rounded constants": lambda x: x @ torch.round(4 * VECTOR) + x @ torch.floor(VECTOR) + x @ (7 * VECTOR % 2),
    "a double where": lambda x: torch.where(x > 0, torch.where(x > 0, x, 1.0).log(), 0.0).sum(-1),
    "a branch undefined where it is not taken": lambda x: torch.where(x > 0, x.log(), 0.0).sum(-1),
    "written into a fresh result": lambda x: (2 * x).add_(1.0).mul_(x).clamp_(-1, 1).sum(-1),
    "filled": lambda x: (x.new_empty(x.shape).fill_(2.0) * x + torch.empty_like(x).copy_(x.sin())).sum(-1),
    "dropout in eval mode": lambda x: F.dropout(x, 0.5, training=False).sum(-1),
    "a norm by hand": lambda x: x.square().sum(-1).sqrt(),
    "a gated recurrent unit": lambda x: GATED(x.reshape(-1, 3)).square().sum(-1).reshape(x.shape[:-1]),
    "argmax of a constant": lambda x: x[..., VECTOR.argmax()],
}

MOVED: dict[Any, Function | list[Function]] = {
    aten.diagonal: lambda x: _matrix(x).diagonal(dim1=-2, dim2=-1).square().sum(-1),
    aten.rot90: _rows(lambda x: (torch.rot90(_matrix(x)) * M).sum()),
    aten.roll: lambda x: (x.roll(1, -1) * VECTOR).sum(-1),
    aten.unsafe_split: lambda x: torch.unsafe_split(x, 2, -1)[0].square().sum(-1),
    aten.unfold: lambda x: (x.unfold(-1, 2, 1) * M[:2, :2]).sum((-1, -2)),
    aten.take: _rows(lambda x: torch.take(x, torch.tensor([2, 0])).square().sum()),
    aten.gather: lambda x: x.gather(-1, torch.tensor([2, 0, 0]).expand(x.shape)).square().sum(-1),
    aten.select_scatter: lambda x: (torch.select_scatter(x, x[..., 1].sin(), -1, 0) * VECTOR).sum(-1),
    aten.slice_scatter: lambda x: (torch.slice_scatter(x, x[..., 1:].sin(), -1, 0, 2) * VECTOR).sum(-1),
    aten.diagonal_scatter: _rows(lambda x: (torch.diagonal_scatter(M, x) * M).sum()),
    aten.tril: lambda x: (_matrix(x).tril() * M).sum((-1, -2)),
    aten.triu: lambda x: (_matrix(x).triu(1) * M).sum((-1, -2)),
    aten.diag_embed: lambda x: (torch.diag_embed(x) @ M).square().sum((-1, -2)),
    aten.reflection_pad1d: _rows(lambda x: F.pad(x[None], (2, 1), mode="reflect").square().sum()),
    aten.reflection_pad2d: _rows(lambda x: (F.pad((M * x)[None], (1, 1, 1, 1), mode="reflect")[0, 1:4, :3] * M).sum()),
    aten.replication_pad1d: _rows(lambda x: F.pad(x[None], (2, 1), mode="replicate").square().sum()),
    aten.replication_pad2d: _rows(lambda x: F.pad((M * x)[None], (1, 1, 1, 1), mode="replicate").square().sum()),
    aten.block_diag: _rows(lambda x: torch.block_diag(x[None], M, x[None]).square().sum()),
    aten.index_copy: _rows(lambda x: (x.index_copy(0, torch.tensor([2, 0]), x[:2].sin()) * VECTOR).sum()),
    aten.index_fill: _rows(lambda x: (x.index_fill(0, torch.tensor([1]), 0.7) * VECTOR).sum()),
    aten.constant_pad_nd: lambda x: F.pad(x, (1, 2), value=3.0).square().sum(-1) + F.pad(x, (1, -1)).sum(-1),
    aten.cumsum: lambda x: (x.cumsum(-1) * VECTOR).sum(-1),
    aten.trace: _rows(lambda x: torch.trace(_matrix(x))),
    aten.scatter: [
        lambda x: (x.scatter(-1, torch.tensor([2, 0]).expand(*x.shape[:-1], 2), 1.5) * x).sum(-1),
        lambda x: (x.scatter(-1, torch.tensor([2, 0, 1]).expand(x.shape), x.sin()) * VECTOR).sum(-1),
    ],
    aten.scatter_add: lambda x: x.scatter_add(-1, torch.tensor([2, 2, 0]).expand(x.shape), x.sin()).square().sum(-1),
    aten.index_add: _rows(lambda x: x.index_add(0, torch.tensor([2, 2]), x[:2].sin(), alpha=2).square().sum()),
    aten.index_put: _rows(lambda x: x.index_put((torch.tensor([0, 0]),), x[1:], accumulate=True).square().sum()),
    aten.unfold_backward: _slope(lambda x: x.unfold(-1, 2, 1).square() * M[:2, :2]),
    aten.select_backward: _slope(lambda x: x[..., 0] * x[..., 1]),
    aten.slice_backward: _slope(lambda x: x[..., 1:].prod(-1)),
    aten.diagonal_backward: _rows(lambda x: torch.func.grad(lambda y: _matrix(y).diagonal().prod())(x).sum()),
}


# Operations that torch itself does not differentiate, or not in this way.
NOT_DIFFERENTIATED = {
    aten.heaviside,
    aten.floor_divide,
    aten.hardsigmoid_backward,
    aten.silu_backward,
    aten.mish_backward,
}

NETWORKS = {
    name: torch.nn.Sequential(torch.nn.Linear(3, 4), layer, torch.nn.Linear(4, 1)).double()
    for name, layer in {
        "tanh": torch.nn.Tanh(),
        "relu": torch.nn.ReLU(),
        "leaky": torch.nn.LeakyReLU(0.1),
        "elu": torch.nn.ELU(),
        "gelu": torch.nn.GELU(),
        "softplus": torch.nn.Softplus(),
        "silu": torch.nn.SiLU(),
        "hardtanh": torch.nn.Hardtanh(),
    }.items()
}
VALUES: dict[str, Function] = {
    **{name: lambda x, network=network: network(x)[..., 0] for name, network in NETWORKS.items()},
    "norm": lambda x: x.norm(dim=-1),
    "where": lambda x: torch.where(x > 0, x.square(), -x).sum(-1),
    "maximum": lambda x: torch.maximum(x[..., 0], x[..., 1] * x[..., 2]),
    "solve": lambda x: (torch.linalg.solve(_matrix(x), x) * x).sum(-1),
}
MARGINS: dict[str, Callable[[Function], Function]] = {
    "grad": lambda V: lambda x: -(torch.func.grad(lambda y: V(y).sum())(x) * x.sin()).sum(-1),
    "jvp": lambda V: lambda x: -torch.func.jvp(V, (x,), (x.sin(),))[1],
    "jacrev": lambda V: _rows(lambda x: torch.func.jacrev(V)(x) @ x.sin()),
    "jacfwd": lambda V: _rows(lambda x: torch.func.jacfwd(V)(x) @ x.sin()),
    "vmap": lambda V: lambda x: -(torch.vmap(torch.func.grad(V))(x.reshape(-1, 3)).reshape(x.shape) * x.sin()).sum(-1),
}
REFUSED = {("jvp", "solve"), ("jacfwd", "solve"), ("jacrev", "solve")}  # torch solves by a factorisation there


class _Calls(TorchDispatchMode):
    """The operations that a function calls."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.packets.add(func.overloadpacket)
        return func(*args, **(kwargs or {}))


def _listed(table: dict[Any, Any]) -> list[Any]:
    pairs = [
        (key, f)
        for key, functions in table.items()
        for f in (functions if isinstance(functions, list) else [functions])
    ]
    return [pytest.param(key, f, id=f"{key}-{i}") for i, (key, f) in enumerate(pairs)]


def _calls(function: Function) -> set[Any]:
    with torch.no_grad(), _Calls() as calls:
        function(STATES[0])
    return calls.packets


def _assert_equal(function: Function, differentiate: bool = True) -> None:
    graph, output = trace(function, 3, STATES, ())
    slope = gradient(graph, output)
    found, slopes = evaluate(graph, [output, slope], STATES)
    assert torch.allclose(found[:, 0], function(STATES).double(), rtol=1e-10, atol=1e-10)
    for state, value in zip(STATES[: 8 * differentiate], slopes[: 8 * differentiate], strict=True):
        expected = torch.func.grad(lambda x: function(x))(state)
        assert torch.allclose(value, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("packet", "function"), _listed(CASES) + _listed(MOVED))
def test_the_graph_of_every_operation_is_the_function_and_its_gradient(packet: Any, function: Function) -> None:
    assert packet in _calls(function)
    _assert_equal(function, differentiate=packet not in NOT_DIFFERENTIATED)


@pytest.mark.parametrize("name", FURTHER)
def test_functions_that_torch_makes_of_several_operations(name: str) -> None:
    _assert_equal(FURTHER[name], differentiate=False)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("name", VALUES)
def test_margins_with_the_transforms_of_torch_func(margin: str, name: str) -> None:
    if (margin, name) in REFUSED:
        with pytest.raises(UnsupportedOperation):
            trace(MARGINS[margin](VALUES[name]), 3, STATES, ())
    else:
        _assert_equal(MARGINS[margin](VALUES[name]), differentiate=False)


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    assert set(CASES) == set(HANDLERS)
    assert set(MOVED) <= (MOVEMENTS | LINEAR | CONVERSIONS) - RESHAPES


@pytest.mark.parametrize("n", range(1, LARGEST + 1))
def test_the_network_of_comparisons_sorts(n: int) -> None:
    """What sorts all sequences of zeros and ones sorts everything (Knuth, theorem 5.3.4Z)."""
    rows = [(torch.arange(2**n) >> i) & 1 for i in range(n)]
    for i, j in comparators(n):
        rows[i], rows[j] = torch.minimum(rows[i], rows[j]), torch.maximum(rows[i], rows[j])
    assert all((a <= b).all() for a, b in itertools.pairwise(rows))
