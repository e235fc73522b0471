"""The table of cases itself."""

import jax.numpy as jnp

from cases import CASES, random_params, ravel, unravel
from laws import assert_same_bits


def test_no_two_rows_have_the_same_name():
    assert len({case.name for case in CASES}) == len(CASES)


def test_ravel_and_unravel_are_inverse():
    params = random_params()
    assert_same_bits(unravel(ravel(params), jnp.float32), params)
