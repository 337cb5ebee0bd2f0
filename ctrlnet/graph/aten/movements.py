"""Operations without arithmetic: those that move entries, those that create constants, those that only ask."""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten

# Operations that only move, copy or repeat entries: run on a tensor of entry numbers, they say where each one goes.
MOVEMENTS = {
    aten.view,
    aten._unsafe_view,
    aten.reshape,
    aten.t,
    aten.transpose,
    aten.permute,
    aten.select,
    aten.slice,
    aten.unsqueeze,
    aten.squeeze,
    aten.expand,
    aten.clone,
    aten.alias,
    aten.detach,
    aten.index_select,
    aten.unbind,
    aten.split,
    aten.unsafe_split,
    aten.chunk,
    aten.split_with_sizes,
    aten.cat,
    aten.stack,
    aten.flip,
    aten.roll,
    aten.rot90,
    aten.repeat,
    aten.diagonal,
    aten.contiguous,
    aten.index,
    aten._unsafe_index,
    aten.take,
    aten.gather,
    aten.unfold,
    aten.view_as,
    aten.expand_as,
    aten.movedim,
    aten.flatten,
    aten.unflatten,
    aten.lift_fresh,
    aten.lift_fresh_copy,
    aten.select_scatter,
    aten.slice_scatter,
    aten.diagonal_scatter,
    aten.squeeze_,
    aten.unsqueeze_,
    aten.t_,
    aten.transpose_,
    aten.tril,
    aten.triu,
    aten.diag_embed,
    aten.constant_pad_nd,
    aten.reflection_pad1d,
    aten.reflection_pad2d,
    aten.replication_pad1d,
    aten.replication_pad2d,
    aten.block_diag,
    aten.select_backward,
    aten.slice_backward,
    aten.diagonal_backward,
}
RESHAPES = {aten.squeeze_, aten.unsqueeze_, aten.t_, aten.transpose_}  # in place, but no entry changes

# Movements that also write zeros; a padding may write another number, its last argument.
ZEROING = {
    aten.tril,
    aten.triu,
    aten.diag_embed,
    aten.block_diag,
    aten.select_backward,
    aten.slice_backward,
    aten.diagonal_backward,
    aten.constant_pad_nd,
}

# Operations that are linear in their tensors of numbers, with weights that torch's own result on unit vectors shows.
LINEAR = {
    aten.cumsum,
    aten.trace,
    aten.scatter,
    aten.scatter_add,
    aten.index_add,
    aten.index_copy,
    aten.index_fill,
    aten.index_put,
    aten._unsafe_index_put,
    aten.unfold_backward,
}

# Where the arguments stand that say where to look; they must be constants.
INDEXED: dict[Any, int] = {
    aten.index: 1,
    aten._unsafe_index: 1,
    aten.take: 1,
    aten.index_select: 2,
    aten.gather: 2,
    aten.scatter: 2,
    aten.scatter_add: 2,
    aten.index_add: 2,
    aten.index_copy: 2,
    aten.index_fill: 2,
    aten.index_put: 1,
    aten._unsafe_index_put: 1,
}

# Operations that create constants; their results are lifted with the values that torch computed.
FACTORIES = {
    aten.zeros,
    aten.ones,
    aten.full,
    aten.eye,
    aten.arange,
    aten.linspace,
    aten.scalar_tensor,
    aten._efficientzerotensor,
    aten.zeros_like,
    aten.ones_like,
    aten.full_like,
    aten.new_zeros,
    aten.new_ones,
    aten.new_full,
}
UNINITIALISED = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided}

# Operations that only ask, of shapes or of the success of an algorithm.
QUESTIONS = {aten.is_same_size, aten._has_same_storage_numel, aten._linalg_check_errors}

RAISING = {aten.linalg_inv_ex, aten._linalg_solve_ex}  # torch raises an error where the matrix is singular

CONVERSIONS = {aten._to_copy, aten.to, aten.type_as}  # of the floating-point format, or from truth values to numbers
NOT_LINEAR = {aten.scatter.reduce, aten.scatter.value_reduce}

UNREAD = {aten.log_sigmoid_backward: 2}  # the position of an argument that no rule reads

FILLING = {aten.zero, aten.fill, aten.copy}  # in place, they replace all values of a tensor, whatever they were
