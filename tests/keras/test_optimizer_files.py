"""penalties.keras.Penalized in files, configs and copies, and what it refuses."""

import copy
import pickle

import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

import penalties
from penalties.keras import Penalized, StrengthSchedule

from keras_case import (  # noqa: F401
    FEATURES,
    compiled,
    decaying,
    ignore_numpy_copies,
    keras_rules,
    kernel_of,
    kernel_of_layer,
    linear,
    network,
    regression,
)

pytestmark = ignore_numpy_copies


@pytest.mark.parametrize(
    "inner",
    [
        lambda: keras.optimizers.Adam(decaying(0.05), clipnorm=1.0),
        lambda: keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop(0.01)),
        lambda: keras.optimizers.Adam(0.01, loss_scale_factor=4.0),
    ],
)
def test_a_loaded_model_goes_on_as_if_it_had_never_been_saved(inner, tmp_path):
    x, y = regression()
    penalty = (penalties.L1(0.02) + penalties.L2(0.01)).on(penalties.kernels)
    keras.utils.set_random_seed(5)
    model = compiled(inner(), penalty=penalty)
    model.fit(x, y, batch_size=16, epochs=3, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.fit(x, y, batch_size=16, epochs=3, verbose=0, shuffle=False)
    for ours, theirs in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))


@pytest.mark.filterwarnings(
    "ignore:Skipping variable loading for optimizer"
)  # of a frozen model: it has none
@pytest.mark.parametrize("change", ["nothing", "frozen", "copied"])
def test_a_model_loads_whatever_its_paths_are_then(change, tmp_path):
    """Keras leaves the name of a Sequential model out of the paths of a loaded one."""
    x, y = regression()
    model = keras.Sequential(
        [keras.Input((12,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(1, name="b")]
    )
    path = f"{model.name}/a/kernel"
    model.compile(Penalized(keras.optimizers.Adam(0.05), penalties.L1(1e3).on(path)), "mse")
    model.fit(x, y, epochs=2, verbose=0)
    model.trainable = change != "frozen"
    model.save(tmp_path / "model.keras")
    loaded = copy.deepcopy(model) if change == "copied" else keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    if change != "frozen":
        loaded.fit(x, y, epochs=100, verbose=0)
        assert np.all(kernel_of(loaded) == 0)
        assert np.all(np.asarray(loaded.layers[1].bias.value) != 0)


def test_saved_paths_are_for_the_same_weights_only():
    model = linear(3)
    optimizer = Penalized("adam", penalties.L1(0.1).on(model.layers[0].kernel.path))
    optimizer.build(model.trainable_variables)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    other = keras.layers.BatchNormalization()
    other.build((None, 3))
    again.build(other.trainable_variables)
    with pytest.raises(ValueError, match="matches none of the 2 leaves"):
        again.apply([jnp.ones(3), jnp.ones(3)])


def test_the_config_of_an_optimizer_serves_another_model_by_its_own_paths():
    def two(*names):
        layers = [keras.layers.Dense(3, name=name) for name in names]
        return keras.Sequential([keras.Input((3,)), *layers], name="net")

    first, swapped, others = two("a", "b"), two("b", "a"), two("c", "d")
    optimizer = Penalized(keras.optimizers.SGD(0.1), penalties.L1(10.0).on("**/a/kernel"))
    optimizer.build(first.trainable_variables)
    again = Penalized.from_config(optimizer.get_config())
    again.build(swapped.trainable_variables)
    assert [again.penalty_of(v) is None for v in swapped.trainable_variables] == [True, True, False, True]
    again = Penalized.from_config(optimizer.get_config())
    again.build(others.trainable_variables)
    with pytest.raises(ValueError, match="matches none of the 4 leaves"):
        again.apply([jnp.zeros(v.shape) for v in others.trainable_variables])


def test_weights_of_the_optimizer_can_be_set():
    x, y = regression()
    trained, new = (compiled("adam") for _ in range(2))
    trained.fit(x, y, verbose=0)
    new.optimizer.build(new.trainable_variables)
    new.optimizer.set_weights([np.asarray(v.value) for v in trained.optimizer.variables])
    for ours, theirs in zip(new.optimizer.variables, trained.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))
    with pytest.raises(ValueError, match="got 0 weights"):
        new.optimizer.set_weights([])
    with pytest.raises(ValueError, match=r"You are calling `set_weights.*that is not built"):
        Penalized("sgd", penalties.L1(0.1)).set_weights([])


def test_a_model_saved_in_the_middle_of_a_schedule_has_its_strengths(tmp_path):
    x, y = regression()
    model = compiled("adam")
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    model.fit(x, y, verbose=0, callbacks=[StrengthSchedule(lambda step: 0.25), checkpoint])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.strength_factor.value) == 1


def test_around_and_inside_survive_the_config():
    penalty = penalties.L1(0.1).on("**/kernel")
    penalized = Penalized("adam", penalty, decay=0.9, accumulator_dtype=jnp.bfloat16)
    optimizer = keras.optimizers.LossScaleOptimizer(penalized)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.inner_optimizer.penalty == penalty
    assert again.inner_optimizer.decay == 0.9
    assert again.inner_optimizer.accumulator_dtype == "bfloat16"
    assert isinstance(again.inner_optimizer.inner_optimizer, keras.optimizers.Adam)


class Plain(keras.optimizers.Optimizer):
    """An optimizer of a user's own, not registered."""

    def __init__(self, learning_rate=0.5, **options):
        super().__init__(learning_rate=learning_rate, **options)

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, gradient * learning_rate)


WRAPPERS = ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
CLASSES = [
    cls
    for name, cls in vars(keras.optimizers).items()
    if isinstance(cls, type) and issubclass(cls, keras.optimizers.Optimizer) and name not in WRAPPERS
]


@pytest.mark.parametrize("cls", [*CLASSES, Plain], ids=lambda cls: cls.__name__)
def test_every_optimizer_is_saved_and_loaded(cls, tmp_path):
    model = linear(3)
    model.compile(Penalized(cls(learning_rate=0.25), penalties.L1(0.1).on("**/kernel")), "mse")
    x, y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    own = {"Plain": Plain} if cls is Plain else None
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=own)
    assert type(loaded.optimizer.inner_optimizer) is cls
    for one in (model, loaded):
        one.fit(x, y, verbose=0)
    np.testing.assert_array_equal(kernel_of(loaded), kernel_of(model))
    np.testing.assert_array_equal(
        *([np.asarray(v.value) for v in one.optimizer.variables if v.shape == ()] for one in (model, loaded))
    )


def test_a_config_is_the_same_after_a_round_trip():
    for optimizer in (Penalized("adam", penalties.L1(0.1).on("**/kernel")), compiled("sgd").optimizer):
        for built in (False, True):
            if built:
                optimizer.build(network().trainable_variables)
            config = optimizer.get_config()
            assert config["paths"] == (optimizer._paths if built else None)
            assert Penalized.from_config(config).get_config() == config
            assert pickle.loads(pickle.dumps(Penalized.from_config(config))).get_config() == config


def test_a_copy_raises_for_a_typo_as_the_original_does():
    optimizer = Penalized("adam", penalties.L1(0.1).on("**/kernell"))
    for one in (optimizer, copy.deepcopy(optimizer)):
        with pytest.raises(ValueError, match="matches none of the 2 leaves"):
            one.build(linear(3).trainable_variables)
        model = linear(3)
        model.compile(one, "mse")
        with pytest.raises(ValueError, match="Did you mean"):
            model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")  # as Keras warns of its own
def test_a_frozen_model_that_never_trained_is_loaded(tmp_path):
    model = linear(3)
    model.trainable = False
    model.compile(Penalized("adam", penalties.L1(0.1).on("**/kernel")), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(kernel_of_layer(loaded), kernel_of_layer(model))


# What is refused.


def test_wrong_arguments():
    adam, penalty = keras.optimizers.Adam(0.1), penalties.L1(0.1)
    with pytest.raises(TypeError, match=r"expected a Keras optimizer"):
        Penalized(keras.layers.Dense(1), penalty)
    with pytest.raises(TypeError, match=r"penalties\.penalized"):
        Penalized(optax.adam(0.1), penalty)
    with pytest.raises(TypeError, match=r"Penalized\(optimizer, p \+ q\)"):
        Penalized(Penalized(adam, penalty), penalty)
    with pytest.raises(TypeError, match=r"0\.1 of type float: expected a Penalty"):
        Penalized(adam, 0.1)
    for decay in (1.0, 1 - 1e-9, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"decay is .*: expected a number in \[0, 1\)"):
            Penalized(adam, penalty, decay=decay)
    for decay in ("0.9", True):
        with pytest.raises(TypeError, match=r"decay is .*: expected a number"):
            Penalized(adam, penalty, decay=decay)
    with pytest.raises(TypeError, match=r"accumulator_dtype is 'int32': expected a floating dtype"):
        Penalized(adam, penalty, accumulator_dtype="int32")


def test_a_pattern_that_matches_nothing_is_an_error_when_training_starts():
    model = linear(3)
    model.compile(Penalized("adam", penalties.L1(0.1).on("**/kernels")), "mse")
    with pytest.raises(ValueError, match=r"'linear/dense\w*/kernel'"):
        model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)


def test_a_typo_leaves_the_model_as_it_was():
    model = linear(3)
    before = kernel_of(model)
    for wrong in (penalties.L1(0.1).on("**/kernell"), penalties.L1(np.ones(7)).on("**/kernel")):
        model.compile(Penalized("adam", wrong), "mse")
        with pytest.raises(ValueError, match=r"matches none|does not broadcast"):
            model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
        np.testing.assert_array_equal(kernel_of(model), before)


def test_apply_says_what_is_missing():
    model = linear(3)
    optimizer = Penalized("adam", penalties.L1(0.1))
    with pytest.raises(ValueError, match=r"optimizer.build"):
        optimizer.apply([jnp.zeros((3, 1))])
    optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="got 1 gradients for 2 variables"):
        optimizer.apply([jnp.zeros((3, 1))])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([jnp.zeros(3)], [keras.Variable(np.zeros(3))])


def test_a_function_as_selection_trains_but_cannot_be_saved(tmp_path):
    model = compiled("adam", penalty=penalties.L1(0.1).on(lambda path, leaf: leaf.ndim == 2))
    model.fit(np.ones((4, FEATURES)), np.ones((4, 1)), verbose=0)
    with pytest.raises(TypeError, match="cannot be written to a config"):
        model.optimizer.get_config()
