"""What all tests of penalties.keras share: the rules Keras itself needs, a few models, a lasso."""

import jax
import keras
import numpy as np
import pytest

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
