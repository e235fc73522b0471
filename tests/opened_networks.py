"""The networks of `networks/` as functions of leaves, and what their outputs differ from smaller ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from penalties._shrink.networks import Network

from networks import CASES, Case


@functools.cache
def case_of(name: str) -> Case:
    return CASES[name]()


def opened(case: Case, batch: int = 2) -> Network:
    """The case as a function of leaves and inputs."""
    fn, *arguments = (case.fn,) if case.params is None else (case.fn, case.params)
    params, *inputs = (*arguments, *case.inputs(batch))
    return Network(fn, params, inputs)


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
