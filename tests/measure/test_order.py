"""Results by leaf keep the order of params, also out of jit."""

import jax
import jax.numpy as jnp
import pytest

from penalties import L1, describe, optimality, sparsity

PARAMS = {"layers": [jnp.ones(2) for _ in range(12)]}
PATHS = [f"layers/{i}" for i in range(12)]

MEASURES = {
    "optimality": lambda params: optimality(L1(0.5), params, params).leaves,
    "sparsity": lambda params: sparsity(params).leaves,
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_leaves_stand_in_the_order_of_params(measure):
    assert list(measure(PARAMS)) == PATHS
    assert list(jax.jit(measure)(PARAMS)) == PATHS
    _, history = jax.lax.scan(lambda params, _: (params, measure(params)), PARAMS, length=2)
    assert list(history) == PATHS
    assert list(jax.tree.map(lambda x: x, measure(PARAMS))) == PATHS
    assert dict(measure(PARAMS)) == measure(PARAMS), "a dict by another name"


def test_describe_has_the_same_order():
    assert list(describe(L1(1.0), PARAMS)) == PATHS


def test_the_values_belong_to_their_paths():
    params = {"layers": [jnp.full(2, float(i)) for i in range(12)]}
    grads = jax.tree.map(jnp.zeros_like, params)
    norms = optimality(L1(0.5), params, grads).leaves
    assert float(norms["layers/0"]) == 0
    zeros = sparsity(params).leaves
    assert [int(zeros[path].zeros) for path in PATHS] == [2] + 11 * [0]
