"""Groups of every shape against masks in NumPy, and what is said of shapes that do not fit."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import (
    L1,
    L2,
    MCP,
    ElasticNet,
    ExclusiveLasso,
    Grouped,
    GroupLasso,
    GroupLInf,
    MaxNorm,
    blocks,
    describe,
    from_config,
    labels,
    leaves,
    penalized,
    sparsity,
    units,
)

W = np.random.default_rng(0).normal(size=(4, 6))
I, J = np.indices(W.shape)
NAMES = np.random.default_rng(1).integers(3, 8, size=W.shape)
# What makes groups, and the group of each weight.
SHAPES = {
    "units": (units(0), I),
    "leaves": (leaves(), 0 * I),
    "tiles": (blocks((2, 3)), 2 * (I // 2) + J // 3),
    "heads": (blocks((None, 2)), J // 2),
    "pieces of the last axis": (blocks(3), 2 * I + J // 3),
    "labels": (labels(NAMES), NAMES),
    "labels of rows": (labels([[5], [5], [-1], [0]]), np.array([5, 5, -1, 0])[I]),
}
# Those that differ most run in every test run, the others with the slow tests.
FAST = ("tiles", "labels")
every_shape = pytest.mark.parametrize(
    ("groups", "group_of"),
    [pytest.param(*SHAPES[n], marks=[] if n in FAST else pytest.mark.slow, id=n) for n in SHAPES],
)


def split(group_of):
    """The mask of each group, in the order of their names."""
    return [group_of == name for name in np.unique(group_of)]


def soft_group(v, threshold):
    return v * max(1 - threshold / np.linalg.norm(v), 0)


def cut_group(v, by):
    """v where Σ max(|v| − c, 0) = by is cut off, by sorting (Duchi et al. 2008)."""
    sizes = np.sort(np.abs(v))[::-1]
    levels = (np.cumsum(sizes) - by) / np.arange(1, sizes.size + 1)
    level = max(levels[np.flatnonzero(sizes > levels)[-1]], 0)
    return np.sign(v) * np.minimum(np.abs(v), level)


def exclusive_group(v, by):
    """Soft thresholding by 2·by·‖z‖₁ of the result z, by sorting (Lin et al. 2023)."""
    sizes = np.sort(np.abs(v))[::-1]
    thresholds = 2 * by * np.cumsum(sizes) / (1 + 2 * by * np.arange(1, sizes.size + 1))
    threshold = thresholds[np.flatnonzero(sizes > thresholds)[-1]]
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0)


# The penalty, its value of one group, and its prox of one group with step·strength = t.
PENALTIES = {
    "GroupLasso": (
        GroupLasso,
        lambda v: np.sqrt(v.size) * np.linalg.norm(v),
        lambda v, t: soft_group(v, t * np.sqrt(v.size)),
    ),
    "GroupLInf": (GroupLInf, lambda v: v.size * np.abs(v).max(), lambda v, t: cut_group(v, t * v.size)),
    "ExclusiveLasso": (ExclusiveLasso, lambda v: np.abs(v).sum() ** 2, exclusive_group),
}


@pytest.mark.usefixtures("x64")
@every_shape
@pytest.mark.parametrize("name", PENALTIES)
def test_value_and_prox_are_those_of_each_group(name, groups, group_of):
    make, value, prox = PENALTIES[name]
    penalty = make(0.3, groups=groups)
    np.testing.assert_allclose(penalty(W), 0.3 * sum(value(W[g]) for g in split(group_of)), rtol=1e-13)
    for step in (0.2, 1.0, 30.0):
        expected = np.zeros_like(W)
        for group in split(group_of):
            expected[group] = prox(W[group], 0.3 * step)
        np.testing.assert_allclose(penalty.prox(W, step), expected, atol=1e-14)


@pytest.mark.usefixtures("x64")
@every_shape
def test_subgradient_and_settling_are_those_of_each_group(groups, group_of):
    penalty = GroupLasso(0.5, groups=groups)
    zero = group_of == group_of[0, 0]
    w, gradient = np.where(zero, 0, W), np.random.default_rng(2).normal(size=W.shape)
    expected = gradient.copy()
    for group in split(group_of):
        half_width = 0.5 * np.sqrt(group.sum())
        if np.all(w[group] == 0):
            expected[group] = soft_group(gradient[group], half_width)
        else:
            expected[group] += half_width * w[group] / np.linalg.norm(w[group])
    np.testing.assert_allclose(penalty.subgradient(w, gradient), expected, atol=1e-14)
    turned = group_of == group_of[-1, -1]
    settled = penalty.settle(w, np.where(turned, -w, 2 * w) + 0.01 * zero, np.ones_like(w))
    np.testing.assert_array_equal(settled, np.where(turned | zero, 0, 2 * w))


@pytest.mark.usefixtures("x64")
@every_shape
def test_weights_of_groups(groups, group_of):
    masks = split(group_of)
    numbers = np.linspace(1, 2, len(masks))
    if groups == blocks(3):
        numbers = numbers.reshape(4, 2)
    if groups == blocks((2, 3)):
        numbers = numbers.reshape(2, 2)
    if groups == leaves():
        numbers = np.asarray(1.0)
    penalty = GroupLasso(0.3, groups=groups, weights=numbers)
    norms = np.array([np.linalg.norm(W[g]) for g in masks])
    np.testing.assert_allclose(penalty(W), 0.3 * numbers.ravel() @ norms, rtol=1e-13)
    np.testing.assert_allclose(GroupLasso(0.3, groups=groups, weights=1)(W), 0.3 * norms.sum(), rtol=1e-13)
    sizes = np.array([g.sum() for g in masks])
    np.testing.assert_allclose(
        GroupLasso(0.3, groups=groups, weights="size")(W), 0.3 * sizes @ norms, rtol=1e-13
    )
    plain = Grouped(MCP(0.3), groups=groups, weights=1.0)
    np.testing.assert_allclose(plain(W), MCP(0.3)(norms), rtol=1e-13)
    np.testing.assert_allclose(Grouped(L2(0.3), groups=groups, weights=numbers)(W), 0.3 * (W**2).sum())
    with pytest.raises(
        ValueError, match=r"weights of shape \(9,\).*expected one number, or an array of shape"
    ):
        GroupLasso(0.3, groups=groups, weights=np.ones(9))(W)


def test_weights_are_a_word_or_numbers_above_zero():
    for wrong in ("root", None):
        with pytest.raises(TypeError, match=r"weights is .*expected one of \('sqrt', 'size'\), a number > 0"):
            GroupLasso(0.1, weights=wrong)
    with pytest.raises(ValueError, match=r"GroupLasso.weights is 0.0: expected a finite number > 0"):
        GroupLasso(0.1, weights=0.0)
    assert 2 * GroupLasso(0.1, weights=[1.0, 2.0]) == GroupLasso(0.2, weights=[1.0, 2.0])
    tree = {"a": jnp.ones((2, 3)), "b": jnp.ones((2, 1))}
    weighted = GroupLasso(1.0, weights={"a": jnp.array([1.0, 2.0, 3.0]), "b": 4.0})
    np.testing.assert_allclose(weighted(tree), np.sqrt(2) * (6 + 4), rtol=1e-6)


def test_an_axis_is_units():
    assert GroupLasso(0.1, groups=leaves()) == GroupLasso(0.1, axis=())
    for axis in (0, -1, (0, 1), np.int64(1)):
        assert GroupLasso(0.1, groups=units(axis)) == GroupLasso(0.1, axis)
    assert repr(GroupLasso(0.1, groups=units(0))) == "GroupLasso(strength=0.1, axis=0)"
    assert GroupLasso(0.1, 0).to_config() == {"name": "GroupLasso", "strength": 0.1, "axis": 0}
    assert GroupLasso(0.1, groups=blocks((4, 4))).axis is None
    with pytest.raises(ValueError, match=r"axis=0 and groups=leaves\(\): expected one of them"):
        GroupLasso(0.1, axis=0, groups=leaves())
    with pytest.raises(TypeError, match=r"groups is 'rows' of type str: expected units\(axis\), leaves\(\)"):
        GroupLasso(0.1, groups="rows")


@every_shape
def test_copies_configs_and_text_keep_the_groups(groups, group_of):
    penalty = GroupLasso(0.1, groups=groups, weights=2.0)
    config = json.loads(json.dumps(penalty.to_config()))
    for again in (from_config(config), pickle.loads(pickle.dumps(penalty)), jax.tree.map(float, penalty)):
        assert again == penalty
        assert hash(again) == hash(penalty)
        assert jax.tree.structure(again) == jax.tree.structure(penalty)
    assert penalty != GroupLasso(0.1, groups=labels(0 * NAMES), weights=2.0)
    assert repr(groups) in repr(penalty) or "axis=" in repr(penalty)


def test_labels_are_by_path_by_branch_or_for_all():
    params = {"a": {"kernel": jnp.asarray(W, jnp.float32), "bias": jnp.ones(6)}, "b": jnp.ones((2, 2))}
    tree = {"a": {"kernel": NAMES, "bias": [0, 0, 0, 1, 1, 1]}, "b": [[0], [1]]}
    penalty = GroupLasso(0.3, groups=labels(tree))
    apart = [
        GroupLasso(0.3, groups=labels(NAMES)).on("a/kernel"),
        GroupLasso(0.3, groups=blocks(3)).on("a/bias"),
        GroupLasso(0.3, axis=0).on("b"),
    ]
    np.testing.assert_allclose(penalty(params), sum(apart)(params), rtol=1e-6)
    below = GroupLasso(0.3, groups=labels({"a": [0] * 6, "b": [0, 1]}))
    np.testing.assert_allclose(below({"a": params["a"], "b": params["b"]}), _by_branch(params), rtol=1e-6)
    assert "labels({'a/bias': int64[6]" in describe(penalty, params)["b"]["penalty"]
    with pytest.raises(ValueError, match="no entry for the leaf 'c'"):
        penalty(params | {"c": jnp.ones(2)})
    with pytest.raises(ValueError, match="labels has an entry for 'b', which is no leaf"):
        penalty({"a": params["a"]})


def _by_branch(params):
    whole = GroupLasso(0.3, groups=leaves()).on("a/*")(params)
    return whole + GroupLasso(0.3, axis=1).on("b")(params)


def test_labels_are_ints_that_fit():
    for wrong, said in (
        ([0.5, 1.0], "expected an array of ints"),
        (np.ones(3), "dtype float64"),
        ({}, "empty"),
    ):
        with pytest.raises(TypeError, match=said):
            labels(wrong)
    with pytest.raises(TypeError, match=r"labels are traced.*make them outside jit"):
        jax.jit(lambda names: GroupLasso(0.1, groups=labels(names))(W))(NAMES)
    with pytest.raises(ValueError, match=r"leaf of shape \(2, 6\): expected labels of this shape.*\(4, 6\)"):
        GroupLasso(0.1, groups=labels(NAMES))(W[:2])
    with pytest.raises(ValueError, match=r"strength of shape \(4, 6\) varies within the groups.*`weights=`"):
        GroupLasso(np.ones((4, 6)), groups=labels(NAMES))(W)
    with pytest.raises(ValueError, match=r"lists of different lengths, \[\[0, 1\], \[2\]\].*np.array"):
        labels([[0, 1], [2]])
    for most in (2**63, 2**64 - 1):
        with pytest.raises(ValueError, match=f"labels reach {most}: expected at most 9223372036854775807"):
            labels(np.array([most, 1], np.uint64))
    highest = GroupLasso(1.0, groups=labels(np.array([2**63 - 1, 1], np.uint64)))
    assert from_config(highest.to_config()) == highest


def test_labels_do_not_change_with_the_array_they_were_made_of():
    names = np.array([0, 1])
    penalty = GroupLasso(1.0, groups=labels(names), weights=1.0)
    names[0] = 1
    assert penalty(jnp.array([3.0, 4.0])) == 7


def test_blocks_have_to_divide():
    with pytest.raises(
        ValueError, match=r"blocks\(\(3, 4\)\).*shape \(4, 6\).*4 is no multiple of 3"
    ) as error:
        GroupLasso(0.1, groups=blocks((3, 4)))({"dense": {"kernel": W}})
    assert "dense/kernel" in "".join(error.value.__notes__)
    with pytest.raises(ValueError, match=r"shape \(6,\): expected a leaf with 2 axes or more"):
        GroupLasso(0.1, groups=blocks((2, 2)))(W[0])
    for wrong in ((0,), (-2, 1), ()):
        with pytest.raises(ValueError, match=r"blocks.shape is .*expected .*length"):
            blocks(wrong)
    for wrong in ("a", (1.0,), (True,)):
        with pytest.raises(TypeError, match=r"blocks.shape is .*expected an int, or a tuple"):
            blocks(wrong)
    assert blocks((-1, 2)) == blocks((None, 2)) != blocks((2, None))


def test_strengths_and_steps_may_differ_from_block_to_block_along_other_axes():
    stacked = jnp.asarray(np.stack([W, W, W]), jnp.float32)
    strengths = jnp.array([0.0, 0.1, 100.0]).reshape(3, 1, 1)
    z = GroupLasso(strengths, groups=blocks((2, 3))).prox(stacked)
    np.testing.assert_array_equal(z[0], stacked[0])
    np.testing.assert_allclose(z[1], GroupLasso(0.1, groups=blocks((2, 3))).prox(stacked[1]), rtol=1e-6)
    np.testing.assert_array_equal(z[2], 0)


@pytest.mark.slow
@every_shape
def test_leaves_without_weights_and_complex_ones(groups, group_of):
    if not isinstance(groups, type(labels(NAMES))):
        assert GroupLasso(0.1, groups=groups)(jnp.zeros((0, 6))) == 0
    z = np.asarray(W + 1j * W[::-1], np.complex64)
    for make in (GroupLasso, GroupLInf, ExclusiveLasso):
        penalty = make(0.1, groups=groups)
        np.testing.assert_allclose(penalty(z), penalty(jnp.abs(z)), rtol=1e-5)
        np.testing.assert_allclose(np.abs(penalty.prox(z)), penalty.prox(jnp.abs(z)), atol=1e-6)


@every_shape
def test_nan_stays_in_its_group(groups, group_of):
    bad = np.where((I == 1) & (J == 2), np.nan, W)
    for make in (GroupLasso, GroupLInf, ExclusiveLasso):
        found = np.isnan(make(0.01, groups=groups).prox(bad))
        np.testing.assert_array_equal(found, group_of == group_of[1, 2])


def test_sums_of_the_same_groups_have_a_prox_and_those_of_others_have_none():
    w = jnp.asarray(W)
    for groups, _ in (SHAPES["tiles"], SHAPES["labels"]):
        twice = GroupLasso(0.1, groups=groups) + GroupLasso(0.2, groups=groups)
        np.testing.assert_allclose(twice.prox(w), GroupLasso(0.3, groups=groups).prox(w), atol=1e-6)
    assert (GroupLasso(0.1, groups=units(0)) + MaxNorm(1.0, axis=0)).prox(w).shape == w.shape
    for other in (
        GroupLasso(0.1, groups=blocks((2, 3))) + GroupLasso(0.1),
        GroupLasso(0.1, groups=labels(NAMES)) + GroupLasso(0.1, groups=labels(0 * NAMES)),
        GroupLInf(0.1) + GroupLasso(0.1),
        GroupLInf(0.1) + MaxNorm(1.0),
        ExclusiveLasso(0.1) + ExclusiveLasso(0.1),
        GroupLasso(0.1) + ExclusiveLasso(0.1),
    ):
        with pytest.raises(TypeError, match="has no prox in closed form"):
            other.prox(w)


@every_shape
def test_a_quadratic_of_groups_is_one_of_weights_in_sums_too(groups, group_of):
    w = jnp.asarray(W, jnp.float32)
    both = L1(0.2) + Grouped(ElasticNet(0.1, 0.3), groups=groups)
    expected = L1(0.2) + GroupLasso(0.1, groups=groups) + L2(0.3)
    np.testing.assert_allclose(both.prox(w, 0.5), expected.prox(w, 0.5), rtol=1e-6)
    per_group = Grouped(L2(jnp.arange(1.0, 7.0)))
    np.testing.assert_allclose((L1(0.2) + per_group).prox(w), per_group.prox(L1(0.2).prox(w)), rtol=1e-6)


def test_sparse_blocks():
    w = jnp.asarray(W, jnp.float32)
    z = (L1(0.2) + GroupLasso(0.3, groups=blocks((2, 3)))).prox(w)
    np.testing.assert_allclose(z, GroupLasso(0.3, groups=blocks((2, 3))).prox(L1(0.2).prox(w)), rtol=1e-6)
    dead = GroupLasso(0.9, groups=blocks((2, 3))).prox(w)
    assert int(sparsity(dead).zeros) % 6 == 0 < int(sparsity(dead).zeros)


def test_a_penalty_with_kinks_elsewhere_says_how_to_train_with_it():
    with pytest.raises(TypeError, match=r"GroupLInf has no `subgradient_at`.*penalties.proximal"):
        penalized(optax.adam(1e-3), GroupLInf(0.1))
