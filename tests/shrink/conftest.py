"""What the tests of shrinking share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="module")
def promotion():
    """Models are users' programs: Keras and Flax promote dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    shapes = {"a": (3, 8), "b": (8,), "c": (8, 2), "d": (2,)}
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
