"""Where a regularization path begins: `strength_max`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from penalties._choose.problem import check_penalty
from penalties._numerics import accumulator
from penalties._penalty.base import Penalty
from penalties._penalty.binding import bind_parts
from penalties._penalty.rule import widened
from penalties._penalty.settling import SettlingPenalty, check_settling
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, is_inexact, leaves_with_paths


def strength_max(penalty: Penalty, grads: Any) -> Array:
    """The smallest factor f for which f·penalty keeps all weights at zero: 0 ∈ ∇L(0) + ∂(f·R)(0).

    For `L1(1.0)` it is max|g|, for `GroupLasso(1.0)` max_g ‖g‖₂/√|g|, in general the dual norm of the
    gradient. It is found by bisection with the penalty's own rule for zeros, to the last bit but one or two,
    so that it is there for every penalty with a kink at zero, for sums and selections. Weights that no
    strength holds at zero (not selected, of strength 0, under L2) do not count.

    Args:
        penalty: R, with a kink at zero, at any strength but 0: `L1(1.0).on("w") + L2(0.1)`.
        grads: the gradient of the loss, without the penalty, where the penalized weights are zero: see
            `grads_at_zero`. For deep networks, to which zero is always a solution, that at the initial
            params.

    Returns:
        A scalar, float32 (float64 if a leaf is). It may be called inside jit and vmap, where it is NaN
        instead of an error.

    Raises:
        TypeError: the penalty has no kink at zero (L2, Huber), or no rule for zeros (constraints).
        ValueError: a gradient is not finite; no weight has a strength that holds it at zero; or every
            strength does, for the kink is infinite.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, GroupLasso, strength_max
    >>> grads = jnp.array([[3.0, 0.5], [-4.0, 0.0]])
    >>> float(strength_max(L1(1.0), grads)), float(strength_max(L1(0.5), grads))
    (4.0, 8.0)
    >>> round(float(strength_max(GroupLasso(1.0), grads)), 4)  # 5/√2
    3.5355

    Source: for norms, Bach et al., Optimization with sparsity-inducing penalties (2012), section 1.3.
    """
    check_penalty(penalty)
    check_settling(penalty)
    if not any(isinstance(atom, SettlingPenalty) and atom.kink for atom, _ in penalty.atoms()):
        raise TypeError(
            f"{penalty!r} has no kink at zero, so that no strength makes weights exactly zero: choose its "
            "strengths by hand, such as jnp.geomspace(1.0, 1e-6, 64), or add an L1"
        )
    opened = Opened(grads)
    found, problem = _strength_max(penalty, opened.tree)
    if not isinstance(problem, Tracer) and int(problem):
        raise ValueError(_what_is_wrong(int(problem), penalty, opened.leaves))
    return found


_NOT_FINITE, _NONE_HOLDS, _ALL_HOLD = 1, 2, 3


@jax.jit
def _strength_max(penalty: Penalty, grads: Any) -> tuple[Array, Array]:
    leaves = leaves_with_paths(grads)
    kinked = [(part, widened(part.weights)) for part in bind_parts(penalty, leaves) if part.penalty.kink]
    gradients = jax.tree.leaves([g for _, g in kinked])

    def left(factor: Array) -> list[Array]:
        """Where a weight at zero would move."""

        def subgradient(penalty: Any, _: Any, g: Any) -> Any:
            return penalty.scaled(factor).subgradient_at(jax.tree.map(jnp.zeros_like, g), g, g)

        moves = [part.call(subgradient, g) for part, g in kinked]
        return [x != 0 for x in jax.tree.leaves(moves)]

    wide = [accumulator(g.dtype) for g in gradients]
    dtype = max(wide, key=lambda dtype: dtype.itemsize, default=jnp.dtype(jnp.float32))
    # Far from where a strength times a factor would overflow.
    most = jnp.asarray(min([float(jnp.finfo(each).max) ** 0.75 for each in wide], default=1.0), dtype)
    never = left(most)

    def holds(factor: Array) -> Array:
        return _all(jnp.all(~moves | free) for moves, free in zip(left(factor), never, strict=True))

    found = _first(holds, most)
    finite = _all(jnp.all(jnp.isfinite(g)) for g in gradients)
    pulled = [g != 0 for g in gradients]
    none = ~_all(~jnp.any(p & f) for p, f in zip(pulled, never, strict=True))
    none &= _all(jnp.all(f | ~p) for p, f in zip(pulled, never, strict=True))
    every = (found < 1 / most) & ~none & ~_all(~jnp.any(p) for p in pulled)
    problem = jnp.where(~finite, _NOT_FINITE, jnp.where(none, _NONE_HOLDS, jnp.where(every, _ALL_HOLD, 0)))
    return jnp.where(problem == 0, found, jnp.full_like(found, jnp.nan)), problem


def _first(holds: Callable[[Array], Array], most: Array) -> Array:
    """The smallest number ≥ 0, up to `most`, that holds: bisection on the bits, which are in order."""
    bits = jnp.finfo(most.dtype).bits
    integer = jnp.dtype(f"int{bits}")

    def halve(_: Any, between: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = between
        middle = low + (high - low) // 2
        good = holds(jax.lax.bitcast_convert_type(middle, most.dtype))
        return jnp.where(good, low, jnp.minimum(middle + 1, high)), jnp.where(good, middle, high)

    ends = jnp.zeros((), integer), jax.lax.bitcast_convert_type(most, integer)
    return jax.lax.bitcast_convert_type(jax.lax.fori_loop(0, bits, halve, ends)[1], most.dtype)


def _all(conditions: Iterable[Array]) -> Array:
    result = jnp.asarray(True)
    for condition in conditions:
        result &= condition
    return result


def _what_is_wrong(problem: int, penalty: Penalty, leaves: Sequence[Leaf]) -> str:
    if problem == _NOT_FINITE:
        bad = [leaf.path for leaf in leaves if not _is_finite(leaf)]
        return f"the gradient is not finite at {bad[:20]}: no strength holds its weights at zero"
    if problem == _NONE_HOLDS:
        return (
            f"no multiple of {penalty!r} holds a weight at zero that has a gradient: give its kink (the "
            "strength of an L1 or of a group) a strength above 0"
        )
    return (
        f"every multiple of {penalty!r} holds all weights at zero, for its kink is infinite: there is no "
        "largest strength; begin a grid at a strength that you choose"
    )


def _is_finite(leaf: Leaf) -> bool:
    return not is_inexact(leaf) or bool(jnp.all(jnp.isfinite(leaf.value)))
