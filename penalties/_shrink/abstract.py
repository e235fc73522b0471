"""Arrays of which some elements are known whatever the input is."""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Abstract:
    """Values, and which of them are unknown.

    Both arrays have the rank of what they stand for; an axis along which they are constant has
    length 1 in them. So a batch, or the positions of an image, cost nothing. Unknown values are 0.
    """

    value: np.ndarray
    unknown: np.ndarray  # bool

    @property
    def is_known(self) -> bool:
        return not self.unknown.any()

    @property
    def is_unknown(self) -> bool:
        return bool(self.unknown.all())

    def may_count(self) -> np.ndarray:
        """Where the elements are not known to be 0; NaN and infinite ones are not."""
        return self.unknown | (self.value != 0)

    def map(self, function) -> "Abstract":
        """The same rearrangement of values and marks."""
        return Abstract(function(self.value), function(self.unknown))

    def along(self, axes: Iterable[int], shape: Sequence[int]) -> "Abstract":
        """With these axes in full length."""
        axes = tuple(axes)

        def expand(x: np.ndarray) -> np.ndarray:
            full = tuple(shape[k] if k in axes else n for k, n in enumerate(x.shape))
            return np.broadcast_to(x, full)

        return self.map(expand)

    def compressed(self) -> "Abstract":
        """With length 1 for the axes along which nothing changes."""
        value, unknown = np.broadcast_arrays(self.value, self.unknown)
        value = np.where(unknown, np.zeros((), value.dtype), value)
        for k, n in enumerate(value.shape):
            if n > 1:
                first, mark = value.take([0], k), unknown.take([0], k)
                if np.array_equal(np.broadcast_to(mark, unknown.shape), unknown) and (value == first).all():
                    value, unknown = first, mark
        return Abstract(value, unknown)


def any_over(mark: np.ndarray, axes: int | tuple[int, ...], keepdims: bool = False) -> np.ndarray:
    """`mark.any`, and an array whatever is left."""
    return np.asarray(mark.any(axes, keepdims=keepdims))


def known(array) -> Abstract:
    """An array all of whose elements are known."""
    value = np.asarray(array)
    return Abstract(value, np.zeros((1,) * value.ndim, bool))


def unknown(shape: Sequence[int], dtype) -> Abstract:
    """An array of which nothing is known."""
    ones = (1,) * len(shape)
    return Abstract(np.zeros(ones, numpy_dtype(dtype)), np.ones(ones, bool))


def numpy_dtype(dtype) -> np.dtype:
    """The dtype, or that of a stand-in for keys and tokens."""
    if dtype is None or jnp.issubdtype(dtype, jax.dtypes.extended):
        return np.dtype(np.float32)
    return np.dtype(dtype)


def masked(value: np.ndarray, mark: np.ndarray) -> Abstract:
    """With 0 for the unknown values."""
    if mark.all():
        mark = np.ones((1,) * mark.ndim, bool)
        return Abstract(np.zeros(mark.shape, value.dtype), mark)
    if mark.any():
        value = np.where(mark, np.zeros((), value.dtype), value)
    return Abstract(value, mark)
