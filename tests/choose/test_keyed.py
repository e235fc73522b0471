"""What is compiled for a function is compiled anew when what it refers to has changed."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from penalties import L1, cross_validate, fit_path, grads_at_zero, solve, stability_selection
from penalties._choose.keyed import _known, keyed

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
    x, target, off = jnp.ones((8, 1)), jnp.ones(8), [0.0]

    def shifted(w, x, y):
        return jnp.mean((x @ w - y - off[0]) ** 2) / 2

    arguments = shifted, L1(1.0), x, target
    means, shares = [], []
    for off[0] in (0.0, 10.0):
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


class Slots:
    __slots__ = ("factor",)


hidden = Slots()
hidden.factor = 1.0


def scaled_by(number):
    return lambda w: number * w


def factorial(n):
    return n * factorial(n - 1) if n else 1


STEADY = {
    "a number": lambda w: factor * w,
    "a dict": lambda w: table["a"][0] * w,
    "an array": lambda w: w @ X,
    "numbers": lambda w: w * numbers,
    "another function": lambda w: loss(w) + scaled_by(2.0)(w),
    "a partial": functools.partial(scaled_by, 1.0),
    "itself": factorial,
    "Linen": lambda p: linear.apply(p, X),
    "Equinox": lambda x: mlp(x),
    "NNX": lambda x: layer(x),
    "of JAX": jax.nn.softplus,
    "compiled": jax.jit(loss),
    "a closure": scaled_by(3.0),
    "a default": lambda w, by=1.0: by * w,
}


def known_as(function):
    with keyed(function) as found:
        return found


@pytest.mark.parametrize("name", STEADY)
def test_what_has_not_changed_is_the_same(name):
    assert known_as(STEADY[name]) is known_as(STEADY[name])


def test_functions_made_alike_are_the_same():
    again = scaled_by(3.0)
    assert known_as(scaled_by(3.0)) is known_as(again)
    assert known_as(again).function is again  # which may be traced again, when others hold something else


CHANGED = {
    "a global": lambda: globals().update(factor=factor + 1),
    "an entry": lambda: table["a"].append(3),
    "an entry of an array": lambda: numbers.__setitem__(0, numbers[0] + 1),
    "weights of NNX": lambda: layer.kernel.set_value(layer.kernel.get_value() + 1),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_has_changed_is_another(name):
    def refers(w):
        return factor * w * numbers + table["a"][0] + layer(w)

    before = known_as(refers)
    assert known_as(refers) is before
    CHANGED[name]()
    assert known_as(refers) is not before


@pytest.mark.parametrize(
    "pair", [(0.0, -0.0), (1, 1.0), (1, True), (np.float32(1), np.float64(1)), (np.ones(2), np.ones(1))]
)
def test_numbers_that_are_not_the_same(pair):
    one, other = map(scaled_by, pair)
    assert known_as(one) is not known_as(other)


def test_what_cannot_be_looked_into_is_never_the_same():
    by_slots, by_objects = (lambda w: hidden.factor * w), scaled_by(np.array([object()]))
    assert known_as(by_slots) is not known_as(by_slots)
    assert known_as(by_objects) is not known_as(by_objects)


def test_not_all_functions_are_kept():
    first = known_as(scaled_by(-1.0))
    for number in range(1000):
        known_as(scaled_by(number))
    assert known_as(scaled_by(-1.0)) is not first
    assert len(_known) <= 128
