"""Networks without their dead units: the same outputs, from smaller arrays."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import CASES, Case

from penalties import couplings, shrink
from penalties._shrink.networks import Network


@pytest.fixture(scope="module", autouse=True)
def promotion():
    """Models are users' programs: Keras and Flax promote dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def opened(case: Case, batch: int = 2) -> Network:
    """The case as a function of leaves and inputs."""
    fn, *arguments = (case.fn,) if case.params is None else (case.fn, case.params)
    params, *inputs = (*arguments, *case.inputs(batch))
    return Network(fn, params, inputs)


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


def is_floating(x) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def compare(network: Network, leaves, small, inputs) -> float:
    """The largest difference of the outputs relative to the largest output."""

    def both(leaves, params, inputs):
        return network.function(leaves, inputs), small.apply(params, inputs)

    arguments = leaves, small.params, list(inputs)
    large, cut = jax.jit(both).lower(*arguments).compile(FAST)(*arguments)
    assert np.isfinite(large).all()
    return float(np.abs(large - cut).max() / np.abs(large).max())


@functools.cache
def case_of(name: str) -> Case:
    return CASES[name]()


@pytest.mark.parametrize("name", CASES)
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


@pytest.mark.parametrize("name", BIASED)
def test_constants_are_folded_into_the_next_bias(name):
    case = case_of(name)
    network, leaves, _ = with_dead_units(case, 0.5, biases=True)
    small = shrink(network.function, leaves, network.inputs)
    without = shrink(network.function, leaves, network.inputs, fold=False)
    left, more = (sum(map(len, found.kept.values())) for found in (small, without))
    assert left <= more if name in ("nnx resnet", "experts") else left < more
    assert compare(network, leaves, small, case.inputs(3)) < 2e-6


@pytest.mark.parametrize("name", ["nnx mlp", "nnx cnn", "eqx gru", "branches", "experts"])
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


@pytest.mark.parametrize("name", ["nnx mlp", "eqx gru", "llama"])
@pytest.mark.parametrize("batch", [1, 256])
def test_any_batch_size(name, batch):
    case = case_of(name)
    network, leaves, _ = with_dead_units(case, 0.5, biases=True)
    small = shrink(network.function, leaves, network.inputs)
    assert compare(network, leaves, small, case.inputs(batch)) < 1e-6


@pytest.mark.parametrize("name", ["experts", "branches", "llama"])
def test_in_float64(name, x64):
    case = case_of(name)
    network, leaves, _ = with_dead_units(case, 0.5, biases=False)
    leaves = [x.astype(np.float64) for x in leaves]
    inputs = [x.astype(np.float64) if is_floating(x) else x for x in case.inputs(3)]
    small = shrink(network.function, leaves, inputs)
    assert compare(network, leaves, small, inputs) < 1e-12


def mlp(params, x):
    h = jax.nn.relu(x @ params["a"] + params["b"])
    return h @ params["c"] + params["d"]


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    shapes = {"a": (3, 8), "b": (8,), "c": (8, 2), "d": (2,)}
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}


X = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)


class TestDeadness:
    """What is dead, on one hidden layer."""

    def test_a_relu_that_a_negative_bias_keeps_shut(self, weights):
        weights["a"] = weights["a"].at[:, 2].set(0)
        weights["b"] = weights["b"].at[2].set(-1)
        small = shrink(mlp, weights, X, fold=False)
        np.testing.assert_array_equal(small.kept["a axis 1"], [0, 1, 3, 4, 5, 6, 7])

    def test_a_relu_that_a_positive_bias_keeps_open_is_folded(self, weights):
        weights["a"] = weights["a"].at[:, 2].set(0)
        weights["b"] = weights["b"].at[2].set(1)
        assert len(shrink(mlp, weights, X, fold=False).kept["a axis 1"]) == 8
        small = shrink(mlp, weights, X)
        assert len(small.kept["a axis 1"]) == 7
        np.testing.assert_allclose(small.params["d"], weights["d"] + weights["c"][2], rtol=1e-6)

    def test_without_a_bias_nothing_is_folded(self, weights):
        weights["a"] = weights["a"].at[:, 2].set(0)
        weights["b"] = weights["b"].at[2].set(1)
        small = shrink(lambda p, x: mlp(p, x) - p["d"] * 2, weights, X)  # d is used twice
        assert len(small.kept["a axis 1"]) == 8

    def test_chains_backwards(self):
        rng = np.random.default_rng(0)
        w = [rng.normal(size=s).astype(np.float32) for s in ((3, 6), (6, 5), (5, 4), (4, 2))]
        w[2][[0, 1]] = 0  # units 0 and 1 of the second layer are read by nobody
        w[1][:3, 2:] = 0  # units 0, 1, 2 of the first are read by these two alone
        small = shrink(lambda w, x: functools.reduce(lambda h, k: jnp.tanh(h @ k), w, x), w, X)
        assert [len(k) for k in small.kept.values()] == [3, 3, 4]

    def test_a_unit_that_only_feeds_itself(self):
        """The largest dead set is not found by going through the layers once."""
        rng = np.random.default_rng(0)
        w = {
            n: rng.normal(size=s).astype(np.float32)
            for n, s in {"i": (3, 4), "h": (4, 4), "o": (4, 2)}.items()
        }
        w["o"][1] = 0
        w["h"][1] = [0, 1, 0, 0]

        def recurrent(w, x):
            step = lambda h, x: (jnp.tanh(x @ w["i"] + h @ w["h"]), None)  # noqa: E731
            return jax.lax.scan(step, jnp.zeros(4), x)[0] @ w["o"]

        small = shrink(recurrent, w, X)
        np.testing.assert_array_equal(*small.kept.values(), [0, 2, 3])
        np.testing.assert_allclose(small.apply(small.params, X), recurrent(w, X), rtol=1e-5)

    def test_at_the_border_of_an_image_a_constant_is_none(self):
        """A padded convolution sums fewer terms there: nothing can be folded."""
        rng = np.random.default_rng(0)
        p = {
            "a": rng.normal(size=(1, 1, 2, 4)),
            "b": np.ones(4),
            "c": rng.normal(size=(3, 3, 4, 2)),
            "d": np.zeros(2),
        }
        p = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), p)
        p["a"] = p["a"].at[..., 1].set(0)

        def network(padding, p, x):
            dims = ("NHWC", "HWIO", "NHWC")
            h = jax.lax.conv_general_dilated(x, p["a"], (1, 1), "SAME", dimension_numbers=dims) + p["b"]
            return jax.lax.conv_general_dilated(h, p["c"], (1, 1), padding, dimension_numbers=dims) + p["d"]

        x = rng.normal(size=(2, 5, 5, 2)).astype(np.float32)
        for padding, left in (("SAME", 4), ("VALID", 3)):
            fn = functools.partial(network, padding)
            small = shrink(fn, p, x)
            assert len(small.kept["a axis 3"]) == left
            np.testing.assert_allclose(small.apply(small.params, x), fn(p, x), rtol=1e-5, atol=1e-5)

    def test_a_whole_layer_that_is_dead_keeps_one_unit(self, weights):
        weights["a"] = jnp.zeros_like(weights["a"])
        small = shrink(mlp, weights, X)
        assert len(small.kept["a axis 1"]) == 1
        np.testing.assert_allclose(small.apply(small.params, X), mlp(weights, X), rtol=1e-5, atol=1e-6)

    def test_constants_that_cancel_are_not_taken_for_zeros_of_what_is_left(self):
        """Unit k of the second layer is 0 because two constants cancel: it stays alone, and has to stay 0."""
        w = {"b": jnp.array([1.0, 1.0]), "m": jnp.array([[1.0], [-1.0]]), "o": jnp.ones((1, 2))}

        def network(w, x):
            return (jnp.zeros((len(x), 2)) + w["b"]) @ w["m"] @ w["o"] + x[:, :2]

        small = shrink(network, w, X)
        np.testing.assert_array_equal(small.apply(small.params, X), network(w, X))

    def test_a_mean_over_units_keeps_the_count_of_the_large_network(self):
        """Called again on the small arrays, a norm divides by another number."""
        p = {
            "a": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32),
            "c": np.ones((8, 2), np.float32),
        }
        p["a"][:, 4:] = 0

        def network(p, x):
            h = x @ p["a"]
            return h / jnp.sqrt((h * h).mean(-1, keepdims=True) + 1e-6) @ p["c"]

        small = shrink(network, p, X)
        assert small.params["a"].shape == (3, 4)
        np.testing.assert_allclose(small.apply(small.params, X), network(p, X), rtol=1e-5, atol=1e-6)
        assert np.abs(network(small.params, X) - network(p, X)).max() > 0.1

    def test_leaves_that_are_not_used_stay(self, weights):
        weights |= {
            "unused": jnp.zeros((5, 5)),
            "table": jnp.zeros((6, 3)),
            "count": jnp.zeros((), jnp.int32),
        }
        small = shrink(lambda p, x: mlp(p, x + p["table"][:4]), weights, X)
        assert small.params["unused"].shape == (5, 5)
        assert small.params["table"].shape == (6, 3)

    def test_no_dead_unit(self, weights):
        small = shrink(mlp, weights, X)
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), small.params, weights))
        assert all(a is not b for a, b in zip(small.params.values(), weights.values(), strict=True))
        assert "no unit is dead" in repr(small.report)


class TestRefused:
    """What is not understood stays as it is, or is an error."""

    def test_an_unknown_primitive_pins_all_that_it_touches(self, weights):
        from jax.extend.core import Primitive
        from jax.interpreters import mlir

        double = Primitive("double_in_a_way")
        double.def_abstract_eval(lambda x: x)
        mlir.register_lowering(double, mlir.lower_fun(lambda x: x + x, multiple_results=False))
        weights["a"] = weights["a"].at[:, 2:].set(0)
        weights["b"] = weights["b"].at[2:].set(0)

        def network(p, x):
            return double.bind(x @ p["a"] + p["b"]) @ p["c"] + p["d"]

        (pinned,) = {axis.why for axis in couplings(network, weights, X).pinned if axis.length == 8}
        assert "double_in_a_way" in pinned
        with jax.disable_jit(False):
            small = shrink(network, weights, X)
        assert {n: x.shape for n, x in small.params.items()} == {n: x.shape for n, x in weights.items()}

    @pytest.mark.parametrize(
        "through",
        [
            lambda h: jax.lax.cond(h.sum() > 0, jnp.tanh, jnp.sin, h),
            lambda h: jnp.fft.fft(h).real,
            lambda h: jax.lax.while_loop(lambda h: h.sum() > 1e3, lambda h: h / 2, h),
            lambda h: h.at[0].set(1.0),
            lambda h: jax.nn.softmax(h),
            lambda h: jnp.cumsum(h, 1),
            lambda h: jnp.sort(h, 1),
            lambda h: h * jnp.arange(8.0),
            lambda h: h[:, jnp.array([3, 1, 2, 0, 7, 6, 5, 4])],
            lambda h: jax.lax.dynamic_slice(h, (0, 1), (4, 7)),
        ],
    )
    def test_other_operations_pin_or_are_right(self, weights, through):
        weights["a"] = weights["a"].at[:, 2:].set(0)
        weights["b"] = weights["b"].at[2:].set(0)

        def network(p, x):
            h = through(x @ p["a"] + p["b"])
            return h @ p["c"][: h.shape[1]] + p["d"]

        small = shrink(network, weights, X)
        np.testing.assert_allclose(small.apply(small.params, X), network(weights, X), rtol=1e-5, atol=1e-5)

    def test_another_shape_at_which_a_unit_lives(self):
        """The first rows of a table are 0, the others are not."""
        table = np.zeros((6, 4), np.float32)
        table[3:] = 1
        p = {"table": table, "a": np.zeros((2, 4), np.float32), "c": np.ones((4, 2), np.float32)}
        p["a"][:, :2] = 1

        def network(p, x):
            return (x @ p["a"] + p["table"][: x.shape[1]]) @ p["c"]

        small = shrink(network, p, np.ones((1, 3, 2), np.float32))
        assert len(small.kept["a axis 1"]) == 2
        assert small.apply(small.params, np.ones((5, 3, 2), np.float32)).shape == (5, 3, 2)
        with pytest.raises(ValueError, match="shrink it with inputs of these shapes"):
            small.apply(small.params, np.ones((1, 5, 2), np.float32))

    def test_nan(self, weights):
        weights["b"] = weights["b"].at[1].set(jnp.nan)
        with pytest.raises(ValueError, match="leaf 'b' holds NaN"):
            shrink(mlp, weights, X)

    def test_donated(self, weights):
        weights["b"].delete()
        with pytest.raises(ValueError, match="'b' was donated"):
            shrink(mlp, weights, X)

    def test_traced(self, weights):
        with pytest.raises(TypeError, match="outside jit"):
            jax.jit(lambda p: shrink(mlp, p, X).params)(weights)

    def test_no_function(self, weights):
        with pytest.raises(TypeError, match="got a dict"):
            shrink(weights, X)

    def test_random_numbers(self, weights):
        def network(p, x, key):
            return mlp(p, x * jax.random.bernoulli(key, 0.5, x.shape))

        with pytest.raises(ValueError, match=r"draws random numbers .* training mode"):
            shrink(network, weights, X, jax.random.key(0))

    def test_side_effects(self, weights):
        def network(p, x):
            jax.debug.print("{}", x.sum())
            return mlp(p, x)

        with pytest.raises(ValueError, match="side effects"):
            shrink(network, weights, X)

    def test_control_flow_that_depends_on_values(self, weights):
        with pytest.raises(jax.errors.ConcretizationTypeError) as error:
            shrink(lambda p, x: mlp(p, x) if x.sum() > 0 else x, weights, X)
        assert "jnp.where" in "".join(error.value.__notes__)

    def test_params_that_do_not_fit(self, weights):
        with pytest.raises(KeyError):
            shrink(mlp, {"a": weights["a"]}, X)
        small = shrink(mlp, weights, X)
        with pytest.raises(
            ValueError, match=r"leaf 'c' has shape \(7, 2\), and in the small network \(8, 2\)"
        ):
            small.apply(small.params | {"c": jnp.ones((7, 2))}, X)
        with pytest.raises(ValueError, match="another structure"):
            small.apply({"a": weights["a"]}, X)

    def test_a_module_that_changes_itself(self):
        class Counter(nnx.Module):
            def __init__(self):
                self.count = nnx.Variable(jnp.zeros(()))

            def __call__(self, x):
                self.count[...] += 1
                return x

        with pytest.raises(ValueError, match=r"changes its variable .*count.* model.eval"):
            shrink(Counter(), X)


class TestApply:
    def test_under_jit_grad_and_vmap(self, weights):
        weights["a"] = weights["a"].at[:, 2:].set(0)
        weights["b"] = weights["b"].at[2:].set(0)
        small = shrink(mlp, weights, X)
        loss = lambda apply, p: (apply(p, X) ** 2).sum()  # noqa: E731
        ours = jax.jit(jax.grad(functools.partial(loss, small.apply)))(small.params)
        theirs = jax.grad(functools.partial(loss, mlp))(weights)
        np.testing.assert_allclose(ours["a"], theirs["a"][:, :2], rtol=1e-5)
        np.testing.assert_allclose(ours["d"], theirs["d"], rtol=1e-5)
        rows = jax.vmap(small.apply, (None, 0))(small.params, X[:, None])
        np.testing.assert_allclose(rows[:, 0], mlp(weights, X), rtol=1e-5, atol=1e-6)

    def test_the_derivative_of_relu_at_0_is_that_of_the_large_network(self, weights):
        """A maximum, as which relu is traced, has ½ there."""
        weights["a"], weights["b"] = weights["a"].at[:, 2:].set(0), jnp.zeros(8)
        zeros = np.zeros((4, 3), np.float32)
        small = shrink(mlp, weights, X)
        ours = jax.grad(lambda p: small.apply(p, zeros).sum())(small.params)
        theirs = jax.grad(lambda p: mlp(p, zeros).sum())(weights)
        np.testing.assert_array_equal(ours["b"], theirs["b"][:2])

    def test_of_models(self):
        case = case_of("nnx mlp")
        case.fn.train()
        small = shrink(case.fn, *case.inputs(2))
        assert not case.fn.dropout.deterministic  # the user's module is as it was
        assert isinstance(small.params, nnx.State)
        assert small.sizes == {"first": 12, "second": 8, "out": 3}
        assert small.apply(small.params, *case.inputs(3)).shape == (3, 3)

    def test_of_linen_with_settings(self):
        class Net(nn.Module):
            @nn.compact
            def __call__(self, x, train):
                return nn.Dense(2)(nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Dense(5)(x))))

        shapes = jax.eval_shape(lambda: Net().init(jax.random.key(0), X, False))
        params = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
        params["params"]["BatchNorm_0"]["scale"][2:] = 0
        params["params"]["BatchNorm_0"]["bias"][2:] = 0.5
        small = shrink(Net().apply, params, X, False)
        assert small.sizes["Dense_0"] == 2
        expected = Net().apply(params, X, False)
        np.testing.assert_allclose(small.apply(small.params, X, False), expected, rtol=1e-6)
        assert small.report.parameters == (20 + 20 + 12, 6 + 2 + 8 + 6)

    def test_shapes_alone_will_do(self, weights):
        small = shrink(mlp, weights, jax.ShapeDtypeStruct((1, 3), jnp.float32))
        assert small.report.outputs is None
        assert small.apply(small.params, X).shape == (4, 2)
