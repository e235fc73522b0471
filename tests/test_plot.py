"""Pictures show the numbers they are given, on axes that belong to nobody else."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import penalties
from penalties import L1, CrossValidation, FeatureRanking, Path, describe, kernels, plot

FACTORS = np.array([1.0, 0.1, 0.01])
W = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [-1.0, 3.0, 0.5, 0.0]], np.float32)


def path_of(params, **known):
    return Path(
        **{
            "factors": FACTORS,
            "params": params,
            "losses": None,
            "scores": np.array([0.2, 0.9, 0.8]),
            "standard_errors": np.array([0.1, 0.05, 0.1]),
            "zeros": {"w": np.array([4, 3, 1])},
            "sizes": {"w": 4},
            "optimality": None,
            "finite": np.ones(3, bool),
        }
        | known
    )


PATH = path_of({"w": W})


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_coefficients_are_a_line_for_each_weight():
    ax = plot.coefficients(PATH)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert [line.get_ydata().tolist() for line in lines] == W.T.tolist()
    assert ax.get_xscale() == "log"
    many = plot.coefficients(path_of({"w": np.arange(900.0).reshape(3, 300)}), "w")
    assert "the 200 largest of 300" in many.get_ylabel()
    assert max(line.get_ydata()[-1] for line in many.lines) == 899


def test_scores_and_what_is_chosen():
    ax = plot.scores(PATH)
    assert ax.containers[0][0].get_ydata().tolist() == [0.2, 0.9, 0.8]
    assert texts(ax) == ["chosen: 0.1"]
    ax = plot.sparsity_scores(PATH)
    assert ax.containers[0][0].get_xdata().tolist() == [25.0, 75.0, 100.0]
    assert texts(ax) == ["chosen: 75.0 % zeros, 0.9"]
    without_errors = path_of({"w": W}, standard_errors=np.full(3, np.nan))
    assert len(plot.scores(without_errors).containers[0][1]) == 0
    with pytest.raises(ValueError, match="this path has no scores"):
        plot.scores(path_of({"w": W}, scores=None))


def test_cross_validation_has_both_choices():
    losses = np.array([[3.0, 4.0], [1.0, 2.0], [0.9, 1.9]])
    found = CrossValidation(FACTORS, losses, losses.mean(1), np.full(3, 0.5), 0.01, 0.1, None)
    ax = plot.cross_validation(found)
    assert texts(ax) == ["best: 0.01", "within one standard error: 0.1"]
    assert ax.containers[0][0].get_ydata().tolist() == [3.5, 1.5, 1.4]


def test_features_alive_at_the_end_are_drawn_beyond_those_that_died():
    ranking = FeatureRanking(np.array([2, 0, 1]), np.array([0.5, 0.0, np.inf]), np.array([1.0, 0.0, 3.0]))
    ax = plot.features(ranking, ["age", "height", "weight"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["weight", "age", "height"]
    assert [bar.get_width() for bar in ax.patches] == [1.0, 0.5, 0.0]
    assert [text.get_text() for text in ax.texts] == [" alive"]
    assert len(plot.features(ranking, top=2).patches) == 2
    with pytest.raises(ValueError, match="2 names for 3 features"):
        plot.features(ranking, ["a", "b"])
    for top in (-1, 0):
        with pytest.raises(ValueError, match=f"top is {top}: expected an int ≥ 1"):
            plot.features(ranking, top=top)


def test_exact_zeros_of_weights_are_grey():
    ax = plot.weights(np.array([[0.0, 1e-30], [-2.0, 0.0]]))
    colored, grey = ax.images
    assert colored.get_array().mask.tolist() == [[True, False], [False, True]]
    assert grey.get_array().mask.tolist() == [[False, True], [True, False]]
    assert grey.cmap(0.0)[:3] == to_rgb("lightgrey")
    assert ax.get_title() == "2 of 4 are exactly zero (50.0 %)"
    conv = plot.weights(np.ones((2, 2, 3, 5))).images[0].get_array()
    assert conv.shape == (12, 5)
    with pytest.raises(ValueError, match=r"shape \(0, 3\) has no weights"):
        plot.weights(np.zeros((0, 3)))


def test_histograms_count_every_weight():
    before, after = {"w": np.array([0.0, 1.0, 2.0, -3.0])}, {"w": np.array([0.0, 0.0, 0.0, -3.0])}
    ax = plot.histograms(before, after, bins=10)
    assert texts(ax) == ["before: 1 of 4 are exactly zero", "after: 3 of 4 are exactly zero"]
    assert [patch.get_data().values.sum() for patch in ax.patches] == [3, 1, 1, 3]
    plot.histograms({"w": np.zeros(3)}, {})


def test_description_as_bars():
    params = {"kernel": jnp.array([[1.0, 0.0]]), "bias": jnp.zeros(2)}
    ax = plot.description(describe(L1(0.1).on(kernels), params))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bias", "kernel"]
    assert [bar.get_width() for bar in ax.patches] == [0, 100, 100, 50]


def test_couplings_are_a_column_for_each_class():
    params = [jnp.ones((2, 4)), jnp.ones((4, 3))]
    ax = plot.couplings(penalties.couplings(lambda w, x: jnp.tanh(x @ w[0]) @ w[1], params, jnp.ones((1, 2))))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0 axis 1", "1 axis 0"]
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [point.get_fillstyle() for point in points] == ["full", "none"]


def test_they_draw_on_the_axes_given_and_leave_pyplot_alone():
    for draw in (plot.coefficients, plot.scores):
        ax = Figure().subplots()
        assert draw(PATH, ax=ax) is ax
    script = "import sys, numpy, penalties.plot as p; p.weights(numpy.ones((2, 2))); print(*sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "matplotlib.figure" in done.stdout
    assert "matplotlib.pyplot" not in done.stdout


def test_a_leaf_that_is_not_there_is_named():
    two = path_of({"a": W, "b": W})
    with pytest.raises(ValueError, match=r"no leaf is named: expected one of \['a', 'b'\]"):
        plot.coefficients(two)
    with pytest.raises(ValueError, match="params have no leaf 'c'"):
        plot.coefficients(two, "c")


def test_jax_arrays_are_taken_as_they_are():
    path = path_of(jax.tree.map(jnp.asarray, {"w": W}))
    assert len(plot.coefficients(path).lines) == 5
