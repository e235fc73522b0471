"""What a strength may be, and what is refused, before anything is changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import L1, L2, ElasticNet, GroupLasso

W = jnp.asarray([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
PARAMS = {"dense": {"kernel": W, "bias": jnp.ones(3)}}


@pytest.mark.parametrize(
    "wrong", [True, False, None, "0.1", b"1", 1j, np.True_, object, {"a": None}], ids=repr
)
def test_what_is_no_real_number_is_refused(wrong):
    for make in (L1, L2, GroupLasso, lambda s: ElasticNet(0.1, s)):
        with pytest.raises(TypeError, match="expected a"):
            make(wrong)
    with pytest.raises(TypeError, match="step"):
        L1(0.1).prox(W, wrong)


@pytest.mark.parametrize(
    "wrong", [jnp.asarray([True, False]), jnp.asarray([1j]), np.asarray([True])], ids=str
)
def test_arrays_of_no_real_numbers_are_refused(wrong):
    with pytest.raises(TypeError, match="dtype"):
        L1(wrong)


@pytest.mark.parametrize("wrong", [-1, -0.1, float("nan"), float("inf"), np.float32(-1), jnp.float32(np.nan)])
def test_numbers_that_are_no_strength_are_refused(wrong):
    with pytest.raises(ValueError, match=r"L1\.strength is .*expected a finite number ≥ 0"):
        L1(wrong)
    with pytest.raises(ValueError, match=r"ElasticNet\.l2 is"):
        ElasticNet(0.1, wrong)
    with pytest.raises(ValueError, match="the factor of a penalty is"):
        wrong * L1(0.1)


@pytest.mark.parametrize(
    "wrong", [1e39, np.float64(1e39), 10**39, 10**400], ids=["float", "NumPy", "int", "long int"]
)
def test_numbers_that_no_float_holds_are_refused(wrong):
    what = "1e.39" if wrong < 1e300 else "an integer of .* bits"
    held = r"expected a number ≥ 0 that a float32 holds, at most 3\.403e\+38"
    with pytest.raises(ValueError, match=rf"L1\.strength is {what}: {held}"):
        L1(wrong)
    with pytest.raises(ValueError, match=rf"the factor of a penalty is {what}: {held}"):
        wrong * L1(0.1)
    with pytest.raises(ValueError, match=rf"step is {what}: {held}"):
        L1(0.1).prox(W, wrong)
    with pytest.raises(ValueError, match=rf"2\.0 times a strength of 3e\+38: {held}"):
        2 * L1(3e38)


def test_what_only_float64_holds_is_a_strength_there(x64):
    assert L1(1e39)(jnp.ones(2)) == 2e39
    with pytest.raises(ValueError, match="that a float64 holds"):
        L1(10**400)


@pytest.mark.parametrize("entry", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_arrays_with_entries_that_are_no_strength_are_refused(entry, array):
    with pytest.raises(ValueError, match=r"L1\.strength has entries"):
        L1(array([1.0, entry]))
    with pytest.raises(ValueError, match=r"L1\.strength\['a'\]"):
        L1({"a": array([1.0, entry])})


def test_wrong_numbers_are_refused_in_jit_as_well():
    with pytest.raises(ValueError, match="expected a finite number ≥ 0"):
        jax.jit(lambda w: L1(-1.0)(w))(W)
    with pytest.raises(ValueError, match="has entries"):
        jax.jit(lambda w: L1(np.asarray([-1.0, 0.0, 1.0], np.float32))(w))(W)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_traced_numbers_that_are_no_strength_give_nan(wrong):
    for make in (L1, L2, GroupLasso, lambda s: ElasticNet(0.1, s), lambda s: s * L1(0.1)):
        value, z = jax.jit(lambda s, make=make: (make(s)(W), make(s).prox(W)))(wrong)
        assert np.isnan(value)
        assert np.isnan(z[0, 0])


def test_traced_bool_is_refused():
    with pytest.raises(TypeError, match="traced bool"):
        jax.jit(lambda s: L1(s)(W))(True)


def test_every_kind_of_number_is_the_same_strength():
    expected = L1(2.0)(W)
    for two in (
        2,
        np.int64(2),
        np.float16(2),
        np.float64(2),
        jnp.int32(2),
        jnp.bfloat16(2),
        jnp.asarray(2.0),
    ):
        assert L1(two)(W) == expected
        assert repr(L1(two)) == "L1(2.0)"


def test_narrow_numbers_are_read_by_their_own_decimals():
    assert L1(np.float32(0.1)).strength == 0.1
    assert L1(jnp.float32(0.1)).strength == 0.1


# One strength for each weight


def test_an_array_is_one_strength_for_each_weight():
    strengths = np.random.default_rng(0).random((2, 3)).astype(np.float32)
    np.testing.assert_allclose(L1(strengths)(W), (strengths * np.abs(W)).sum(), rtol=1e-6)
    np.testing.assert_allclose(L2(strengths)(W), (strengths * np.square(W)).sum(), rtol=1e-6)
    soft = np.sign(W) * np.maximum(np.abs(W) - 0.5 * strengths, 0)
    np.testing.assert_allclose(L1(strengths).prox(W, 0.5), soft, atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 1), (1,), (1, 1)])
def test_an_array_may_broadcast_to_its_leaf(shape):
    strengths = np.arange(1.0, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_allclose(L1(strengths)(W), (strengths * np.abs(np.asarray(W))).sum(), rtol=1e-6)
    assert L1(strengths).prox(W).shape == W.shape


@pytest.mark.parametrize("shape", [(2,), (3, 3), (1, 2, 3), (4, 2, 3), (2, 3, 1)])
def test_an_array_that_would_broadcast_its_leaf_is_refused(shape):
    with pytest.raises(ValueError, match=r"'dense/kernel'.*shape \(2, 3\)") as error:
        L1(jnp.ones(shape)).on("**/kernel")(PARAMS)
    assert str(shape) in str(error.value)
    with pytest.raises(ValueError, match="does not broadcast"):
        L1(1.0).prox(W, jnp.ones(shape))


def test_integer_arrays_are_strengths():
    assert L1(np.asarray([1, 2, 3]))(jnp.ones(3)) == 6


def test_factor_keeps_the_kind_of_each_strength():
    assert (2 * L1(0.5)).strength == 1.0
    assert isinstance((np.float32(2) * L1(0.5)).strength, float)
    assert (2.0 * L1(jnp.ones(3))).strength.dtype == jnp.float32
    assert (L1(0.1) * 0)(W) == 0


@pytest.mark.parametrize("wrong", [True, "2", None, L1(0.1)])
def test_a_penalty_is_multiplied_by_numbers_only(wrong):
    with pytest.raises(TypeError):
        wrong * L1(0.1)


def test_sum_starts_from_zero_and_refuses_other_numbers():
    assert repr(sum([L1(0.1), L2(0.2)])) == "L1(0.1) + L2(0.2)"
    with pytest.raises(TypeError):
        L1(0.1) + 1
    with pytest.raises(TypeError):
        False + L1(0.1)


# One strength for each leaf


def test_a_tree_is_one_strength_for_each_leaf():
    penalty = L1({"dense": {"kernel": 2.0, "bias": jnp.asarray([0.0, 1.0, 2.0])}})
    assert penalty(PARAMS) == 2 * 7.5 + 3


def test_a_branch_speaks_for_its_leaves():
    assert L1({"dense": 2.0})(PARAMS) == 2 * 10.5


def test_a_missing_entry_is_an_error():
    with pytest.raises(ValueError, match=r"strength has no entry for the leaf 'dense/bias'.*'dense/kernel'"):
        L1({"dense": {"kernel": 1.0}})(PARAMS)


def test_an_entry_that_is_not_selected_may_be_missing():
    assert L1({"dense": {"kernel": 1.0}}).on("**/kernel")(PARAMS) == 7.5


def test_a_superfluous_entry_is_an_error():
    with pytest.raises(ValueError, match=r"L1\.strength has an entry for 'dense/scale'"):
        L1({"dense": {"kernel": 1.0, "bias": 1.0, "scale": 1.0}})(PARAMS)
    with pytest.raises(ValueError, match="step has an entry for 'other'"):
        L1(1.0).prox(PARAMS, {"dense": 1.0, "other": 1.0})


def test_an_empty_tree_is_no_strength():
    with pytest.raises(TypeError, match="empty tree"):
        L1({})


# Leaves that are no weights

OTHERS = {
    "int8": (lambda: jnp.ones(2, jnp.int8), "of dtype int8"),
    "int32": (lambda: np.ones(2, np.int32), "of dtype int32"),
    "bool": (lambda: jnp.ones(2, bool), "of dtype bool"),
    "python_bool": (lambda: True, "of type bool"),
    "raw_key": (lambda: jax.random.PRNGKey(0), "of dtype uint32"),
    "typed_key": (lambda: jax.random.key(0), "of dtype key<fry>"),
    "string": (lambda: "text", "of type str"),
    "function": (lambda: jnp.tanh, "of type "),
}

every_other = pytest.mark.parametrize(("make", "kind"), OTHERS.values(), ids=OTHERS)


@every_other
def test_other_leaves_are_passed_over_by_default(make, kind):
    params = {"w": jnp.ones(2), "other": make()}
    assert L1(1.0)(params) == 2
    z = L1(1.0).prox(params, 0.25)
    assert z["other"] is params["other"]
    np.testing.assert_array_equal(z["w"], 0.75)


@every_other
def test_other_leaves_cannot_be_selected(make, kind):
    params = {"w": jnp.ones(2), "other": make()}
    for call in (L1(1.0).on("*"), L1(1.0).on("*").prox):
        with pytest.raises(TypeError, match=f"'other' is {kind}") as error:
            call(params)
        assert "exclude" in str(error.value)
    assert L1(1.0).on("*", exclude="other")(params) == 2
    np.testing.assert_array_equal(params["w"], 1)


def test_a_tree_with_no_weight_at_all_is_an_error():
    with pytest.raises(TypeError, match="'steps' is of dtype int32"):
        L1(1.0)({"steps": jnp.ones(2, jnp.int32)})


def test_shape_errors_name_the_leaf_and_change_nothing():
    params = {"a": np.ones((2, 2), np.float32), "b": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match="'b' of shape \\(3,\\)"):
        L1(jnp.ones((2, 2))).prox(params)
    np.testing.assert_array_equal(params["a"], 1)
    np.testing.assert_array_equal(params["b"], 1)


def test_strength_zero_settles_nothing():
    w, moved = jnp.array([1.0, -1.0]), jnp.array([-0.5, -2.0])
    for penalty in (L1(0.0), GroupLasso(0.0), ElasticNet(0.0, 0.1)):
        assert penalty.settle(w, moved, moved).tolist() == moved.tolist()


def test_integer_strengths_times_a_fraction_are_fractions():
    w, whole = jnp.ones(2), jnp.array([1, 3])
    halved = jax.jit(lambda strength, factor: (factor * L1(strength))(w))
    assert float(halved(whole, 0.5)) == 2.0
    assert float(halved(3, 0.5)) == 3.0
    assert float((jnp.array([0.5, 0.5]) * L1(whole))(w)) == 2.0
    assert float((np.array([0.5, 0.5]) * L1(np.array([1, 3])))(w)) == 2.0
