"""What each rival solves, by full gradients, before anything is measured.

The penalized methods must come to the solution of a small lasso and group lasso; the Bregman iterations
minimize the loss itself; pruning ends with the share of zeros that it was given.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.rivals.convex import Problem, gap, run, solve
from benchmarks.rivals.methods import METHODS
from benchmarks.rivals.pruning import pruning
from benchmarks.rivals.regularizers import Groups, Lasso

RATES = {"RMDA": 1.0, "RAMDA": 1.0, "ProxSGD, momentum": 0.1, "OBProx-SG, HSPG": 0.1, "LinBreg": 0.3}


def small(*, groups: bool) -> Problem:
    """40 rows of 20 features in groups of 5, of which one matters."""
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 20))
    y = x[:, :5] @ random.normal(size=5) + 0.5 * random.normal(size=40)
    strength = 0.2
    solution = solve(x, y, strength, 5 if groups else 1)
    return Problem(x, y, (Groups if groups else Lasso)(strength), solution, 0.0)


def check_what_they_solve(steps: int = 4_000) -> dict[str, float]:
    """The gap of each, by name.

    Raises:
        AssertionError: a method does not come to what it says it solves.
    """
    gaps = {}
    for groups in (False, True):
        given = small(groups=groups)
        least = given._replace(
            regularizer=given.regularizer._replace(strength=0.0),
            solution=np.linalg.lstsq(given.x, given.y)[0],
        )
        for name, method in METHODS.items():
            if groups and not method.groups:
                continue
            other = {"RMDA": 0.1, "RAMDA": 0.1, "OBProx-SG, HSPG": 0.5}.get(name, 1.0)
            one = functools.partial(run, method, given, steps=steps, batch=0)
            rate = RATES.get(name, 0.01)
            found = jax.jit(one)(jnp.float32(rate), jnp.float32(other), jnp.int32(0))
            of = gap(least if "Breg" in name else given, np.asarray(found.params))
            gaps[f"{name}, {'groups' if groups else 'lasso'}"] = of
            if not of < 1e-3:
                raise AssertionError(
                    f"{name} is {of:.1e} above the minimum that it should come to: see its paper"
                )
    for per_layer in (False, True):
        params = {"kernel": jax.random.normal(jax.random.key(0), (20, 10)), "bias": jnp.ones(10)}
        optimizer = pruning(optax.sgd(0.1), 0.8, 40, per_layer=per_layer)
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        for _ in range(40):
            updates, state = update(params, state, params)
            params = optax.apply_updates(params, updates)
        if (params["kernel"] == 0).sum() != 160:
            raise AssertionError(f"pruning made {int((params['kernel'] == 0).sum())} zeros of 200, not 160")
    return gaps
