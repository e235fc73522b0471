"""How many groups of weights are exactly zero: `group_sparsity`."""

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax import Array

from penalties._measure.sparsity import Sparsity, are_zero, count_true, gathered
from penalties._penalty.base import Penalty, check_penalty
from penalties._penalty.binding import bind_parts
from penalties._penalty.spanning import Beside
from penalties._tree.opening import Opened
from penalties._tree.paths import leaves_with_paths
from penalties._tree.types import Params


def group_sparsity(penalty: Penalty, params: Params) -> Sparsity:
    """#{g: w_g = 0} and #{g: w_g = 0} / #g, of the groups of a penalty: dead units, filters, heads, layers.

    Args:
        penalty: one with groups, such as GroupLasso, GroupLInf, `Grouped` of any or Coupled, or a sum or a
            selection of such. Its strengths do not matter, and leaves without groups are not counted.
        params: any pytree of weights, or a Flax NNX module.

    Returns:
        A pytree as that of `sparsity`, in which `zeros`, `share` and `size` count groups. What is of several
        leaves together, as `Coupled`, is counted at the first of them. It may be called inside jit.

    Raises:
        TypeError: nothing in the penalty has groups, or a leaf has those of several penalties, which are not
            the same.
        ValueError: whatever penalty(params) raises.

    A group with one weight that is not exactly zero, if subnormal, is alive; one without weights is zero.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import GroupLasso, group_sparsity, kernels
    >>> params = {"kernel": jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), "bias": jnp.zeros(3)}
    >>> found = jax.jit(lambda p: group_sparsity(GroupLasso(0.1).on(kernels), p))(params)
    >>> int(found.zeros), found.size, round(float(found.share), 3)
    (2, 3, 0.667)
    """
    check_penalty(penalty, "the penalty in group_sparsity(penalty, params)")
    return _group_sparsity(penalty, Opened(params).tree)


@jax.jit
def _group_sparsity(penalty: Penalty, tree: Any) -> Sparsity:
    leaves = leaves_with_paths(tree)
    found = {
        part.leaves[0].path: dead
        for part in bind_parts(penalty, leaves)
        if (dead := part.call(_dead_groups)) is not None
    }
    if leaves and not found:
        raise TypeError(
            f"{penalty!r} has no groups: expected a penalty of groups, such as GroupLasso(0.1) or "
            "Grouped(MCP(0.1)); single zeros are counted by `sparsity(params)`"
        )
    counts = [count_true(dead) for dead in found.values()]
    return gathered(list(found), counts, [math.prod(dead.shape) for dead in found.values()])


def _dead_groups(penalty: Any, w: Any) -> Array | None:
    """Whether each group is zero; None if there are none."""
    zero = jax.tree.map(are_zero, w)
    found = {}
    for term, mask in _terms(penalty, zero):
        if (dead := term.all_in_groups(mask)) is not None:
            found[term.joint] = dead
    if len(found) > 1:
        raise TypeError(
            f"{penalty!r} has groups of several kinds, of which there is no one share: count those of each "
            "penalty by itself"
        )
    return next(iter(found.values()), None)


def _terms(penalty: Any, zero: Any) -> Iterator[tuple[Penalty, Any]]:
    """The terms of a sum, each with the mask of the weights that it is of."""
    if isinstance(penalty, Beside):
        yield penalty.joint, zero
        for single, mask in zip(penalty.single, zero, strict=True):
            if single is not None:
                yield from ((term, mask) for term in single.terms_of_sum())
    else:
        yield from ((term, zero) for term in penalty.terms_of_sum())
