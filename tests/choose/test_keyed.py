"""What is compiled for a function is compiled anew when it refers to something else."""

import functools
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from penalties import L1, cross_validate, fit_path, grads_at_zero, solve, stability_selection
from penalties._choose.keyed import Keyed

X = jnp.eye(3)
y = jnp.zeros(3)


def loss(w):
    return jnp.sum((X @ w - y) ** 2) / 2


def train(penalty, w):
    return solve(loss, penalty, w).params


@pytest.fixture
def data():
    """Sets the global that the loss refers to."""

    def set_to(values):
        globals()["y"] = jnp.asarray(values, jnp.float32)

    yield set_to
    set_to([0, 0, 0])


def test_solve_sees_the_data_of_now(data):
    for values in ([3, 0, 0], [0, 0, 5], [3, 0, 0]):
        data(values)
        np.testing.assert_allclose(solve(loss, L1(1.0), jnp.zeros(3)).params, np.maximum(y - 1, 0), atol=1e-5)


def test_a_path_of_solve_sees_the_data_of_now(data):
    for values in ([3, 0, 0], [0, 0, 5]):
        data(values)
        path = fit_path(train, L1(1.0), [1.0], jnp.zeros(3), progress=False)
        np.testing.assert_allclose(path.params[0], np.maximum(y - 1, 0), atol=1e-5)


def test_gradients_at_zero_see_the_data_of_now(data):
    for values in ([3, 0, 0], [0, 0, 5]):
        data(values)
        np.testing.assert_allclose(grads_at_zero(loss, L1(1.0), jnp.zeros(3)), -y)


def test_methods_see_their_object_of_now():
    class Model:
        def loss(self, w):
            return jnp.sum((w - self.y) ** 2) / 2

    model = Model()
    for value in (3.0, 5.0):
        model.y = jnp.full(2, value)
        found = solve(model.loss, L1(1.0), jnp.zeros(2)).params
        np.testing.assert_allclose(found, value - 1, atol=1e-5)


def test_samples_are_fitted_to_the_loss_of_now():
    x, target, off = jnp.ones((8, 1)), jnp.ones(8), 0.0

    def shifted(w, x, y):
        return jnp.mean((x @ w - y - off) ** 2) / 2

    arguments = shifted, L1(1.0), x, target
    means, shares = [], []
    for off in (0.0, 10.0):  # noqa: B007 (the loss refers to it)
        means.append(cross_validate(*arguments, factors=[1.0], params=jnp.zeros(1), folds=2).mean[0])
        found = stability_selection(
            *arguments, factors=[1.0], params=jnp.zeros(1), key=jax.random.key(0), pairs=2
        )
        shares.append(float(found.frequencies[""][-1, 0]))
    assert means[0] == pytest.approx(0.5)
    assert means[1] == pytest.approx(0.5, abs=1e-4)  # of w = 10, which is 1 from 11
    assert shares == [0, 1]


def test_the_same_function_is_compiled_once():
    traces = []

    def traced(w):
        traces.append(None)
        return jnp.sum((w - X[0]) ** 2)

    solve(traced, L1(1.0), jnp.zeros(3))
    once = len(traces)
    solve(traced, L1(2.0), jnp.ones(3))
    assert len(traces) == once > 0


linear, mlp = nn.Dense(3), eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0))
layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
factor, table, numbers = 2.0, {"a": [1, 2]}, np.ones(3)
settings = types.ModuleType("settings")
settings.__file__, settings.factor = __file__, 1.0


class Model:
    def __init__(self):
        self.factor = 1.0

    def loss(self, w):
        return self.factor * w


model = Model()


def scaled_by(number):
    return lambda w: number * w


def of_global(w):
    return factor * w


def factorial(n):
    return n * factorial(n - 1) if n else 1


STEADY = {
    "a number": of_global,
    "a dict": lambda w: table["a"][0] * w,
    "an array": lambda w: w @ X,
    "numbers": lambda w: w * numbers,
    "another function": lambda w: loss(w) + scaled_by(2.0)(w),
    "a partial": functools.partial(scaled_by, 1.0),
    "itself": factorial,
    "a method": model.loss,
    "Linen": lambda p: linear.apply(p, X),
    "Equinox": lambda x: mlp(x),
    "NNX": lambda x: layer(x),
    "of JAX": jax.nn.softplus,
    "compiled": jax.jit(loss),
    "a closure": scaled_by(3.0),
    "a default": lambda w, by=1.0: by * w,
}


@pytest.mark.parametrize("name", STEADY)
def test_what_refers_to_the_same_is_the_same(name):
    assert Keyed(STEADY[name]) == Keyed(STEADY[name])
    assert hash(Keyed(STEADY[name])) == hash(Keyed(STEADY[name]))


def test_functions_made_alike_are_the_same():
    assert Keyed(scaled_by(3.0)) == Keyed(scaled_by(3.0))


def raise_factor():
    globals()["factor"] += 1


CHANGED = {
    "a global": (lambda w: factor * w, raise_factor),
    "a global of another": (lambda w: of_global(w), raise_factor),
    "an attribute": (model.loss, lambda: setattr(model, "factor", model.factor + 1)),
    "an attribute of a module": (
        lambda w: settings.factor * w,
        lambda: setattr(settings, "factor", settings.factor + 1),
    ),
    "within vmap": (jax.vmap(of_global), raise_factor),
    "within checkpoint": (jax.checkpoint(of_global), raise_factor),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_refers_to_something_else_is_another(name):
    function, change = CHANGED[name]
    before = Keyed(function)
    assert before == Keyed(function)
    change()
    assert before != Keyed(function)


@pytest.mark.parametrize("pair", [(0.0, -0.0), (1, 1.0), (1, True), (np.float32(1), np.float64(1))])
def test_numbers_that_are_not_the_same(pair):
    one, other = map(scaled_by, pair)
    assert Keyed(one) != Keyed(other)


def test_long_chains_of_functions_are_followed():
    def around(inner):
        return lambda w: inner(w)

    function = of_global
    for _ in range(5_000):
        function = around(function)
    before = Keyed(function)
    assert before == Keyed(function)
    raise_factor()
    assert before != Keyed(function)
