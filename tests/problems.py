"""Problems with known solutions, the optimizers that have to solve them, and one way to train.

The solutions come from scikit-learn, or from a long FISTA with formulas of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import linear_model

from penalties import penalized

STEPS = 20_000


@dataclass
class Family:
    """Several problems of one shape, trained in one vmapped run.

    `loss(w, data)` is the smooth part, `penalty(strengths)` ours, `value(w, strengths)` the same
    penalty written by hand; `solutions` are the oracle's, one for each problem.
    """

    loss: Callable[[Any, Any], Any]
    penalty: Callable[[Any], Any]
    value: Callable[[Any, Any], Any]
    data: Any
    strengths: Any
    solutions: np.ndarray
    rate: float  # of gradient descent: a safe 1/curvature

    def objective(self, w):
        smooth = jax.vmap(self.loss)(w, self.data)
        return np.asarray(smooth + jax.vmap(self.value)(w, self.strengths))

    def gap(self, w):
        """How far above the best objective, relative to it, for each problem."""
        best = self.objective(self.solutions)
        return (self.objective(w) - best) / best


def lenient(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The optimizer as it is, free to mix dtypes as optax does; what is around it stays strict."""
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params):
        with jax.numpy_dtype_promotion("standard"):
            return optimizer.init(params)

    def update(updates, state, params=None, **extra_args):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return optimizer.update(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(init, update)


def train(family: Family, optimizer: optax.GradientTransformation, steps: int = STEPS, **options: Any):
    """The params after training each problem of the family from zero."""

    def run(data, strengths, shape):
        tx = penalized(lenient(optimizer), family.penalty(strengths), **options)

        def step(carry, _):
            w, state = carry
            updates, state = tx.update(jax.grad(family.loss)(w, data), state, w)
            return (optax.apply_updates(w, updates), state), None

        w = jnp.zeros(shape, jax.dtypes.canonicalize_dtype(float))
        return jax.lax.scan(step, (w, tx.init(w)), length=steps)[0][0]

    shape = family.solutions.shape[1:]
    dtype = jax.dtypes.canonicalize_dtype(float)
    data, strengths = jax.tree.map(lambda x: np.asarray(x, dtype), (family.data, family.strengths))
    return np.asarray(jax.jit(jax.vmap(lambda data, s: run(data, s, shape)))(data, strengths))


def design(seed: int, n: int, p: int, badly_scaled: bool, density: float = 0.3):
    """A random design, well conditioned or with column scales from 0.1 to 3, and a sparse truth."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    if badly_scaled:
        x *= rng.permutation(np.geomspace(0.1, 3, p))
    truth = np.where(rng.random(p) < density, 2 * rng.normal(size=p), 0)
    return x, truth, rng


def _as_jax(*arrays):
    return tuple(jnp.asarray(np.asarray(a), jax.dtypes.canonicalize_dtype(float)) for a in arrays)


def _squared_error(w, data):
    x, y = data
    return jnp.mean((x @ w.reshape(-1) - y) ** 2)


def least_squares(n: int, p: int) -> Family:
    """Lasso and elastic net, well and badly scaled; scikit-learn's solutions.

    scikit-learn's loss is ½ of ours, hence its alpha·l1_ratio is l1/2 and alpha·(1 − l1_ratio) is l2.
    """
    from penalties import ElasticNet

    xs, ys, strengths, solutions = [], [], [], []
    for seed, (badly_scaled, l2) in enumerate([(False, 0.0), (True, 0.0), (False, 0.1), (True, 0.1)]):
        x, truth, rng = design(seed, n, p, badly_scaled)
        y = x @ truth + 0.5 * rng.normal(size=n)
        l1 = 0.3
        oracle = linear_model.ElasticNet(
            alpha=l1 / 2 + l2,
            l1_ratio=(l1 / 2) / (l1 / 2 + l2),
            fit_intercept=False,
            tol=1e-15,
            max_iter=2_000_000,
        )
        solutions.append(oracle.fit(x, y).coef_)
        xs, ys, strengths = [*xs, x], [*ys, y], [*strengths, (l1, l2)]
    return Family(
        loss=_squared_error,
        penalty=lambda s: ElasticNet(s[0], s[1]),
        value=lambda w, s: s[0] * jnp.sum(jnp.abs(w)) + s[1] * jnp.sum(w * w),
        data=_as_jax(xs, ys),
        strengths=_as_jax(*zip(*strengths, strict=True)),
        solutions=np.stack(solutions),
        rate=0.03,
    )


def grouped(n: int, members: int, groups: int) -> Family:
    """Group lasso, one group per column of a (members, groups) array, well and badly scaled."""
    from penalties import GroupLasso

    xs, ys = [], []
    for seed, badly_scaled in enumerate([False, True]):
        x, _, rng = design(seed, n, members * groups, badly_scaled)
        truth = rng.normal(size=(members, groups)) * (np.arange(groups) < groups // 4)
        xs, ys = [*xs, x], [*ys, x @ truth.reshape(-1) + 0.5 * rng.normal(size=n)]
    data, strengths = _as_jax(xs, ys), _as_jax([0.5, 0.5])[0]

    def shrink(w, t):
        size = jnp.sqrt(jnp.sum(w * w, 0, keepdims=True))
        t = t * np.sqrt(members)
        return jnp.where(size > t, w * (1 - t / jnp.where(size > t, size, 1)), 0)

    return Family(
        loss=_squared_error,
        penalty=GroupLasso,
        value=lambda w, s: s * np.sqrt(members) * jnp.sum(jnp.sqrt(jnp.sum(w * w, 0))),
        data=data,
        strengths=strengths,
        solutions=_fista(_squared_error, shrink, data, strengths, (members, groups)),
        rate=0.03,
    )


def sparse_grouped(n: int, members: int, groups: int) -> Family:
    """Sparse group lasso: a group lasso and a lasso on the same weights, well and badly scaled."""
    from penalties import L1, GroupLasso

    xs, ys = [], []
    for seed, badly_scaled in enumerate([False, True]):
        x, _, rng = design(seed, n, members * groups, badly_scaled)
        truth = rng.normal(size=(members, groups)) * (rng.random((members, groups)) < 0.6)
        truth *= np.arange(groups) < groups // 3
        xs, ys = [*xs, x], [*ys, x @ truth.reshape(-1) + 0.5 * rng.normal(size=n)]
    data, strengths = _as_jax(xs, ys), _as_jax([0.3, 0.3])[0]

    def shrink(w, t):
        w = _soft(w, t)
        size = jnp.sqrt(jnp.sum(w * w, 0, keepdims=True))
        t = t * np.sqrt(members)
        return jnp.where(size > t, w * (1 - t / jnp.where(size > t, size, 1)), 0)

    return Family(
        loss=_squared_error,
        penalty=lambda s: GroupLasso(s) + L1(s),
        value=lambda w, s: (
            s * (np.sqrt(members) * jnp.sum(jnp.sqrt(jnp.sum(w * w, 0))) + jnp.sum(jnp.abs(w)))
        ),
        data=data,
        strengths=strengths,
        solutions=_fista(_squared_error, shrink, data, strengths, (members, groups), 20_000),
        rate=0.03,
    )


def _logistic_loss(w, data):
    x, y = data
    return jnp.mean(jax.nn.softplus(-y * (x @ w)))


def _soft(w, t):
    return jnp.sign(w) * jnp.maximum(jnp.abs(w) - t, 0)


def logistic(n: int, p: int) -> Family:
    """L1 logistic regression, well and badly scaled."""
    from penalties import L1

    xs, ys = [], []
    for seed, badly_scaled in enumerate([False, True]):
        x, truth, rng = design(seed, n, p, badly_scaled)
        xs, ys = [*xs, x], [*ys, np.sign(x @ truth + rng.logistic(size=n))]
    data, strengths = _as_jax(xs, ys), _as_jax([0.02, 0.02])[0]
    return Family(
        loss=_logistic_loss,
        penalty=L1,
        value=lambda w, s: s * jnp.sum(jnp.abs(w)),
        data=data,
        strengths=strengths,
        solutions=_fista(_logistic_loss, _soft, data, strengths, (p,)),
        rate=0.2,
    )


def _softmax_loss(w, data):
    x, y = data
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(x @ w), -1))


def softmax(n: int, p: int, classes: int) -> Family:
    """L1 softmax regression, well and badly scaled; the weights are a matrix."""
    from penalties import L1

    xs, ys = [], []
    for seed, badly_scaled in enumerate([False, True]):
        x, _, rng = design(seed, n, p, badly_scaled)
        truth = np.where(rng.random((p, classes)) < 0.3, rng.normal(size=(p, classes)), 0)
        label = np.argmax(x @ truth + rng.gumbel(size=(n, classes)), -1)
        xs, ys = [*xs, x], [*ys, np.eye(classes)[label]]
    data, strengths = _as_jax(xs, ys), _as_jax([0.02, 0.02])[0]
    return Family(
        loss=_softmax_loss,
        penalty=L1,
        value=lambda w, s: s * jnp.sum(jnp.abs(w)),
        data=data,
        strengths=strengths,
        solutions=_fista(_softmax_loss, _soft, data, strengths, (p, classes)),
        rate=0.2,
    )


def _fista(loss, shrink, data, strengths, shape, iterations=60_000):
    """FISTA with adaptive restart (O'Donoghue and Candès 2015); checked to be at a fixed point."""
    x = data[0]
    rate = 1 / (2 * jnp.linalg.norm(x, 2, axis=(-2, -1)) ** 2 / x.shape[-2])

    def solve(data, strength, rate):
        def step(carry, _):
            w, z, t = carry
            new = shrink(z - rate * jax.grad(loss)(z, data), rate * strength)
            restart = jnp.sum((z - new) * (new - w)) > 0
            t = jnp.where(restart, 1.0, t)
            t_new = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
            return (new, new + (t - 1) / t_new * (new - w), t_new), jnp.max(jnp.abs(new - w))

        w = jnp.zeros(shape, jax.dtypes.canonicalize_dtype(float))
        (w, _, _), moved = jax.lax.scan(step, (w, w, jnp.ones((), w.dtype)), length=iterations)
        return w, moved[-1]

    solutions, moved = jax.jit(jax.vmap(solve))(data, strengths, rate)
    assert float(jnp.max(moved)) < 1e-13, "FISTA has not converged"
    return np.asarray(solutions)


def _decaying(rate: float):
    return optax.cosine_decay_schedule(rate, STEPS)


# Every optimizer that has to reach the exact solution, each with a rate a user would take;
# those that scale the gradient by nothing are given the problem's.
OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "sgd": lambda rate: optax.sgd(_decaying(rate)),
    "momentum": lambda rate: optax.sgd(_decaying(rate / 3), 0.9),
    "nesterov": lambda rate: optax.sgd(_decaying(rate / 3), 0.9, nesterov=True),
    "adam": lambda rate: optax.adam(_decaying(1e-2)),
    "adamw": lambda rate: optax.adamw(_decaying(1e-2), weight_decay=0.0),
    "nadam": lambda rate: optax.nadam(_decaying(1e-2)),
    "radam": lambda rate: optax.radam(_decaying(1e-2)),
    "amsgrad": lambda rate: optax.amsgrad(_decaying(0.1)),
    "adamax": lambda rate: optax.adamax(_decaying(1e-2)),
    "adabelief": lambda rate: optax.adabelief(_decaying(1e-2)),
    "yogi": lambda rate: optax.yogi(_decaying(3e-2)),
    "rmsprop": lambda rate: optax.rmsprop(_decaying(1e-2)),
    "adagrad": lambda rate: optax.adagrad(_decaying(0.3)),
    "adadelta": lambda rate: optax.adadelta(_decaying(1.0)),
    "adafactor": lambda rate: optax.adafactor(_decaying(1e-2)),
    "lamb": lambda rate: optax.lamb(_decaying(1e-2)),
    "lars": lambda rate: optax.lars(_decaying(0.3)),
    "novograd": lambda rate: optax.novograd(_decaying(1e-2)),
    "lion": lambda rate: optax.lion(_decaying(1e-3)),
    "sign_sgd": lambda rate: optax.sign_sgd(_decaying(1e-3)),
    "muon": lambda rate: optax.contrib.muon(_decaying(1e-2)),
    "sm3": lambda rate: optax.inject_hyperparams(optax.sm3)(_decaying(1.0)),
    "adan": lambda rate: optax.adan(_decaying(1e-2)),
    "adopt": lambda rate: optax.contrib.adopt(_decaying(0.1)),
    "ademamix": lambda rate: optax.contrib.ademamix(_decaying(3e-3), b3=0.99, alpha=1.0),
    "prodigy": lambda rate: optax.contrib.prodigy(_decaying(1.0)),
    "dog": lambda rate: optax.contrib.dog(),
    "clipped adam": lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(_decaying(1e-2))),
    "injected adam": lambda rate: optax.inject_hyperparams(optax.adam)(_decaying(1e-2)),
    "multi-step adam": lambda rate: optax.MultiSteps(
        optax.adam(optax.cosine_decay_schedule(2e-2, STEPS // 2)), 2
    ),
    "guarded adam": lambda rate: optax.apply_if_finite(optax.adam(_decaying(1e-2)), 3),
}
