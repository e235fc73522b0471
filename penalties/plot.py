"""Pictures: paths, cross-validation, features, weights with their exact zeros (needs `matplotlib`).

Each function draws on `ax`, or on axes of a figure of its own, and returns the axes; nothing global is
touched. The figure is `ax.figure`, to be shown in a notebook or saved with `ax.figure.savefig("path.png")`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from penalties._choose.cross_validate import CrossValidation
from penalties._choose.path import Path
from penalties._choose.rank_features import FeatureRanking
from penalties._measure.describe import Description
from penalties._measure.sparsity import is_weight
from penalties._penalty.integers import checked_int
from penalties._shrink.couplings import Couplings
from penalties._tree.opening import Opened
from penalties._tree.paths import leaves_with_paths
from penalties._tree.types import Params

try:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap, TwoSlopeNorm
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError('penalties.plot needs matplotlib: pip install "penalties[plot]"') from error

__all__ = [
    "coefficients",
    "couplings",
    "cross_validation",
    "description",
    "features",
    "histograms",
    "scores",
    "sparsity_scores",
    "weights",
]

_CHOSEN = "tab:red"
_MOST_LINES = 200  # more are one grey mass, and take seconds


def coefficients(path: Path, leaf: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Each weight of a leaf over the strengths, the strongest at the right; of many the largest 200.

    Args:
        path: what `fit_path` returned.
        leaf: its path in params; needed if there are several leaves.
        ax: where to draw; by default in a figure of its own.

    Raises:
        ValueError: params have no such leaf, or several and none is named.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, fit_path, plot, solve
    >>> def loss(w):
    ...     return jnp.sum((w - jnp.array([3.0, -1.0, 0.5])) ** 2) / 2
    >>> path = fit_path(
    ...     lambda penalty, w: solve(loss, penalty, w).params, L1(1.0), [2.0, 0.75], jnp.zeros(3),
    ...     progress=False,
    ... )
    >>> plot.coefficients(path).get_xlabel()
    'factor of the penalty'
    """
    w = np.asarray(_leaf(path, leaf))
    w = (np.abs(w) if np.iscomplexobj(w) else w.astype(np.float64)).reshape(len(path), -1)
    largest = np.sort(np.argsort(-np.max(np.nan_to_num(np.abs(w)), 0), kind="stable")[:_MOST_LINES])
    ax = _axes(ax)
    ax.plot(path.factors, w[:, largest], linewidth=1)
    ax.axhline(0, color="black", linewidth=0.5, zorder=0)
    _factors_on_x(ax, path.factors)
    shown = "" if len(largest) == w.shape[1] else f", the {len(largest)} largest of {w.shape[1]:,}"
    ax.set_ylabel(f"weight{f' of {leaf}' if leaf else ''}{shown}")
    return ax


def scores(path: Path, *, rule: str = "min", ax: Axes | None = None) -> Axes:
    """Scores over the strengths, with standard errors where there are some, and the chosen point.

    Args:
        path: what `fit_path(..., score=...)` returned.
        rule: by which the point is chosen, as in `Path.best`.
        ax: where to draw; by default in a figure of its own.

    Raises:
        ValueError: there are no scores, or the rule finds no point.
    """
    chosen = path.best(rule)  # type: ignore[arg-type]
    ax = _axes(ax)
    _with_errors(ax, path.factors, path.scores, path.standard_errors)
    ax.axvline(chosen.factor, color=_CHOSEN, linestyle="--", label=f"chosen: {chosen.factor:.3g}")
    _factors_on_x(ax, path.factors)
    ax.set_ylabel("score")
    ax.legend()
    return ax


def sparsity_scores(path: Path, *, rule: str = "min", ax: Axes | None = None) -> Axes:
    """Scores over the share of exact zeros: what sparsity costs, with the chosen point.

    Args:
        path: what `fit_path(..., score=...)` returned.
        rule: by which the point is chosen, as in `Path.best`.
        ax: where to draw; by default in a figure of its own.

    Raises:
        ValueError: there are no scores, or the rule finds no point.
    """
    chosen = path.best(rule)  # type: ignore[arg-type]
    ax = _axes(ax)
    order = np.lexsort((path.factors, path.shares))
    _with_errors(
        ax,
        100 * path.shares[order],
        np.asarray(path.scores)[order],
        None if path.standard_errors is None else path.standard_errors[order],
    )
    score: Any = chosen.score  # there is one, or none were chosen
    label = f"chosen: {100 * chosen.share:.1f} % zeros, {score:.3g}"
    ax.plot(100 * chosen.share, score, "o", color=_CHOSEN, label=label, zorder=3)
    ax.set_xlabel("exact zeros, %")
    ax.set_ylabel("score")
    ax.legend()
    return ax


def cross_validation(found: CrossValidation, *, ax: Axes | None = None) -> Axes:
    """The mean loss on what was held out over the strengths, with standard errors and both choices.

    Args:
        found: what `cross_validate` returned.
        ax: where to draw; by default in a figure of its own.
    """
    ax = _axes(ax)
    ax.plot(found.factors, found.losses, color="lightgrey", linewidth=0.8, zorder=0)
    _with_errors(ax, found.factors, found.mean, found.standard_error)
    ax.axvline(found.best, color=_CHOSEN, linestyle="--", label=f"best: {found.best:.3g}")
    ax.axvline(
        found.one_se, color="tab:green", linestyle=":", label=f"within one standard error: {found.one_se:.3g}"
    )
    _factors_on_x(ax, found.factors)
    ax.set_ylabel("loss on held-out data")
    ax.legend()
    return ax


def features(
    ranking: FeatureRanking, names: Sequence[str] | None = None, *, top: int = 20, ax: Axes | None = None
) -> Axes:
    """The strength at which each feature died, for those that matter most.

    Args:
        ranking: what `rank_features` returned.
        names: of the features, in the order of their indices.
        top: how many to show, at least one.
        ax: where to draw; by default in a figure of its own.

    Raises:
        TypeError: top is no int.
        ValueError: there are not as many names as features; top < 1.
    """
    top = checked_int(top, "top", 1)
    if names is not None and len(names) != len(ranking):
        raise ValueError(f"{len(names)} names for {len(ranking)} features")
    shown = ranking.order[:top]
    labels = [str(i) for i in shown] if names is None else [str(names[i]) for i in shown]
    died = ranking.died_at[shown]
    finite = ranking.died_at[np.isfinite(ranking.died_at) & (ranking.died_at > 0)]
    # What is still alive at the strongest factor is drawn beyond all that died.
    beyond = 2 * finite.max(initial=0) or 1.0
    alive = np.isinf(died)
    ax = _axes(ax)
    bars = ax.barh(range(len(shown)), np.where(alive, beyond, died), color="tab:blue")
    for bar, lives in zip(bars, alive, strict=True):
        if lives:
            bar.set(color="tab:green")
            ax.text(bar.get_width(), bar.get_y() + bar.get_height() / 2, " alive", va="center")
    ax.set_yticks(range(len(shown)), labels)
    ax.invert_yaxis()
    if finite.size and finite.min() * 10 < beyond:
        ax.set_xscale("log")
    ax.margins(x=0.15)
    ax.set_xlabel("factor at which it died")
    return ax


def weights(w: Any, *, axis: int = -1, ax: Axes | None = None) -> Axes:
    """A leaf as a matrix, red and blue by sign; exact zeros are grey.

    Args:
        w: an array; of more than two axes all but one are merged.
        axis: which axis the columns are.
        ax: where to draw; by default in a figure of its own.

    Raises:
        ValueError: it has no weights.
    """
    w = np.asarray(w)
    if not w.size:
        raise ValueError(f"an array of shape {w.shape} has no weights to draw")
    w = np.abs(w) if np.iscomplexobj(w) else w.astype(np.float64)
    matrix = np.moveaxis(np.atleast_1d(w), axis, -1).reshape(-1, np.atleast_1d(w).shape[axis])
    zero = matrix == 0
    largest = np.max(np.nan_to_num(np.abs(matrix), posinf=0), initial=0) or 1.0
    ax = _axes(ax)
    norm = TwoSlopeNorm(0, -largest, largest)
    image = ax.imshow(np.ma.masked_where(zero, matrix), cmap="RdBu", norm=norm, aspect="auto")
    grey = ListedColormap(["lightgrey"])
    ax.imshow(np.ma.masked_where(~zero, np.ones_like(matrix)), cmap=grey, aspect="auto")
    colorbar = ax.figure.colorbar(image, ax=ax)
    colorbar.set_label("weight; grey is exactly 0")
    ax.set_title(
        f"{zero.sum():,} of {zero.size:,} are exactly zero ({100 * zero.mean() if zero.size else 0:.1f} %)"
    )
    return ax


def histograms(before: Params, after: Params, *, bins: int = 60, ax: Axes | None = None) -> Axes:
    """The sizes |w| of all weights before and after, logarithmic; exact zeros have a bar of their own.

    Args:
        before: any pytree of weights.
        after: another.
        bins: how many for what is not zero.
        ax: where to draw; by default in a figure of its own.
    """
    sizes = {"before": _moduli(before), "after": _moduli(after)}
    nonzero = np.concatenate([size[(size > 0) & np.isfinite(size)] for size in sizes.values()])
    low, high = (nonzero.min(), nonzero.max()) if nonzero.size else (0.1, 1.0)
    edges = np.geomspace(low, max(high, 1.01 * low), bins + 1)
    width = edges[1] / edges[0]
    zero = low / width**6  # as wide as six bins, and as far again from them
    ax = _axes(ax)
    for (name, size), color in zip(sizes.items(), ("tab:grey", "tab:blue"), strict=True):
        zeros = int(np.sum(size == 0))
        label = f"{name}: {zeros:,} of {size.size:,} are exactly zero"
        style: dict[str, Any] = {"fill": True, "alpha": 0.5, "color": color}
        ax.stairs(np.histogram(size[size > 0], edges)[0], edges, label=label, **style)
        ax.stairs([zeros], [zero / width**3, zero * width**3], **style)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(bottom=0)
    ax.text(zero, 0.02, "0", transform=ax.get_xaxis_transform(), ha="center")
    ax.set_xlabel("|w|, exact zeros at the left")
    ax.set_ylabel("weights")
    ax.legend()
    return ax


def description(described: Description, *, ax: Axes | None = None) -> Axes:
    """The share of each leaf in the penalty, and of exact zeros in each leaf, as bars.

    Args:
        described: what `describe` returned.
        ax: where to draw; by default in a figure of its own.
    """
    rows = {path: row for path, row in described.items() if row["trainable"]}
    at = np.arange(len(rows))
    ax = _axes(ax)
    ax.barh(at - 0.2, [100 * row["share"] for row in rows.values()], 0.4, label="of the penalty")
    zeros = [100 * row["zeros"] / max(row["size"], 1) for row in rows.values()]
    ax.barh(at + 0.2, zeros, 0.4, label="exact zeros", color="lightgrey", edgecolor="grey")
    ax.set_yticks(at, list(rows))
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    ax.set_xlabel("%")
    ax.legend()
    return ax


def couplings(found: Couplings, *, ax: Axes | None = None) -> Axes:
    """Which leaves the units of each class are in: a point for each axis, filled where it makes the units.

    Args:
        found: what `penalties.couplings` returned.
        ax: where to draw; by default in a figure of its own.
    """
    axes = sorted({(axis.path, axis.axis) for units in found for axis in units.axes})
    place = {key: y for y, key in enumerate(axes)}
    ax = _axes(ax)
    for x, units in enumerate(found):
        ys = [place[axis.path, axis.axis] for axis in units.axes]
        ax.plot([x, x], [min(ys), max(ys)], color="lightgrey", zorder=0)
        for y, axis in zip(ys, units.axes, strict=True):
            ax.plot([x], [y], "o", color="tab:blue", fillstyle="full" if axis.makes else "none")
    ax.set_xticks(range(len(found)), [f"{units.name}\n{units.units:,} units" for units in found], rotation=90)
    ax.set_yticks(range(len(axes)), [f"{path} axis {axis}" for path, axis in axes])
    ax.invert_yaxis()
    ax.set_title("filled: makes the units; open: reads them")
    return ax


def _axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a figure that belongs to nobody's global state."""
    return Figure(layout="constrained").subplots() if ax is None else ax


def _factors_on_x(ax: Axes, factors: np.ndarray) -> None:
    if np.all(factors > 0):
        ax.set_xscale("log")
    ax.set_xlabel("factor of the penalty")


def _with_errors(ax: Axes, x: np.ndarray, y: Any, errors: np.ndarray | None) -> None:
    known = errors is not None and np.isfinite(errors).any()
    ax.errorbar(x, y, errors if known else None, marker=".", capsize=2 if known else 0, color="tab:blue")


def _leaf(path: Path, name: str | None) -> Any:
    leaves = {leaf.path: leaf.value for leaf in leaves_with_paths(path.params)}
    if name is None and len(leaves) == 1:
        return next(iter(leaves.values()))
    if name not in leaves:
        given = "no leaf is named" if name is None else f"params have no leaf {name!r}"
        raise ValueError(f"{given}: expected one of {sorted(leaves)[:20]}")
    return leaves[name]


def _moduli(params: Params) -> np.ndarray:
    leaves = [np.asarray(leaf.value) for leaf in Opened(params).leaves if is_weight(leaf)]
    wide = [np.abs(w.astype(np.complex128 if np.iscomplexobj(w) else np.float64)).ravel() for w in leaves]
    return np.concatenate(wide) if wide else np.zeros(0)
