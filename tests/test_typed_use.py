"""What users write, as a type checker sees it: `.ci/run` gives this file to pyright, and it runs.

That an ignored error is none any more is an error as well.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=error

import inspect
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from jax import Array

import penalties
import penalties.keras
from penalties import (
    L0,
    L1,
    L2,
    MCP,
    OSCAR,
    PSD,
    SCAD,
    SLOPE,
    Box,
    Constraint,
    Coupled,
    ElasticNet,
    ExclusiveLasso,
    GloballySparse,
    Grouped,
    GroupLasso,
    GroupLInf,
    GroupSLOPE,
    Huber,
    L1Ball,
    L2Ball,
    LHalf,
    LInfBall,
    LogSum,
    LTwoThirds,
    MaxNorm,
    MinMaxNorm,
    NOfM,
    NonNegative,
    NonNegativeL1,
    Nuclear,
    Orthogonal,
    Orthonormal,
    Penalty,
    Rank,
    Simplex,
    SizePenalty,
    SmoothPenalty,
    SoftOrthogonal,
    Sparse,
    Spectral,
    SpectralNorm,
    SquaredDifferences,
    TotalVariation,
    UnitNorm,
    blocks,
    couplings,
    hold_zeros,
    kernels,
    parameter,
    penalized,
    proximal,
    static,
    to_sparsity,
)


def net(params: Any, x: Array) -> Array:
    return (x @ params["w"]) @ params["v"]


PARAMS = {"w": jnp.ones((3, 4)), "v": jnp.ones((4, 2))}
UNITS = couplings(net, PARAMS, jnp.ones((2, 3)))

SHORTEST: list[Penalty] = [
    L0(0.1),
    L1(0.1),
    L2(0.1),
    MCP(0.1),
    OSCAR(0.1, 0.01),
    PSD(),
    SCAD(0.1),
    SLOPE(jnp.array([0.2, 0.1])),
    Box(0.0, 1.0),
    Coupled(L1(0.1), UNITS),
    ElasticNet(0.1, 0.1),
    ExclusiveLasso(0.1),
    GloballySparse(3),
    Grouped(L1(0.1)),
    GroupLasso(0.1),
    GroupLInf(0.1),
    GroupSLOPE(jnp.array([0.2, 0.1])),
    Huber(0.1),
    L1Ball(1.0),
    L2Ball(1.0),
    LHalf(0.1),
    LInfBall(1.0),
    LogSum(0.1, epsilon=0.1),
    LTwoThirds(0.1),
    MaxNorm(1.0),
    MinMaxNorm(0.1, 1.0),
    NOfM(2, 4),
    NonNegative(),
    NonNegativeL1(0.1),
    Nuclear(0.1),
    Orthogonal(0.1),
    Orthonormal(),
    Rank(0.1),
    Simplex(),
    SoftOrthogonal(0.1),
    Sparse(3),
    Spectral(L1(0.1)),
    SpectralNorm(0.1),
    SquaredDifferences(0.1),
    TotalVariation(0.1),
    UnitNorm(),
]

WITH_ALL: list[Penalty] = [
    MCP(strength=0.1, gamma=2.0),
    SCAD(0.1, a=3.0),
    Huber(jnp.array(0.1), delta=np.float32(2.0)),
    L1({"w": 0.1, "v": jnp.ones(2)}),
    ExclusiveLasso(0.1, 0, weights=2.0),
    Grouped(MCP(0.1), axis=(0, 1), weights="size"),
    GroupLasso(0.1, groups=blocks((2, 2))),
    GroupLInf(0.1, 0, weights=jnp.ones(3)),
    Nuclear(0.1, axis=(0, 1)),
    Orthogonal(0.1, "columns", 0),
    Simplex(2.0),
    Spectral(MCP(0.1), 0),
    TotalVariation(0.1, axis=0),
]


def test_each_public_penalty_is_made_above():
    classes = [thing for thing in vars(penalties).values() if inspect.isclass(thing)]
    for cls in classes:
        if issubclass(cls, Penalty):
            assert any(isinstance(penalty, cls) for penalty in SHORTEST), cls
    assert all(isinstance(penalty, Penalty) for penalty in WITH_ALL)


class Exponential(SizePenalty):
    strength: float
    sigma: float = parameter(default=1.0, above=0)

    def value_of(self, r: Any) -> Any:
        return self.strength * self.sigma * -jnp.expm1(-r / self.sigma)

    def slope_of(self, r: Any) -> Any:
        return self.strength * jnp.exp(-r / self.sigma)


class Hyperplane(Constraint):
    total: float = parameter(default=0.0)

    def project_at(self, w: Array) -> Array:
        return w - (jnp.sum(w) - self.total) / w.size


class Power(SmoothPenalty):
    strength: float
    exponent: int = static(default=4)
    scale: float = parameter(default=1.0, kw_only=False)

    def value_at(self, w: Array) -> Array:
        return self.strength * jnp.sum((w / self.scale) ** self.exponent)


def test_classes_of_ones_own_have_their_defaults():
    assert (Exponential(0.1).sigma, Exponential(0.1, sigma=2.0).sigma) == (1.0, 2.0)
    assert (Hyperplane().total, Hyperplane(total=1.0).total) == (0.0, 1.0)
    assert (Power(0.1).exponent, Power(0.1, 6, 2.0).scale) == (4, 2.0)


def test_what_is_wrong_is_wrong_for_the_checker_as_well():
    with pytest.raises(TypeError, match="strength"):
        MCP()  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="positional"):
        MCP(0.1, 3.0)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="epsilon"):
        LogSum(0.1)  # pyright: ignore[reportCallIssue]


def test_a_default_by_position_is_wrong_for_the_checker_alone():
    assert parameter(3.0, above=1).default == 3.0  # pyright: ignore[reportCallIssue]
    assert static(-1).default == -1  # pyright: ignore[reportCallIssue]


def test_penalties_combine_and_train():
    penalty: Penalty = (0.5 * L1(0.1) + L2(0.2) / 2).on(kernels, exclude="v/**") + L1(0.1).on("v")
    value: Array = penalty(PARAMS)
    shrunk: dict[str, Array] = L1(0.1).prox(PARAMS, 0.1)
    assert float(value) > 0
    assert shrunk.keys() == PARAMS.keys()
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), penalized(optax.sgd(0.1), penalty))
    updates, _ = optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
    moved: Any = optax.apply_updates(PARAMS, updates)
    assert jnp.all(moved["w"] < 1)
    accumulating = optax.MultiSteps(optax.sgd(0.1), 2)
    assert penalized(accumulating, L1(0.1)).init(PARAMS)
    assert to_sparsity(accumulating, L1(0.1), 0.5, 200).init(PARAMS)
    assert hold_zeros(accumulating, kernels).init({"kernel": PARAMS["w"]})
    assert optax.chain(optax.sgd(0.1), proximal(NonNegative())).init(PARAMS)
    assert optax.chain(optax.sgd(0.1), proximal(lambda step: 0.1 * L1(step), 0.1)).init(PARAMS)


def test_in_keras():
    layer = keras.layers.Dense(
        2,
        kernel_regularizer=penalties.keras.L1(),
        bias_regularizer=penalties.keras.Regularizer(MCP(0.1)),
        kernel_constraint=penalties.keras.Constraint(UnitNorm()),
    )
    layer.build((None, 3))
    assert len(layer.losses) == 2
    assert penalties.keras.L2(0.1)
    assert penalties.keras.L1L2(l1=0.1)
    assert penalties.keras.OrthogonalRegularizer(0.1, mode="columns")
    assert penalties.keras.Penalized(keras.optimizers.SGD(0.1), L1(0.1))
    assert penalties.keras.ToSparsity("sgd", L1(1.0), 0.5, steps=200)
    assert penalties.keras.StrengthSchedule(lambda step: L1(0.1))
    assert penalties.keras.SparsityLogger(per_weight=True)
