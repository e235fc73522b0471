"""What is compared: each method, its learning rates, its one other number, and its strengths on a network.

All have the same number of trials. `other` is what the method asks for besides: RMDA's and RAMDA's c, the
share of the steps before the switch of OBProx-SG and HSPG, the factor of a Bregman strength.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

from benchmarks.rivals.averaging import ramda, rmda
from benchmarks.rivals.bregman import bregman
from benchmarks.rivals.half_space import half_space
from benchmarks.rivals.product import spred
from benchmarks.rivals.proximal import prox_sgd, proxgen
from benchmarks.rivals.regularizers import Groups
from penalties import L1, GroupLasso, kernels, penalized

TWELVE = tuple(float(x) for x in np.geomspace(3e-5, 1e-1, 12))
SIX = tuple(float(x) for x in np.geomspace(3e-5, 1e-1, 6))


@dataclass(frozen=True)
class Method:
    """An optimizer from (regularizer, rate, other, steps), and the trials it has on the convex problems."""

    make: Callable[..., optax.GradientTransformation]
    rates: tuple[float, ...] = TWELVE
    others: tuple[float, ...] = (0.0,)
    groups: bool = True
    network_rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)
    network_other: float = 0.0
    strengths: tuple[float, float] = (3e-5, 3e-2)


def cosine(rate: Any, steps: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(rate, steps)


def ours(regularizer: Any, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """`penalized`, with the same regularizer."""
    penalty = GroupLasso if isinstance(regularizer, Groups) else L1
    return penalized(optimizer, penalty(regularizer.strength).on(kernels))


def _momentum(rate: Any) -> optax.GradientTransformation:
    return optax.chain(optax.ema(0.9, debias=False), optax.scale_by_learning_rate(rate))


def _scaled(regularizer: Any, factor: Any) -> Any:
    return regularizer._replace(strength=factor * regularizer.strength)


FAST = (0.03, 0.1, 0.3)
METHODS = {
    "penalized(adam)": Method(lambda r, rate, _, n: ours(r, optax.adam(cosine(rate, n)))),
    "penalized(sgd)": Method(
        lambda r, rate, _, n: ours(r, optax.sgd(cosine(rate, n), 0.9)), network_rates=FAST
    ),
    "ProxGen, adam": Method(lambda r, rate, _, n: proxgen(r, cosine(rate, n))),
    "ProxSGD, momentum": Method(
        lambda r, rate, _, n: prox_sgd(r, cosine(rate, n)), network_rates=(0.1, 0.3, 1.0)
    ),
    "RMDA": Method(
        lambda r, rate, c, n: rmda(r, rate, n, c),
        (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
        (0.03, 0.1),
        network_rates=(0.1, 0.3, 1.0),
        network_other=0.1,
    ),
    "RAMDA": Method(
        lambda r, rate, c, n: ramda(r, rate, n, c),
        (1e-5, 1e-4, 3e-4, 1e-3, 1e-2, 1e-1),
        (0.03, 0.1),
        network_rates=(0.03, 0.1, 0.3),
        network_other=0.1,
    ),
    "OBProx-SG, HSPG": Method(
        lambda r, rate, share, n: half_space(r, cosine(rate, n), share * n),
        (3e-4, 1e-3, 2e-3, 4e-3, 1e-2, 3e-2),
        (0.5, 0.8),
        network_rates=(0.1, 0.3, 1.0),
        network_other=0.5,
    ),
    "spred, adam": Method(lambda r, rate, _, n: spred(r, optax.adam(cosine(rate, n))), groups=False),
    "LinBreg": Method(
        lambda r, rate, k, n: bregman(_scaled(r, k), _momentum(cosine(rate, n)), 0.05),
        SIX,
        (1.0, 10.0),
        network_rates=FAST,
        network_other=1.0,
        strengths=(1e-3, 1.0),
    ),
    "AdaBreg": Method(
        lambda r, rate, k, n: bregman(_scaled(r, k), optax.adam(cosine(rate, n)), 0.05),
        SIX,
        (1.0, 10.0),
        network_other=1.0,
        strengths=(3e-2, 10.0),
    ),
}
