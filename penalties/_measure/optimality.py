"""optimality: how far training is from a solution of loss + penalty."""

from collections import OrderedDict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import sum_scalars
from penalties._penalty import rule
from penalties._penalty.base import Penalty
from penalties._penalty.binding import bind_parts_joined
from penalties._penalty.settling import check_settling
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import is_inexact, leaves_with_paths
from penalties._tree.types import Params


class Optimality(NamedTuple):
    """The distance from a stationary point of loss + penalty: 0 exactly at one.

    Attributes:
        norm: ‖d‖₂ of the least-norm subgradient d over all leaves, a scalar, float32 or float64.
        leaves: the same for each leaf, by its path, in the order of params.
    """

    norm: Array
    leaves: dict[str, Array]


def optimality(penalty: Penalty, params: Params, grads: Params) -> Optimality:
    """‖d‖₂ of the least-norm element d of ∇f(params) + ∂R(params): 0 exactly at a solution.

    Log it to see convergence: unlike the gradient of the loss it goes to zero, and unlike the loss
    it says how far there is to go. Jitted, and usable in a jitted step.

    Args:
        penalty: R, with a rule for zeros (L1, L2, ElasticNet, GroupLasso, sums, selections).
        params: any pytree of weights.
        grads: the gradient of the loss f without the penalty, a tree like params. With that of a
            mini-batch the result is as noisy as the gradient is. Of complex weights it is conjugated,
            `jax.tree.map(jnp.conj, jax.grad(f)(params))`, as optax expects it.

    Returns:
        The norm over all leaves, and by leaf path. A leaf that is not penalized counts with its
        gradient.

    Raises:
        TypeError: the penalty has no rule for zeros.
        ValueError: a selection matches nothing; params and grads differ in structure.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, optimality
    >>> params, grads = jnp.array([2.0, 0.0, 0.0]), jnp.array([-0.5, 0.4, 0.9])
    >>> round(float(optimality(L1(0.5), params, grads).norm), 4)
    0.4
    """
    check_settling(penalty)
    return _optimality(penalty, Opened(params).tree, Opened(grads).tree)


@jax.jit
def _optimality(penalty: Penalty, params: Any, grads: Any) -> Optimality:
    leaves, gradients = leaves_with_paths(params), leaves_with_paths(grads)
    values, joined = [leaf.value for leaf in gradients], join(leaves, gradients, "grads")
    norms_of: dict[int, Array] = {}
    for part in bind_parts_joined(penalty, leaves, gradients, "grads"):
        norms_of |= part.by_position(part.call(_square_norms, part.of(values)))
    squares = {
        gradient.path: norms_of[i] if i in norms_of else _square_norms(None, leaves[at].value, gradient.value)
        for i, (at, gradient) in enumerate(zip(joined, gradients, strict=True))
        if leaves[at].trainable and is_inexact(gradient)  # integers have gradients of float0
    }
    # Not a dict, whose keys jit sorts: "10" before "2".
    norms = OrderedDict((path, jnp.sqrt(square)) for path, square in squares.items())
    return Optimality(jnp.sqrt(sum_scalars(list(squares.values()))), norms)


@jax.jit
def _square_norms(penalty: Any, w: Any, gradient: Any) -> Any:
    wide = rule.widened(gradient)
    if penalty is not None:
        wide = rule.direction(penalty, w, wide, wide)
    return jax.tree.map(lambda wide: jnp.sum(jnp.real(wide * jnp.conj(wide))), wide)
