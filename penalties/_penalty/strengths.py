"""Strengths and steps: what is accepted, how they are checked, and how they reach a leaf."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from penalties._numerics import accumulator, widen
from penalties._penalty.text import shortest
from penalties._tree.paths import Leaf, join, leaves_with_paths
from penalties._tree.selection import by_prefix

# Any for type checkers: a constructor takes what is said below, a formula sees the number of one leaf.
Strength = Any
"""A number ≥ 0; an array that broadcasts to the leaf; or a tree of these, one for each leaf."""


class Range(NamedTuple):
    """What a number may be: finite unless `infinite`, more than `above`, and `at_least` so much."""

    above: int | None = None
    at_least: int | None = None
    infinite: bool = False

    def holds(self, x: Any) -> Any:
        """Whether x is within it, entry by entry; False for NaN, and for inf unless it may be infinite."""
        finite: Any = np.isfinite if type(x) is float else jnp.isfinite
        inside = x == x if self.infinite else finite(x)
        if self.above is not None:
            inside = inside & (x > self.above)
        if self.at_least is not None:
            inside = inside & (x >= self.at_least)
        return inside

    def __str__(self) -> str:
        above = "" if self.above is None else f" > {self.above:g}"
        return above + ("" if self.at_least is None else f" ≥ {self.at_least:g}")


NOT_NEGATIVE = Range(at_least=0)


def checked(value: Strength, name: str, allowed: Range = NOT_NEGATIVE) -> Strength:
    """`value` with its scalars as Python floats, or the error that says what is wrong with it.

    Raises:
        TypeError: for bool, None, str and anything else that is not a number.
        ValueError: for concrete numbers that are out of range, NaN, infinite, or too large for the default
            float. Traced ones cannot be seen here: they make the result NaN.
    """
    entries, treedef = jax.tree_util.tree_flatten_with_path(value, is_leaf=lambda x: x is None)
    if not entries:
        raise TypeError(f"{name} is the empty tree {value!r}: expected a number{allowed}")
    names = [f"{name}[{join(path)!r}]" if path else name for path, _ in entries]
    return treedef.unflatten([_checked_leaf(x, n, allowed) for (_, x), n in zip(entries, names, strict=True)])


def _checked_leaf(x: Any, name: str, allowed: Range) -> Any:
    if isinstance(x, Tracer):
        if not jnp.issubdtype(x.dtype, jnp.floating) and not jnp.issubdtype(x.dtype, jnp.integer):
            raise TypeError(f"{name} is a traced {x.dtype}: expected a real number{allowed}")
        return x
    if callable(x):
        raise TypeError(
            f"{name} is the function {getattr(x, '__name__', x)!r}: expected a number{allowed}. Of a "
            "schedule make a function that returns a penalty, such as `lambda step: schedule(step) * "
            "L1(1.0)`, and give it to `penalized`, `add_penalty` or `proximal`"
        )
    if isinstance(x, (bool, np.bool_)) or not isinstance(x, (int, float, np.generic, np.ndarray, jax.Array)):
        raise TypeError(
            f"{name} is {x!r} of type {type(x).__name__}: expected a number{allowed}, an array "
            "that broadcasts to the leaf, or a tree of these"
        )
    if isinstance(x, int) and x.bit_length() > 1023:  # no float, and too many digits to show
        raise ValueError(f"{name} is an integer of {x.bit_length()} bits: expected {_held(allowed)}")
    if isinstance(x, (int, float)):
        return _checked_number(float(x), name, allowed)
    if not (jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer)):
        raise TypeError(f"{name} has dtype {x.dtype}: expected a real number{allowed}")
    if x.ndim == 0:
        # The shortest decimal that is this number in its own dtype: 0.1, not 0.10000000149.
        number = float(x)
        number = number if x.dtype == np.float64 else shortest(np.float32(number)).item()
        return _checked_number(number, name, allowed)
    # Never through NumPy: the array may be spread over processes.
    with jax.ensure_compile_time_eval():
        wrong = not bool(jnp.all(allowed.holds(x)))
    if wrong:
        raise ValueError(
            f"{name} has entries that are negative, NaN or infinite: all must be ≥ 0 and finite"
            if allowed == NOT_NEGATIVE
            else f"{name} has entries that are NaN"
            if allowed.infinite
            else f"{name} has entries out of range: all must be finite"
            + (f" and{allowed}" if str(allowed) else "")
        )
    return x


def _checked_number(x: float, name: str, allowed: Range) -> float:
    if not allowed.holds(x):
        kind = "a number" if allowed.infinite else "a finite number"
        raise ValueError(f"{name} is {x}: expected {kind}{allowed}")
    if math.isfinite(x) and not _is_held(x):
        raise ValueError(f"{name} is {x}: expected {_held(allowed)}")
    return x


def _is_held(x: float) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(x, jax.dtypes.canonicalize_dtype(float))))


def _held(allowed: Range) -> str:
    dtype = jax.dtypes.canonicalize_dtype(float)
    return f"a number{allowed} that a {dtype} holds, at most {jnp.finfo(dtype).max:.4g}"


def checked_factor(factor: Any) -> Any:
    """A factor of a penalty, checked as a strength is."""
    return checked(factor, "the factor of a penalty")


def as_jax_leaf(x: Any) -> Any:
    """A scalar as the one kind jit sees, so that a new strength is never a new compile.

    Every way of writing 0.1 has the same dtype and no weak type. Arrays, tracers and placeholders
    pass unchanged.
    """
    if type(x) is float or type(x) is int or isinstance(x, np.number):
        return jax.dtypes.canonicalize_dtype(float).type(x)
    if isinstance(x, jax.Array) and x.weak_type and not isinstance(x, Tracer):
        return jax.lax.convert_element_type(x, x.dtype)
    return x


def guarded(value: Strength, allowed: Range = NOT_NEGATIVE) -> Strength:
    """Traced strengths with NaN in place of what `checked` would have refused."""

    def guard(x):
        x = jnp.asarray(x)
        x = x.astype(accumulator(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32)
        return jnp.where(allowed.holds(x), x, jnp.nan)

    return jax.tree.map(guard, value)


class PerLeaf:
    """A strength or a step, to be asked for the part of it that belongs to one leaf."""

    def __init__(self, value: Strength, name: str, leaves: Sequence[Leaf]):
        self._name = name
        self._value = value
        self._is_tree = not jax.tree_util.treedef_is_leaf(jax.tree.structure(value))
        if self._is_tree:
            self._lookup = {leaf.path: leaf.value for leaf in leaves_with_paths(value)}
            for path in self._lookup:
                if path and not any(f"{leaf.path}/".startswith(f"{path}/") for leaf in leaves):
                    raise ValueError(
                        f"{name} has an entry for {path!r}, which is no leaf or branch of params: its "
                        f"leaves are {[leaf.path for leaf in leaves][:20]}"
                    )

    def part(self, leaf: Leaf) -> Any:
        """This leaf's part, as it was given."""
        return by_prefix(self._lookup, leaf.path, self._name) if self._is_tree else self._value

    def together(self, leaves: Sequence[Leaf]) -> Array:
        """The one number for leaves that are worked on together, in the widest of their accumulators."""
        value = self.part(leaves[0]) if len(leaves) == 1 else self._value
        if not jax.tree_util.all_leaves([value]) or value.ndim:
            raise ValueError(
                f"{self._name} varies among leaves that are worked on together, "
                f"{[leaf.path for leaf in leaves][:20]}: give one number; what is to have another one is a "
                "penalty of its own, on other leaves or classes of units"
            )
        return value.astype(max((accumulator(leaf.value.dtype) for leaf in leaves), key=_bytes))

    def whole(self, leaf: Leaf) -> Array:
        """This leaf's part, of whatever shape, in the leaf's accumulator dtype."""
        return self.part(leaf).astype(accumulator(leaf.value.dtype))

    def like(self, leaf: Leaf) -> Array:
        """This leaf's part, of the leaf's shape or a scalar, as the leaf's own dtype can hold it."""
        value = self.part(leaf)
        if value.ndim and value.shape != leaf.value.shape:
            raise ValueError(
                f"{self._name} has an array of shape {value.shape} for the leaf {leaf.path!r} of shape "
                f"{leaf.value.shape}: expected a tree like params"
            )
        return widen(value.astype(leaf.value.dtype))

    def at(self, leaf: Leaf) -> Array:
        """This leaf's part, a scalar or an array of the leaf's rank, in the leaf's accumulator dtype."""
        value = self.part(leaf)
        dtype = accumulator(leaf.value.dtype)
        if value.dtype != dtype:
            value = value.astype(dtype)
        if value.ndim == 0:
            return value
        shape = leaf.value.shape
        try:
            fits = np.broadcast_shapes(value.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{self._name} of shape {value.shape} does not broadcast to the leaf {leaf.path!r} of "
                f"shape {shape}: give a scalar, or an array whose shape fits the leaf's"
            )
        return value.reshape((1,) * (len(shape) - value.ndim) + value.shape)


def _bytes(dtype: Any) -> int:
    return dtype.itemsize


def is_number(x: Any) -> bool:
    """Whether x may be a factor of a penalty."""
    return isinstance(x, (int, float, np.generic, np.ndarray, jax.Array)) and not isinstance(
        x, (bool, np.bool_)
    )


def times(strength: Any, factor: Any) -> Any:
    """strength · factor, in the dtype of the strength; of an integer strength, in the default float."""
    # Python and NumPy numbers stay Python numbers; NumPy would widen a float32 array's dtype.
    if isinstance(strength, np.generic):
        strength = shortest(strength).item()
    if isinstance(strength, float) and isinstance(factor, float):
        product = strength * factor
        if math.isfinite(strength) and not _is_held(product):
            raise ValueError(f"{factor} times a strength of {strength}: expected {_held(NOT_NEGATIVE)}")
        return product
    if isinstance(strength, float) or isinstance(factor, float):
        return strength * factor
    # Of an integer strength half is no integer.
    whole = jnp.issubdtype(strength.dtype, jnp.integer)
    dtype = jax.dtypes.canonicalize_dtype(float) if whole else strength.dtype
    return strength.astype(dtype) * factor.astype(dtype)
