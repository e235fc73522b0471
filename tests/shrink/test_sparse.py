"""Single zeros as sparse arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

from penalties import to_bcoo

PARAMS = {"a": {"kernel": jnp.array([[0.0, 2.0], [0.0, 0.0]]), "bias": jnp.zeros(2)}, "b": jnp.eye(2)}


@pytest.mark.slow
def test_matrices_are_sparse_and_the_rest_is_as_it_was():
    found = to_bcoo(PARAMS)
    assert [type(found["a"]["kernel"]), type(found["b"])] == [BCOO, BCOO]
    assert found["a"]["bias"] is PARAMS["a"]["bias"]
    assert found["a"]["kernel"].nse == 1
    np.testing.assert_array_equal(found["a"]["kernel"].todense(), PARAMS["a"]["kernel"])


def test_where():
    found = to_bcoo(PARAMS, "a/kernel")
    assert found["b"] is PARAMS["b"]
    with pytest.raises(ValueError, match="kernle"):
        to_bcoo(PARAMS, "a/kernle")
    with pytest.raises(ValueError, match="two or more axes"):
        to_bcoo({"bias": jnp.zeros(2)})


def test_traced():
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda p: to_bcoo(p)["b"].data)(PARAMS)
