"""Everything runs under strict dtype and rank promotion; warnings are errors (see pyproject.toml)."""

import os

os.environ["KERAS_BACKEND"] = "jax"  # before anything imports keras
# Before anything imports numba, which would take it half: a second of Python, and not a minute of compiling.
os.environ["NUMBA_DISABLE_JIT"] = "1"

import chex
import jax
import pytest
from hypothesis import HealthCheck, settings

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Nothing may hang on a clock or on luck: no deadline, no check of speed, the same examples each time.
settings.register_profile(
    "penalties",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("penalties")


@pytest.fixture
def x64():
    """Runs a test with 64-bit types enabled."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def fresh_trace_counts():
    """`chex.assert_max_traces` counts by a function's source: rows of one test would share a count."""
    chex.clear_trace_counter()
