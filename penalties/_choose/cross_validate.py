"""cross_validate: the strength whose fits predict best what they have not seen."""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._choose.fits import Fit, Loss, Train, chunk_of, fit_of, rows_of, warn_of
from penalties._choose.folds import folds_of, of_equal_sizes, samples_of
from penalties._choose.grid import concrete_factors
from penalties._choose.problem import check_penalty, refuse_objects
from penalties._choose.solve import check_limits
from penalties._penalty.base import Penalty


class CrossValidation(NamedTuple):
    """What `cross_validate` returns.

    Attributes:
        factors: of the penalty, an array of shape (factors,).
        losses: on what was held out, an array of shape (factors, folds).
        mean: of the losses over the folds, an array of shape (factors,).
        standard_error: of that mean: the standard deviation over the folds / √folds.
        best: the factor with the lowest mean.
        one_se: the largest factor whose mean is within one standard error of the lowest.
        params: what is trained on all samples with `best`.
    """

    factors: np.ndarray
    losses: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    best: float
    one_se: float
    params: Any


def cross_validate(
    loss: Loss,
    penalty: Penalty,
    x: Any,
    y: Any,
    *,
    factors: Any,
    params: Any,
    folds: int | Iterable[tuple[Any, Any]] = 5,
    train: Train | None = None,
    chunk: int | None = None,
    tol: float = 1e-5,
    max_iterations: int = 10_000,
) -> CrossValidation:
    """K-fold cross-validation over factor·penalty, all folds and all factors at once.

    Fits are made by `solve`, or by your own `train`; each fold's loss on the samples it holds out is
    `loss(params, x, y)` of them. Folds of one size are one vmapped run: with n samples in k folds there are
    one or two.

    Args:
        loss: `loss(params, x, y)` → a mean over the samples, without the penalty; smooth and convex, unless
            `train` is given.
        penalty: R, at strength 1, or at any that the factors are to scale.
        x: an array whose first axis are the samples, or a tree of these.
        y: likewise.
        factors: rising or falling, finite, ≥ 0; `strength_grid(maximum)`.
        params: where each fit begins.
        folds: how many, without shuffling, as scikit-learn's `KFold`; or pairs of indices (train, test).
        train: `train(penalty, params, x, y)` → params; pure and traced, as for `fit_path`.
        chunk: how many factors are fitted at a time, where memory asks for it; by default all, and with
            `solve` half or a third of them if their number can be divided: weak ones take longest, and fits
            made at once end with the last of them.
        tol: of `solve`.
        max_iterations: of `solve`.

    Returns:
        A `CrossValidation`; with a warning, if fits did not converge.

    Raises:
        ValueError: factors are not in order, finite and ≥ 0; folds are more than samples, fewer than 2, or
            hold out what they train on; x and y have different numbers of samples; no mean is finite;
            `train` returns params of another structure.
        TypeError: folds or chunk are of another type.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, cross_validate
    >>> def loss(w, x, y):
    ...     return jnp.mean((x @ w - y) ** 2) / 2
    >>> x = jnp.array([[1.0, 0.2], [-1.0, 0.1], [2.0, -0.3], [-2.0, 0.3], [1.5, 0.0], [0.5, 0.4]])
    >>> y = jnp.array([2.1, -2.0, 4.0, -4.1, 3.0, 1.0])
    >>> found = cross_validate(loss, L1(1.0), x, y, factors=[4.0, 1.0, 0.1], folds=3, params=jnp.zeros(2))
    >>> found.best, found.losses.shape
    (0.1, (3, 3))

    Source: Hastie, Tibshirani and Friedman, The elements of statistical learning (2009), section 7.10.
    """
    check_penalty(penalty)
    numbers = concrete_factors(factors)
    check_limits(tol, max_iterations)
    chunk = chunk_of(chunk, numbers.size, train)
    refuse_objects(params, "cross_validate")
    x, y = jax.tree.map(jnp.asarray, (x, y))
    parts = folds_of(folds, samples_of(x, y))
    fit = fit_of(loss, train, tol, max_iterations)
    strengths = jnp.asarray(numbers.astype(jax.dtypes.canonicalize_dtype(numbers.dtype)))
    losses, converged = np.zeros((len(numbers), len(parts))), np.ones((len(numbers), len(parts)), bool)
    for alike in of_equal_sizes(parts):
        indices = [jnp.asarray(np.stack([parts[i][side] for i in alike])) for side in (0, 1)]
        found = _fold_losses(fit, chunk, penalty, params, x, y, strengths, *indices)
        losses[:, alike], converged[:, alike] = (np.asarray(each).T for each in found)
    mean, error = losses.mean(1), losses.std(1, ddof=1) / np.sqrt(len(parts))
    best = _lowest(mean, numbers)
    close = mean <= mean[best] + error[best]
    chosen, whole = _refit(fit, penalty, params, x, y, strengths[best])
    warn_of(int(np.sum(~converged)) + int(not whole), converged.size + 1)
    return CrossValidation(
        factors=numbers,
        losses=losses,
        mean=mean,
        standard_error=error,
        best=float(numbers[best]),
        one_se=float(np.max(numbers[close])),
        params=chosen,
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fold_losses(
    fit: Fit,
    chunk: int | None,
    penalty: Penalty,
    params: Any,
    x: Any,
    y: Any,
    factors: Array,
    train: Array,
    test: Array,
) -> tuple[Array, Array]:
    """The losses on what is held out, and whether the fits converged, of shape (folds, factors)."""

    def fold(train: Array, test: Array) -> tuple[Array, Array]:
        seen, held_out = rows_of(train, (x, y)), rows_of(test, (x, y))

        def one(factor: Array) -> tuple[Array, Array]:
            fitted, converged = fit(penalty.scaled(factor), params, *seen)
            value = jnp.asarray(fit.loss(fitted, *held_out))
            if value.ndim:
                raise TypeError(
                    f"the loss returned an array of shape {value.shape}: expected a scalar, such as a "
                    "jnp.mean"
                )
            return value, converged

        return jax.vmap(one)(factors) if chunk is None else jax.lax.map(one, factors, batch_size=chunk)

    return jax.vmap(fold)(train, test)


@functools.partial(jax.jit, static_argnums=0)
def _refit(fit: Fit, penalty: Penalty, params: Any, x: Any, y: Any, factor: Array) -> tuple[Any, Array]:
    return fit(penalty.scaled(factor), params, x, y)


def _lowest(mean: np.ndarray, factors: np.ndarray) -> int:
    """Where the mean is lowest; of several the strongest."""
    if not np.isfinite(mean).any():
        raise ValueError(
            f"no mean loss is finite: {mean.tolist()[:20]}; look at `loss` of the initial params, or scale x"
        )
    lowest = np.nanmin(np.where(np.isfinite(mean), mean, np.nan))
    return int(np.argmax(np.where(mean == lowest, factors, -np.inf)))
