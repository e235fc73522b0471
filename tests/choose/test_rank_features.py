"""Features are ranked by the strength at which they die."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import lars_path

from penalties import L1, GroupLasso, Path, fit_path, rank_features, solve, strength_grid, strength_max

from choose.convex import X, Y


def path_of(params, factors, finite=None):
    return Path(
        factors=np.asarray(factors, float),
        params=params,
        losses=None,
        scores=None,
        standard_errors=None,
        zeros={},
        sizes={},
        optimality=None,
        finite=np.ones(len(factors), bool) if finite is None else np.asarray(finite),
    )


# Five features at three strengths, two units each, from weak to strong.
WEAK = [[1.0, 0.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.1], [0.0, 0.0]]
MIDDLE = [[0.5, 0.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.3]]
STRONG = [[0.0, 0.0], [0.0, 0.4], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
PARAMS = {"first": {"kernel": np.array([WEAK, MIDDLE, STRONG], np.float32)}}


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_last_to_die_is_the_first(order):
    params = {"first": {"kernel": PARAMS["first"]["kernel"][order]}}
    ranking = rank_features(path_of(params, np.array([0.1, 1.0, 10.0])[order]), "first/kernel")
    # The last one came back to life: what counts is from where on it is dead.
    assert ranking.order.tolist() == [1, 0, 4, 3, 2]
    assert ranking.died_at.tolist() == [10.0, np.inf, 0.0, 1.0, 10.0]
    np.testing.assert_allclose(ranking.size, [0.5, 0.4, 0.0, 0.1, 0.3], rtol=1e-6)
    assert ranking.top(2) == [1, 0]
    assert len(ranking) == 5


def test_points_that_are_not_finite_are_left_out():
    kernel = PARAMS["first"]["kernel"].copy()
    kernel[2] = np.nan
    path = path_of({"first": {"kernel": kernel}}, [0.1, 1.0, 10.0], [True, True, False])
    assert rank_features(path, "first/kernel").died_at.tolist() == [np.inf, np.inf, 0.0, 1.0, np.inf]


def test_several_leaves_that_read_the_same_features():
    one = np.zeros((2, 3, 2))
    one[1, 0], one[1, 1] = 1.0, 2.0
    other = np.zeros((2, 4, 3))
    other[0, :, 2] = 5.0
    path = path_of({"q": one, "k": np.moveaxis(other, 1, 2)}, [1.0, 0.1])
    assert rank_features(path, ("q", "k"), axis=0).top(3) == [2, 1, 0]
    assert rank_features(path, "k", axis=-2).top(1) == [2]


def test_small_weights_are_alive():
    params = np.zeros((1, 2, 2), np.float32)
    params[0, 1] = 1e-30
    assert rank_features(path_of(params, [1.0]), "").died_at.tolist() == [0.0, np.inf]


def test_the_order_of_the_lasso_is_that_in_which_lars_takes_features_in():
    def loss(w):
        return jnp.mean((jnp.asarray(X, jnp.float32) @ w - jnp.asarray(Y, jnp.float32)) ** 2) / 2

    start = jnp.zeros(X.shape[1])
    grads = -X.T @ Y / len(Y)
    factors = strength_grid(strength_max(L1(1.0), jnp.asarray(grads, jnp.float32)), ratio=1e-2, count=40)
    path = fit_path(lambda p, w: solve(loss, p, w).params, L1(1.0), factors, start, progress=False)
    _, active, _ = lars_path(X, Y, method="lasso")
    assert rank_features(path, "").top(3) == list(active[:3])


def test_groups_of_rows():
    w = {"kernel": jnp.array([[3.0, -3.0], [0.1, 0.1], [1.0, 2.0]])}
    path = fit_path(
        lambda p, w: p.prox(w), GroupLasso(1.0, axis=0), [0.2, 1.0, 2.0], w, progress=False, mode="parallel"
    )
    assert rank_features(path, "kernel").top(3) == [0, 2, 1]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda p: rank_features(p, "second"),
            ValueError,
            r"no leaf 'second': expected one of \['first/kernel'",
        ),
        (lambda p: rank_features(p, "first/kernel", axis=2), ValueError, r"has the shape \(5, 2\)"),
        (lambda p: rank_features(p, "first/kernel", axis="rows"), TypeError, "expected an int"),
        (lambda p: rank_features(p, ()), ValueError, "expected one leaf"),
        (lambda p: rank_features(p[:0], "first/kernel"), ValueError, "no point of this path is finite"),
        (lambda p: rank_features(p, "first/kernel").top(6), ValueError, "from 0 to 5"),
        (lambda p: rank_features(p, "first/kernel").top(1.5), TypeError, "expected an int"),
    ],
)
def test_what_does_not_fit_is_named(call, error, match):
    with pytest.raises(error, match=match):
        call(path_of(PARAMS, [0.1, 1.0, 10.0]))
