"""Constraints in Keras: the adapter on a layer, saved, loaded, cloned and copied."""

import copy

import jax.numpy as jnp
import keras
import numpy as np
import pytest

import penalties
from penalties.keras import Constraint, Penalized, Regularizer, ToSparsity

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear, regression  # noqa: F401

pytestmark = ignore_numpy_copies


def test_weights_are_in_the_set_after_fit_and_zeros_stay_exact():
    x, y = regression()
    model = linear(12, kernel_constraint=Constraint(penalties.NonNegative()))
    model.compile(Penalized(keras.optimizers.Adam(0.05), penalties.L1(0.3).on("**/kernel")), loss="mse")
    model.fit(x, y, epochs=20, verbose=0)
    kernel = kernel_of(model)
    assert kernel.min() == 0 < kernel.max()
    assert (kernel == 0).sum() >= 4


def test_it_is_saved_loaded_cloned_and_copied(tmp_path):
    constraint = Constraint(penalties.MaxNorm(1.5) + penalties.NonNegative())
    model = linear(12, kernel_constraint=constraint, bias_constraint=Constraint(penalties.Box(-np.inf, 0.1)))
    model.compile("sgd", loss="mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for twin in (loaded, keras.models.clone_model(model), copy.deepcopy(model)):
        again = twin.layers[-1].kernel_constraint
        assert again.constraint == constraint.constraint
        assert twin.layers[-1].bias_constraint.constraint == penalties.Box(-np.inf, 0.1)
    assert (
        again.get_config() == keras.constraints.deserialize(keras.constraints.serialize(again)).get_config()
    )
    assert repr(again) == "Constraint(MaxNorm(radius=1.5, axis=-1) + NonNegative())"


def test_numbers_are_those_of_keras_and_what_is_inside_stays():
    w = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    found = Constraint(penalties.MaxNorm(1.5))(w)
    np.testing.assert_allclose(found, keras.constraints.MaxNorm(1.5, axis=0)(w), rtol=1e-6)
    np.testing.assert_array_equal(Constraint(penalties.MaxNorm(1.5))(found), found)
    variable = keras.Variable(w)
    np.testing.assert_array_equal(Constraint(penalties.MaxNorm(1.5))(variable), found)


def test_what_is_no_constraint_is_refused_and_the_way_out_named():
    for wrong in (
        penalties.L1(0.1),
        penalties.L1(0.1) + penalties.NonNegative(),
        3,
        keras.constraints.NonNeg(),
    ):
        with pytest.raises(TypeError, match=r"Constraint got .*expected a constraint, such as"):
            Constraint(wrong)
    with pytest.raises(ValueError, match="kernel_constraint="):
        Constraint(penalties.NonNegative().on("**/kernel"))
    with pytest.raises(TypeError, match=r"sees one: pass penalties\.Sparse\(count\).* or .*ToSparsity"):
        Constraint(penalties.GloballySparse(2))
    for refuse in (Regularizer, lambda c: Penalized(keras.optimizers.SGD(0.1), c)):
        with pytest.raises(TypeError, match=r"kernel_constraint=penalties\.keras\.Constraint"):
            refuse(penalties.NonNegative())
    with pytest.raises(TypeError, match="dtype int32"):
        Constraint(penalties.NonNegative())(jnp.ones(2, jnp.int32))


def test_what_has_no_rule_for_zeros_names_what_keras_has():
    sgd = keras.optimizers.SGD(0.1)
    for refuse in (lambda p: Penalized(sgd, p), lambda p: ToSparsity(sgd, p, 0.5, 100)):
        for penalty in (penalties.L0(0.1), penalties.Grouped(penalties.LHalf(0.1)), penalties.GroupLInf(0.1)):
            with pytest.raises(TypeError, match=r"LogSum.*keras\.Constraint.*keras\.ToSparsity") as caught:
                refuse(penalty)
            assert "optax" not in str(caught.value)
            assert "proximal" not in str(caught.value)
            assert ("Regularizer" in str(caught.value)) == (not penalty.flat)
