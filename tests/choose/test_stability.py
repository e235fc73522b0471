"""Stability selection: by hand on the same halves, and what is there by chance is not selected."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from penalties import L1, GroupLasso, StabilitySelection, solve, stability_selection
from penalties._choose.stability import _halves

from choose.convex import X, Y, squares, zeros

FACTORS = [1.0, 0.4, 0.1]
KEY = jax.random.key(7)


def found(penalty=None, **options):
    penalty = L1(1.0).on("w") if penalty is None else penalty
    given = {"factors": FACTORS, "params": zeros(), "key": KEY, "pairs": 3, "tol": 1e-9}
    # Copies: of an array that a test with 64 bits made a constant of, JAX may keep that constant.
    return stability_selection(squares, penalty, X.copy(), Y.copy(), **(given | options))


def test_halves_have_no_sample_in_common():
    halves = np.asarray(_halves(KEY, 5, 41))
    assert halves.shape == (10, 20)
    for one, other in halves.reshape(5, 2, 20):
        assert len({*one.tolist(), *other.tolist()}) == 40
    assert len({tuple(sorted(half.tolist())) for half in halves}) == 10


@pytest.mark.slow
def test_frequencies_are_those_of_scikit_learn_on_the_same_halves(x64):
    ours = found()
    selected = np.array(
        [
            [Lasso(alpha=a, tol=1e-12, max_iter=100_000).fit(X[rows], Y[rows]).coef_ != 0 for a in FACTORS]
            for rows in np.asarray(_halves(KEY, 3, len(X)))
        ]
    )
    by_then = np.maximum.accumulate(selected, 1)
    assert list(ours.frequencies) == ["w"]  # the intercept is not penalized
    np.testing.assert_allclose(ours.frequencies["w"], by_then.mean(0), rtol=1e-6)
    np.testing.assert_allclose(ours.mean_selected, by_then.sum(2).mean(0), rtol=1e-6)
    assert ours.halves == 6
    rising = found(factors=FACTORS[::-1], chunk=2)
    np.testing.assert_array_equal(rising.frequencies["w"], ours.frequencies["w"])


def test_what_is_selected():
    frequencies = {"w": np.array([[0.0, 1.0, 0.0, 0.0], [0.8, 1.0, 0.2, 0.0], [1.0, 1.0, 0.9, 0.6]])}
    selection = StabilitySelection(np.array([3.0, 2.0, 1.0]), frequencies, np.array([1.0, 2.0, 3.5]), 10)
    np.testing.assert_allclose(selection.expected_false(0.75), [0.5, 2.0, 6.125])
    assert selection.select()["w"].tolist() == [False, True, False, False]
    assert selection.select(expected_false=2.0)["w"].tolist() == [True, True, False, False]
    assert selection.select(threshold=0.95, expected_false=9)["w"].tolist() == [True, True, False, False]
    with pytest.raises(ValueError, match="begin at a stronger factor"):
        selection.select(expected_false=0.1)
    for threshold in (0.5, 1.1, True, "high"):
        with pytest.raises(ValueError, match="expected a share above"):
            selection.select(threshold=threshold)
    for expected_false in (-1, np.nan, "few"):
        with pytest.raises(ValueError, match="expected a number ≥ 0"):
            selection.select(expected_false=expected_false)
    assert selection.select(threshold=np.float32(0.75))["w"].tolist() == [False, True, False, False]


def test_noise_is_not_selected():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 30)).astype(np.float32)
    y = (x[:, :3] @ [2.0, -2.0, 1.5] + rng.normal(size=80)).astype(np.float32)
    selection = stability_selection(
        lambda w, x, y: jnp.mean((x @ w - y) ** 2) / 2,
        L1(1.0),
        x,
        y,
        factors=np.geomspace(2.0, 0.1, 6),
        params=jnp.zeros(30),
        key=KEY,
        pairs=20,
    )
    assert selection.select()[""].nonzero()[0].tolist() == [0, 1, 2]


def test_groups_and_a_training_of_ones_own():
    def train(penalty, params, x, y):
        return solve(squares, penalty, params, x, y).params

    x, y = jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)
    penalty = GroupLasso(0.3, axis=()).on("w")  # all weights are one group
    ours = stability_selection(
        squares, penalty, x, y, factors=[1.0], params=zeros(), key=KEY, pairs=2, train=train
    )
    assert np.ptp(ours.frequencies["w"]) == 0


def test_a_training_that_returns_a_solution_is_told():
    with pytest.raises(ValueError, match=r"train returned the Solution of .solve.: .* its `\.params`"):
        found(train=lambda penalty, params, x, y: solve(squares, penalty, params, x, y))


def test_a_training_that_diverges_is_told():
    def train(penalty, params, x, y):
        return jax.tree.map(lambda w: w + jnp.nan, params)

    with pytest.warns(UserWarning, match="18 of 18 fits .* are not finite"):
        found(train=train)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"pairs": 0}, ValueError, "pairs is 0"),
        ({"pairs": 1.5}, TypeError, "pairs is 1.5"),
        ({"chunk": 0}, ValueError, "chunk is 0"),
        ({"factors": [1.0, np.nan]}, ValueError, "all must be finite"),
        ({"penalty": 3}, TypeError, "expected a Penalty"),
    ],
)
def test_what_does_not_fit_is_named(options, error, match):
    with pytest.raises(error, match=match):
        found(**options)
    with pytest.raises(ValueError, match="3 samples: expected at least 4"):
        stability_selection(squares, L1(1.0), X[:3], Y[:3], factors=[1.0], params=zeros(), key=KEY)
