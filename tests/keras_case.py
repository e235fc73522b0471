"""What all tests of penalties.keras share: the rules Keras itself needs, a few models, a lasso."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import penalties
from penalties.keras import Penalized

STEPS = 2000
FEATURES = 12

# Keras's own way of making NumPy arrays of its variables.
ignore_numpy_copies = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def keras_rules():
    """Keras promotes ranks and dtypes in its own code, and draws seeds."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        keras.utils.set_random_seed(0)
        yield


def linear(features: int, **options) -> keras.Model:
    """y = x·w + b, w of shape (features, 1)."""
    layer = keras.layers.Dense(1, **options)
    return keras.Sequential([keras.Input((features,)), layer], name="linear")


def kernel_of(model: keras.Model) -> np.ndarray:
    """The first kernel of a model."""
    return np.asarray(next(v for v in model.trainable_variables if v.name == "kernel").value)


def regression(samples: int = 64, features: int = 12, seed: int = 0):
    """x, y of a linear model with noise, of which 4 of 12 weights count."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features)).astype("float32")
    w = np.zeros(features, "float32")
    w[:4] = [2.0, -1.5, 1.0, 0.5]
    noise = rng.normal(size=samples).astype("float32")
    return x, (x @ w + 0.3 * noise)[:, None].astype("float32")


def decaying(rate):
    return keras.optimizers.schedules.CosineDecay(rate, STEPS)


def train(optimizer, model, x, y, steps):
    """Full gradients, in one compiled loop of `stateless_apply`."""
    optimizer.build(model.trainable_variables)
    x, y = jnp.asarray(x), jnp.asarray(y)

    def step(_, state):
        weights, opt = state

        def loss(weights):
            value = jnp.mean((x @ weights[0] - y) ** 2)
            with keras.StatelessScope(state_mapping=list(zip(optimizer.variables, opt, strict=True))):
                return optimizer.scale_loss(value)

        return optimizer.stateless_apply(opt, jax.grad(loss)(weights), weights)

    state = ([v.value for v in model.trainable_variables], [v.value for v in optimizer.variables])
    weights, opt = jax.jit(lambda state: jax.lax.fori_loop(0, steps, step, state))(state)
    for variable, value in zip(
        model.trainable_variables + optimizer.variables, [*weights, *opt], strict=True
    ):
        variable.assign(value)
    return kernel_of(model)[:, 0]


def network(**options):
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ],
        **options,
    )


def share_of_zeros(model):
    kernels = [np.asarray(v.value) for v in model.trainable_variables if v.name == "kernel"]
    return sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels)


def compiled(optimizer, model=None, penalty=None):
    model = model or network()
    penalty = penalty or penalties.L1(0.02).on(penalties.kernels)
    model.compile(Penalized(optimizer, penalty), "mse")
    return model


def kernel_of_layer(model):
    return np.asarray(model.layers[0].kernel.value)


def multiple(*optimizers, **options):
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(*optimizers), **options)
