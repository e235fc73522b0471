"""Networks without their dead units: the same outputs, from smaller arrays."""

import jax.numpy as jnp
import numpy as np
import pytest
from opened_networks import case_of, compare, is_floating, opened

from penalties import couplings, shrink

from networks import CASES, Case

pytestmark = pytest.mark.usefixtures("promotion")


def found(case: Case):
    arguments = () if case.params is None else (case.params,)
    return couplings(case.fn, *arguments, *case.inputs(2))


def with_dead_units(case: Case, share: float, *, biases: bool, seed: int = 0):
    """Leaves with a share of the units of each class killed at random, and which units live.

    What makes a unit becomes 0: all of it, or with `biases` its kernels alone, so that the unit
    sends on a constant.
    """
    network, rng, alive = opened(case), np.random.default_rng(seed), {}
    leaves = [np.array(x) if is_floating(x) else x for x in network.leaves]
    for leaf in filter(is_floating, leaves):
        leaf += (0.1 * rng.uniform(0.1, 1, leaf.shape)).astype(leaf.dtype)  # no zeros by chance
    for units in found(case):
        dead = rng.permutation(units.units)[: round(share * units.units)]
        alive[units.name] = np.setdiff1d(np.arange(units.units), dead)
        for axis in units.axes:
            leaf = leaves[network.paths.index(axis.path)]
            if axis.makes and (leaf.ndim > 1 or not biases):
                leaf[(slice(None),) * axis.axis + (axis.positions[dead].ravel(),)] = 0
    return network, [jnp.asarray(x) for x in leaves], alive


# One of each kind of layer, and of each library; the others are slow tests.
QUICK = {"nnx mlp", "nnx cnn", "linen post-norm", "eqx gru", "keras cnn", "experts", "branches"}


def each(names):
    marked = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("name", marked)


@each(CASES)
def test_dead_units_go_and_the_outputs_stay(name):
    case = case_of(name)
    network, leaves, alive = with_dead_units(case, 0.5, biases=False)
    before = [np.array(x) for x in leaves if is_floating(x)]
    small = shrink(network.function, leaves, network.inputs)
    for i, (expected, kept) in enumerate(zip(alive.values(), small.kept.values(), strict=True)):
        np.testing.assert_array_equal(kept, range(max(kept) + 1) if i in case.stays else expected)
    assert compare(network, leaves, small, case.inputs(7)) < 1e-6
    for x, y in zip(before, filter(is_floating, leaves), strict=True):
        np.testing.assert_array_equal(x, y)


BIASED = ["nnx mlp", "nnx cnn", "nnx resnet", "eqx attention", "experts"]


@each(BIASED)
def test_constants_are_folded_into_the_next_bias(name):
    case = case_of(name)
    network, leaves, _ = with_dead_units(case, 0.5, biases=True)
    small = shrink(network.function, leaves, network.inputs)
    without = shrink(network.function, leaves, network.inputs, fold=False)
    left, more = (sum(map(len, found.kept.values())) for found in (small, without))
    assert left <= more if name in ("nnx resnet", "experts") else left < more
    assert compare(network, leaves, small, case.inputs(3)) < 2e-6


@each(["nnx mlp", "nnx cnn", "eqx gru", "branches", "experts"])
def test_units_that_nothing_reads_are_dead(name):
    case = case_of(name)
    network, leaves, _ = with_dead_units(case, 0, biases=False)
    leaves, units = [np.array(x) if is_floating(x) else x for x in leaves], found(case)[-1]
    for axis in units.axes:
        if axis.summed:
            at = (slice(None),) * axis.axis + (axis.positions[: units.units // 2].ravel(),)
            leaves[network.paths.index(axis.path)][at] = 0
    small = shrink(network.function, leaves, network.inputs)
    np.testing.assert_array_equal(list(small.kept.values())[-1], range(units.units // 2, units.units))
    assert compare(network, leaves, small, case.inputs(3)) < 1e-6


@each(["nnx mlp", "eqx gru", "llama"])
@pytest.mark.parametrize("batch", [1, 256])
def test_any_batch_size(name, batch):
    case = case_of(name)
    network, leaves, _ = with_dead_units(case, 0.5, biases=True)
    small = shrink(network.function, leaves, network.inputs)
    assert compare(network, leaves, small, case.inputs(batch)) < 1e-6


@each(["experts", "branches", "llama"])
def test_in_float64(name, x64):
    case = case_of(name)
    network, leaves, _ = with_dead_units(case, 0.5, biases=False)
    leaves = [x.astype(np.float64) for x in leaves]
    inputs = [x.astype(np.float64) if is_floating(x) else x for x in case.inputs(3)]
    small = shrink(network.function, leaves, inputs)
    assert compare(network, leaves, small, inputs) < 1e-12
