"""cross_validate: the numbers of scikit-learn, folds of all kinds, and a training of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import ElasticNetCV, LassoCV
from sklearn.model_selection import KFold

from penalties import L1, ElasticNet, cross_validate, solve, strength_grid
from penalties._choose.fits import chunk_of

from choose.convex import X, Y, squares, zeros

FACTORS = np.geomspace(1.0, 0.001, 8)
# 38 samples in 5 folds: of 8 and of 7.
DATA = X[:38], Y[:38]


def found(penalty=None, folds=5, data=DATA, **options):
    penalty = L1(1.0).on("w") if penalty is None else penalty
    given = {"loss": squares, "factors": FACTORS, "params": zeros(), "tol": 1e-10}
    x, y = data
    return cross_validate(penalty=penalty, x=x, y=y, folds=folds, **(given | options))


def test_it_has_the_numbers_of_lasso_cv(x64):
    ours = found()
    theirs = LassoCV(alphas=FACTORS, cv=5, tol=1e-12, max_iter=100_000).fit(*DATA)
    np.testing.assert_allclose(2 * ours.losses, theirs.mse_path_, rtol=1e-6)
    np.testing.assert_allclose(2 * ours.mean, theirs.mse_path_.mean(1), rtol=1e-6)
    error = theirs.mse_path_.std(1, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(2 * ours.standard_error, error, rtol=1e-6)
    assert ours.best == theirs.alpha_
    best = theirs.mse_path_.mean(1).argmin()
    close = theirs.mse_path_.mean(1) <= theirs.mse_path_.mean(1)[best] + error[best]
    assert ours.one_se == FACTORS[close].max() > ours.best
    np.testing.assert_allclose(ours.params["w"], theirs.coef_, atol=1e-8)
    np.testing.assert_allclose(ours.params["b"], theirs.intercept_, atol=1e-8)
    in_chunks = found(chunk=3, factors=FACTORS[::-1])
    np.testing.assert_allclose(in_chunks.losses, ours.losses[::-1], rtol=1e-6)
    assert (in_chunks.best, in_chunks.one_se) == (ours.best, ours.one_se)


@pytest.mark.slow
def test_it_has_the_numbers_of_elastic_net_cv_with_folds_that_are_given(x64):
    folds = list(KFold(4, shuffle=True, random_state=0).split(X))
    ours = found(ElasticNet(0.5, 0.25).on("w"), folds, (X, Y))
    theirs = ElasticNetCV(l1_ratio=0.5, alphas=FACTORS, cv=folds, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(2 * ours.losses, theirs.mse_path_, rtol=1e-6)
    assert ours.best == theirs.alpha_


@pytest.mark.slow
def test_a_loss_that_is_not_quadratic_and_data_in_trees():
    def loss(params, x, y):
        return jnp.mean(jax.nn.softplus(x["a"] @ params["w"]) - y["b"] * (x["a"] @ params["w"]))

    x, y = {"a": jnp.asarray(X[:20, :3], jnp.float32)}, {"b": jnp.asarray(Y[:20] > 3, jnp.float32)}
    options = {"factors": [0.1, 0.01], "folds": 2, "params": {"w": jnp.zeros(3)}}
    ours = cross_validate(loss, L1(1.0), x, y, **options)
    rows = jnp.arange(10, 20)
    fitted = solve(loss, L1(0.01), {"w": jnp.zeros(3)}, {"a": x["a"][rows]}, {"b": y["b"][rows]}).params
    np.testing.assert_allclose(ours.losses[1, 0], loss(fitted, {"a": x["a"][:10]}, {"b": y["b"][:10]}), 1e-4)


def shrunk_mean(penalty, params, x, y):
    return {"w": params["w"], "b": penalty.prox(jnp.mean(y))}


def test_a_training_of_ones_own():
    x, y = jnp.zeros((4, 8)), jnp.array([1.0, 1.0, 3.0, 3.0])
    ours = found(L1(1.0), 2, (x, y), train=shrunk_mean, factors=[0.5, 2.0])
    # Means 3 and 1, less 0.5 and 2; half of the squared distance to 1 and to 3.
    np.testing.assert_allclose(ours.losses, [[1.5**2 / 2, 2.5**2 / 2], [0, 4.5]], atol=1e-6)
    assert ours.best == 0.5
    assert float(ours.params["b"]) == 1.5


@pytest.mark.slow
def test_fits_that_do_not_converge_are_told():
    with pytest.warns(UserWarning, match=r"\d+ of 41 fits did not reach the optimality"):
        found(tol=1e-7, max_iterations=10)


def test_one_factor_that_fails_does_not_win():
    def fails(penalty, params, x, y):
        return {"w": params["w"], "b": jnp.where(penalty.strength > 1, jnp.nan, jnp.mean(y))}

    ours = found(L1(1.0), 2, train=fails, factors=[2.0, 1.0])
    assert np.isnan(ours.mean[0])
    assert ours.best == ours.one_se == 1
    with pytest.raises(ValueError, match="no mean loss is finite"):
        found(L1(1.0), 2, train=fails, factors=[3.0, 2.0])


def twice(train, test):
    return {"folds": [(np.array(train), np.array(test))] * 2}


BAD = {
    "too many": (ValueError, "folds is 39, of 38 samples", {"folds": 39}),
    "one": (ValueError, "folds is 1, of 38 samples: expected at least 2", {"folds": 1}),
    "bool": (TypeError, "folds is True", {"folds": True}),
    "text": (TypeError, "folds is 'five' of type str", {"folds": "five"}),
    "one pair": (ValueError, "there are 1 folds", {"folds": [(np.arange(3), np.arange(3, 6))]}),
    "overlap": (ValueError, r"fold 0 holds out samples that it trains on: \[2\]", twice([1, 2], [2, 3])),
    "range": (ValueError, "go from 3 to 99: there are 38", twice([1, 2], [3, 99])),
    "mask": (ValueError, "dtype bool: expected integers", twice([True] * 38, [False] * 38)),
    "no rows": (ValueError, r"the test indices of fold 0 are of shape \(0,\)", twice([1, 2], [])),
    "lengths": (ValueError, r"expected one first axis of the same length", {"data": (X[:38], Y[:37])}),
    "scalars": (ValueError, r"expected one first axis", {"data": (X[:38], 1.0)}),
    "order": (ValueError, "must rise or fall", {"factors": [1.0, 3.0, 2.0]}),
    "chunk": (ValueError, "chunk is 0", {"chunk": 0}),
    "chunks": (TypeError, "chunk is 1.5", {"chunk": 1.5}),
    "penalty": (TypeError, "expected a Penalty", {"penalty": 1.0}),
    "loss": (TypeError, r"an array of shape \(8,\)", {"loss": lambda params, x, y: params["w"]}),
    "tol": (ValueError, "tol is -1", {"tol": -1}),
}


@pytest.mark.parametrize(("error", "message", "options"), BAD.values(), ids=BAD)
def test_bad_input(error, message, options):
    with pytest.raises(error, match=message):
        found(**options)


def test_what_a_training_returns_must_be_like_what_it_is_given():
    def returns_a_solution(penalty, params, x, y):
        return solve(lambda w: jnp.sum(w["w"] ** 2), penalty, params)

    with pytest.raises(ValueError, match=r"train returned the Solution of .solve.: .* its `\.params`"):
        found(L1(1.0), 2, train=returns_a_solution)
    with pytest.raises(
        ValueError, match=r"train returned another structure than it was given: at 'b' nothing"
    ):
        found(L1(1.0), 2, train=lambda penalty, params, x, y: (params, 3))


def test_the_grid_of_a_maximum_is_taken_as_it_is():
    x, y = jnp.zeros((4, 8)), jnp.array([1.0, 1.0, 3.0, 3.0])
    ours = found(L1(1.0), 2, (x, y), train=shrunk_mean, factors=strength_grid(2.0, count=3))
    assert ours.factors.shape == (3,)


def test_weak_strengths_are_fitted_apart():
    def train(penalty, params, x, y):
        return params

    asked = [
        (None, 100, None),
        (None, 9, None),
        (None, 7, None),
        (None, 1, None),
        (None, 100, train),
        (5, 8, None),
    ]
    assert [chunk_of(*each) for each in asked] == [50, 3, None, None, None, 5]
