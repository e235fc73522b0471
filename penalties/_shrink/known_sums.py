"""What is known of sums, and of what is read by index."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from penalties._shrink.abstract import Abstract, any_over, masked, unknown
from penalties._shrink.known_layout import Shape, Shapes, computed
from penalties._shrink.program import Equation
from penalties._shrink.rules_indexing import whole_axes


def reduce_sum(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    (x,), axes = operands, tuple(equation.params["axes"])
    mark = any_over(x.unknown, axes)
    if mark.all():
        return [unknown(out[0], x.value.dtype)]
    if not x.value.any():
        return [masked(np.zeros((1,) * mark.ndim, x.value.dtype), mark)]
    full = x.along(axes, shapes[0]).value
    wide = np.result_type(full.dtype, np.float32) if full.dtype.kind not in "biuc" else full.dtype
    with np.errstate(all="ignore"):
        value = full.sum(axes, dtype=wide).astype(full.dtype)
    return [masked(np.asarray(value), mark)]


def reduce_other(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    (x,), axes = operands, tuple(equation.params["axes"])
    mark = any_over(x.unknown, axes)
    if mark.all():
        return [unknown(out[0], x.value.dtype)]
    (value,) = computed(equation, [x.along(axes, shapes[0]).value])
    return [masked(value, mark)]


def along(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    (x,), k = operands, equation.params["axis"]
    if x.is_unknown:
        return [unknown(out[0], x.value.dtype)]
    x = x.along([k], shapes[0])
    mark = np.flip(x.unknown, k) if equation.params["reverse"] else x.unknown
    mark = np.maximum.accumulate(mark, axis=k)
    mark = np.flip(mark, k) if equation.params["reverse"] else mark
    (value,) = computed(equation, [x.value])
    return [masked(value, mark).compressed()]


def window(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    """A window over one value gives that value, or so many times it."""
    x, p = operands[0], equation.params
    if len(out) != 1 or "jaxpr" in p or x.is_unknown:
        return [unknown(o, x.value.dtype) for o in out]
    over = [
        k
        for k, n in enumerate(p["window_dimensions"])
        if n != 1 or p["window_strides"][k] != 1 or tuple(p["padding"][k]) != (0, 0)
    ]
    flat = all(x.value.shape[k] == 1 and x.unknown.shape[k] == 1 for k in over)
    if flat and (equation.name != "reduce_window_sum" or not x.value.any()):
        return [x]
    x = x.along(over, shapes[0])
    (value,) = computed(equation, [x.value])
    with jax.ensure_compile_time_eval():
        mark = jax.lax.reduce_window(
            x.unknown.astype(np.float32),
            np.float32(0),
            jax.lax.max,
            p["window_dimensions"],
            p["window_strides"],
            p["padding"],
            p["base_dilation"],
            p["window_dilation"],
        )
    return [masked(value, np.asarray(mark) > 0).compressed()]


def same_along(x: Abstract, axes: Sequence[int]) -> Abstract:
    """What any position along these axes is known to hold: what all of them do."""
    mark, value = x.unknown, x.value
    for k in axes:
        first = value.take([0], k)
        mark = any_over(mark, k, keepdims=True) | any_over(value != first, k, keepdims=True)
        value = first
    return masked(value, mark)


def gather(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    """Any position may be read: known is what is the same in all."""
    x = operands[0]
    passing = whole_axes(equation.params, list(shapes[0]))
    x = same_along(x, [k for k in range(len(shapes[0])) if k not in passing])

    def place(a: np.ndarray) -> np.ndarray:
        shape = [1] * len(out[0])
        for k, j in passing.items():
            shape[j] = a.shape[k]
        return a.reshape(shape)

    return [x.map(place)]


def dynamic_slice(
    equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes
) -> list[Abstract]:
    return [same_along(operands[0], [k for k, n in enumerate(shapes[0]) if n != out[0][k]])]


def dot_general(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    """A product is known if both factors are, or if one is known to be 0."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    a, free_a = _matrix(operands[0], shapes[0], left_batch, left)
    b, free_b = _matrix(operands[1], shapes[1], right_batch, right)
    mark = _any_product(a.unknown, b.may_count()) | _any_product(a.may_count(), b.unknown)
    mark = mark.reshape(*mark.shape[:-2], *free_a, *free_b)
    dtype = np.dtype(equation.params["preferred_element_type"] or operands[0].value.dtype)
    if mark.all():
        return [unknown(out[0], dtype)]
    terms = any_over(a.value != 0, tuple(range(a.value.ndim - 1)))
    if not (terms.any() and b.value.any()):
        return [masked(np.zeros((1,) * mark.ndim, dtype), mark)]
    wide = np.result_type(dtype, np.float32) if dtype.kind not in "biu" else dtype
    with np.errstate(all="ignore"):
        value = np.einsum(
            "...ac,...bc->...ab",
            a.value[..., terms].astype(wide),
            b.value[..., terms].astype(wide),
            optimize=True,
        )
    return [masked(value.astype(dtype).reshape(mark.shape), mark)]


def _matrix(
    x: Abstract, shape: Shape, batch: Sequence[int], summed: Sequence[int]
) -> tuple[Abstract, tuple[int, ...]]:
    """(batch..., all free axes, all axes that are summed), and the lengths of the free axes."""
    free = [k for k in range(len(shape)) if k not in (*batch, *summed)]
    x = x.along(summed, shape)
    value, mark = np.broadcast_arrays(x.value, x.unknown)
    value, mark = (y.transpose(*batch, *free, *summed) for y in (value, mark))
    lengths = value.shape[len(batch) : len(batch) + len(free)]
    new = (*value.shape[: len(batch)], math.prod(lengths), math.prod(shape[k] for k in summed))
    return Abstract(value.reshape(new), mark.reshape(new)), lengths


def _any_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether a[..., i, c] and b[..., j, c] hold for any c; most often one of them is constant."""
    if not (a.any() and b.any()):
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return np.zeros((*batch, a.shape[-2], b.shape[-2]), bool)
    if a.all():
        a = a[..., :1]
        return a & np.swapaxes(any_over(b, -1, keepdims=True), -1, -2)
    if b.all():
        return any_over(a, -1, keepdims=True) & np.swapaxes(b[..., :1], -1, -2)
    used = any_over(a, tuple(range(a.ndim - 1)))
    a, b = (x[..., used].astype(np.float32) for x in (a, b))
    return np.matmul(a, np.swapaxes(b, -1, -2)) > 0


def convolution(equation: Equation, operands: list[Abstract], shapes: Shapes, out: Shapes) -> list[Abstract]:
    """Known values that are not 0 differ at the border; without them, channels tell all."""
    x, kernel, p = *operands, equation.params
    d, groups = p["dimension_numbers"], p["feature_group_count"]
    if p["batch_group_count"] != 1:
        return [unknown(out[0], x.value.dtype)]
    if x.value.any() and kernel.is_known and not x.is_unknown:
        return [_at_every_place(equation, x, kernel, shapes)]
    features, each = shapes[1][d.rhs_spec[0]], shapes[1][d.rhs_spec[1]]

    def channels(mark: np.ndarray) -> np.ndarray:
        mark = any_over(mark, tuple(k for k in range(mark.ndim) if k != d.lhs_spec[1]))
        return np.broadcast_to(mark, groups * each).reshape(groups, 1, each)

    def weights(mark: np.ndarray) -> np.ndarray:
        mark = any_over(mark, d.rhs_spec[2:], keepdims=True).transpose(d.rhs_spec)[
            (...,) + (0,) * (mark.ndim - 2)
        ]
        return np.broadcast_to(mark, (features, each)).reshape(groups, features // groups, each)

    mark = any_over(channels(x.unknown) & weights(kernel.may_count()), -1)
    mark = mark | any_over(channels(x.may_count()) & weights(kernel.unknown), -1)
    shape = [features if k == d.out_spec[1] else 1 for k in range(len(out[0]))]
    return [masked(np.zeros(shape, x.value.dtype), mark.reshape(shape))]


def _at_every_place(equation: Equation, x: Abstract, kernel: Abstract, shapes: Shapes) -> Abstract:
    d = equation.params["dimension_numbers"]
    x = x.along(d.lhs_spec[1:], shapes[0])
    rows = np.broadcast_shapes(x.value.shape, x.unknown.shape)
    value, mark = (np.broadcast_to(y, rows) for y in (x.value, x.unknown))
    weights = kernel.along(range(len(shapes[1])), shapes[1]).value
    (value,) = computed(equation, [value, weights])
    with jax.ensure_compile_time_eval():
        count = {"preferred_element_type": np.dtype(np.float32)}
        (marks,) = equation.bind(mark.astype(np.float32), (weights != 0).astype(np.float32), **count)
    return masked(value, np.asarray(marks) > 0.5).compressed()
