"""The groups of one array: sums and maxima over each, and what is one number for each."""

import abc
import math
from collections.abc import Sequence
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._numerics import at_least_one, square_root


class Split(abc.ABC):
    """The groups of one array, as `Partition.split` makes them.

    Formulas are written on arranged arrays. What is one number for each group is kept with the rank of
    these, and broadcasts to them.
    """

    shape: tuple[Any, ...]  # of the leaf
    grid: tuple[Any, ...]  # the shape of an array with one number for each group

    @abc.abstractmethod
    def arranged(self, x: Array) -> Array:
        """An array of the leaf's shape, with the groups along axes where they are regular."""

    @abc.abstractmethod
    def restored(self, x: Array) -> Array:
        """An arranged or kept array in the leaf's own axes; it broadcasts to the leaf."""

    @abc.abstractmethod
    def sum(self, x: Array) -> Array:
        """Σ over each group of an arranged array, kept."""

    @abc.abstractmethod
    def max(self, x: Array) -> Array:
        """The largest of each group of numbers ≥ 0, kept."""

    @abc.abstractmethod
    def once(self, kept: Array) -> Array:
        """Kept numbers, that of each group once."""

    @abc.abstractmethod
    def spread(self, once: Array) -> Array:
        """What `once` made, as it broadcasts to the leaf."""

    @abc.abstractmethod
    def kept(self, numbers: Array) -> Array:
        """An array of the shape `grid`, kept."""

    @abc.abstractmethod
    def varies(self, number: Array) -> bool:
        """Whether a number that broadcasts to the leaf may differ within a group, by its shape."""

    @abc.abstractmethod
    def broadcast(self, number: Array) -> Array:
        """A number that broadcasts to the leaf, in axes in which it broadcasts to arranged arrays."""

    @abc.abstractmethod
    def members(self, dtype: Any) -> Any:
        """The number of weights of a group, at least 1: an int, or kept in this dtype."""

    @abc.abstractmethod
    def root_of_members(self, dtype: Any) -> Any:
        """√members: a float, or kept in this dtype."""


@final
class AlongAxes(Split):
    """Groups along some axes, and within all others, of which some may be pieces of the leaf's own.

    Args:
        pieces: for each axis of the leaf the lengths it is cut into, and whether each is within a group.
    """

    def __init__(self, pieces: Sequence[Sequence[tuple[Any, bool]]]):
        self._pieces = pieces
        axes = [piece for of_axis in pieces for piece in of_axis]
        self._shape = tuple(length for length, _ in axes)
        self.shape = tuple(math.prod(length for length, _ in of_axis) for of_axis in pieces)
        self._within = tuple(i for i, (_, within) in enumerate(axes) if within)
        self.grid = tuple(length for length, within in axes if not within)

    def arranged(self, x: Array) -> Array:
        return x.reshape(self._shape) if self._is_cut else x

    def restored(self, x: Array) -> Array:
        return jnp.broadcast_to(x, self._shape).reshape(self.shape) if self._is_cut else x

    def sum(self, x: Array) -> Array:
        return jnp.sum(x, self._within, keepdims=True)

    def max(self, x: Array) -> Array:
        return jnp.max(x, self._within, keepdims=True, initial=0.0)

    def once(self, kept: Array) -> Array:
        return kept

    def spread(self, once: Array) -> Array:
        return self.restored(once)

    def kept(self, numbers: Array) -> Array:
        return jnp.expand_dims(numbers, self._within)

    def varies(self, number: Array) -> bool:
        return any(
            length != 1 and any(within for _, within in of_axis)
            for length, of_axis in zip(number.shape, self._pieces, strict=bool(number.ndim))
        )

    def broadcast(self, number: Array) -> Array:
        if not number.ndim or not self._is_cut:
            return number
        pairs = zip(number.shape, self._pieces, strict=True)
        shape = [1 if n == 1 else length for n, of_axis in pairs for length, _ in of_axis]
        return number.reshape(shape)

    def members(self, dtype: Any) -> Any:
        return at_least_one(math.prod(self._shape[axis] for axis in self._within))

    def root_of_members(self, dtype: Any) -> Any:
        return square_root(self.members(dtype))

    @property
    def _is_cut(self) -> bool:
        return len(self._shape) != len(self._pieces)


@final
class Labelled(Split):
    """Groups of weights with the same label.

    Args:
        shape: the leaf's.
        labels: ints, of its rank, that broadcast to it.
    """

    def __init__(self, shape: tuple[int, ...], labels: np.ndarray):
        found, first, numbered, count = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        self._of_weights = numbered.reshape(labels.shape).astype(np.int32)
        self._first = first
        self.shape = shape
        # Along axes of length 1 in labels all weights have the same one.
        self._shared = tuple(i for i, (n, m) in enumerate(zip(labels.shape, shape, strict=True)) if n != m)
        self._count = np.maximum(count * math.prod(shape[axis] for axis in self._shared), 1)
        self.grid = (len(found),)

    def arranged(self, x: Array) -> Array:
        return x

    def restored(self, x: Array) -> Array:
        return x

    def sum(self, x: Array) -> Array:
        shared = jnp.sum(x, self._shared, keepdims=True)
        return self.kept(jax.ops.segment_sum(shared.ravel(), self._of_weights.ravel(), *self.grid))

    def max(self, x: Array) -> Array:
        shared = jnp.max(x, self._shared, keepdims=True, initial=0.0)
        return self.kept(jax.ops.segment_max(shared.ravel(), self._of_weights.ravel(), *self.grid))

    def once(self, kept: Array) -> Array:
        return kept.ravel()[self._first]

    def spread(self, once: Array) -> Array:
        return self.kept(once)

    def kept(self, numbers: Array) -> Array:
        return numbers[self._of_weights]

    def varies(self, number: Array) -> bool:
        return number.size != 1

    def broadcast(self, number: Array) -> Array:
        return number

    def members(self, dtype: Any) -> Any:
        return self.kept(jnp.asarray(self._count, dtype))

    def root_of_members(self, dtype: Any) -> Any:
        return self.kept(jnp.asarray(np.sqrt(self._count), dtype))
