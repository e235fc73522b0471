"""What add_penalty, proximal and penalized refuse alike."""

import functools

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from penalties import L1, add_penalty, penalized, proximal, to_sparsity

from cases import random_params

TRANSFORMS = {"add_penalty": add_penalty, "proximal": lambda penalty: proximal(penalty, 0.1)}


def test_a_schedule_that_returns_no_penalty_is_refused():
    with pytest.raises(TypeError, match=r"the schedule returned is 0\.5 of type float: expected a Penalty"):
        add_penalty(lambda count: 0.5).init(random_params())


EVERY = {**TRANSFORMS, "penalized": functools.partial(penalized, optax.sgd(0.1))}


@pytest.mark.parametrize("name", EVERY)
def test_an_update_without_params_is_refused(name):
    transform = EVERY[name](L1(0.1))
    params = random_params()
    with pytest.raises(ValueError, match=f"{name} needs the params: call .update.updates, state, params"):
        transform.update(params, transform.init(params))


@pytest.mark.parametrize("name", EVERY)
def test_a_selection_of_nothing_is_refused_when_the_state_is_made(name):
    with pytest.raises(ValueError, match=r"Did you mean '\*/kernel'"):
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


@pytest.mark.parametrize("make", [*TRANSFORMS.values(), lambda penalty: penalized(optax.sgd(0.1), penalty)])
def test_a_class_is_no_schedule_and_a_number_no_penalty_in_a_state(make):
    with pytest.raises(TypeError, match="expected a Penalty such as"):
        make(L1)
    params = jnp.ones(2)
    optimizer = make(L1(0.1))
    state = optax.tree.set(optimizer.init(params), penalty=0.2)
    with pytest.raises(TypeError, match=r"0\.2 of type float: expected a Penalty.*set one"):
        optimizer.update(params, state, params)


class Trained(nnx.Variable):
    """A variable that is trained, and no nnx.Param."""


class TwoKinds(nnx.Module):
    def __init__(self):
        self.kernel = nnx.Param(jnp.ones(3))
        self.other = Trained(jnp.ones(4))

    def grads(self):
        return nnx.grad(lambda model: jnp.sum(model.kernel[...]), argnums=nnx.DiffState(0, KINDS))(self)


KINDS = nnx.Param, Trained


@pytest.mark.parametrize("wrap", [penalized, functools.partial(to_sparsity, target=0.5, steps=1000)])
def test_trained_variables_that_are_no_params_are_refused(wrap):
    model = TwoKinds()
    optimizer = nnx.Optimizer(model, wrap(optax.sgd(0.1), L1(1.0)), wrt=KINDS)
    with pytest.raises(ValueError, match=r"no average for the leaf 'other'.*weights are nnx\.Param"):
        optimizer.update(model, model.grads())
