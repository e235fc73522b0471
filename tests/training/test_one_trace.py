"""A step is traced once for each shape of a leaf, and not once for each leaf."""

import jax
import jax.numpy as jnp
import optax
import pytest

from penalties import GroupLasso, SettlingPenalty, penalized, to_sparsity

SHAPES = (3, 4), (4,), (2, 3, 4)


class Counted(SettlingPenalty):
    """L1, which writes down the shapes its rule is traced for."""

    strength: float

    def value_at(self, w):
        return self.strength * jnp.sum(jnp.abs(w))

    def subgradient_at(self, w, gradient, average):
        TRACED.append(w.shape)
        return gradient + self.strength * jnp.sign(w)

    def settles_at(self, w, moved, direction, average):
        SETTLED.append(w.shape)
        return moved * w < 0


TRACED: list = []
SETTLED: list = []


def of_leaves(count):
    return {f"leaf_{i}": jnp.ones(SHAPES[i % 3]) for i in range(count)}


def test_the_rule_is_traced_once_for_each_shape():
    params = of_leaves(30)
    optimizer = penalized(optax.sgd(0.1), Counted(0.1))
    state = optimizer.init(params)
    TRACED.clear()
    SETTLED.clear()
    jax.jit(optimizer.update).trace(params, state, params)
    assert sorted(TRACED) == sorted(SETTLED) == sorted(SHAPES)


@pytest.mark.parametrize("wrap", [penalized, lambda sgd, p: to_sparsity(sgd, p, 0.5, 1000)])
def test_operations_are_linear_in_the_leaves(wrap):
    """Each further leaf of a known shape adds as many as the one before."""
    optimizer = wrap(optax.sgd(0.1), GroupLasso(0.1))

    def operations(leaves):
        params = of_leaves(leaves)
        return len(jax.make_jaxpr(optimizer.update)(params, optimizer.init(params), params).eqns)

    few, more, many = (operations(leaves) for leaves in (6, 12, 24))
    assert many - more == pytest.approx(2 * (more - few), rel=0.05)
