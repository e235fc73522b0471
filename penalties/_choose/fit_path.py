"""fit_path: one training after the other, or all at once, over the strengths of a penalty."""

import functools
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._choose.fits import check_trained
from penalties._choose.grid import concrete_factors
from penalties._choose.path import Path
from penalties._choose.problem import Problem, check_penalty, refuse_objects
from penalties._measure.sparsity import count_zeros
from penalties._penalty.base import Penalty
from penalties._penalty.binding import penalized_leaves
from penalties._tree.opening import Opened

Train = Callable[[Penalty, Any], Any]


def fit_path(
    train: Train,
    penalty: Penalty,
    factors: Any,
    params: Any,
    *,
    mode: Literal["warm", "parallel"] = "warm",
    loss: Callable[[Any], Any] | None = None,
    score: Callable[[Any], Any] | None = None,
    file: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Path:
    """Trains with factor·penalty for each of the factors: a regularization path.

    `train(penalty, params) -> params` is your own training, pure, and traced once: its loops are
    `jax.lax.scan`s or `fori_loop`s, its data are what it closes over.

    Args:
        train: from a penalty and initial params to trained params of the same structure.
        penalty: R, at strength 1, or at any that the factors are to scale.
        factors: rising or falling, finite, ≥ 0. Warm starts go in this order: from strong to weak for convex
            problems, `strength_grid(maximum)`; from weak to strong for networks, whose dead units never
            return, `strength_grid(maximum)[::-1]`.
        params: where the first training begins ("parallel": where each begins); any pytree of arrays.
        mode: "warm", each training begins where the last one ended; or "parallel", all begin at params, and
            run at once under `jax.vmap`.
        loss: `loss(params)`, without the penalty, of the data trained on: for the losses and the optimality.
        score: `score(params)`, higher is better, on held-out data; a number, or an array with one for each
            example or fold, whose mean is the score, and which gives it a standard error.
        file: where the path is saved after each point; if it is there already, its points are not trained
            again. It must be of the same factors, penalty, mode, and params; what `train` does is not known.
        progress: whether to show a bar, on stderr.

    Returns:
        A `Path`. A point with weights or a loss that are not finite is marked in `path.finite`, with a
        warning, and the next one begins at the last that is finite.

    Raises:
        ValueError: factors are not in order, finite and ≥ 0; `train` returns params of another structure,
            shape or dtype; the file is of another path.
        TypeError: what is traced, no penalty, or params that hold more than arrays.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, fit_path, solve, strength_grid
    >>> def loss(w):
    ...     return jnp.sum((w - jnp.array([3.0, -1.0, 0.5])) ** 2) / 2
    >>> def train(penalty, w):
    ...     return solve(loss, penalty, w).params
    >>> path = fit_path(train, L1(1.0), [3.0, 2.0, 0.75], jnp.zeros(3), loss=loss, progress=False)
    >>> path.params.round(3).tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.25, -0.25, 0.0]]
    >>> path.at(share=0.5).factor
    2.0

    Source: Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models via
    coordinate descent, J. Stat. Softw. 33 (2010).
    """
    check_penalty(penalty)
    if mode not in ("warm", "parallel"):
        raise ValueError(f'mode is {mode!r}: expected "warm" or "parallel"')
    numbers = concrete_factors(factors)
    numbers = numbers.astype(jax.dtypes.canonicalize_dtype(numbers.dtype))
    refuse_objects(params, "fit_path")
    params = jax.tree.map(jnp.asarray, params)
    if file is not None and not os.path.isdir(os.path.dirname(os.fspath(file)) or "."):
        raise FileNotFoundError(f"{os.fspath(file)}: there is no such folder, to save the path in")
    _check_train(train, penalty, numbers[0], params)
    counted = _counted(penalty, params)
    identity = {
        "penalty": repr(penalty),
        "mode": mode,
        "factors": [float(factor) for factor in numbers],
        "leaves": sorted(counted),
        "start": _checksum(params),
        "numbers": _numbers(penalty),
        "loss": loss is not None,
        "score": score is not None,
    }

    def fit(factor: Array, start: Any) -> tuple[Any, dict[str, Any]]:
        scaled = penalty.scaled(factor)
        fitted = train(scaled, start)
        return fitted, _looked_at(scaled, fitted, loss, score)

    def path_of(points: Any, records: dict[str, Any]) -> Path:
        return _as_path(numbers[: len(records["finite"])], points, records, counted, identity)

    done = _resumed(file, params, identity)
    if done is not None and len(done) == len(numbers):
        return done
    if mode == "parallel":
        points, records = jax.jit(jax.vmap(fit, (0, None)))(jnp.asarray(numbers), params)
        path = path_of(points, records)
        if file is not None:
            path.save(file)
    else:
        path = _one_after_the_other(jax.jit(fit), numbers, params, done, path_of, file, progress)
    if not path.finite.all():
        warnings.warn(
            f"{int(np.sum(~path.finite))} of {len(path)} points are not finite, at the factors "
            f"{path.factors[~path.finite].tolist()[:20]}: they are marked in `path.finite`",
            stacklevel=2,
        )
    return path


def _one_after_the_other(
    fit: Callable[..., tuple[Any, dict[str, Any]]],
    factors: np.ndarray,
    params: Any,
    done: Path | None,
    path_of: Callable[[Any, dict[str, Any]], Path],
    file: str | os.PathLike[str] | None,
    progress: bool,
) -> Path:
    before = [] if done is None else [(done[i].params, _record(done, i)) for i in range(len(done))]
    fits = list(before)
    start = next((fitted for fitted, record in reversed(fits) if record["finite"]), params)
    path = done
    with _bar(len(factors), len(fits), progress) as advance:
        for factor in factors[len(fits) :]:
            fitted, record = jax.block_until_ready(fit(jnp.asarray(factor), start))
            fits.append((fitted, record))
            if record["finite"]:
                start = fitted
            if file is not None:
                path = path_of(*_stacked(fits))
                path.save(file)
            advance()
    return path if path is not None and file is not None else path_of(*_stacked(fits))


def _stacked(fits: Sequence[tuple[Any, dict[str, Any]]]) -> tuple[Any, dict[str, Any]]:
    return jax.tree.map(lambda *xs: jnp.stack(xs), *fits)


def _looked_at(penalty: Penalty, params: Any, loss: Any, score: Any) -> dict[str, Any]:
    """What is recorded of one point, inside jit."""
    problem = Problem((lambda params: jnp.zeros(())) if loss is None else loss, penalty, params, ())
    finite = jnp.asarray(True)
    for w in problem.weights:
        finite &= jnp.all(jnp.isfinite(w))
    record: dict[str, Any] = {
        "zeros": [
            count_zeros(w)
            for w, is_counted in zip(problem.weights, problem.penalized(), strict=True)
            if is_counted
        ]
    }
    if loss is not None:
        value, gradient = problem.value_and_gradient(problem.weights)
        finite &= jnp.isfinite(value)
        record["losses"] = value
        record["optimality"] = problem.optimality(problem.weights, gradient, jnp.ones((), problem.dtype))
    if score is not None:
        scores = jnp.asarray(score(params))
        if scores.ndim > 1 or not scores.size:
            raise ValueError(
                f"the score returned an array of shape {scores.shape}: expected a number, or one for each "
                "example"
            )
        scores = scores.astype(problem.dtype).reshape(-1)
        error = jnp.std(scores, ddof=1) / np.sqrt(scores.size) if scores.size > 1 else jnp.full((), jnp.nan)
        record["scores"], record["standard_errors"] = jnp.mean(scores), error.astype(problem.dtype)
    return record | {"finite": finite}


_RECORDED = ("losses", "scores", "standard_errors", "optimality", "finite")


def _as_path(
    factors: np.ndarray,
    params: Any,
    records: dict[str, Any],
    counted: dict[str, int],
    identity: dict[str, Any],
) -> Path:
    host = jax.tree.map(np.asarray, records)
    return Path(
        factors=factors,
        params=params,
        zeros=dict(zip(counted, host["zeros"], strict=True)),
        sizes=counted,
        identity=identity,
        **{name: host.get(name) for name in _RECORDED},
    )


def _record(path: Path, at: int) -> dict[str, Any]:
    """What `_looked_at` had recorded of this point."""
    record: dict[str, Any] = {"zeros": [jnp.asarray(counts[at]) for counts in path.zeros.values()]}
    fields = {name: getattr(path, name) for name in _RECORDED}
    return record | {name: jnp.asarray(values[at]) for name, values in fields.items() if values is not None}


def _check_train(train: Train, penalty: Penalty, factor: Any, params: Any) -> None:
    """Raises ValueError if train returns params of another structure, before anything is trained."""
    fitted = jax.eval_shape(lambda f, p: train(penalty.scaled(f), p), jnp.asarray(factor), params)
    check_trained(fitted, params)
    if jax.tree.structure(params) != jax.tree.structure(fitted):
        raise ValueError(
            f"train returned another structure than it was given: {jax.tree.structure(fitted)}, and not "
            f"{jax.tree.structure(params)}"
        )


def _counted(penalty: Penalty, params: Any) -> dict[str, int]:
    """The sizes of the penalized leaves, by path."""
    return {leaf.path: int(leaf.value.size) for leaf in penalized_leaves(penalty, Opened(params).leaves)}


def _checksum(params: Any) -> int:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params) if leaf.dtype != jax.dtypes.float0]
    return functools.reduce(lambda crc, leaf: zlib.crc32(leaf.tobytes(), crc), leaves, 0)


def _numbers(penalty: Penalty) -> int:
    """Of what the repr of the penalty leaves out: arrays, masks, what is around what."""
    try:
        config = penalty.to_config()
    except TypeError:  # a function, which no other process can know
        return _checksum(jax.tree.map(jnp.asarray, penalty))
    return zlib.crc32(json.dumps(config, sort_keys=True).encode())


# What is too long to be shown where it differs.
_UNSHOWN = {"start": "other initial params", "numbers": "other arrays or masks in the penalty"}


def _resumed(file: Any, params: Any, identity: dict[str, Any]) -> Path | None:
    """The path in the file, as far as it went; None without one."""
    if file is None or not os.path.exists(file):
        return None
    path = Path.load(file, params)
    for name, wanted in identity.items():
        if path.identity.get(name) != wanted:
            differs = f"{name} {path.identity.get(name)!r} and not {wanted!r}"
            raise ValueError(
                f"{os.fspath(file)} holds the path of another run, with {_UNSHOWN.get(name, differs)}: "
                "delete it, or fit into another file"
            )
    return path


@contextmanager
def _bar(total: int, done: int, shown: bool) -> Iterator[Callable[[], None]]:
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("path", total=total, completed=done)
        yield lambda: bar.advance(task)
