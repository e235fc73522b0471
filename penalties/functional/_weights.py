"""Penalties of single weights, and their proxes, as pure functions."""

from typing import Any, TypeVar

from jax import Array

from penalties._family.elementwise import L1, L2, ElasticNet, Huber
from penalties._family.nonconvex import MCP, SCAD, LogSum
from penalties._family.powers import L0, LHalf, LTwoThirds
from penalties._penalty.strengths import Strength

T = TypeVar("T")


def l1(params: Any, strength: Strength) -> Array:
    """strength · Σ|w| over every floating or complex leaf: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import l1
    >>> float(l1({"kernel": jnp.array([1.0, -2.0])}, 0.5))
    1.5
    """
    return L1(strength)(params)


def l2(params: Any, strength: Strength) -> Array:
    """strength · Σw² (no ½) over every floating or complex leaf: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import l2
    >>> float(l2({"kernel": jnp.array([1.0, -2.0])}, 0.5))
    2.5
    """
    return L2(strength)(params)


def elastic_net(params: Any, *, l1: Strength, l2: Strength) -> Array:
    """l1 · Σ|w| + l2 · Σw² over every floating or complex leaf: a scalar, float32 or float64.

    >>> import jax.numpy as jnp
    >>> from penalties import elastic_net
    >>> float(elastic_net({"kernel": jnp.array([1.0, -2.0])}, l1=0.5, l2=0.5))
    4.0
    """
    return ElasticNet(l1, l2)(params)


def huber(params: Any, strength: Strength, *, delta: Strength = 1.0) -> Array:
    """strength · Σ ½|w|² up to delta, delta·(|w| − ½·delta) beyond, over every weight: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import huber
    >>> float(huber(jnp.array([0.5, -3.0]), 1.0))
    2.625
    """
    return Huber(strength, delta=delta)(params)


def mcp(params: Any, strength: Strength, *, gamma: Strength = 3.0) -> Array:
    """Σ strength·|w| − |w|²/(2·gamma), constant beyond gamma·strength, over every weight: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import mcp
    >>> float(mcp(jnp.array([1.5, -9.0]), 1.0))
    2.625
    """
    return MCP(strength, gamma=gamma)(params)


def scad(params: Any, strength: Strength, *, a: Strength = 3.7) -> Array:
    """Σ strength·|w| up to strength, bent until a·strength, constant beyond, over every weight: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import scad
    >>> float(scad(jnp.array([0.5, 2.0, -9.0]), 1.0, a=3.0))
    4.25
    """
    return SCAD(strength, a=a)(params)


def log_sum(params: Any, strength: Strength, *, epsilon: Strength) -> Array:
    """strength · Σ log(1 + |w|/epsilon) over every floating or complex leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import log_sum
    >>> round(float(log_sum(jnp.array([0.0, -1.0]), 1.0, epsilon=1.0)), 4)
    0.6931
    """
    return LogSum(strength, epsilon=epsilon)(params)


def l0(params: Any, strength: Strength) -> Array:
    """strength · the number of nonzero weights over every floating or complex leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import l0
    >>> float(l0(jnp.array([0.0, 0.25, -3.0]), 0.5))
    1.0
    """
    return L0(strength)(params)


def l_half(params: Any, strength: Strength) -> Array:
    """strength · Σ √|w| over every floating or complex leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import l_half
    >>> float(l_half(jnp.array([0.0, -4.0, 9.0]), 1.0))
    5.0
    """
    return LHalf(strength)(params)


def l_two_thirds(params: Any, strength: Strength) -> Array:
    """strength · Σ |w|^⅔ over every floating or complex leaf: a scalar.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import l_two_thirds
    >>> round(float(l_two_thirds(jnp.array([0.0, -8.0, 1.0]), 1.0)), 4)
    5.0
    """
    return LTwoThirds(strength)(params)


def prox_l1(params: T, strength: Strength, *, step: Any = 1.0) -> T:
    """Soft thresholding by step·strength: sign(w)·max(|w| − step·strength, 0), a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_l1
    >>> prox_l1(jnp.array([1.0, -0.25]), 0.5, step=1.0).tolist()
    [0.5, 0.0]
    """
    return L1(strength).prox(params, step)


def prox_l2(params: T, strength: Strength, *, step: Any = 1.0) -> T:
    """w / (1 + 2·step·strength), a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_l2
    >>> prox_l2(jnp.array([1.0, -0.5]), 0.5, step=1.0).tolist()
    [0.5, -0.25]
    """
    return L2(strength).prox(params, step)


def prox_elastic_net(params: T, *, l1: Strength, l2: Strength, step: Any = 1.0) -> T:
    """Soft thresholding by step·l1, then division by 1 + 2·step·l2, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_elastic_net
    >>> prox_elastic_net(jnp.array([1.5, -0.25]), l1=0.5, l2=0.5, step=1.0).tolist()
    [0.5, 0.0]
    """
    return ElasticNet(l1, l2).prox(params, step)


def prox_huber(params: T, strength: Strength, *, delta: Strength = 1.0, step: Any = 1.0) -> T:
    """w/(1 + t) up to delta·(1 + t), sign(w)·(|w| − t·delta) beyond, t = step·strength, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_huber
    >>> prox_huber(jnp.array([0.5, -3.0]), 1.0).tolist()
    [0.25, -2.0]
    """
    return Huber(strength, delta=delta).prox(params, step)


def prox_mcp(params: T, strength: Strength, *, gamma: Strength = 3.0, step: Any = 1.0) -> T:
    """Firm thresholding: what is beyond gamma·strength stays as it is, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_mcp
    >>> prox_mcp(jnp.array([0.5, -9.0]), 1.0).tolist()
    [0.0, -9.0]
    """
    return MCP(strength, gamma=gamma).prox(params, step)


def prox_scad(params: T, strength: Strength, *, a: Strength = 3.7, step: Any = 1.0) -> T:
    """Soft thresholding of small weights; what is beyond a·strength stays as it is, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_scad
    >>> prox_scad(jnp.array([0.5, 1.5, 2.5, -9.0]), 1.0, a=3.0).tolist()
    [0.0, 0.5, 2.0, -9.0]
    """
    return SCAD(strength, a=a).prox(params, step)


def prox_log_sum(params: T, strength: Strength, *, epsilon: Strength, step: Any = 1.0) -> T:
    """The larger root of (z − |w|)·(epsilon + z) + step·strength, or 0, with w's sign, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_log_sum
    >>> print(prox_log_sum(jnp.array([0.5, -3.0]), 1.0, epsilon=1.0).round(3))
    [ 0.    -2.732]
    """
    return LogSum(strength, epsilon=epsilon).prox(params, step)


def prox_l0(params: T, strength: Strength, *, step: Any = 1.0) -> T:
    """Hard thresholding at √(2·step·strength), a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_l0
    >>> prox_l0(jnp.array([0.25, -3.0]), 0.5).tolist()
    [0.0, -3.0]
    """
    return L0(strength).prox(params, step)


def prox_l_half(params: T, strength: Strength, *, step: Any = 1.0) -> T:
    """Half thresholding: 0 up to 1.5·(step·strength)^⅔, a cosine beyond, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_l_half
    >>> round(float(prox_l_half(jnp.array([1.49, -9.0]), 1.0)[1]), 3)
    -8.832
    """
    return LHalf(strength).prox(params, step)


def prox_l_two_thirds(params: T, strength: Strength, *, step: Any = 1.0) -> T:
    """0 up to 2·(⅔·step·strength)^¾, the root of a quartic beyond, a tree like params.

    >>> import jax.numpy as jnp
    >>> from penalties.functional import prox_l_two_thirds
    >>> round(float(prox_l_two_thirds(jnp.array([1.47, -9.0]), 1.0)[1]), 3)
    -8.676
    """
    return LTwoThirds(strength).prox(params, step)
