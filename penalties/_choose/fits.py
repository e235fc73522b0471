"""One fit of many: to what samples, by what training, and whether it converged."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from penalties._choose.keyed import Keyed
from penalties._choose.solve import Solution, solve
from penalties._penalty.base import Penalty
from penalties._penalty.integers import checked_int
from penalties._tree.opening import Opened
from penalties._tree.paths import NotAnArray

Loss = Callable[[Any, Any, Any], Any]
Train = Callable[[Penalty, Any, Any, Any], Any]


class Fit(NamedTuple):
    """How params are fitted to samples; hashable, so that the same functions are compiled once."""

    loss: Loss
    train: Train | None
    tol: float
    max_iterations: int

    def __call__(self, penalty: Penalty, params: Any, x: Any, y: Any) -> tuple[Any, Array]:
        if self.train is not None:
            fitted = self.train(penalty, params, x, y)
            check_trained(fitted, params)
            return fitted, jnp.asarray(True)
        solution = solve(self.loss, penalty, params, x, y, tol=self.tol, max_iterations=self.max_iterations)
        return solution.params, solution.converged


def fit_of(loss: Loss, train: Train | None, tol: float, max_iterations: int) -> Fit:
    """The `Fit` of these functions as they are now."""
    return Fit(Keyed(loss), None if train is None else Keyed(train), tol, max_iterations)


def check_trained(fitted: Any, params: Any) -> None:
    """Raises ValueError if what `train` returned is not like the params it was given."""
    expected = "it must return params like those it begins with"
    if isinstance(fitted, Solution):
        raise ValueError(f"train returned the Solution of `solve`: {expected}, which are its `.params`")
    before, after = (
        {leaf.path: _kind(leaf.value) for leaf in Opened(tree).leaves} for tree in (params, fitted)
    )
    for path in [*before, *after]:
        here, there = (kinds.get(path, "nothing") for kinds in (after, before))
        if here != there:
            raise ValueError(
                f"train returned another structure than it was given: at {path!r} {here}, and not {there}; "
                f"{expected}"
            )


def _kind(leaf: Any) -> str:
    if isinstance(leaf, NotAnArray):
        return f"what is of type {leaf.type_name}"
    return f"an array of shape {leaf.shape} and dtype {leaf.dtype}"


def rows_of(rows: Array, data: Any) -> Any:
    """These samples of the data."""
    return jax.tree.map(lambda a: a[rows], data)


def chunk_of(chunk: int | None, count: int, train: Train | None) -> int | None:
    """How many of the factors to fit at once; None for all.

    By default, with `solve`, half or a third: neighbours take about as long, weak ones longest, and fits made
    at once end with the last of them. Only what divides their number, for a smaller last chunk would be
    compiled for itself.
    """
    if chunk is not None:
        return checked_int(chunk, "chunk", 1)
    parts = next((parts for parts in (2, 3) if train is None and count % parts == 0), 1)
    return None if parts == 1 else count // parts


def warn_of(failed: int, fits: int) -> None:
    """Warns the caller's caller of fits that did not converge, if there are any."""
    if failed:
        warnings.warn(
            f"{failed} of {fits} fits did not reach the optimality asked for, or are not finite: scale the "
            "features, or give more max_iterations or a larger tol, or a training of your own smaller steps",
            stacklevel=3,
        )
