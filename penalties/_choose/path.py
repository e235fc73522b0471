"""Path: the fits of a model over strengths, and which of them to take."""

import operator
import os
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, final

import jax
import numpy as np

from penalties._choose import path_file


class PathPoint(NamedTuple):
    """One fit of a `Path`.

    Attributes:
        factor: of the penalty.
        params: what was trained with it.
        loss: or None.
        score: or None.
        standard_error: of the score, or None.
        zeros: how many weights are exactly zero, by leaf path.
        share: of all penalized weights.
        optimality: or None.
        finite: whether all weights are, and the loss.
    """

    factor: float
    params: Any
    loss: float | None
    score: float | None
    standard_error: float | None
    zeros: dict[str, int]
    share: float
    optimality: float | None
    finite: bool


@final
@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """What `fit_path` returns: one fit for each strength, in the order of the factors.

    `path[3]` is a `PathPoint`, `path[2:5]` a path.

    Attributes:
        factors: of the penalty, an array of shape (points,).
        params: a tree like those that were trained, each leaf with a first axis for the points, as
            `jax.vmap(apply)(path.params)` takes them.
        losses: of each point, or None if `fit_path` was given no loss.
        scores: of each point, or None if it was given no score; higher is better.
        standard_errors: of the scores; NaN where a score was one number.
        zeros: for each penalized leaf how many of its weights are exactly zero, by path.
        sizes: how many weights each of these leaves has.
        optimality: ‖d‖₂ of the least d in ∇loss + ∂R, or None without a loss.
        finite: whether all weights are, and the loss.
        identity: what it was fitted with; a file is resumed only with the same.
    """

    factors: np.ndarray
    params: Any
    losses: np.ndarray | None
    scores: np.ndarray | None
    standard_errors: np.ndarray | None
    zeros: dict[str, np.ndarray]
    sizes: dict[str, int]
    optimality: np.ndarray | None
    finite: np.ndarray
    identity: dict[str, Any] = field(default_factory=dict)

    @property
    def shares(self) -> np.ndarray:
        """The share of exact zeros of all penalized weights, of each point."""
        total = sum(self.zeros.values(), np.zeros(len(self)))
        return total / max(sum(self.sizes.values()), 1)

    def best(self, rule: Literal["min", "one_se"] = "min") -> PathPoint:
        """The point of the best score, or the strongest within one standard error of it.

        Args:
            rule: "min", the least error, which is the highest score; or "one_se", the strongest penalty
                whose score is within one standard error of the best one.

        Raises:
            ValueError: there are no scores, no standard errors, or no finite point; rule is neither.
        """
        if rule not in ("min", "one_se"):
            raise ValueError(f'rule is {rule!r}: expected "min" or "one_se"')
        if self.scores is None or self.standard_errors is None:
            raise ValueError(
                "this path has no scores: give `fit_path(..., score=...)` a function of the params, such as "
                "the accuracy on held-out data"
            )
        usable = self.finite & np.isfinite(self.scores)
        if not usable.any():
            raise ValueError("no point of this path is finite: train with a smaller step, or other factors")
        best = int(np.argmax(np.where(usable, self.scores, -np.inf)))
        if rule == "min":
            return self[best]
        error = self.standard_errors[best]
        if not np.isfinite(error):
            raise ValueError(
                "the scores of this path have no standard errors: let `score` return one number for each "
                "example or fold, as an array, and not their mean"
            )
        close = usable & (self.scores >= self.scores[best] - error)
        return self[int(np.argmax(np.where(close, self.factors, -np.inf)))]

    def at(self, *, share: float) -> PathPoint:
        """The weakest penalty with at least this share of exact zeros among the penalized weights.

        Raises:
            ValueError: share is not between 0 and 1; no point has so many zeros.
        """
        if isinstance(share, bool) or not isinstance(share, (int, float, np.generic)) or not 0 <= share <= 1:
            raise ValueError(f"share is {share!r}: expected a number between 0 and 1, such as 0.95")
        enough = self.finite & (self.shares >= share)
        if not enough.any():
            most = np.max(np.where(self.finite, self.shares, 0), initial=0)
            raise ValueError(
                f"no point of this path has a share of {share:g} zeros: the most is {most:.4g}; go on to "
                "stronger factors"
            )
        return self[int(np.argmin(np.where(enough, self.factors, np.inf)))]

    def save(self, file: str | os.PathLike[str]) -> None:
        """Writes the path to one file, an `.npz` of arrays and JSON; one that is there is replaced."""
        path_file.write(file, self)

    @classmethod
    def load(cls, file: str | os.PathLike[str], params: Any) -> "Path":
        """The path that was saved. Nothing in a file can run code.

        Args:
            file: what `save` or `fit_path(..., file=...)` wrote.
            params: a tree like those that were trained, for its structure, shapes and dtypes.

        Raises:
            ValueError: the file holds no path, or one of another model.
        """
        return cls(**path_file.read(file, params))

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._taken(index)
        try:
            at = operator.index(index)
        except TypeError:
            raise TypeError(f"a path is indexed by an int or a slice, not by {index!r}") from None
        if not -len(self) <= at < len(self):
            raise IndexError(f"the path has {len(self)} points, and {at} is none of them")
        return PathPoint(
            factor=float(self.factors[at]),
            params=jax.tree.map(lambda x: x[at], self.params),
            loss=_number(self.losses, at),
            score=_number(self.scores, at),
            standard_error=_number(self.standard_errors, at),
            zeros={path: int(count[at]) for path, count in self.zeros.items()},
            share=float(self.shares[at]),
            optimality=_number(self.optimality, at),
            finite=bool(self.finite[at]),
        )

    def _taken(self, index: slice) -> "Path":
        def taken(values: Any) -> Any:
            return None if values is None else values[index]

        return Path(
            factors=self.factors[index],
            params=jax.tree.map(lambda x: x[index], self.params),
            losses=taken(self.losses),
            scores=taken(self.scores),
            standard_errors=taken(self.standard_errors),
            zeros={path: count[index] for path, count in self.zeros.items()},
            sizes=self.sizes,
            optimality=taken(self.optimality),
            finite=self.finite[index],
            identity=self.identity,
        )

    def __repr__(self) -> str:
        if not len(self):
            return "Path of 0 points"
        factors, shares = self.factors, 100 * self.shares
        failed = int(np.sum(~self.finite))
        return (
            f"Path of {len(self)} points, factors {factors[0]:.3g} to {factors[-1]:.3g}, zeros "
            f"{shares[0]:.1f} to {shares[-1]:.1f} %" + (f", {failed} not finite" if failed else "")
        )


def _number(values: np.ndarray | None, at: int) -> float | None:
    return None if values is None else float(values[at])
