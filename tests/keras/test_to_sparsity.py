"""penalties.keras.ToSparsity: `fit` ends with the share of zeros that was asked for."""

import warnings

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

from penalties import L1, L2, Coupled, GroupLasso, Huber, NonNegative, couplings, kernels, shrink, to_sparsity
from penalties.keras import Penalized, SparsityLogger, ToSparsity

from keras_case import ignore_numpy_copies, linear, multiple

# Most trainings here are in parts, which end before the cut.
IN_PARTS = "`fit` has ended before the cut"
pytestmark = [ignore_numpy_copies, pytest.mark.filterwarnings(f"ignore:{IN_PARTS}")]

STEPS = 140
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 20)).astype(np.float32)
Y = X[:, :5] @ RNG.normal(size=(5, 10)).astype(np.float32)

PENALTY = L1(1.0).on(kernels)


@pytest.fixture(scope="module", autouse=True)
def rules():
    """Keras promotes ranks and dtypes in its own code."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def network(**options):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((20,)), keras.layers.Dense(10, name="dense", **options)], name="net")


def fit(model, steps=STEPS, **options):
    """Full gradients, all steps in one epoch."""
    return model.fit(
        np.tile(X, (steps, 1)), np.tile(Y, (steps, 1)), batch_size=32, shuffle=False, verbose=0, **options
    ).history


def kernel(model):
    return np.asarray(model.get_layer("dense").kernel.value)


def zeros(model):
    return int(np.sum(kernel(model) == 0))


def values(variables):
    return [np.asarray(v.value) for v in variables]


def compiled(optimizer, *, target=0.7, penalty=PENALTY, loss="mse", **options):
    model = network(**options)
    model.compile(ToSparsity(optimizer, penalty, target, STEPS), loss)
    return model


def by_optax(optimizer, steps=STEPS):
    """The same training in JAX."""
    params = {"dense": {v.name: v.value for v in network().trainable_variables}}

    def loss(params):
        return jnp.mean((X @ params["dense"]["kernel"] + params["dense"]["bias"] - Y) ** 2)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda params: jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0][0])
    return np.asarray(run(params)["dense"]["kernel"])


@pytest.fixture(scope="module")
def trained(rules, tmp_path_factory):
    """A training whose target rises on the way; whether it was compiled anew; the file of its middle."""
    traces = []

    def loss(y, predicted):
        traces.append(1)
        return keras.ops.mean((y - predicted) ** 2)

    model = compiled(keras.optimizers.SGD(0.5), target=0.5, loss=loss)
    histories = [fit(model, 40, callbacks=[SparsityLogger()])]
    traces.clear()
    file = tmp_path_factory.mktemp("models") / "model.keras"
    model.save(file)
    saved = values(model.optimizer.variables)
    model.optimizer.target = 0.7
    histories.append(fit(model, STEPS - 40, callbacks=[SparsityLogger()]))
    return model, histories, traces, (file, saved)


def test_it_ends_at_the_target_that_was_set_on_the_way(trained):
    model, _, traces, _ = trained
    assert zeros(model) == 140
    assert not traces  # nothing is compiled anew
    report = model.optimizer.report()
    assert (report.step, report.steps, report.target, report.held) == (STEPS, STEPS, 0.7, True)


def test_the_log_says_how_far_it_is(trained):
    _, (first, last), _, _ = trained
    assert first["target"] == [0.49]  # of 0.5, after 40 of the 56 steps in which it rises
    assert first["zeros"] == first["zero_units"]
    assert 0.35 < first["zero_units"][0] < 0.6
    assert first["strength_factor"][0] > 0
    assert first["penalty"][0] > 0
    assert [last[name] for name in ("zero_units", "target", "strength_factor")] == [[0.7], [0.7], [0.0]]


def test_what_is_saved_is_loaded(trained):
    _, _, _, (file, saved) = trained
    loaded = keras.models.load_model(file, custom_objects={"loss": "mse"})
    for ours, theirs in zip(saved, values(loaded.optimizer.variables), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    optimizer = loaded.optimizer
    assert (optimizer.penalty, optimizer.target, optimizer.steps) == (PENALTY, 0.5, STEPS)


def test_the_target_is_that_of_the_optimizer_and_not_of_a_checkpoint(trained):
    _, _, _, (_, saved) = trained
    optimizer = ToSparsity(keras.optimizers.SGD(0.5), PENALTY, 0.9, 1000)
    optimizer.build(network().trainable_variables)
    optimizer.set_weights(saved)
    report = optimizer.report()
    assert (report.step, report.steps, report.target) == (40, 1000, 0.9)
    assert optimizer.progress()["strength_factor"] > 0


def test_a_cut_that_takes_much_is_a_warning_at_the_end_of_fit(trained):
    model, _, traces, _ = trained
    model.optimizer.steps = 100_000
    fit(model, 1)
    assert not model.optimizer.report().held
    model.optimizer.steps, model.optimizer.target = STEPS, 0.95
    took_much = "the cut had to take .* points of weights that were not yet zero"
    with pytest.warns(UserWarning, match=took_much) as caught:
        fit(model, 1)
    assert caught[0].filename == __file__
    assert zeros(model) == 190
    fit(model, 1)  # warns once
    assert not traces
    with pytest.warns(UserWarning, match=took_much) as caught:
        model.optimizer.report()
    assert caught[0].filename == __file__


def test_a_fit_that_ends_before_the_cut_is_a_warning_where_it_was_called():
    model = compiled(keras.optimizers.SGD(0.5))
    with pytest.warns(UserWarning, match=f"{IN_PARTS} at step 70, .*: train on, or give") as caught:
        fit(model, 69)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, 1)
    assert zeros(model) == 140


def test_a_config_is_plain_and_read():
    target = {"net": {"dense": np.float32(0.9)}}
    optimizer = ToSparsity("adam", PENALTY, target, np.int64(500), cut=0.7, floor=0.8, name="mine")
    config = optimizer.get_config()
    assert (config["target"], config["steps"], config["cut"]) == ({"net": {"dense": 0.9}}, 500, 0.7)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == config


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"target": 90}, ValueError, r"target is 90: .* in \[0, 1\); 90 % is 0.9"),
        ({"steps": 100}, ValueError, "train for 125 steps or more"),
        ({"steps": 1e3}, TypeError, "steps is 1000.0 of type float"),
        ({"penalty": L2(1.0)}, TypeError, "no kink at zero"),
        ({"penalty": Huber(1.0)}, TypeError, "no kink"),
        ({"penalty": NonNegative()}, TypeError, "kernel_constraint="),
        ({"penalty": 0.1}, TypeError, "expected a Penalty"),
        ({"optimizer": optax.sgd(0.1)}, TypeError, "ToSparsity got the optimizer"),
        ({"optimizer": Penalized("sgd", L1(0.1))}, TypeError, "an optimizer that is Penalized already"),
        ({"cut": 0}, ValueError, r"cut is 0: expected a number in \(0, 1\]"),
    ],
)
def test_bad_arguments(wrong, error, match):
    arguments = {"optimizer": "sgd", "penalty": L1(1.0), "target": 0.9, "steps": 1_000} | wrong
    with pytest.raises(error, match=match):
        ToSparsity(**arguments)


def test_what_is_wrong_with_a_built_one():
    variables = linear(4).trainable_variables
    for penalty, target, match in (
        (L1(1.0).on("**/kernels"), 0.5, "matches none of the 2 leaves"),
        (PENALTY, 0.9, "leaves 0 of 4 units"),
        (PENALTY, {"other": 0.5}, "'other', which is no leaf or branch"),
    ):
        with pytest.raises(ValueError, match=match):
            ToSparsity("sgd", penalty, target, 1_000).build(variables)
    optimizer = ToSparsity("sgd", PENALTY, 0.5, 1_000)
    with pytest.raises(ValueError, match="is not built"):
        optimizer.report()
    optimizer.build(variables)
    grads = [jnp.zeros(v.shape) for v in variables]
    with pytest.raises(ValueError, match=r"no gradients for .*/bias.*: the share of zeros is one of all"):
        optimizer.apply(grads[:1], variables[:1])
    with pytest.raises(ValueError, match=r"no gradients for .*/kernel"):
        optimizer.apply([None, grads[1]], variables)
    with pytest.raises(ValueError, match="another tree than"):
        optimizer.target = {"linear": 0.5}
    with pytest.raises(ValueError, match="leaves 0 of 4 units"):
        optimizer.target = 0.9
    with pytest.raises(ValueError, match="target is 50"):
        optimizer.target = 50
    assert optimizer.target == 0.5


def test_a_step_that_fails_raises_its_own_error():
    model = compiled("sgd")
    fit(model, 1)
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match="the optimizer was built with"):
        fit(model, 1)


def test_a_target_that_is_read_is_a_copy():
    optimizer = ToSparsity("sgd", PENALTY, {"net": 0.5}, 1_000)
    optimizer.target["net"] = 0.9
    assert optimizer.target == {"net": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs", "penalty", "units"),
    [
        (lambda: keras.optimizers.Adam(0.02), lambda: optax.adam(0.02, eps=1e-7), L1(1.0), (200, 140)),
        (lambda: keras.optimizers.SGD(0.5), lambda: optax.sgd(0.5), GroupLasso(1.0, axis=-2), (20, 14)),
    ],
    ids=["adam", "groups under sgd"],
)
def test_the_same_zeros_as_the_one_for_optax(ours, theirs, penalty, units):
    of, zero = units
    penalty = penalty.on(kernels)
    model = compiled(ours(), penalty=penalty)
    history = fit(model, callbacks=[SparsityLogger()])
    found = kernel(model)
    assert zeros(model) * of == zero * found.size
    assert history["zero_units"] == [0.7]
    expected = by_optax(to_sparsity(theirs(), penalty, 0.7, STEPS))
    np.testing.assert_array_equal(found == 0, expected == 0)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.slow
def test_a_loaded_model_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    model = compiled(keras.optimizers.Adam(0.02))
    fit(model, 33)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        fit(one, STEPS - 33)
    assert zeros(loaded) == 140
    for ours, theirs in zip(values(model.variables), values(loaded.variables), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("around", [False, True])
def test_with_a_loss_scale_optimizer(around):
    scale, adam = keras.optimizers.LossScaleOptimizer, keras.optimizers.Adam(0.02)
    model = network()
    optimizer = ToSparsity(adam if around else scale(adam), PENALTY, 0.7, STEPS)
    model.compile(scale(optimizer) if around else optimizer, "mse")
    fit(model, STEPS + 10)  # the first steps overflow, and are left out
    assert zeros(model) == 140
    assert np.isfinite(kernel(model)).all()


@pytest.mark.slow
def test_moving_averages_clipping_and_several_optimizers():
    adam = keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9, clipnorm=1.0)
    model = compiled(multiple(adam))
    fit(model)
    assert zeros(model) == 140  # of the averages, which `fit` ends with


@pytest.mark.slow
def test_accumulated_gradients_count_as_steps_and_constraints_hold():
    optimizer = keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)
    model = compiled(optimizer, kernel_constraint=keras.constraints.MaxNorm(0.5))
    fit(model)
    assert zeros(model) == 140
    assert (np.linalg.norm(kernel(model), axis=0) <= 0.5 + 1e-6).all()


@pytest.mark.slow
def test_with_accumulation_the_cut_takes_as_little_as_without():
    model = network()
    optimizer = keras.optimizers.Adam(0.02, gradient_accumulation_steps=8)
    model.compile(ToSparsity(optimizer, PENALTY, 0.7, 8 * STEPS), "mse")
    fit(model, 8 * STEPS)
    assert zeros(model) == 140
    assert model.optimizer.report().taken < 0.02  # 0.1 if each step moved


@pytest.mark.slow
def test_units_of_a_network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(16, activation="relu", name="first"), keras.layers.Dense(10, name="last")]
    model = keras.Sequential([keras.Input((20,)), *layers], name="net")
    penalty = Coupled(L1(1.0), couplings(model, X)) + L2(1e-3).on("net/last/kernel")
    model.compile(ToSparsity(keras.optimizers.Adam(0.02), penalty, 0.5, STEPS), "mse")
    history = fit(model, callbacks=[SparsityLogger()])
    assert history["zero_units"] == [0.5]
    makers = np.concatenate([w if w.ndim == 2 else w[None] for w in values(model.layers[0].weights)]) == 0
    assert makers.all(0).sum() == makers[:-1].any(0).sum() == 8
    (kept,) = shrink(model, X[:2]).kept.values()
    np.testing.assert_array_equal(kept, np.flatnonzero(~makers.all(0)))


@pytest.mark.slow
def test_a_target_for_each_weight_and_bfloat16():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, name=name, dtype="bfloat16") for n, name in ((16, "a"), (10, "b"))]
    model = keras.Sequential([keras.Input((20,)), *layers], name="net")
    target = {"net/a": 0.5, "net": {"b": {"kernel": 0.9}}}
    # In pure bfloat16 the Adam of Keras does not move: its β₂ rounds to 1.
    model.compile(ToSparsity(keras.optimizers.SGD(0.3), PENALTY, target, STEPS), "mse")
    history = fit(model, callbacks=[SparsityLogger()])
    found = [int(np.sum(np.asarray(layer.kernel.value) == 0)) for layer in layers]
    assert found == [160, 144]
    assert history["zero_units"] == [pytest.approx(304 / 480)]
