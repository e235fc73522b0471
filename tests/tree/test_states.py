"""The state of an optimizer is no tree of params: refused by name wherever params belong."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from penalties import L1, add_penalty, describe, kernels, optimality, penalized, proximal, sparsity

from problems import lenient

PARAMS = {"dense": {"kernel": jnp.array([1.0, -2.0])}}
ADAM = lenient(optax.adam(0.1))
GRADS = {"dense": {"kernel": jnp.array([0.5, 0.5])}}

WHERE_PARAMS_BELONG = {
    "value": L1(1.0),
    "selected": L1(1.0).on(kernels),
    "prox": L1(1.0).prox,
    "subgradient": lambda params: L1(1.0).subgradient(params, params),
    "describe": lambda params: describe(L1(1.0), params),
    "sparsity": sparsity,
    "optimality": lambda params: optimality(L1(1.0), params, params),
    "penalized": lambda params: penalized(optax.sgd(0.1), L1(1.0)).init(params),
    "add_penalty": lambda params: add_penalty(L1(1.0)).init(params),
    "proximal": lambda params: proximal(L1(1.0), 0.1).init(params),
}


def train_state(optimizer):
    return TrainState.create(apply_fn=lambda x: x, params=PARAMS, tx=optimizer).apply_gradients(grads=GRADS)


@pytest.mark.parametrize("use", WHERE_PARAMS_BELONG.values(), ids=WHERE_PARAMS_BELONG)
@pytest.mark.parametrize("optimizer", [ADAM, optax.sgd(0.1)], ids=["adam", "sgd"])
def test_a_train_state_is_refused_by_name(use, optimizer):
    state = train_state(optimizer)
    use(state.params)
    for wrong in (state, {"generator": state}):
        with pytest.raises(TypeError, match=r"Flax TrainState.*pass `state\.params`"):
            use(wrong)


def test_one_of_a_subclass_is_a_train_state_too():
    class WithStatistics(TrainState):
        batch_stats: dict

    state = WithStatistics.create(apply_fn=None, params=PARAMS, tx=ADAM, batch_stats={})
    with pytest.raises(TypeError, match="TrainState"):
        L1(1.0)(state)


@pytest.mark.parametrize("use", WHERE_PARAMS_BELONG.values(), ids=WHERE_PARAMS_BELONG)
def test_the_state_of_an_optimizer_beside_params_is_refused(use):
    with pytest.raises(TypeError, match=r"the state of an optimizer \(EmptyState and ScaleByAdamState\)"):
        use((PARAMS, ADAM.init(PARAMS)))


def test_a_train_state_of_ones_own_is_refused():
    class Mine(eqx.Module):
        params: dict
        opt_state: tuple

    with pytest.raises(TypeError, match=r"the state of an optimizer \(EmptyState and ScaleByAdamState\)"):
        L1(1.0)(Mine(PARAMS, ADAM.init(PARAMS)))


def test_trees_of_optax_that_are_params_are_params():
    assert float(L1(1.0)(optax.LookaheadParams.init_synced(PARAMS))) == 6.0
    masked = {**PARAMS, "frozen": optax.MaskedNode()}
    assert float(L1(1.0)(masked)) == 3.0


def test_an_nnx_optimizer_is_refused_and_a_model_with_one_counts_its_weights():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match=r"got an nnx\.Optimizer.*pass the model"):
        L1(1.0)(nnx.Optimizer(model, ADAM, wrt=nnx.Param))
    both = nnx.ModelAndOptimizer(model, ADAM)
    with jax.numpy_dtype_promotion("standard"):
        both.update(jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    assert float(L1(1.0)(both)) == float(L1(1.0)(model))
