"""What a penalty may hold, what it declares, and what its errors say."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import penalties
from penalties import (
    L1,
    L2,
    MCP,
    ElasticNet,
    Grouped,
    GroupLasso,
    Huber,
    LogSum,
    Penalty,
    SettlingPenalty,
    SmoothPenalty,
    from_config,
    parameter,
    penalized,
    static,
)

W = jnp.array([[1.0, -0.5], [0.0, 2.0]])


class Tall(Penalty):
    strength: float
    shape: tuple = static(default=(2,))

    def value_at(self, w):
        return self.strength * jnp.sum(jnp.linalg.svd(w, compute_uv=False))


class Quartic(SmoothPenalty):
    strength: float

    def value_at(self, w):
        return self.strength * jnp.sum(w**4)


def test_a_parameter_is_traced_and_not_scaled():
    twice = 2 * MCP(0.3, gamma=4)
    assert (twice.strength, twice.gamma) == (0.6, 4.0)
    assert ((L1(0.1) + Huber(0.2, delta=3)) / 2).terms[1] == Huber(0.1, delta=3)
    values = jax.vmap(lambda gamma: MCP(0.5, gamma=gamma)(W))(jnp.array([2.0, 4.0]))
    np.testing.assert_allclose(values, [MCP(0.5, gamma=2.0)(W), MCP(0.5, gamma=4.0)(W)], rtol=1e-6)
    slope = jax.grad(lambda gamma: MCP(0.5, gamma=gamma)(W))(3.0)
    h = 1e-2
    finite = (MCP(0.5, gamma=3 + h)(W) - MCP(0.5, gamma=3 - h)(W)) / (2 * h)
    np.testing.assert_allclose(slope, finite, rtol=1e-2)


def test_parameters_out_of_range_are_refused_or_nan():
    for wrong in (1.0, 0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"MCP\.gamma is .*: expected a finite number > 1"):
            MCP(0.1, gamma=wrong)
    with pytest.raises(ValueError, match=r"LogSum\.epsilon is 0\.0: expected a finite number > 0"):
        LogSum(0.1, epsilon=0)
    with pytest.raises(TypeError, match="positional"):
        MCP(0.1, 3.0)
    assert bool(jnp.isnan(jax.jit(lambda gamma: MCP(0.1, gamma=gamma)(W))(0.5)))


def test_a_parameter_for_each_leaf():
    params = {"a": W, "b": W}
    penalty = MCP(0.5, gamma={"a": 2.0, "b": 4.0})
    expected = MCP(0.5, gamma=2.0)(W) + MCP(0.5, gamma=4.0)(W)
    np.testing.assert_allclose(penalty(params), expected, rtol=1e-6)


def test_a_static_field_refuses_arrays_and_tracers_and_names_itself():
    for wrong in (jnp.ones(2), np.ones(2)):
        with pytest.raises(TypeError, match=r"Tall\.shape is an array of shape \(2,\): it is a static field"):
            Tall(0.1, wrong)
    with pytest.raises(TypeError, match=r"Tall\.shape is a traced value"):
        jax.jit(lambda n: Tall(0.1, n)(W))(2)
    with pytest.raises(TypeError, match=r"Tall\.shape is \[2\] of type list: expected something hashable"):
        Tall(0.1, [2])
    assert float(jax.jit(lambda w: Tall(0.1)(w))(W)) > 0  # the next call of the process is whole


def test_a_default_of_a_parameter_is_checked_as_well():
    class Wrong(Quartic):
        width: float = parameter(default=0.0, above=0)

    with pytest.raises(ValueError, match=r"Wrong\.width is 0"):
        Wrong(0.1)


def test_isinstance_says_whether_there_is_a_rule_for_zeros():
    for penalty in (L1(1.0) + L2(1.0), L1(1.0).on("a"), Grouped(MCP(0.1)), Huber(0.1) + Quartic(0.1)):
        assert isinstance(penalty, SettlingPenalty)
    for penalty in (L1(1.0) + Tall(0.1), Tall(0.1).on("a"), (L1(1.0) + Tall(0.1)).on("a")):
        assert not isinstance(penalty, SettlingPenalty)
        with pytest.raises(TypeError, match="Tall has no `subgradient_at` and `settles_at`"):
            penalized(optax.sgd(0.1), penalty)


def test_what_has_no_kink_gets_no_average_and_adds_to_anything():
    for smooth in (L2(0.1), L2(0.1) + L2(0.2), Huber(0.1), Grouped(L2(0.1)), Quartic(0.1) + Huber(0.1)):
        assert not smooth.kink
        assert jax.tree.leaves(penalized(optax.sgd(0.1), smooth).init(W).average) == []
        both = smooth + L1(0.3) + GroupLasso(0.1)
        grads = jnp.full_like(W, 0.01)
        state = penalized(optax.sgd(0.1), both).init(W)
        updates, _ = jax.jit(penalized(optax.sgd(0.1), both).update)(grads, state, W)
        plain = grads + jax.grad(smooth)(W) + jax.grad(L1(0.3) + GroupLasso(0.1))(W)
        np.testing.assert_allclose(updates[0], -0.1 * plain[0], rtol=1e-5)


def test_a_sum_without_a_prox_has_a_rule_for_zeros_all_the_same():
    with pytest.raises(TypeError, match=r"the sum Huber \+ L1 on one leaf has no prox|the sum L1 \+ Huber"):
        (L1(0.1) + Huber(0.1)).prox(W)
    with pytest.raises(TypeError, match="Quartic has no prox in closed form"):
        Quartic(0.1).prox(W)


def test_an_error_in_a_formula_says_at_which_leaf():
    params = {"layer": {"kernel": W, "bias": jnp.ones(2)}}
    for call in (lambda p: Tall(0.1)(p), lambda p: (Tall(0.1) + L1(0.1))(p)):
        with pytest.raises((TypeError, ValueError), match=r"rank at least 2") as caught:
            call(params)
        assert any("'layer/bias' of shape (2,)" in note for note in caught.value.__notes__)


def test_groups_of_another_penalty_are_those_of_its_sizes():
    np.testing.assert_allclose(Grouped(L1(0.3))(W), GroupLasso(0.3)(W), rtol=1e-6)
    np.testing.assert_allclose(Grouped(L1(0.3)).prox(W), GroupLasso(0.3).prox(W), rtol=1e-6)
    np.testing.assert_allclose(Grouped(L2(0.3))(W), L2(0.3)(W), rtol=1e-6)
    with pytest.raises(TypeError, match="expected one penalty of sizes"):
        Grouped(L1(0.1) + L2(0.1))
    with pytest.raises(ValueError, match="varies within the groups"):
        Grouped(ElasticNet(0.1, jnp.ones((2, 2))))(W)


def test_a_class_with_the_name_of_a_known_penalty_keeps_a_config_of_its_own():
    class L1(Penalty):
        strength: float

        def value_at(self, w):
            return self.strength * jnp.max(jnp.abs(w))

    assert L1(0.5).to_config() == {"name": f"{__name__}.L1", "strength": 0.5}
    for penalty in (L1(0.5), penalties.L1(0.5)):
        assert from_config(penalty.to_config()) == penalty
