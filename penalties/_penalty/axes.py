"""Axes of a leaf that a penalty names, and numbers that are one for each line along them."""

import math
import operator
from typing import Any

import jax.numpy as jnp
from jax import Array

from penalties._penalty.integers import checked_int


def checked_axis(penalty: Any) -> int:
    """The penalty's `axis` as an int.

    Raises:
        TypeError: it is none.
    """
    return checked_int(penalty.axis, f"{type(penalty).__name__}.axis")


def checked_axes(penalty: Any) -> int | tuple[int, ...]:
    """The penalty's `axis` as an int or a tuple of ints.

    Raises:
        TypeError: it is neither.
    """
    return as_axes(penalty.axis, f"{type(penalty).__name__}.axis")


def as_axes(axis: Any, name: str) -> int | tuple[int, ...]:
    """`axis` as an int or a tuple of ints.

    Raises:
        TypeError: it is neither.
    """
    several = isinstance(axis, (tuple, list))
    try:
        axes = tuple(axis) if several else (axis,)
        if any(isinstance(axis, bool) for axis in axes):
            raise TypeError
        axes = tuple(map(operator.index, axes))
    except TypeError:
        raise TypeError(f"{name} is {axis!r}: expected an int or a tuple of ints") from None
    return axes if several else axes[0]


def axes_within(penalty: Any, w: Array) -> tuple[int, ...]:
    """The axes of w that the penalty's `axis` does not name, counted from 0.

    Raises:
        ValueError: w has not all axes that it names.
    """
    axes = (penalty.axis,) if isinstance(penalty.axis, int) else penalty.axis
    if any(not -w.ndim <= axis < w.ndim for axis in axes):
        raise ValueError(_no_such_axis(penalty, w))
    across = {axis % w.ndim for axis in axes}
    return tuple(axis for axis in range(w.ndim) if axis not in across)


def axis_of(penalty: Any, w: Array) -> int:
    """Which axis of w the penalty's `axis` is, counted from 0.

    Raises:
        ValueError: w has no such axis.
    """
    if not -w.ndim <= penalty.axis < w.ndim:
        raise ValueError(_no_such_axis(penalty, w))
    return penalty.axis % w.ndim


def require_one_per_line(number: Array, name: str, penalty: Any, w: Array) -> Array:
    """The number, if it is the same along the penalty's axis of w.

    Raises:
        ValueError: it varies along it.
    """
    if number.ndim and number.shape[axis_of(penalty, w)] != 1:
        raise ValueError(
            f"the {name} of shape {number.shape} varies along the axis of "
            f"{type(penalty).__name__}(axis={penalty.axis}) on a leaf of shape {w.shape}: give one number "
            "for each line, with length 1 along this axis"
        )
    return number


def require_one_number(number: Array, name: str, penalty: Any, w: Array) -> Array:
    """The number as a scalar, if it is one.

    Raises:
        ValueError: it has several entries.
    """
    if number.ndim and number.size != 1:
        raise ValueError(
            f"the {name} of shape {number.shape} varies within the leaf of shape {w.shape}, on which "
            f"{type(penalty).__name__} needs one number: give a scalar, or a tree with one for each leaf"
        )
    return number.reshape(())


def _no_such_axis(penalty: Any, w: Array) -> str:
    allowed = f"axes between {-w.ndim} and {w.ndim - 1}" if w.ndim else "a leaf with axes"
    return (
        f"{type(penalty).__name__}(axis={penalty.axis}) on a leaf of shape {w.shape}: expected {allowed}; "
        "select leaves that have this axis with `.on(...)`"
    )


def as_matrix(penalty: Any, w: Array) -> Array:
    """w as a matrix: what the penalty's `axis` names counts the columns, all other axes the rows.

    Raises:
        ValueError: w has not all axes that it names, or no others.
    """
    rows = axes_within(penalty, w)
    columns = tuple(axis for axis in range(w.ndim) if axis not in rows)
    if not rows or not columns:
        raise ValueError(
            f"{type(penalty).__name__}(axis={penalty.axis}) on a leaf of shape {w.shape}, of which it makes "
            "no matrix: expected axes for the columns, and others for the rows; select leaves with two axes "
            "or more, as `.on(penalties.kernels)` does"
        )
    height = math.prod(w.shape[axis] for axis in rows)
    width = math.prod(w.shape[axis] for axis in columns)
    return jnp.transpose(w, (*rows, *columns)).reshape(height, width)


def from_matrix(penalty: Any, matrix: Array, w: Array) -> Array:
    """The matrix in the shape of w, of which `as_matrix` made it."""
    rows = axes_within(penalty, w)
    order = (*rows, *(axis for axis in range(w.ndim) if axis not in rows))
    back = tuple(order.index(axis) for axis in range(w.ndim))
    return jnp.transpose(matrix.reshape([w.shape[axis] for axis in order]), back)
