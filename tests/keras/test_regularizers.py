"""penalties.keras.L1, L2, L1L2, OrthogonalRegularizer, Regularizer: alone, in layers, in files."""

import copy
import pickle

import jax
import jax.experimental.sparse
import jax.export
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import penalties
from penalties.keras import L1, L1L2, L2, OrthogonalRegularizer, Regularizer

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear, regression  # noqa: F401

pytestmark = ignore_numpy_copies

PAIRS = [
    (L1(0.1), keras.regularizers.L1(0.1)),
    (L2(0.1), keras.regularizers.L2(0.1)),
    (L1L2(l1=0.1, l2=0.2), keras.regularizers.L1L2(l1=0.1, l2=0.2)),
    (L1L2(l1=0.1), keras.regularizers.L1L2(l1=0.1)),
    (OrthogonalRegularizer(0.1), keras.regularizers.OrthogonalRegularizer(0.1)),
    (OrthogonalRegularizer(0.1, "columns"), keras.regularizers.OrthogonalRegularizer(0.1, "columns")),
]
pairs = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda r: repr(r)[:40])
ALL = [
    *(ours for ours, _ in PAIRS),
    Regularizer(penalties.GroupLasso(0.1)),
    Regularizer(penalties.L1(0.1) + penalties.GroupLasso(0.2, axis=(0, -1))),
]
all_of_ours = pytest.mark.parametrize("regularizer", ALL, ids=repr)


def matrix(shape=(5, 4), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# In the shape of Keras's own tests of its regularizers.


def test_config_of_l1():
    regularizer = L1(0.1)
    assert regularizer.get_config() == {"l1": 0.1}
    assert L1.from_config(regularizer.get_config()).get_config() == {"l1": 0.1}


def test_values_of_l1_l2_and_l1l2():
    value = matrix((4, 4))
    x = keras.Variable(value)
    np.testing.assert_allclose(L1(0.1)(x), 0.1 * np.sum(np.abs(value)), rtol=1e-6)
    np.testing.assert_allclose(L2(0.1)(x), 0.1 * np.sum(value**2), rtol=1e-6)
    expected = 0.1 * np.sum(np.abs(value)) + 0.2 * np.sum(value**2)
    np.testing.assert_allclose(L1L2(l1=0.1, l2=0.2)(x), expected, rtol=1e-6)


def test_none_means_the_default():
    assert L1(None).l1 == 0.01
    assert L2(None).l2 == 0.01
    assert (L1L2(None, None).l1, L1L2(None, None).l2) == (0.0, 0.0)


def test_orthogonal_regularizer_by_hand():
    x = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]], "float32")
    for mode, rows in [("rows", x), ("columns", x.T)]:
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        cosines = np.abs(units @ units.T)[np.triu_indices(len(rows), 1)]
        np.testing.assert_allclose(OrthogonalRegularizer(0.5, mode)(x), 0.5 * cosines.mean(), rtol=1e-6)


def test_orthogonal_regularizer_refuses():
    with pytest.raises(ValueError, match=r"mode is 'diagonal'.*\"rows\" or \"columns\""):
        OrthogonalRegularizer(mode="diagonal")
    with pytest.raises(ValueError, match=r"shape \(3, 3, 3\).*rank 2"):
        OrthogonalRegularizer()(np.ones((3, 3, 3), "float32"))


@pytest.mark.parametrize("make", [L1, L2, L1L2, OrthogonalRegularizer])
def test_strengths_are_checked(make):
    for wrong in (-0.1, float("nan"), float("inf"), -jnp.ones(())):
        with pytest.raises(ValueError, match="≥ 0"):
            make(wrong)
    for wrong in ("0.1", True, [None]):
        with pytest.raises(TypeError, match="expected a number"):
            make(wrong)


# Against keras.regularizers.


@pairs
def test_same_numbers_and_gradients(ours, theirs):
    for seed, scale in [(0, 1.0), (1, 1e-3), (2, 1e3)]:
        x = jnp.asarray(scale * matrix(seed=seed))
        np.testing.assert_allclose(ours(x), theirs(x), rtol=2e-6)
        np.testing.assert_allclose(ours(keras.Variable(x)), theirs(keras.Variable(x)), rtol=2e-6)
        np.testing.assert_allclose(jax.grad(ours)(x), jax.grad(theirs)(x), rtol=1e-4, atol=1e-7)


@pairs
def test_same_config_and_attributes(ours, theirs):
    config = theirs.get_config()
    assert ours.get_config() == pytest.approx(config)
    again = type(ours)(**config)
    assert again.get_config() == pytest.approx(config)
    for name, value in config.items():
        assert getattr(ours, name) == (value if isinstance(value, str) else pytest.approx(value))


@pytest.mark.parametrize("scalar", [np.float32(0.1), np.float64(0.1), np.array(0.1), jnp.float32(0.1)])
def test_numpy_and_jax_scalars_are_strengths(scalar):
    assert L1(scalar).get_config() == {"l1": 0.1}
    assert type(L1(scalar).get_config()["l1"]) is float
    assert L2(np.int64(2)).get_config() == {"l2": 2.0}


@all_of_ours
def test_strict_promotion_and_a_float32_scalar(regularizer):
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
            value = regularizer(jnp.asarray(matrix(), dtype))
            assert (value.shape, value.dtype) == ((), jnp.float32)
            assert jnp.isfinite(value)


@all_of_ours
def test_zero_has_value_and_gradient_zero(regularizer):
    zeros = jnp.zeros((3, 2))
    assert regularizer(zeros) == 0
    assert jnp.all(jax.grad(regularizer)(zeros) == 0)


def test_float16_does_not_overflow_and_small_strengths_count():
    x = jnp.full((1000,), 10.0, jnp.float16)
    assert L2(1.0)(x) == 100_000
    assert jnp.isinf(keras.regularizers.L2(1.0)(x))
    assert L2(1e-8)(x) > 0
    assert keras.regularizers.L2(1e-8)(x / 10) == 0


def test_one_row_is_in_no_pair():
    assert OrthogonalRegularizer()(jnp.ones((1, 3))) == 0


# In layers.

LAYERS = {
    "dense": (lambda r: keras.layers.Dense(3, kernel_regularizer=r, bias_regularizer=r), (4,)),
    "activity": (lambda r: keras.layers.Dense(3, activity_regularizer=r), (4,)),
    "embedding": (lambda r: keras.layers.Embedding(5, 3, embeddings_regularizer=r), (4,)),
    "lstm": (lambda r: keras.layers.LSTM(3, kernel_regularizer=r, recurrent_regularizer=r), (4, 2)),
    "gru": (lambda r: keras.layers.GRU(3, bias_regularizer=r, recurrent_regularizer=r), (4, 2)),
    "conv": (lambda r: keras.layers.Conv2D(3, 2, kernel_regularizer=r), (4, 4, 2)),
    "depthwise": (lambda r: keras.layers.DepthwiseConv2D(2, depthwise_regularizer=r), (4, 4, 2)),
    "separable": (
        lambda r: keras.layers.SeparableConv2D(3, 2, depthwise_regularizer=r, pointwise_regularizer=r),
        (4, 4, 2),
    ),
    "norm": (lambda r: keras.layers.BatchNormalization(gamma_regularizer=r, beta_regularizer=r), (4,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_same_losses(name):
    make, shape = LAYERS[name]
    x = np.abs(matrix((2, *shape))).astype("int32" if name == "embedding" else "float32")
    losses = []
    for regularizer in (L1L2(0.1, 0.2), keras.regularizers.L1L2(0.1, 0.2)):
        layer = make(regularizer)
        layer(x)
        for i, variable in enumerate(layer.trainable_variables):
            variable.assign(matrix(variable.shape, seed=i))
        layer(x)
        losses.append(float(sum(layer.losses)))
    assert losses[0] > 0
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_attention():
    layer = keras.layers.MultiHeadAttention(2, 3, kernel_regularizer=L2(0.1))
    layer(matrix((2, 4, 5)), matrix((2, 4, 5)))
    expected = sum(0.1 * np.sum(np.asarray(v.value) ** 2) for v in layer.weights if v.name == "kernel")
    assert float(sum(layer.losses)) == pytest.approx(float(expected), rel=1e-5)


@keras.saving.register_keras_serializable("test")
class Scale(keras.layers.Layer):
    """A layer of a user's own."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", regularizer=L1(0.5))

    def call(self, x):
        return x * self.scale


def test_add_weight_nested_and_shared_layers():
    shared = keras.layers.Dense(4, kernel_initializer="ones", kernel_regularizer=L1(0.25))
    inner = keras.Sequential([keras.Input((4,)), Scale(), shared])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(inner(inputs)))
    assert float(sum(model.losses)) == 0.5 * 4 + 0.25 * 16  # the shared kernel once


class Subclassed(keras.Model):
    def __init__(self, regularizer):
        super().__init__()
        self.first = keras.layers.Dense(3, kernel_regularizer=regularizer)
        self.last = keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))


def functional(regularizer):
    inputs = keras.Input((12,))
    hidden = keras.layers.Dense(3, kernel_regularizer=regularizer)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


def sequential(regularizer):
    return keras.Sequential([keras.layers.Dense(3, kernel_regularizer=regularizer), keras.layers.Dense(1)])


@pytest.mark.parametrize("make", [Subclassed, functional, sequential])
def test_fit_gives_the_weights_that_keras_regularizers_give(make):
    x, y = regression()
    trained = []
    for regularizer in (L1L2(0.01, 0.02), keras.regularizers.L1L2(0.01, 0.02)):
        keras.utils.set_random_seed(1)
        model = make(regularizer)
        model.compile(keras.optimizers.SGD(0.05), "mse")
        history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False)
        trained.append((kernel_of(model), history.history["loss"][-1]))
    np.testing.assert_allclose(trained[0][0], trained[1][0], rtol=1e-4, atol=1e-5)
    assert trained[0][1] == pytest.approx(trained[1][1], rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16", "bfloat16"])
def test_dtype_policies(policy):
    x, y = regression()
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(3, kernel_regularizer=L1(1e-3), activity_regularizer=L2(1e-3), dtype=policy),
            keras.layers.Dense(1, kernel_regularizer=Regularizer(penalties.GroupLasso(1e-3)), dtype=policy),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    history = model.fit(x, y, epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert all(loss.dtype == jnp.float32 for loss in model.losses)


# Saved, cloned, copied.


@all_of_ours
def test_get_takes_the_object_and_its_serialized_dict(regularizer):
    assert keras.regularizers.get(regularizer) is regularizer
    again = keras.regularizers.get(keras.regularizers.serialize(regularizer))
    assert type(again) is type(regularizer)
    assert again.get_config() == regularizer.get_config()
    assert again(matrix()) == regularizer(matrix())


@all_of_ours
def test_copies(regularizer):
    for again in (
        copy.deepcopy(regularizer),
        copy.copy(regularizer),
        pickle.loads(pickle.dumps(regularizer)),
    ):
        assert repr(again) == repr(regularizer)
        assert again(matrix()) == regularizer(matrix())


@all_of_ours
def test_save_load_json_and_clone(regularizer, tmp_path):
    model = linear(4, kernel_regularizer=regularizer, activity_regularizer=L2(0.1))
    model.compile("sgd", "mse")
    model.fit(matrix((8, 4)), np.ones((8, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(sum(loaded.losses)) == float(sum(model.losses))
    np.testing.assert_array_equal(loaded.predict(matrix(), verbose=0), model.predict(matrix(), verbose=0))
    for copied in (keras.models.model_from_json(model.to_json()), keras.models.clone_model(model)):
        copied.set_weights(model.get_weights())
        assert float(copied.losses[0]) == float(model.losses[0])
        assert copied.layers[0].kernel_regularizer.get_config() == regularizer.get_config()
        assert type(copied.layers[0].activity_regularizer) is L2


def test_an_array_of_strengths_in_a_file(tmp_path):
    model = linear(3, kernel_initializer="ones", kernel_regularizer=L1(np.array([[1.0], [2.0], [3.0]])))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.losses[0]) == 6.0


def test_groups_of_any_shape_in_a_file(tmp_path):
    tiles = penalties.GroupLasso(0.1, groups=penalties.blocks((2, 1)), weights=[[1.0], [2.0]])
    names = penalties.GroupLInf(0.1, groups=penalties.labels([[0], [1], [0], [1]]))
    for penalty in (tiles, names):
        model = linear(4, kernel_initializer="ones", kernel_regularizer=Regularizer(penalty))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.layers[0].kernel_regularizer.penalty == penalty
        assert float(loaded.losses[0]) == float(model.losses[0]) > 0


# What is refused.


def test_regularizer_refuses_what_is_no_penalty():
    with pytest.raises(TypeError, match=r"0\.1 of type float: expected a Penalty"):
        Regularizer(0.1)
    with pytest.raises(TypeError, match="of type ABCMeta: expected a Penalty"):
        Regularizer(penalties.L1)


def test_regularizer_refuses_a_selection_and_names_attach():
    with pytest.raises(ValueError, match=r"has a selection.*attach"):
        Regularizer(penalties.L1(0.1).on("**/kernel"))


def test_other_inputs_are_refused_by_what_they_are():
    with pytest.raises(TypeError, match=r"L1\(l1=0\.1\) got an array of dtype int32: expected floating"):
        L1(0.1)(jnp.arange(3))
    with pytest.raises(TypeError, match=r"L1\(l1=0\.1\) got a symbolic KerasTensor"):
        L1(0.1)(keras.Input((3,)))


def test_drop_ins_take_a_number_or_an_array():
    with pytest.raises(TypeError, match=r"L1\.l1 is L1\(0\.1\) of type L1: .*penalties\.keras\.Regularizer"):
        L1(penalties.L1(0.1))
    with pytest.raises(TypeError, match=r"L1L2\.l2 is .* of type dict: expected a number"):
        L1L2(0.1, {"a": 0.1})
    with pytest.raises(TypeError, match=r"factor is an array of shape \(3,\): expected a number"):
        OrthogonalRegularizer(np.ones(3))
    assert repr(L1(np.ones(3, "float32"))) == "L1(l1=float32[3])"


def test_complex_rows_are_orthogonal_by_their_inner_product():
    x = jnp.array([[1.0, 1j], [1j, 1.0]], "complex64")
    value = OrthogonalRegularizer(1.0)(x)
    assert value == abs(jnp.vdot(x[0], x[1])) / 2
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(OrthogonalRegularizer(1.0)(jnp.array([[1.0, 1j], [1j, -1.0]])), 1.0, rtol=1e-6)


def test_sparse_arrays_are_what_they_stand_for():
    dense = jnp.array([[1.0, 2.0], [0.0, 2.0]])
    for regularizer in (L2(0.1), Regularizer(penalties.GroupLasso(0.1))):
        assert regularizer(jax.experimental.sparse.BCOO.fromdense(dense)) == regularizer(dense)


# Exported, as `model.export` does: traced for a batch of any size.


@all_of_ours
def test_a_model_is_traced_for_batches_of_any_size(regularizer):
    model = linear(4, kernel_regularizer=regularizer, activity_regularizer=regularizer)
    (batch,) = jax.export.symbolic_shape("batch")
    exported = jax.export.export(jax.jit(lambda x: model(x)))(jax.ShapeDtypeStruct((batch, 4), jnp.float32))
    x = matrix((5, 4))
    np.testing.assert_allclose(exported.call(x), model(x), rtol=1e-6)
