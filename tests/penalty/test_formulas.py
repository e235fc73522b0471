"""What a formula returns is checked."""

import jax.numpy as jnp
import pytest

from penalties import Penalty


def test_formulas_that_return_another_shape_are_named():
    class NoSum(Penalty):
        strength: float

        def value_at(self, w):
            return self.strength * jnp.abs(w)

        def prox_at(self, v, step):
            return jnp.sum(v)

    with pytest.raises(ValueError, match=r"NoSum\.value_at returned an array of shape \(3,\)"):
        NoSum(0.1)(jnp.ones(3))
    with pytest.raises(ValueError, match=r"NoSum\.prox_at returned an array of shape \(\)"):
        NoSum(0.1).prox(jnp.ones(3))
