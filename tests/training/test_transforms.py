"""add_penalty and proximal in optax chains: what they solve, what they pass on, what they refuse."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from sklearn import linear_model

from penalties import L1, L2, ElasticNet, GroupLasso, Penalty, add_penalty, penalized, proximal

from cases import random_params
from problems import design, lenient

TRANSFORMS = {"add_penalty": add_penalty, "proximal": lambda penalty: proximal(penalty, 0.1)}


def loss(params):
    """Smooth, and different for every weight."""
    return sum(jnp.sum((w - 0.3) ** 2 * jnp.cos(w)) for w in jax.tree.leaves(params))


def train(optimizer, params, objective, steps):
    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params


def zeros_like(params):
    return jax.tree.map(jnp.zeros_like, params)


def assert_close(a, b, rtol=1e-6, atol=1e-7):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, atol), a, b)


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


# add_penalty: what it is equal to.

PENALTIES = {
    "L1": L1(0.1),
    "L2": L2(0.1),
    "ElasticNet": ElasticNet(0.1, 0.2),
    "GroupLasso": GroupLasso(0.1),
    "selected": L1(0.1).on("*/kernel") + L2(0.2).on("*/bias"),
}


@pytest.mark.parametrize("optimizer", [optax.sgd(0.05, momentum=0.9), optax.adam(0.05)], ids=["sgd", "adam"])
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_in_front_of_an_optimizer_it_is_the_penalty_in_the_loss(penalty, optimizer):
    params = random_params()
    inside = train(optax.chain(add_penalty(penalty), lenient(optimizer)), params, loss, 8)
    reference = train(lenient(optimizer), params, lambda p: loss(p) + penalty(p), 8)
    assert_close(inside, reference, rtol=2e-6)
    without = train(lenient(optimizer), params, loss, 8)
    assert abs(float(inside["dense"]["kernel"][0, 0] - without["dense"]["kernel"][0, 0])) > 1e-3


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_the_updates_are_the_gradient_plus_the_penaltys_within_a_rounding(penalty):
    params, grads = random_params(0), random_params(1)
    updates, _ = add_penalty(penalty).update(grads, add_penalty(penalty).init(params), params)
    expected = jax.tree.map(jnp.add, grads, jax.grad(penalty)(params))
    assert_close(updates, expected, rtol=2e-7, atol=6e-8)


def test_between_the_scaling_and_the_learning_rate_it_is_adamw():
    strength, rate = 0.05, 0.1
    chain = optax.chain(optax.scale_by_adam(), add_penalty(L2(strength)), optax.scale_by_learning_rate(rate))
    params = random_params()
    ours = train(lenient(chain), params, loss, 10)
    assert_close(ours, train(lenient(optax.adamw(rate, weight_decay=2 * strength)), params, loss, 10))
    coupled = train(lenient(optax.chain(add_penalty(L2(strength)), optax.adam(rate))), params, loss, 10)
    assert np.max(np.abs(ours["scan"]["kernel"] - coupled["scan"]["kernel"])) > 1e-3


def test_a_zero_weight_is_not_moved_by_l1():
    params = {"w": jnp.array([0.0, -0.0, 2.0])}
    updates, _ = add_penalty(L1(1.0)).update(zeros_like(params), add_penalty(L1(1.0)).init(params), params)
    assert updates["w"].tolist() == [0.0, 0.0, 1.0]


# Schedules, and strengths that change.


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_function_of_the_step_count_is_a_schedule(make):
    def schedule(count):
        return L1(0.1 * (count + 1).astype(jnp.float32))

    scheduled, params, grads = make(schedule), random_params(0), random_params(1)
    state = scheduled.init(params)
    assert int(state.penalty_step) == 0
    for step in range(3):
        updates, state = jax.jit(scheduled.update)(grads, state, params)
        constant = make(L1(0.1 * (step + 1)))
        expected, _ = constant.update(grads, constant.init(params), params)
        assert_close(updates, expected)
        assert float(state.penalty.strength) == pytest.approx(0.1 * (step + 1))
        assert int(state.penalty_step) == step + 1


def test_a_schedule_that_returns_no_penalty_is_refused():
    with pytest.raises(TypeError, match=r"the schedule returned 0\.5: expected a Penalty"):
        add_penalty(lambda count: 0.5).init(random_params())


NUMBERS = {
    "float": float,
    "int": lambda x: int(x),
    "numpy float64": np.float64,
    "numpy float32": np.float32,
    "numpy array": np.array,
    "jax array": jnp.array,
    "jax float32": jnp.float32,
}


@pytest.mark.parametrize(
    "make", [*TRANSFORMS.values(), functools.partial(penalized, optax.sgd(0.1), decay=0.0)]
)
@pytest.mark.parametrize(
    "build",
    [
        L1,
        lambda s: L1(s).on("*/kernel") + L2(s).on("*/bias"),
        lambda s: ElasticNet(s, s),
        lambda s: 2 * L1(s),
    ],
    ids=["L1", "sum of selections", "ElasticNet", "multiple"],
)
def test_strengths_in_the_state_change_without_a_new_compile(make, build):
    params, grads, traces = random_params(0), random_params(1), []
    transform = make(build(0.5))

    @jax.jit
    def update(grads, state, params):
        traces.append(None)
        return transform.update(grads, state, params)

    state = transform.init(params)
    before, state = update(grads, state, params)
    for number in NUMBERS.values():
        state = optax.tree.set(state, penalty=build(number(2.0)))
        after, state = update(grads, state, params)
        assert jax.tree.leaves(state.penalty)[0] == jax.tree.leaves(build(2.0))[0]
    assert len(traces) == 1
    fresh = make(build(2.0))
    expected, _ = fresh.update(grads, fresh.init(params), params)
    assert_close(after, expected)
    assert np.max(np.abs(after["dense"]["kernel"] - before["dense"]["kernel"])) > 1e-3


def test_strengths_are_found_deep_in_a_chain():
    optimizer = optax.chain(optax.clip(1.0), add_penalty(L2(0.1)), optax.adam(0.1))
    params = random_params()
    state = optimizer.init(params)
    assert float(optax.tree.get(state, "penalty").strength) == np.float32(0.1)
    state = optax.tree.set(state, penalty=L2(0.7))
    _, state = lenient(optimizer).update(zeros_like(params), state, params)
    assert float(optax.tree.get(state, "penalty").strength) == np.float32(0.7)


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_donated_state_leaves_the_penalty_usable(make):
    strength = jnp.full((2,), 0.1)
    penalty, params = L1(strength), {"a": jnp.ones((3, 2))}
    transform = make(penalty)
    update = jax.jit(transform.update, donate_argnums=1)
    jax.block_until_ready(update(zeros_like(params), transform.init(params), params))
    assert not strength.is_deleted()
    assert_equal(transform.init(params).penalty.strength, np.full((2,), np.float32(0.1)))


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_updates_of_many_strengths_are_one_vmap(make):
    params, grads = random_params(0), random_params(1)
    strengths = jnp.array([0.0, 0.1, 1.0])

    def update(strength):
        transform = make(L1(strength))
        return transform.update(grads, transform.init(params), params)[0]

    batched = jax.vmap(update)(strengths)
    for i, strength in enumerate(strengths):
        assert_close(jax.tree.map(lambda x, i=i: x[i], batched), update(strength))


# What passes through.


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    "strength", [0.1, jnp.float32(0.1), np.float64(0.1)], ids=["float", "float32", "float64"]
)
def test_updates_keep_narrow_dtypes(dtype, strength):
    params, grads = random_params(0, dtype), random_params(1, dtype)
    for transform in (add_penalty(L1(strength)), proximal(L1(strength), 0.1)):
        updates, _ = jax.jit(transform.update)(grads, transform.init(params), params)
        assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}


def test_updates_of_one_dtype_and_params_of_another():
    params, grads = random_params(0, jnp.bfloat16), random_params(1, jnp.float32)
    transform = add_penalty(L2(0.5))
    updates, _ = transform.update(grads, transform.init(params), params)
    expected = jax.tree.map(lambda g, w: g + w.astype(jnp.float32), grads, params)
    assert_equal(updates, expected)  # float32, and the penalty's gradient was not rounded to bfloat16


def test_a_narrow_dtype_does_not_lose_the_exact_zeros_of_the_prox():
    params = {"w": jnp.array([0.3, -0.7, 0.01], jnp.bfloat16)}
    transform = proximal(L1(1.0), 100.0)
    updates, _ = transform.update({"w": jnp.array([0.123, 0.456, 0.789])}, transform.init(params), params)
    assert updates["w"].dtype == jnp.float32
    with jax.numpy_dtype_promotion("standard"):
        assert optax.apply_updates(params, updates)["w"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), functools.partial(penalized, optax.sgd(1.0))])
def test_missing_gradients_pass_through(make):
    params = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(4)}
    transform = make(L1(0.1))
    grads = {"a": jnp.ones(2), "b": None, "c": optax.MaskedNode()}
    updates, _ = transform.update(grads, transform.init(params), params)
    assert updates["b"] is None
    assert updates["c"] == optax.MaskedNode()
    alone, _ = transform.update({"a": jnp.ones(2)}, transform.init({"a": params["a"]}), {"a": params["a"]})
    assert_equal(updates["a"], alone["a"])


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), functools.partial(penalized, optax.identity())])
def test_integers_and_their_float0_gradients_pass_through(make):
    params = {"w": jnp.array([2.0]), "steps": jnp.array([3, 4])}
    grads = jax.grad(lambda p: jnp.sum(p["w"]), allow_int=True)(params)
    assert grads["steps"].dtype == jax.dtypes.float0
    transform = make(L1(0.1))
    updates, _ = transform.update(grads, transform.init(params), params)
    assert updates["steps"] is grads["steps"]
    assert updates["w"] != grads["w"]


def test_optax_masked_restricts_it():
    params, grads = random_params(0), random_params(1)
    mask = {"dense": {"kernel": True, "bias": False}, "scan": False}
    transform = optax.masked(add_penalty(L2(0.5)), mask)
    updates, _ = transform.update(grads, transform.init(params), params)
    expected = add_penalty(L2(0.5).on("dense/kernel"))
    assert_equal(updates, expected.update(grads, expected.init(params), params)[0])
    assert_equal(updates["scan"], grads["scan"])


# The same whatever the tree.


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_partitioned_boxes_stay_boxes(make):
    module = nn.Dense(2, kernel_init=nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model")))
    params = module.init(jax.random.key(0), jnp.ones((1, 3)))["params"]
    assert isinstance(params["kernel"], nn.Partitioned)
    transform = make(L1(0.5).on("kernel"))
    updates, _ = transform.update(zeros_like(params), transform.init(params), params)
    assert isinstance(updates["kernel"], nn.Partitioned)
    assert updates["kernel"].names == (None, "model")
    plain = nn.unbox(params)
    expected, _ = transform.update(zeros_like(plain), transform.init(plain), plain)
    assert_equal(nn.unbox(updates), expected)
    assert np.max(np.abs(expected["kernel"])) > 0


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_nnx_states_and_pure_dicts_give_the_same_updates(make):
    state = nnx.state(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Param)
    pure = nnx.to_pure_dict(state)
    transform = make(L1(0.5).on("kernel"))
    updates, _ = transform.update(zeros_like(state), transform.init(state), state)
    expected, _ = transform.update(zeros_like(pure), transform.init(pure), pure)
    assert isinstance(updates, nnx.State)
    assert_equal(nnx.to_pure_dict(updates), expected)
    assert np.max(np.abs(expected["kernel"])) > 0
    # A state made of the one serves the other: selection is by path, not by a stored tree.
    mixed, _ = transform.update(zeros_like(pure), transform.init(state), pure)
    assert_equal(mixed, expected)


# What is refused.

EVERY = {**TRANSFORMS, "penalized": functools.partial(penalized, optax.sgd(0.1))}


@pytest.mark.parametrize("name", EVERY)
def test_an_update_without_params_is_refused(name):
    transform = EVERY[name](L1(0.1))
    params = random_params()
    with pytest.raises(ValueError, match=f"{name} needs the params: call .update.updates, state, params"):
        transform.update(params, transform.init(params))


@pytest.mark.parametrize("name", EVERY)
def test_a_selection_of_nothing_is_refused_when_the_state_is_made(name):
    with pytest.raises(ValueError, match=r"Did you mean '(dense|scan)/kernel'"):
        EVERY[name](L1(0.1).on("*/kernle")).init(random_params())


@pytest.mark.parametrize("name", EVERY)
def test_a_strength_that_does_not_fit_is_refused_when_the_state_is_made(name):
    with pytest.raises(ValueError, match=r"shape \(7,\) does not broadcast to the leaf 'dense/kernel'"):
        EVERY[name](L1(np.ones(7)).on("dense/kernel")).init(random_params())


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("wrong", [0.1, None, "l1", {"kernel": 0.1}, jnp.array(0.1)])
def test_what_is_no_penalty_is_refused_at_once(name, wrong):
    with pytest.raises(TypeError, match="expected a Penalty such as L1"):
        EVERY[name](wrong)


@pytest.mark.parametrize("name", EVERY)
def test_gradients_of_another_structure_are_refused(name):
    params = random_params()
    transform = EVERY[name](L1(0.1))
    state = transform.init(params)
    with pytest.raises(ValueError, match="has a leaf 'dense/other' that params has not"):
        transform.update({"dense": {"other": jnp.ones(2)}}, state, params)
    grads = random_params()
    grads["dense"]["bias"] = jnp.ones(5)
    with pytest.raises(ValueError, match=r"'dense/bias' has shape \(2,\) in params and \(5,\) in updates"):
        transform.update(grads, state, params)


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_a_step_size_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"step_size is .*: expected a finite number"):
        proximal(L1(0.1), wrong)


@pytest.mark.parametrize("wrong", ["0.1", None, True])
def test_a_step_size_that_is_no_number_is_refused(wrong):
    with pytest.raises(TypeError, match=r"step_size is .*: expected a number"):
        proximal(L1(0.1), wrong)


# proximal: what it solves.


@functools.cache
def lasso():
    """x, y, a step size, and λ: with scikit-learn's solutions at λ and at a tenth of it."""
    x, truth, rng = design(0, 60, 20, badly_scaled=False)
    y = x @ truth + 0.5 * rng.normal(size=60)
    rate = 0.5 * 60 / (2 * np.linalg.norm(x, 2) ** 2)

    def solution(strength):
        oracle = linear_model.Lasso(strength / 2, fit_intercept=False, tol=1e-14, max_iter=100_000)
        return oracle.fit(x, y).coef_

    return x, y, rate, {s: solution(s) for s in (1.0, 0.1)}


def solve(optimizer, steps=3_000):
    x, y, *_ = lasso()

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.zeros(x.shape[1])
    return np.asarray(jax.jit(lambda c: jax.lax.scan(step, c, length=steps)[0][0])((w, optimizer.init(w))))


def assert_solves(w, solution):
    np.testing.assert_allclose(w, solution, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(w == 0, solution == 0)
    assert 0 < np.sum(solution == 0) < solution.size


def test_after_sgd_it_solves_the_lasso_zeros_included(x64):
    _, _, rate, solutions = lasso()
    assert_solves(solve(optax.chain(optax.sgd(rate), proximal(L1(1.0), rate))), solutions[1.0])


def test_its_step_size_may_be_the_learning_rates_schedule(x64):
    _, _, rate, solutions = lasso()
    schedule = optax.cosine_decay_schedule(rate, 6_000)
    chain = lenient(optax.chain(optax.sgd(schedule), proximal(L1(1.0), schedule)))
    assert_solves(solve(chain), solutions[1.0])
    shifted = solve(lenient(optax.chain(optax.sgd(schedule), proximal(L1(1.0), rate))))
    assert np.max(np.abs(shifted - solutions[1.0])) > 1e-3


def test_after_momentum_it_solves_the_lasso_of_a_smaller_strength(x64):
    _, _, rate, solutions = lasso()
    optimizer = optax.chain(optax.sgd(rate / 3, momentum=0.9), proximal(L1(1.0), rate / 3))
    assert_solves(solve(optimizer), solutions[0.1])  # (1 − 0.9)·1.0


def test_after_adam_it_is_the_unpenalized_solution_as_its_docstring_warns(x64):
    x, y, _, solutions = lasso()
    schedule = optax.cosine_decay_schedule(1e-2, 20_000)
    w = solve(lenient(optax.chain(optax.adam(schedule), proximal(L1(0.1), schedule))), 20_000)
    unpenalized = np.linalg.lstsq(x, y)[0]
    assert np.linalg.norm(w - unpenalized) < 0.1 * np.linalg.norm(solutions[0.1] - unpenalized)


def test_a_penalty_without_a_rule_for_zeros_has_a_prox_all_the_same():
    class UpToOne(Penalty):
        """The projection onto [-1, 1]."""

        def value_at(self, w):
            return jnp.zeros((), w.dtype)

        def prox_at(self, v, step):
            return jnp.clip(v, -1, 1)

    params = {"w": jnp.array([0.5, -0.5])}
    optimizer = optax.chain(optax.sgd(1.0), proximal(UpToOne(), 1.0))
    updates, _ = optimizer.update({"w": jnp.array([-3.0, 0.25])}, optimizer.init(params), params)
    assert optax.apply_updates(params, updates)["w"].tolist() == [1.0, -0.75]


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), lambda penalty: penalized(optax.sgd(0.1), penalty)])
@pytest.mark.parametrize("penalty", [L1({"a": 0.1, "b": 0.2}), L1(0.1).on("b") + L2(0.1).on("a")])
def test_leaves_without_a_gradient_are_penalized_leaves_all_the_same(make, penalty):
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    optimizer = make(penalty)
    grads = {"a": jnp.ones(3), "b": None}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    full, _ = optimizer.update(grads | {"b": jnp.ones(2)}, optimizer.init(params), params)
    assert updates["b"] is None
    np.testing.assert_array_equal(updates["a"], full["a"])


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), lambda penalty: penalized(optax.sgd(0.1), penalty)])
def test_a_class_is_no_schedule_and_a_number_no_penalty_in_a_state(make):
    with pytest.raises(TypeError, match="expected a Penalty such as"):
        make(L1)
    params = jnp.ones(2)
    optimizer = make(L1(0.1))
    state = optax.tree.set(optimizer.init(params), penalty=0.2)
    with pytest.raises(TypeError, match=r"0\.2 of type float for the penalty: set one"):
        optimizer.update(params, state, params)


def test_proximal_takes_one_step_size():
    for wrong in ({"a": 0.1}, jnp.ones(2)):
        with pytest.raises(ValueError, match="expected one number"):
            proximal(L1(0.1), wrong)
    params = jnp.ones(2)
    optimizer = proximal(L1(0.1), lambda count: -1.0)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert bool(jnp.all(jnp.isnan(updates)))
