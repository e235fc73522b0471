"""What the laws in `family/test_laws_*.py` share."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from penalties import SettlingPenalty

from cases import CASES, SHAPES, Case, flat, random_params, ravel, tree

STRENGTH, STEP = 0.3, 0.7


def rows(cases):
    marked = [pytest.param(c, marks=pytest.mark.slow) if c.slow else c for c in cases]
    return pytest.mark.parametrize("case", marked, ids=str)


every_case = rows(CASES)
every_finite_case = rows(c for c in CASES if not c.constraint)
every_constraint = rows(c for c in CASES if c.constraint)
every_case_with_numbers = rows(c for c in CASES if jax.tree.leaves(c.make(STRENGTH)))
every_convex_case = rows(c for c in CASES if c.convex)
every_settling_case = rows(c for c in CASES if isinstance(c.make(STRENGTH), SettlingPenalty))


def seeds():
    return st.integers(0, 2**32 - 1)


def objective(case: Case, z, v, step: float) -> float:
    return step * case.total(z, STRENGTH) + 0.5 * float(np.sum((ravel(z) - ravel(v)) ** 2))


def assert_same_bits(a, b):
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
    chex.assert_trees_all_equal(a, b)


def half_zero_params(dtype=jnp.float64):
    """Weights of which some are zero, and some whole groups."""
    leaves = flat(random_params(0, dtype))
    leaves["dense/kernel"][:, 0] = leaves["dense/kernel"][1, 1] = 0
    leaves["scan/kernel"][:, :, 1] = leaves["scan/kernel"][0, 1, 0] = 0
    return tree({path: jnp.asarray(w, dtype) for path, w in leaves.items()})


def unravel_np(vector):
    leaves, start = {}, 0
    for path, shape in SHAPES.items():
        size = int(np.prod(shape))
        leaves[path] = vector[start : start + size].reshape(shape)
        start += size
    return tree(leaves)
