"""stability_selection: what is selected again and again, on halves of the samples."""

import functools
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._choose.fits import Fit, Loss, Train, chunk_of, fit_of, rows_of, warn_of
from penalties._choose.folds import samples_of
from penalties._choose.grid import concrete_factors
from penalties._choose.problem import check_penalty, refuse_objects
from penalties._choose.solve import check_limits
from penalties._penalty.base import Penalty
from penalties._penalty.binding import penalized_leaves
from penalties._penalty.integers import checked_int
from penalties._penalty.strengths import is_number
from penalties._tree.paths import leaves_with_paths


@final
@dataclass(frozen=True, eq=False)
class StabilitySelection:
    """What `stability_selection` returns.

    Attributes:
        factors: of the penalty, from strong to weak, an array of shape (factors,).
        frequencies: for each penalized leaf, by its path, an array (factors, *shape): on what share of the
            halves a weight was not zero at this factor or a stronger one.
        mean_selected: how many weights that were, on average over the halves, an array of shape (factors,).
        halves: how many halves there were.
    """

    factors: np.ndarray
    frequencies: dict[str, np.ndarray]
    mean_selected: np.ndarray
    halves: int

    def expected_false(self, threshold: float = 0.75) -> np.ndarray:
        """q² / ((2·threshold − 1)·p) at each factor: how many of the selected weights are selected by chance.

        An upper bound on the expected number of selected weights that any one half selects with a probability
        of no more than q/p, of q selected weights among p.

        Raises:
            ValueError: the threshold is not above ½ and at most 1.
        """
        if not is_number(threshold) or np.ndim(threshold) or not 0.5 < threshold <= 1:
            raise ValueError(f"threshold is {threshold!r}: expected a share above 0.5, and at most 1")
        count = sum(frequency[0].size for frequency in self.frequencies.values())
        return self.mean_selected**2 / ((2 * threshold - 1) * max(count, 1))

    def select(self, *, threshold: float = 0.75, expected_false: float = 1.0) -> dict[str, np.ndarray]:
        """Which weights are selected on at least this share of the halves.

        Args:
            threshold: that share.
            expected_false: at most so many of them are expected to be selected by chance: it is the weakest
                factor of which that holds that selects.

        Returns:
            For each penalized leaf an array of bools, by its path.

        Raises:
            ValueError: the threshold is not above ½ and at most 1, or expected_false no number ≥ 0; the
                strongest factor selects too many.
        """
        if not is_number(expected_false) or np.ndim(expected_false) or not expected_false >= 0:
            raise ValueError(f"expected_false is {expected_false!r}: expected a number ≥ 0")
        fits = np.flatnonzero(self.expected_false(threshold) <= expected_false)
        if not fits.size:
            raise ValueError(
                f"expected_false is {expected_false!r}, and at the strongest factor, {self.factors[0]:.4g}, "
                f"up to {self.expected_false(threshold)[0]:.3g} are expected: begin at a stronger factor"
            )
        # mean_selected does not fall from strong to weak.
        return {path: frequency[fits[-1]] >= threshold for path, frequency in self.frequencies.items()}


def stability_selection(
    loss: Loss,
    penalty: Penalty,
    x: Any,
    y: Any,
    *,
    factors: Any,
    params: Any,
    key: Array,
    pairs: int = 50,
    train: Train | None = None,
    chunk: int | None = None,
    tol: float = 1e-5,
    max_iterations: int = 10_000,
) -> StabilitySelection:
    """How often each weight is selected, on random halves of the samples in complementary pairs.

    Strengths chosen by cross-validation select too much: what predicts best keeps weights that are there by
    chance. What is selected on nearly every half of the samples is not. All halves and all factors are one
    vmapped run.

    Args:
        loss: `loss(params, x, y)` → a mean over the samples, without the penalty, as for `cross_validate`.
        penalty: R, at strength 1, or at any that the factors are to scale.
        x: an array whose first axis are the samples, or a tree of these.
        y: likewise.
        factors: rising or falling, finite, ≥ 0; `strength_grid(maximum)`.
        params: where each fit begins.
        key: a `jax.random.key`, from which the halves are drawn.
        pairs: of halves that have no sample in common.
        train: `train(penalty, params, x, y)` → params, in place of `solve`.
        chunk: how many factors are fitted at a time, where memory asks for it; by default as in
            `cross_validate`.
        tol: of `solve`.
        max_iterations: of `solve`.

    Returns:
        A `StabilitySelection`; with a warning, if fits did not converge, or are not finite.

    Raises:
        ValueError: factors are not in order, finite and ≥ 0; there are fewer than 4 samples, or no pair;
            `train` returns params of another structure.
        TypeError: pairs or chunk are of another type.

    >>> import jax, jax.numpy as jnp
    >>> from penalties import L1, stability_selection
    >>> def loss(w, x, y):
    ...     return jnp.mean((x @ w - y) ** 2) / 2
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> x = jax.random.normal(keys[0], (40, 10))
    >>> y = 2 * x[:, 3] + jax.random.normal(keys[1], (40,))
    >>> found = stability_selection(
    ...     loss, L1(1.0), x, y, factors=[1.0, 0.5], params=jnp.zeros(10), key=keys[2], pairs=10
    ... )
    >>> found.select()[""].nonzero()[0].tolist()
    [3]

    Source: Shah and Samworth, Variable selection with error control: another look at stability selection,
    JRSS B 75 (2013), theorem 1; Meinshausen and Bühlmann, Stability selection, JRSS B 72 (2010).
    """
    check_penalty(penalty)
    numbers = np.sort(concrete_factors(factors))[::-1]
    check_limits(tol, max_iterations)
    chunk = chunk_of(chunk, numbers.size, train)
    refuse_objects(params, "stability_selection")
    x, y = jax.tree.map(jnp.asarray, (x, y))
    fit = fit_of(loss, train, tol, max_iterations)
    halves = _halves(key, checked_int(pairs, "pairs", 1), samples_of(x, y))
    strengths = jnp.asarray(numbers.astype(jax.dtypes.canonicalize_dtype(numbers.dtype)))
    frequencies, sizes, converged = _selected(fit, chunk, penalty, params, x, y, strengths, halves)
    warn_of(int(np.sum(~np.asarray(converged))), converged.size)
    return StabilitySelection(
        factors=numbers,
        frequencies={path: np.asarray(frequency) for path, frequency in frequencies.items()},
        mean_selected=np.asarray(sizes),
        halves=len(halves),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _selected(
    fit: Fit, chunk: int | None, penalty: Penalty, params: Any, x: Any, y: Any, factors: Array, halves: Array
) -> tuple[dict[str, Array], Array, Array]:
    """The frequencies, how many are selected on average, and what converged (halves, factors)."""

    def of_half(rows: Array) -> tuple[dict[str, Array], Array]:
        seen = rows_of(rows, (x, y))

        def one(factor: Array) -> tuple[dict[str, Array], Array]:
            fitted, converged = fit(penalty.scaled(factor), params, *seen)
            penalized = penalized_leaves(penalty, leaves_with_paths(fitted))
            for leaf in penalized:  # NaN is not zero, and would be selected in silence
                converged = converged & jnp.all(jnp.isfinite(leaf.value))
            return {leaf.path: leaf.value != 0 for leaf in penalized}, converged

        fits = jax.vmap(one)(factors) if chunk is None else jax.lax.map(one, factors, batch_size=chunk)
        # Once selected, at a stronger factor, is selected.
        return jax.tree.map(lambda nonzero: jax.lax.cummax(nonzero.astype(jnp.int32)), fits[0]), fits[1]

    selected, converged = jax.vmap(of_half)(halves)
    counts = [jnp.sum(s, tuple(range(2, s.ndim))) for s in selected.values()]
    mean = jnp.mean(sum(counts[1:], counts[0]).astype(jnp.float32), 0)
    return jax.tree.map(lambda s: jnp.mean(s.astype(jnp.float32), 0), selected), mean, converged


def _halves(key: Array, pairs: int, samples: int) -> Array:
    """Indices (2·pairs, samples // 2): two halves after the other have no sample in common."""
    if samples < 4:
        raise ValueError(f"there are {samples} samples: expected at least 4, to be halved")
    half = samples // 2
    orders = jax.vmap(lambda key: jax.random.permutation(key, samples))(jax.random.split(key, pairs))
    return orders[:, : 2 * half].reshape(2 * pairs, half)
