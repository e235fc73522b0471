"""hold_zeros: training goes on without a penalty, and what is zero stays zero."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._training.optimizers import Optimizer, as_transform
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, is_inexact
from penalties._tree.selection import Selector, Where, nothing_selected, selector


def hold_zeros(optimizer: Optimizer, where: Where | None = None) -> optax.GradientTransformationExtraArgs:
    """The optimizer for all weights but those that are exactly zero, which stay so: the debiased refit.

    A penalty chooses the zeros and shrinks what it leaves. Trained on under `hold_zeros`, without the
    penalty, the rest loses that bias (the relaxed lasso).

    A weight that is zero is given no gradient and no update, however it became zero: biases that begin at
    zero are held as well, unless they are left out by `where`.

    Args:
        optimizer: any optax optimizer or chain, or `optax.MultiSteps`. Leave the penalty out.
        where: the leaves whose zeros are held, as in `Penalty.on`: `hold_zeros(optimizer, kernels)`. By
            default all.

    Returns:
        A transform with the state of the optimizer inside, and nothing else in it. Its `update` needs
        `params`.

    Raises:
        TypeError: optimizer is none of optax; `where` is nothing that `Penalty.on` takes.
        ValueError: `where` matches no leaf; in `update`, without `params`.

    >>> import jax.numpy as jnp, optax
    >>> from penalties import hold_zeros
    >>> optimizer = hold_zeros(optax.sgd(0.5))
    >>> params = jnp.array([1.0, 0.0])
    >>> updates, state = optimizer.update(jnp.ones(2), optimizer.init(params), params)
    >>> print(optax.apply_updates(params, updates).round(3))
    [0.5 0. ]

    Source: Meinshausen, Relaxed lasso, Comput. Statist. Data Anal. 52 (2007).
    """
    inner = as_transform(optimizer, "hold_zeros(optimizer)")
    chosen = None if where is None else selector(where)

    def init(params: Any) -> Any:
        # `optax.tree.map_params` asks for the state of a placeholder without leaves.
        if leaves := Opened(params).leaves:
            _held(leaves, chosen)
        return inner.init(params)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        if params is None:
            raise ValueError(
                "hold_zeros needs the params: call `update(updates, state, params)`, not `update(updates, "
                "state)`"
            )
        updates, state = inner.update(_hold(updates, params, chosen), state, params, **extra_args)
        return _hold(updates, params, chosen), state

    return optax.GradientTransformationExtraArgs(init, update)


def _hold(updates: Any, params: Any, where: Selector | None) -> Any:
    """The updates with 0 where params are zero."""
    opened, weights = Opened(updates), Opened(params).leaves
    held = _held(weights, where)
    return opened.with_leaves(
        {
            i: _zero_where(weights[at].value, opened.leaves[i].value)
            for i, at in enumerate(join(weights, opened.leaves, "updates"))
            if weights[at].path in held and is_inexact(opened.leaves[i])
        }
    )


@jax.jit
def _zero_where(w: Array, update: Array) -> Array:
    return jnp.where(w == 0, jnp.zeros_like(update), update)


def _held(weights: Sequence[Leaf], where: Selector | None) -> set[str]:
    """The paths of the leaves whose zeros are held."""
    leaves = [leaf for leaf in weights if is_inexact(leaf)]
    chosen = [True] * len(leaves) if where is None else where.choose(leaves)
    if leaves and not any(chosen):
        raise nothing_selected(repr(where), leaves)
    return {leaf.path for leaf, is_chosen in zip(leaves, chosen, strict=True) if is_chosen}
