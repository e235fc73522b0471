"""Every optimizer that optax has runs inside penalized, in jit, and leaves zero weights zero."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, penalized

from problems import lenient

contrib = optax.contrib

# Those of optax that run on gradients alone, and those that ask for the loss or its gradient as well.
OPTIMIZERS = {
    "adabelief": optax.adabelief(0.01),
    "adadelta": optax.adadelta(0.01),
    "adafactor": optax.adafactor(0.01),
    "adagrad": optax.adagrad(0.01),
    "adam": optax.adam(0.01),
    "adamax": optax.adamax(0.01),
    "adamaxw": optax.adamaxw(0.01),
    "adamw": optax.adamw(0.01),
    "adan": optax.adan(0.01),
    "amsgrad": optax.amsgrad(0.01),
    "fromage": optax.fromage(0.01),
    "lamb": optax.lamb(0.01),
    "lars": optax.lars(0.01),
    "lbfgs": optax.lbfgs(0.01, linesearch=None),
    "lion": optax.lion(0.01),
    "nadam": optax.nadam(0.01),
    "nadamw": optax.nadamw(0.01),
    "novograd": optax.novograd(0.01),
    "optimistic_adam_v2": optax.optimistic_adam_v2(0.01),
    "optimistic_gradient_descent": optax.optimistic_gradient_descent(0.01),
    "polyak_sgd": optax.polyak_sgd(),
    "radam": optax.radam(0.01),
    "rmsprop": optax.rmsprop(0.01, momentum=0.9),
    "rprop": optax.rprop(0.01),
    "sgd": optax.sgd(0.01),
    "sign_sgd": optax.sign_sgd(0.01),
    "sm3": optax.sm3(0.01),
    "yogi": optax.yogi(0.01),
    "acprop": contrib.acprop(0.01),
    "ademamix": contrib.ademamix(0.01),
    "adopt": contrib.adopt(0.01),
    "cocob": contrib.cocob(),
    "dadapt_adamw": contrib.dadapt_adamw(),
    "dog": contrib.dog(),
    "dowg": contrib.dowg(),
    "mechanize": contrib.mechanize(optax.sgd(0.01), s_init=1e-2),
    "momo": contrib.momo(),
    "momo_adam": contrib.momo_adam(),
    "muon": contrib.muon(0.01),
    "prodigy": contrib.prodigy(),
    "reduce_on_plateau": optax.chain(optax.adam(0.01), contrib.reduce_on_plateau()),
    "schedule_free_adamw": contrib.schedule_free_adamw(0.01),
    "schedule_free_sgd": contrib.schedule_free_sgd(0.01),
    "simplified_ademamix": contrib.simplified_ademamix(0.01),
    "sophia": contrib.sophia(0.01, weight_decay=0.0),
}
NEWER = {  # than the oldest optax that penalties takes
    "signum": (optax, {}),
    "galore": (contrib, {"rank": 2}),
    "madgrad": (contrib, {}),
}
OPTIMIZERS |= {
    name: getattr(module, name)(0.01, **options)
    for name, (module, options) in NEWER.items()
    if hasattr(module, name)
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_runs_and_zero_weights_below_the_strength_stay_zero(name):
    inner = OPTIMIZERS[name]
    optimizer = penalized(lenient(inner), L1(0.3))
    rng = np.random.default_rng(0)
    zero = jnp.asarray(rng.random((4, 3)) < 0.5)
    params = jnp.where(zero, 0.0, jnp.asarray(3 + rng.random((4, 3)), jnp.float32))
    targets = jnp.where(zero, jnp.asarray(rng.uniform(-0.25, 0.25, (4, 3)), jnp.float32), 4.0)

    def loss(w):
        return 0.5 * jnp.sum((w - targets) ** 2)

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        extra = {"value": value, "obj_fn": loss} if name in ASK_FOR_MORE else {}
        updates, state = optimizer.update(grads, state, params, **extra)
        return optax.apply_updates(params, updates), state

    start, state = params, optimizer.init(params)
    for _ in range(4):
        params, state = step(params, state)
    assert params.dtype == jnp.float32
    assert np.all(np.isfinite(params))
    np.testing.assert_array_equal(params == 0, zero)
    assert np.any(params != start)
    assert int(state.penalty_step) == 4


ASK_FOR_MORE = {"polyak_sgd", "momo", "momo_adam", "reduce_on_plateau", "sophia"}
