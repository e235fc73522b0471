"""write_page: a path as one HTML file, to slide over the strengths and see zeros, scores and features."""

import base64
import contextlib
import hashlib
import html
import json
import os
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from penalties._choose.feature_sizes import feature_sizes
from penalties._choose.path import Path
from penalties._choose.rank_features import rank_features

_MOST_FEATURES = 200  # those after them are counted, and neither listed nor in the file


def write_page(
    path: Path,
    file: str | os.PathLike[str],
    *,
    leaf: str | Sequence[str] | None = None,
    axis: int = 0,
    names: Sequence[str] | None = None,
    title: str = "Regularization path",
) -> None:
    """Writes the path as an interactive page: one HTML file that asks for nothing else, and needs no network.

    A slider goes from the weakest strength to the strongest; with it go the share of exact zeros, overall and
    by leaf, score and loss with the points that `best("min")` and `best("one_se")` choose, and the features
    that are alive, by the Euclidean norm of their weights. Points that are not finite are marked.
    `page.html#3` opens at `path[3]`. The same arguments write the same bytes.

    The file holds no weights: of each point its numbers, six digits of each, and the norms of up to 200
    features, those that matter most to `rank_features`; how many are alive is counted over all of them.

    Args:
        path: what `fit_path` returned.
        file: where to write; a file that is there is replaced.
        leaf: whose features to show, "first/kernel"; or several leaves that all read the same features; None,
            no features.
        axis: the axis of the features in each of these leaves.
        names: of the features, in the order of their indices.
        title: of the page.

    Raises:
        ValueError: the path has no points; params have no such leaf, or it no such axis; there are not as
            many names as features, or names and no leaf.
        FileNotFoundError: the folder does not exist.

    >>> import pathlib, tempfile
    >>> import jax.numpy as jnp
    >>> from penalties import L1, fit_path, solve, write_page
    >>> def loss(params):
    ...     return jnp.sum((params["w"] - jnp.array([[3.0], [-1.0], [0.5]])) ** 2) / 2
    >>> path = fit_path(
    ...     lambda penalty, params: solve(loss, penalty, params).params,
    ...     L1(1.0), [2.0, 0.75], {"w": jnp.zeros((3, 1))}, loss=loss, progress=False,
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "path.html"
    ...     write_page(path, file, leaf="w", names=["age", "height", "weight"])
    ...     file.read_text(encoding="utf-8").splitlines()[0]
    '<!doctype html>'
    """
    if not len(path):
        raise ValueError("the path has no points to show")
    if leaf is None and names is not None:
        raise ValueError(f"{len(names)} names and no leaf: name the leaf whose features they are")
    shown = _shown(path) | {"features": None if leaf is None else _features(path, leaf, axis, names)}
    page = _filled(title, shown)
    folder = os.path.dirname(os.fspath(file))
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder!r} to write a page into: create it first")
    with open(file, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(page)


def _shown(path: Path) -> dict[str, Any]:
    """What is known of each point, from the weakest to the strongest, as the slider goes."""
    order = _from_the_weakest(path)
    return {
        "index": order.tolist(),
        "factor": _plain(path.factors[order]),
        "finite": path.finite[order].tolist(),
        "loss": None if path.losses is None else _plain(path.losses[order]),
        "score": None if path.scores is None else _plain(path.scores[order]),
        "error": None if path.standard_errors is None else _plain(path.standard_errors[order]),
        "optimality": None if path.optimality is None else _plain(path.optimality[order]),
        "leaves": [
            {"path": name, "size": path.sizes[name], "zeros": count[order].tolist()}
            for name, count in path.zeros.items()
        ],
        "chosen": _chosen(path),
    }


def _chosen(path: Path) -> dict[str, int]:
    """The index in the path of what each rule chooses; a rule that finds no point is not there."""
    chosen = {}
    for rule in ("min", "one_se"):
        with contextlib.suppress(ValueError):
            factor = path.best(rule).factor  # type: ignore[arg-type]
            chosen[rule] = int(np.argmax(path.factors == factor))
    return chosen


def _features(
    path: Path, leaf: str | Sequence[str], axis: int, names: Sequence[str] | None
) -> dict[str, Any]:
    ranking = rank_features(path, leaf, axis)
    if names is not None and len(names) != len(ranking):
        raise ValueError(f"{len(names)} names for {len(ranking)} features")
    listed = ranking.order[:_MOST_FEATURES]
    order = _from_the_weakest(path)
    finite = path.finite[order]
    sizes = feature_sizes(path, order[finite], leaf, axis)
    known = zip((sizes > 0).sum(1).tolist(), map(_plain, sizes[:, listed]), strict=True)
    points = [next(known) if is_finite else (None, None) for is_finite in finite]
    return {
        "leaf": leaf if isinstance(leaf, str) else ", ".join(leaf),
        "count": len(ranking),
        "names": [str(i) if names is None else str(names[i]) for i in listed],
        "alive": [alive for alive, _ in points],
        "sizes": [size for _, size in points],
    }


def _from_the_weakest(path: Path) -> np.ndarray:
    return np.argsort(path.factors, kind="stable")


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers of JSON, which knows neither NaN nor infinity; six digits are more than can be seen."""
    return [float(f"{x:.6g}") if np.isfinite(x) else None for x in np.asarray(values, np.float64)]


def _filled(title: str, shown: dict[str, Any]) -> str:
    """The page with its data in it.

    Names come from whoever made the model. As JSON without `<`, they cannot end the element they are in; the
    script makes text of them, never markup; and the browser runs and loads nothing but what has these hashes.
    """
    parts = {name: _part(f"page.{name}") for name in ("html", "css", "js")}
    data = json.dumps(shown, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return Template(parts["html"]).substitute(
        title=html.escape(title),
        style=parts["css"],
        style_hash=_hash(parts["css"]),
        script=parts["js"],
        script_hash=_hash(parts["js"]),
        data=data,
    )


def _part(name: str) -> str:
    return resources.files("penalties._choose").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names what may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
