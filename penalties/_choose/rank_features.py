"""rank_features: which inputs matter, by how strong a penalty it takes to lose them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from penalties._choose.feature_sizes import feature_sizes
from penalties._choose.path import Path
from penalties._penalty.integers import checked_int
from penalties._tables import Tabular


@final
@dataclass(frozen=True, eq=False, repr=False)
class FeatureRanking(Tabular):
    """What `rank_features` returns: the features, the one that matters most first.

    Attributes:
        order: int array (features,): their indices along the axis, the one that matters most first.
        died_at: float array (features,), by index: the least factor of the path from which on a feature has
            only zeros; 0 if it has none but zeros at every factor, infinity if it is alive at the strongest.
        size: float array (features,), by index: the Euclidean norm of its weights at the strongest factor at
            which it is alive, by which features are told apart that died at one factor.

    >>> import numpy as np
    >>> from penalties import FeatureRanking
    >>> ranking = FeatureRanking(np.array([1, 0]), np.array([0.1, np.inf]), np.array([0.5, 2.0]))
    >>> ranking.top(1)
    [1]
    """

    order: np.ndarray
    died_at: np.ndarray
    size: np.ndarray

    def top(self, k: int) -> list[int]:
        """The indices of the k features that matter most.

        Raises:
            ValueError: k < 0, or more than there are features.
            TypeError: k is no int.
        """
        count = checked_int(k, "k")
        if not 0 <= count <= len(self.order):
            raise ValueError(f"k is {k}: expected a number of features, from 0 to {len(self.order)}")
        return [int(i) for i in self.order[:count]]

    def __len__(self) -> int:
        return len(self.order)

    def _table_columns(self) -> Sequence[str]:
        return ":rank", ":feature", ":died at", ":size before"

    def _table_rows(self) -> Iterator[tuple[str, ...]]:
        for rank, i in enumerate(self.order, 1):
            died = self.died_at[i]
            shown = "alive" if np.isinf(died) else "never alive" if died == 0 else f"{died:.4g}"
            yield f"{rank:,}", f"{i:,}", shown, f"{self.size[i]:.4g}"


def rank_features(path: Path, leaf: str | Sequence[str], axis: int = 0) -> FeatureRanking:
    """The features in the order in which a growing penalty loses them: the last to die matters most.

    A feature is one index along an axis of the first layer's kernel, 0 for a dense kernel (features, units)
    and for the rows of an embedding. It is dead where all its weights are exactly zero, in whatever number of
    heads; it counts as dead from the factor on after which it stays so. Penalize these groups, such as by
    `Grouped(LogSum(1.0, epsilon=0.1), axis=0)` or `GroupLasso(1.0, axis=0)`, and give the next layer an L2,
    or hold it: else the network makes up for smaller first weights by larger ones behind them.

    Args:
        path: what `fit_path` returned; points that are not finite are left out.
        leaf: the path of the leaf in params, "first/kernel"; or several, which all read the same features.
        axis: the axis of the features in each of them.

    Returns:
        A `FeatureRanking`, which prints as a table.

    Raises:
        ValueError: params have no such leaf, or a leaf no such axis; leaves have different numbers of
            features; no point of the path is finite.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, fit_path, rank_features, solve
    >>> def loss(params):
    ...     return jnp.sum((params["w"] - jnp.array([[3.0], [-1.0], [0.5]])) ** 2) / 2
    >>> path = fit_path(
    ...     lambda penalty, params: solve(loss, penalty, params).params,
    ...     L1(1.0), [2.0, 0.75], {"w": jnp.zeros((3, 1))}, progress=False,
    ... )
    >>> print(rank_features(path, "w"))
    rank  feature      died at  size before
    ---------------------------------------
       1        0        alive            1
       2        1            2         0.25
       3        2  never alive            0

    Source: Lemhadri, Ruan, Abraham and Tibshirani, LassoNet: a neural network with feature sparsity, JMLR 22
    (2021), for the order in which features die as their importance.
    """
    if not np.any(path.finite):
        raise ValueError("no point of this path is finite: train with a smaller step, or other factors")
    from_the_strongest = np.argsort(-path.factors, kind="stable")
    points = from_the_strongest[path.finite[from_the_strongest]]
    factors, sizes = path.factors[points], feature_sizes(path, points, leaf, axis)
    alive = np.concatenate([sizes > 0, np.ones((1, sizes.shape[1]), bool)])
    first = np.argmax(alive, 0)  # the strongest point at which it is alive; after the last one if at none
    died_at = np.concatenate([[np.inf], factors])[first]
    never = first == len(factors)
    died_at[never] = 0
    size = np.where(never, 0, sizes[np.minimum(first, len(factors) - 1), np.arange(sizes.shape[1])])
    return FeatureRanking(np.lexsort((-size, -died_at)), died_at, size)
