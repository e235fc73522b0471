"""The examples' claims: the ways agree with each other and with scikit-learn, zeros included."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from penalties import L1, MCP, Grouped, LogSum

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))
feature_selection = importlib.import_module("feature_selection")
fuel_efficiency = importlib.import_module("fuel_efficiency")
house_prices = importlib.import_module("house_prices")
large_weights = importlib.import_module("large_weights")
textbook_claims = importlib.import_module("textbook_claims")
tuned_strengths = importlib.import_module("tuned_strengths")

NAMES = ["L2", "L1", "ElasticNet"]
WAYS = ["in the loss", "in the chain", "in Keras"]
STEPS = 3000


@pytest.fixture(scope="module", autouse=True)
def promotion():
    """Examples are users' programs: Keras and optax promote dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def houses():
    return house_prices.load_houses()


@pytest.fixture(scope="module")
def choices(houses):
    return house_prices.choose_strengths(houses)


@pytest.fixture(scope="module")
def weights(houses, choices):
    return house_prices.train_all(houses, choices, STEPS)


def test_the_table_is_whole():
    houses = house_prices.load_houses()
    prices = np.genfromtxt(house_prices.TABLE, delimiter=",", names=True, dtype=None, encoding="utf-8")[
        "price"
    ]
    assert len(houses.x_train) + len(houses.x_test) == len(prices) == 546
    assert (prices.min(), prices.max()) == (25_000, 190_000)
    assert houses.x_train.shape[1] > len(houses.x_train)  # more features than the data supports


@pytest.mark.parametrize("name", NAMES)
def test_loss_chain_and_keras_agree(weights, name):
    loss, chain, in_keras = (weights[way, name] for way in WAYS)
    np.testing.assert_allclose(chain, loss, rtol=1e-5, atol=1e-5)
    # Without exact zeros, weights keep trembling about zero by about the last learning rate.
    assert house_prices.relative_difference(in_keras, loss) < (1e-6 if name == "L2" else 1e-3)


@pytest.mark.parametrize("way", [*WAYS, "penalized"])
def test_ridge_is_that_of_scikit_learn(weights, choices, way):
    np.testing.assert_allclose(weights[way, "L2"], choices["L2"].reference.coef_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["L1", "ElasticNet"])
def test_penalized_is_the_solution_of_scikit_learn_with_its_zeros(weights, choices, name):
    ours, theirs = weights["penalized", name], choices[name].reference.coef_
    assert house_prices.relative_difference(ours, theirs) < 1e-5
    np.testing.assert_array_equal(ours != 0, theirs != 0)


@pytest.mark.parametrize("name", ["L1", "ElasticNet"])
@pytest.mark.parametrize("way", WAYS)
def test_without_penalized_the_solution_is_near_and_no_weight_is_zero(weights, choices, way, name):
    w = weights[way, name]
    assert house_prices.relative_difference(w, choices[name].reference.coef_) < 1e-3
    assert house_prices.exactly_zero(w) == 0


def test_made_up_features_are_exactly_zero(weights):
    made_up = weights["penalized", "L1"][len(house_prices.REAL_FEATURES) :]
    np.testing.assert_array_equal(made_up, 0)


def test_every_penalty_forecasts_better_than_none(weights, houses):
    none = house_prices.average_error(weights["no penalty", ""], houses)
    for name in NAMES:
        assert house_prices.average_error(weights["penalized", name], houses) < none / 2


@pytest.mark.parametrize("seed", [0, 1])
def test_bootstraps_select_what_scikit_learn_selects(seed):
    x, y = textbook_claims.make_houses(200, seed)
    rows = textbook_claims.draw_bootstraps(200, 20, seed)
    methods = textbook_claims.choose_methods(x, y)
    penalties = [method.penalty for method in methods.values()]
    ours = textbook_claims.fit_all(textbook_claims.exactly, penalties, x, y, rows, 6000)
    hand = textbook_claims.fit_all(textbook_claims.by_hand, penalties, x, y, rows, 6000)
    theirs = textbook_claims.fit_all_by_scikit_learn(methods, x, y, rows)
    np.testing.assert_array_equal(ours != 0, theirs != 0)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert (ours[0] == 0).any()
    assert not (hand == 0).any()


def test_l2_shares_what_l1_drops():
    x, y = fuel_efficiency.load_cars()
    samples = fuel_efficiency.draw_samples(len(y), 60, 30, seed=0)
    penalties = fuel_efficiency.choose_penalties(x, y, samples[:10], "one-standard-error")
    weights, _ = fuel_efficiency.train_all(penalties, x, y, samples, 4000)
    none, l1, net, l2 = weights[:, :, fuel_efficiency.PAIR]
    assert np.mean(np.any(l1 == 0, axis=1)) > 0.5 > np.mean(np.any(net == 0, axis=1))
    assert not np.any(l2 == 0)
    spreads = [w.std(axis=0).mean() for w in (none, l1, net, l2)]
    assert spreads == sorted(spreads, reverse=True)


def test_mcp_leaves_large_weights_as_they_are():
    data, held_out, truth = large_weights.make_regressions(4, seed=1)
    factors = np.geomspace(0.05, 0.5, 8)
    found = [
        large_weights.fit_and_choose(penalty, factors, data, held_out, 1000)
        for penalty in (L1(1.0), MCP(1.0))
    ]
    l1, mcp = ([float(cell) for cell in large_weights.regression_row(w, truth)] for w in found)
    assert l1[0] > 0.08 > 0.04 > abs(mcp[0])  # shrunk by
    assert mcp[2] > l1[2] + 0.2  # F1 of the support
    assert mcp[3] < l1[3] / 1.3  # distance to the truth


def test_a_network_finds_the_columns_that_matter_and_is_better_on_them_alone():
    data, held_out, _ = feature_selection.make_data(seed=1)
    penalty = Grouped(LogSum(1.0, epsilon=0.03), axis=0).on("first/kernel")
    ranking, _ = feature_selection.rank_by_path(penalty, data, held_out, points=15, steps=100)
    assert set(ranking.top(5)) == set(feature_selection.REAL.values())
    networks = feature_selection.make_judge(data, 200)(ranking.order)
    scores = jax.vmap(feature_selection.r2, (0, None))(networks, held_out)
    assert scores[feature_selection.COUNTS.index(5)] > scores[-1] + 0.2
    kernel = np.asarray(networks["first"]["kernel"][feature_selection.COUNTS.index(5)])
    np.testing.assert_array_equal(kernel[ranking.order[5:]], 0)


def test_strengths_of_inputs_follow_the_gradient_of_a_held_out_loss():
    data, held_out, _ = tuned_strengths.make_data(seed=1)
    start = {"first": np.full((20, 1), -6.9, np.float32), "second": np.float32(-6.9), "out": np.float32(-6.9)}
    best, losses = tuned_strengths.tune(start, data, held_out, steps=100, looks=15)
    assert np.isfinite(losses).all()
    assert min(losses) < 0.8 * losses[0]
    each = np.asarray(best["first"])[:, 0]
    assert each[:5].mean() < each[5:].mean()  # the five that matter are held less


def test_the_curves_of_all_penalties_are_drawn(tmp_path):
    command = [sys.executable, str(EXAMPLES / "penalty_curves.py"), "--quick"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["penalty_curves.png", "penalty_levels.png"]


@pytest.mark.parametrize("example", ["textbook_claims"])
def test_runs_from_any_directory(example, tmp_path):
    command = [sys.executable, str(EXAMPLES / f"{example}.py"), "--quick"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"{example}.png"]
