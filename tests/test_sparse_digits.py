"""The example on digits keeps its promises, at small settings."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import sparse_digits
from sparse_digits import MLP, STRENGTHS, accuracy, dead, digits, each, methods, show_cut, train

from penalties import kernels, sparsity

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained():
    """Graph and params of each method, after 600 steps."""
    data = digits()
    runs = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for name, (in_loss, penalty) in methods(STRENGTHS[MLP]).items():
            graph, params, _ = train(MLP, in_loss, penalty, data, steps=600, seeds=1, chunks=2)
            runs[name] = (graph, next(iter(each(params))))
        accuracies = {name: accuracy(*run, data[1], data[3]) for name, run in runs.items()}
    return data, runs, accuracies


def test_penalized_l1_has_most_weights_exactly_zero_and_the_loss_none(trained):
    _, runs, _ = trained
    zeros = {name: float(sparsity(params, kernels).share) for name, (_, params) in runs.items()}
    assert zeros["penalized, L1"] > 0.7
    assert zeros["L1 in the loss, by hand"] == 0
    assert zeros["no penalty"] == 0


def test_group_lasso_kills_whole_neurons(trained):
    _, runs, _ = trained
    gone = dead(runs["penalized, GroupLasso"][1])
    assert gone["first"][0] > 50
    assert dead(runs["no penalty"][1])["first"][0] == 0


def test_the_accuracy_is_kept(trained):
    _, _, accuracies = trained
    for name, found in accuracies.items():
        assert found > accuracies["no penalty"] - 0.02, name


def test_the_network_cut_to_its_living_neurons_computes_the_same(trained):
    data, runs, _ = trained
    graph, params = runs["penalized, GroupLasso"]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert show_cut({"graph": graph, "params": params}, data[1]) < 1e-5
    kernel = sparse_digits.cut(params)[0][0]
    assert kernel.shape[1] < 300
    assert np.all((kernel != 0).any(0))


def test_the_picture_gives_the_share_of_the_table_and_that_of_the_layer_it_shows(trained):
    _, runs, _ = trained
    _, params = runs["penalized, GroupLasso"]
    zeros, first = float(sparsity(params, kernels).share), float(sparsity(params, "first/kernel").share)
    assert abs(zeros - first) > 0.001
    text = sparse_digits.caption({"zeros": zeros, "params": params})
    assert text == f"exactly zero: {zeros:.1%}, {first:.1%} in this layer"
