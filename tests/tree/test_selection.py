"""Which leaves a penalty counts, and no silent nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from penalties import L1, L2, GroupLasso, from_config, kernels, penalized

PENALTY = L1(1.0)

PARAMS = {"a": {"kernel": jnp.ones(1), "bias": jnp.full(1, 10.0)}, "b": {"kernel": jnp.full(1, 100.0)}}


@pytest.mark.parametrize(
    ("where", "exclude", "expected"),
    [
        ("**/kernel", None, 101),
        (("**/bias", "b/*"), None, 110),
        (["a/*"], None, 11),
        ("**", "a/**", 100),
        ("**", ("a/kernel", "b/**"), 10),
        ("**", kernels, 10),
        ("**", lambda path, leaf: path.startswith("b"), 11),
        (lambda path, leaf: "bias" not in path, None, 101),
        (lambda path, leaf: leaf.shape == (1,) and leaf.dtype == jnp.float32, None, 111),
        ({"a": {"kernel": True, "bias": False}, "b": {"kernel": True}}, None, 101),
        ({"a": True, "b": False}, None, 11),
        (True, None, 111),
        ({"a": {"kernel": np.True_, "bias": np.False_}, "b": False}, None, 1),
        ("**", {"a": False, "b": True}, 11),
        (kernels, "b/**", 1),
    ],
)
def test_ways_to_select(where, exclude, expected):
    assert PENALTY.on(where, exclude=exclude)(PARAMS) == expected


def test_two_selections_intersect():
    assert PENALTY.on("a/*").on("**/kernel")(PARAMS) == 1
    assert PENALTY.on("**/kernel", exclude="b/*").on("a/**")(PARAMS) == 1
    assert (L1(1.0).on("a/*") + L1(1.0)).on("**/bias")(PARAMS) == 20


def test_two_selections_with_nothing_in_common_are_an_error():
    with pytest.raises(ValueError, match=r"on\('a/\*'\).*on\('b/\*'\).*matches none"):
        PENALTY.on("a/*").on("b/*")(PARAMS)


def test_overlapping_sum_adds_on_the_overlap_only():
    penalty = L1(1.0).on("a/*") + L2(1.0).on("**/kernel")
    assert penalty(PARAMS) == 11 + 1 + 100**2
    z = penalty.prox(PARAMS, 0.5)
    np.testing.assert_allclose(z["a"]["kernel"], (1 - 0.5) / 2)
    np.testing.assert_allclose(z["a"]["bias"], 9.5)
    np.testing.assert_allclose(z["b"]["kernel"], 50)


def test_sum_of_two_kinds_of_groups_on_one_leaf_has_no_prox():
    params = {"w": jnp.ones((2, 2)), "v": jnp.ones((2, 2))}
    overlapping = GroupLasso(1.0, axis=0) + GroupLasso(1.0, axis=1)
    with pytest.raises(TypeError, match=r"no prox.*\.on\("):
        overlapping.prox(params)
    apart = GroupLasso(1.0, axis=0).on("w") + GroupLasso(1.0, axis=1).on("v")
    assert apart.prox(params)["w"].shape == (2, 2)


def test_a_typo_names_the_paths_and_the_nearest_spelling():
    with pytest.raises(ValueError, match="kernal") as error:
        PENALTY.on("**/kernal")(PARAMS)
    message = str(error.value)
    assert all(repr(path) in message for path in ("a/kernel", "a/bias", "b/kernel"))
    assert "Did you mean '**/kernel'?" in message


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("kernel", "**/kernel"),
        ("kernl", "**/kernel"),
        ("*/kernel", "**/kernel"),
        ("encodr/**", "encoder/**"),
        ("encoder/attention/kernl", "encoder/attention/kernel"),
        ("attention/kernel", "**/attention/kernel"),
        ("encoder/kernel", "encoder/**/kernel"),
        ("layers/kernel", "**/kernel"),
        ("params/encodr/**", "params/encoder/**"),
        ("encoder/attention/kern[x]l", "encoder/attention/kernel"),
        ("decoder_of_another/*", None),
        ("zzz", None),
    ],
)
def test_what_is_suggested_does_match(pattern, meant):
    params = {"encoder": {"attention": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}}
    with pytest.raises(ValueError, match="matches none of the 2 leaves") as error:
        PENALTY.on(pattern)(params)
    suggested = str(error.value).partition(" Did you mean ")[2]
    assert suggested == ("" if meant is None else f"{meant!r}?")
    if meant is not None:
        PENALTY.on(meant)(params)


def test_each_pattern_of_a_tuple_must_match():
    with pytest.raises(ValueError, match="'c/\\*'"):
        PENALTY.on(("a/*", "c/*"))(PARAMS)


def test_a_pattern_to_exclude_must_match():
    with pytest.raises(ValueError, match=r"\*\*/scale"):
        PENALTY.on("**", exclude="**/scale")(PARAMS)


@pytest.mark.parametrize("where", [{"a": False, "b": False}, lambda path, leaf: False])
def test_a_selection_of_nothing_is_an_error(where):
    with pytest.raises(ValueError, match="matches none of the 3 leaves"):
        PENALTY.on(where)(PARAMS)
    with pytest.raises(ValueError, match="matches none of the 3 leaves"):
        PENALTY.on(where).prox(PARAMS)


def test_without_leaves_there_is_nothing_to_match():
    with pytest.raises(
        ValueError, match=r"the pattern '\*\*/kernel' has nothing to match: there are no leaves"
    ):
        PENALTY.on("**/kernel")({})


def test_a_function_that_does_not_answer_yes_or_no_is_named():
    def positive(path, leaf):
        return np.ones(2) > 0

    with pytest.raises(TypeError, match=r"positive returned .* leaf 'a/bias': expected True or False"):
        PENALTY.on(positive)(PARAMS)


def test_leaves_with_the_same_path_cannot_be_joined():
    params = {"a/b": jnp.ones(2), "a": {"b": jnp.ones(2)}}
    with pytest.raises(ValueError, match=r"params has 2 leaves with the path 'a/b'"):
        PENALTY.subgradient(params, params)


def test_an_unknown_selection_in_a_config_is_refused():
    config = PENALTY.on(kernels).to_config()
    for wrong in ({"selector": "biases"}, {"masks": {"a": True}}):
        with pytest.raises(ValueError, match="no selection is described by"):
            from_config(config | {"where": wrong})


def test_a_mask_without_an_entry_for_a_leaf_is_an_error():
    with pytest.raises(ValueError, match="no entry for the leaf 'b/kernel'"):
        PENALTY.on({"a": True})(PARAMS)


@pytest.mark.parametrize("where", [3, 0.5, None, (), {}, ("a", 1)])
def test_what_cannot_select_is_refused(where):
    with pytest.raises(TypeError, match="cannot select by"):
        PENALTY.on(where)


def test_selections_by_function_cannot_be_written_down():
    for where in (lambda path, leaf: True, nnx.Param):
        with pytest.raises(TypeError, match="cannot be written to a config"):
            PENALTY.on(where).to_config()


@pytest.mark.parametrize(
    "where", ["**/kernel", ("a/*", "b/*"), {"a": True, "b": {"kernel": False}}, kernels], ids=str
)
def test_selections_by_name_can_be_written_down(where):
    penalty = PENALTY.on(where, exclude="a/bias")
    again = from_config(penalty.to_config())
    assert again(PARAMS) == penalty(PARAMS)
    assert again.to_config() == penalty.to_config()


def test_a_mask_of_the_full_tree_serves_parts_of_it():
    """As `optax.masked`, partitions, and filters of Equinox leave leaves out."""
    full = {"a": True, "b": False, "c": True}
    penalty = L1(1.0).on(full)
    params = {name: jnp.ones(2) for name in full}
    assert float(penalty({"a": params["a"], "b": params["b"], "c": None})) == 2
    optimizer = optax.masked(penalized(optax.sgd(0.5), penalty), {"a": True, "b": True, "c": False})
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    assert [updates[name].tolist() for name in "ab"] == [[-0.5, -0.5], [0, 0]]
