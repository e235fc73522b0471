"""How many weights are exactly zero: `sparsity`."""

import functools
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import sum_scalars
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, is_inexact, leaves_with_paths
from penalties._tree.selection import Selector, Where, nothing_selected, selector
from penalties._tree.types import Params

# What an int32 can count.
_MOST = 2**31 - 1


class LeafSparsity(NamedTuple):
    """The exact zeros of one leaf, as scalars of JAX."""

    zeros: Array
    share: Array


@final
@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["zeros", "share", "leaves"], meta_fields=["size"]
)
@dataclass(frozen=True)
class Sparsity:
    """What `sparsity` and `group_sparsity` return: a pytree of scalars, to leave a jitted step and be logged.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import sparsity
    >>> found = sparsity({"a": jnp.zeros(3), "b": jnp.ones(1)})
    >>> {path: float(leaf.share) for path, leaf in found.leaves.items()}
    {'a': 1.0, 'b': 0.0}
    """

    zeros: Array  # int32; float32 from 2³¹ weights on
    share: Array  # float32, zeros / size
    leaves: dict[str, LeafSparsity]
    size: int  # the number of weights, or of groups; no part of the pytree's leaves


def sparsity(params: Params, where: Where | None = None) -> Sparsity:
    """#{w = 0} and #{w = 0} / #w, of each leaf and of all: exact zeros, whatever made them.

    Args:
        params: any pytree of weights, or a Flax NNX module. Counted are floating and complex leaves
            that are trained: of NNX only `nnx.Param`, of Linen variables only "params".
        where: the leaves to count, as in `Penalty.on`; by default all.

    Returns:
        A pytree with `zeros` (an int32 scalar; float32, good to about six digits, where there are
        2³¹ weights or more), `share` (a float32 scalar, 0 if there is no weight), `size` (an int)
        and `leaves`, a dict from leaf path to (zeros, share). It may be called inside jit.

    Raises:
        ValueError: `where` matches no leaf.
        TypeError: `where` is nothing that `Penalty.on` takes.

    −0 is a zero; NaN and subnormal numbers are not. Zero groups, such as dead units: `group_sparsity`.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import kernels, sparsity
    >>> params = {"kernel": jnp.array([0.0, 0.0, 0.0, 1.5]), "bias": jnp.zeros(2)}
    >>> found = jax.jit(lambda p: sparsity(p, kernels))(params)
    >>> int(found.zeros), found.size, float(found.share)
    (3, 4, 0.75)
    """
    return _sparsity(Opened(params).tree, None if where is None else selector(where))


@functools.partial(jax.jit, static_argnums=1)
def _sparsity(tree: Any, where: Selector | None) -> Sparsity:
    leaves = [leaf for leaf in leaves_with_paths(tree) if is_weight(leaf)]
    if where is not None:
        kept = where.choose(leaves)
        if not any(kept):
            raise nothing_selected(repr(where), leaves)
        leaves = [leaf for leaf, keep in zip(leaves, kept, strict=True) if keep]
    counts = [count_zeros(leaf.value) for leaf in leaves]
    sizes = [math.prod(leaf.value.shape) for leaf in leaves]
    return gathered([leaf.path for leaf in leaves], counts, sizes)


def gathered(paths: Sequence[str], counts: Sequence[Array], sizes: Sequence[int]) -> Sparsity:
    """The zeros of all leaves from those of each, and how many there could be."""
    size = sum(sizes)
    dtype = jnp.int32 if size <= _MOST else jnp.float32
    zeros = sum_scalars([count.astype(dtype) for count in counts]).astype(dtype)
    return Sparsity(
        zeros=zeros,
        share=_share_of(zeros, size),
        leaves=OrderedDict(  # not a dict, whose keys jit sorts: "10" before "2"
            (path, LeafSparsity(count, _share_of(count, n)))
            for path, count, n in zip(paths, counts, sizes, strict=True)
        ),
        size=size,
    )


def _share_of(zeros: Array, size: int) -> Array:
    return zeros.astype(jnp.float32) / float(max(size, 1))


# One trace for each shape, and not one for each leaf.
@jax.jit
def count_zeros(x: Array) -> Array:
    """The number of exact zeros of one array, as `count_true` counts."""
    return count_true(are_zero(jnp.asarray(x)))


def count_true(mask: Array, most: int = _MOST) -> Array:
    """The number of True, as int32; as float32 where there may be more than `most`."""
    axes: list[int] = []
    for axis in reversed(range(mask.ndim)):
        if math.prod(mask.shape[a] for a in (*axes, axis)) <= most:
            axes.append(axis)
    # Whole numbers as far as they reach: float32 alone stops counting at 2²⁴.
    whole = jnp.sum(mask, tuple(axes), dtype=jnp.int32)
    return whole if whole.ndim == 0 else jnp.sum(whole.astype(jnp.float32))


def are_zero(x: Array) -> Array:
    """Which weights are exactly zero, bools."""
    if jnp.iscomplexobj(x):
        return are_zero(jnp.real(x)) & are_zero(jnp.imag(x))
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x == jnp.zeros((), x.dtype)
    # By the bits alone: where subnormal numbers are flushed, 1e-40 == 0 is true.
    plus, minus = _bits(jnp.zeros((), x.dtype)), _bits(jnp.asarray(-0.0, x.dtype))
    return (_bits(x) == plus) | (_bits(x) == minus)


def _bits(x: Array) -> Array:
    return jax.lax.bitcast_convert_type(x, f"uint{jnp.finfo(x.dtype).bits}")


def is_weight(leaf: Leaf) -> bool:
    """Whether a leaf is trained, and floating or complex."""
    return leaf.trainable and bool(is_inexact(leaf))
