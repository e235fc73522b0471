"""What newcomers write: it works, or the error says what to write."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, ElasticNet, describe, from_config, kernels, penalized

PARAMS = {"a": jnp.full(2, 2.0), "b": jnp.full(3, 5.0), "count": jnp.arange(3)}
SCHEDULE = optax.linear_schedule(1.0, 0.0, 10)
LAMBDA = r"`lambda step: schedule\(step\) \* L1\(1\.0\)`"


def test_a_penalty_divided_is_its_strengths_divided():
    assert L1(1.0) / 2 == L1(0.5)
    assert ElasticNet(1.0, 0.5) / np.float32(4) == ElasticNet(0.25, 0.125)
    assert (L1(1.0) + L2(3.0).on("a")) / jnp.array(2) == L1(0.5) + L2(1.5).on("a")
    assert float(jax.jit(lambda x: (L1(1.0) / x)(PARAMS["a"]))(2)) == 2.0
    assert (L1(jnp.array([1.0, 2.0])) / 2)(PARAMS["a"]) == 3.0


@pytest.mark.parametrize(
    ("divide", "error", "text"),
    [
        (lambda: L1(1.0) / 0, ZeroDivisionError, "division by zero"),
        (lambda: L1(1.0) / np.zeros(2), ValueError, "factor of a penalty has entries that are"),
        (lambda: L1(1.0) / -2, ValueError, "the divisor of a penalty is -2.0"),
        (lambda: L1(1.0) / "2", TypeError, "unsupported operand"),
        (lambda: L1(1.0) / L1(2.0), TypeError, "unsupported operand|a penalty times"),
        (lambda: 1 / L1(2.0), TypeError, "unsupported operand"),
    ],
)
def test_what_divides_no_penalty_is_refused(divide, error, text):
    with np.errstate(divide="ignore"), pytest.raises(error, match=text):
        divide()


@pytest.mark.parametrize(
    "write",
    [
        lambda: L1(SCHEDULE),
        lambda: ElasticNet(0.1, SCHEDULE),
        lambda: L1({"a": SCHEDULE}),
        lambda: SCHEDULE * L1(1.0),
        lambda: L1(1.0) * SCHEDULE,
        lambda: L1(1.0) / SCHEDULE,
    ],
)
def test_a_schedule_is_told_what_to_write(write):
    with pytest.raises(TypeError, match=LAMBDA):
        write()


def test_what_it_is_told_to_write_works():
    optimizer = penalized(optax.sgd(0.1), lambda step: SCHEDULE(step) * L1(1.0))
    state = optimizer.init(PARAMS["a"])
    for _ in range(3):
        _, state = optimizer.update(jnp.zeros(2), state, PARAMS["a"])
    assert float(state.penalty.strength) == pytest.approx(0.8)


def test_exclude_alone_leaves_out_of_all_weights():
    penalty = L1(1.0).on(exclude="b")
    assert float(penalty(PARAMS)) == 4.0
    assert repr(penalty) == "L1(1.0).on(exclude='b')"
    assert describe(penalty, PARAMS)["b"]["penalty"] is None
    again = from_config(penalty.to_config())
    assert again == penalty
    assert float(again(PARAMS)) == 4.0
    with pytest.raises(ValueError, match=r"the pattern 'c' matches none"):
        L1(1.0).on(exclude="c")(PARAMS)
    with pytest.raises(ValueError, match=r"on\(exclude='\*\*'\) matches none"):
        L1(1.0).on(exclude="**")(PARAMS)


def test_on_without_a_selection_is_told_what_to_write():
    with pytest.raises(TypeError, match=r'`\.on\("\*\*/kernel"\)` or `\.on\(exclude="\*\*/bias"\)`'):
        L1(1.0).on()


def test_kernels_is_no_function():
    with pytest.raises(TypeError, match=r"write `\.on\(kernels\)`"):
        L1(1.0).on(kernels())


def test_a_tree_without_leaves_has_a_penalty_of_zero():
    for empty in ({}, None, [], {"a": {}}):
        assert float(L1(1.0)(empty)) == 0.0
        with pytest.raises(ValueError, match="nothing to match"):
            L1(1.0).on("**/kernel")(empty)
        with pytest.raises(ValueError, match="has nothing to match"):
            L1(1.0).on(kernels)(empty)
    assert "None, it is 0" in L1.__call__.__doc__


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_prox_of_numpy_arrays_has_the_dtypes_that_jax_has_for_them(dtype):
    params = {"a": np.ones(2, dtype)}
    assert L1(0.5).prox(params)["a"].dtype == jax.dtypes.canonicalize_dtype(dtype)
    with jax.enable_x64(True):
        assert L1(0.5).prox(params)["a"].dtype == dtype
