"""attach: which weights, in which models, and through which files."""

import copy
import pickle
import warnings

import jax
import keras
import numpy as np
import pytest

import penalties
from penalties.keras import L1, Regularizer, attach

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear, regression  # noqa: F401

pytestmark = ignore_numpy_copies


def regularized(model):
    """Paths of the weights that have a regularizer of ours."""
    return {v.path for v in model.trainable_variables if isinstance(v.regularizer, Regularizer)}


def round_trips(model, tmp_path):
    """The model as it comes back from a file, from JSON and from a clone."""
    model.save(tmp_path / "model.keras")
    yield keras.models.load_model(tmp_path / "model.keras")
    yield keras.models.model_from_json(model.to_json())
    yield keras.models.clone_model(model)
    yield copy.deepcopy(model)
    yield pickle.loads(pickle.dumps(model))


LAYERS = {
    "dense": (lambda: keras.layers.Dense(3), (4,), "**/kernel", 1),
    "dense, both": (lambda: keras.layers.Dense(3), (4,), ("**/kernel", "**/bias"), 2),
    "einsum": (lambda: keras.layers.EinsumDense("ab,bc->ac", 3), (4,), "**/kernel", 1),
    "conv": (lambda: keras.layers.Conv1D(3, 2), (4, 2), "**/kernel", 1),
    "transposed": (lambda: keras.layers.Conv2DTranspose(3, 2), (4, 4, 2), "**/kernel", 1),
    "depthwise": (lambda: keras.layers.DepthwiseConv2D(2), (4, 4, 2), "**/kernel", 1),
    "separable": (lambda: keras.layers.SeparableConv1D(3, 2), (4, 2), "**/*_kernel", 2),
    "embedding": (lambda: keras.layers.Embedding(5, 3), (4,), "**/embeddings", 1),
    "lstm": (lambda: keras.layers.LSTM(3), (4, 2), ("**/kernel", "**/recurrent_kernel"), 2),
    "gru": (lambda: keras.layers.GRU(3), (4, 2), "**", 3),
    "bidirectional": (lambda: keras.layers.Bidirectional(keras.layers.GRU(3)), (4, 2), "**/kernel", 2),
    "time distributed": (lambda: keras.layers.TimeDistributed(keras.layers.Dense(3)), (4, 2), "**/kernel", 1),
    "batch norm": (lambda: keras.layers.BatchNormalization(), (4,), ("**/gamma", "**/beta"), 2),
    "layer norm": (lambda: keras.layers.LayerNormalization(), (4,), "**/gamma", 1),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_keep_the_penalty_in_files(name, tmp_path):
    make, shape, pattern, count = LAYERS[name]
    model = keras.Sequential([keras.Input(shape), make()])
    attach(penalties.L1(0.5).on(pattern), model)  # a warning would be an error
    assert len(regularized(model)) == count
    expected = sum(
        0.5 * np.abs(np.asarray(v.value)).sum() for v in model.weights if v.path in regularized(model)
    )
    assert float(sum(model.losses)) == pytest.approx(float(expected), rel=1e-5)
    for copied in round_trips(model, tmp_path):
        assert len(regularized(copied)) == count
        copied.set_weights(model.get_weights())
        assert float(sum(copied.losses)) == pytest.approx(float(expected), rel=1e-5)


def attention():
    inputs = keras.Input((4, 6))
    return keras.Model(inputs, keras.layers.MultiHeadAttention(2, 3)(inputs, inputs))


def test_attention_as_a_whole_and_in_part(tmp_path):
    model = attention()
    attach(penalties.L2(0.5).on("**/kernel"), model)
    assert len(regularized(model)) == 4
    for copied in round_trips(model, tmp_path):
        assert len(regularized(copied)) == 4
    part = attention()
    attach(penalties.L2(0.5).on("**/query/kernel"), part)
    for copied in (part, *round_trips(part, tmp_path)):
        (path,) = regularized(copied)
        assert path.endswith("query/kernel")


@keras.saving.register_keras_serializable("test")
class Block(keras.layers.Layer):
    """A layer of a user's own, without arguments for regularizers."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x):
        return x * self.scale


def test_a_layer_without_a_place_for_it_gets_one(tmp_path):
    block = Block(name="block")
    model = keras.Sequential([keras.Input((4,)), block, keras.layers.Dense(1)], name="net")
    attach(penalties.L1(1.0).on("**/scale"), model)
    attach(penalties.L2(0.5).on("**/kernel"), model)
    assert isinstance(block, Block)
    assert str(block) == "<Block name=block, built=True>"
    for copied in (model, *round_trips(model, tmp_path)):
        assert isinstance(copied.layers[0], Block)
        assert [repr(v.regularizer) for v in copied.weights] == [
            "Regularizer(L1(1.0))",
            "Regularizer(L2(0.5))",
            "None",
        ]
    attach(penalties.L1(1.0).on("**/scale"), model)  # once more is no change
    model.layers[0].scale.regularizer = None
    assert len(keras.models.clone_model(model).losses) == 1


@keras.saving.register_keras_serializable("test")
class Parts(keras.layers.Layer):
    """Weights of a part come before and after its own in time, and after them in `weights`."""

    def __init__(self, **options):
        super().__init__(**options)
        self.part = keras.layers.Dense(4)
        self.part.build((None, 4))

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x):
        return self.part(x) * self.scale


@keras.saving.register_keras_serializable("test")
class Unbuilt(keras.layers.Layer):
    """Has no `build`: its parts make their weights in the first call."""

    def __init__(self, **options):
        super().__init__(**options)
        self.part = keras.layers.Dense(4)

    def call(self, x):
        return self.part(x)


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called")  # says Keras, of any such layer it loads
@pytest.mark.parametrize(
    ("make", "pattern"), [(Parts, "**/scale"), (Parts, "**/kernel"), (Unbuilt, "**/kernel")]
)
def test_copies_have_the_penalty_on_the_same_weights_and_no_others(make, pattern, tmp_path):
    model = keras.Sequential([keras.Input((4,)), make()])
    attach(penalties.L1(0.5).on(pattern), model)
    expected = [repr(v.regularizer) for v in model.weights]
    assert expected.count("Regularizer(L1(0.5))") == 1
    for copied in round_trips(model, tmp_path):
        assert [repr(v.regularizer) for v in copied.weights] == expected


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_lambda_layers_elsewhere_do_no_harm(tmp_path):
    inputs = [keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x)]
    model = keras.Sequential([*inputs, Block(), keras.layers.Dense(1)])
    attach(penalties.L1(0.5).on(("**/scale", "**/kernel")), model)
    model.save(tmp_path / "model.keras")
    assert len(keras.models.load_model(tmp_path / "model.keras", safe_mode=False).losses) == 2


def test_the_config_of_a_layer_with_a_place_is_its_own_and_one_entry():
    model = keras.Sequential([keras.Input((4,)), Block(name="block")])
    before = model.layers[0].get_config()
    attach(penalties.L1(0.5).on("**/scale"), model)
    after = model.layers[0].get_config()
    assert after.pop("penalties")["regularizers"].keys() == {"0"}
    assert after == before


class Choosy(keras.layers.Layer):
    def __init_subclass__(cls, *, kind, **options):
        super().__init_subclass__(**options)

    def call(self, x):
        return x * self.scale


class Chosen(Choosy, kind="a"):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")


def test_a_class_that_cannot_be_extended_is_named_in_a_warning():
    model = keras.Sequential([keras.Input((4,)), Chosen(name="choosy")], name="net")
    with pytest.warns(UserWarning, match=r"\['net/choosy/scale'\].*classes that cannot be extended"):
        attach(penalties.L1(1.0).on("**/scale"), model)
    assert len(model.losses) == 1


class Unregistered(Block):
    """A layer that files name, and loading is told of; Keras makes its config by itself."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.shift = self.add_weight(shape=(units,), name="shift")  # made before `build`

    def call(self, x):
        return super().call(x) + self.shift


def test_layers_given_when_loading_and_weights_made_in_init(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Unregistered(4)])
    attach(penalties.L1(1.0).on(("**/scale", "**/shift")), model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Unregistered": Unregistered})
    assert len(regularized(loaded)) == 2
    assert loaded.layers[0].units == 4
    model(np.ones((2, 4)))
    loaded(np.ones((2, 4)))
    assert float(sum(loaded.losses)) == float(sum(model.losses))


@keras.saving.register_keras_serializable("test")
class Subclassed(keras.Model):
    def __init__(self, units=3, **options):
        super().__init__(**options)
        self.units = units
        self.first = keras.layers.Dense(units)

    def build(self, shape):
        self.first.build(shape)
        self.built = True

    def call(self, x):
        return self.first(x)

    def get_config(self):
        return {"units": self.units}


@pytest.mark.parametrize("nested", [False, True])
def test_a_subclassed_model_trains_with_it_and_keeps_it_in_files(nested, tmp_path):
    x, y = regression()
    model = Subclassed()
    model.build((None, 12))
    whole = keras.Sequential([keras.Input((12,)), model]) if nested else model
    attach(penalties.L1(1.0).on("**/kernel"), whole)
    whole.compile("sgd", "mse")
    whole.fit(x, np.tile(y, 3), verbose=0)
    for copied in (whole, *round_trips(whole, tmp_path)):
        if not copied.built:  # subclassed models, from JSON and clone
            copied.build((None, 12))
        assert len(copied.losses) == 1
        if copied.compiled:
            copied.fit(x, np.tile(y, 3), verbose=0)


class Lazy(keras.Model):
    """Makes its weights in its first call, and builds by that."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.last = keras.layers.Dense(3), keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))


def test_a_model_built_by_its_first_call(tmp_path):
    model = Lazy()
    model(np.ones((2, 4), "float32"))
    attach(penalties.L1(1.0).on("**/kernel"), model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Lazy": Lazy})
    assert float(sum(loaded.losses)) == float(sum(model.losses)) > 0
    assert len(loaded.losses) == 2


class Unsaveable(keras.Model):
    def __init__(self, function):
        super().__init__()
        self.function, self.last = function, keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.function(x))

    def get_config(self):
        raise NotImplementedError


def test_a_model_that_cannot_be_saved_at_all():
    model = Unsaveable(keras.ops.relu)
    model(np.ones((2, 3), "float32"))
    with pytest.warns(UserWarning, match=r"could not be made anew from its config: NotImplementedError"):
        attach(penalties.L1(1.0).on("**/kernel"), model)
    assert len(model.losses) == 1


def test_layers_with_random_state(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    attach(penalties.L1(1.0).on("**/kernel"), model)
    for copied in round_trips(model, tmp_path):
        assert len(regularized(copied)) == 1


def test_nested_models(tmp_path):
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep")], name="inner")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="top")(inner(inputs)))
    attach(penalties.L1(1.0).on("**/kernel"), model)
    assert regularized(model) == {"inner/deep/kernel", "top/kernel"}
    for copied in round_trips(model, tmp_path):
        assert len(regularized(copied)) == 2


def test_fit_sees_it_even_if_the_model_was_fitted_before():
    x, y = np.zeros((8, 3), "float32"), np.zeros((8, 1), "float32")
    model = linear(3, kernel_initializer="ones")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, verbose=0)
    attach(penalties.L1(0.5).on("**/kernel"), model)
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(kernel_of(model), 0.95)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(kernel_of(model), 0.9, rtol=1e-6)


def test_each_weight_gets_its_own_part():
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(2, kernel_initializer="ones", name="a"),
            keras.layers.Dense(1, kernel_initializer="ones", name="b"),
        ],
        name="net",
    )
    penalty = penalties.L1(0.5).on("**/a/kernel") + penalties.L2({"net": {"a": 0.25, "b": 2.0}}).on(
        "**/kernel"
    )
    attach(penalty, model)
    assert repr(model.layers[0].kernel_regularizer) == "Regularizer(L1(0.5) + L2(0.25))"
    assert repr(model.layers[1].kernel_regularizer) == "Regularizer(L2(2.0))"
    assert float(sum(model.losses)) == 0.5 * 4 + 0.25 * 4 + 2.0 * 2


def test_twice_is_once_and_another_regularizer_is_an_error():
    model = linear(3, kernel_initializer="ones")
    for _ in range(2):
        attach(penalties.L1(0.5).on("**/kernel"), model)
    assert float(sum(model.losses)) == 1.5
    with pytest.raises(ValueError, match=r"has the regularizer .* already"):
        attach(penalties.L1(0.25).on("**/kernel"), model)
    with pytest.raises(ValueError, match="already"):
        attach(penalties.L1(0.1).on("**/kernel"), linear(3, kernel_regularizer=L1(0.1)))


def test_frozen_weights_are_not_chosen():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.layers[0].trainable = False
    attach(penalties.L1(0.5).on("**/kernel"), model)
    assert regularized(model) == {model.layers[1].kernel.path}


def test_random_numbers_are_not_drawn():
    weights = []
    for attached in (False, True):
        keras.utils.set_random_seed(7)
        model = linear(3)
        if attached:
            attach(penalties.L1(0.5).on("**/kernel"), model)
        weights.append(kernel_of(linear(3)))
    np.testing.assert_array_equal(*weights)


def test_no_second_model_is_made():
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(1001)])
    attach(penalties.L1(0.5).on("**/kernel"), model)
    assert sum(array.shape == (1000, 1001) for array in jax.live_arrays()) == 1


def test_what_it_refuses():
    with pytest.raises(TypeError, match="expected a Penalty"):
        attach(L1(0.1), linear(3))
    with pytest.raises(TypeError, match=r"the order is attach\(penalty, model\)"):
        attach(penalties.L1(0.1), {"kernel": np.ones(3)})
    with pytest.raises(ValueError, match="is not built"):
        attach(penalties.L1(0.1), keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(ValueError, match="Did you mean"):
        attach(penalties.L1(0.1).on("**/kernell"), linear(3))
    with warnings.catch_warnings(), pytest.raises(ValueError, match="does not broadcast"):
        attach(penalties.L1(np.ones(7)).on("**/kernel"), linear(3))
