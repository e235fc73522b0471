"""Adaptive penalties: for each weight a strength of its own, made from weights that were found before."""

import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from penalties._numerics import accumulator, widen
from penalties._penalty.algebra import Selected
from penalties._penalty.base import Penalty, check_penalty
from penalties._penalty.binding import positions
from penalties._penalty.constraint import Constraint
from penalties._penalty.fields import Kind, names
from penalties._penalty.sizes import PenaltyOfSizes
from penalties._penalty.strengths import PerLeaf, Range, Strength, checked, guarded
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf
from penalties._tree.types import Numeric, Params


def adaptive(penalty: Penalty, params: Params, *, power: Numeric = 1.0) -> Penalty:
    """The penalty with a strength for each weight, strength / |weight|^power: large weights are shrunk less.

    Of `L1` this is the adaptive lasso: params are those of a first training, say with `L2` or without a
    penalty, and the second, with what is returned here, selects the right features and leaves the large
    ones almost as they are.

    Args:
        penalty: of single weights, with strengths: L1, MCP, SCAD, LogSum, L0, LHalf, LTwoThirds, or your own;
            sums and selections of them. Terms without a kink (L2, Huber) and constraints stay as they are,
            so that of an `ElasticNet` the L1 is adapted alone, as in the adaptive elastic net.
        params: the weights of before, a tree like the params to be trained, or a Flax NNX module.
        power: > 0. Other parameters (γ, a, ε) stay as they are.

    Zeros stay zero: where the weight is 0 the power is cut, at the root of the largest number of the dtype
    (2·10¹⁹ in float32). A strength of that size holds a weight at zero against every gradient, under
    `penalized` and `proximal`. In a loss, or by `add_penalty`, it does not, and throws what has left zero
    far away: there hold zeros by `hold_zeros`. The strengths are part of the penalty, and are for params of
    these paths and shapes.

    Returns:
        A penalty of the same kind, whose strengths are trees of arrays.

    Raises:
        TypeError: a term is of groups, matrices or neighbours, which one strength per weight is not for; no
            term has a kink at zero.
        ValueError: power is not > 0; params have NaN; a selection matches no leaf.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, adaptive
    >>> before = {"w": jnp.array([4.0, -0.5, 0.0])}
    >>> penalty = adaptive(L1(1.0), before)
    >>> penalty.prox({"w": jnp.array([4.0, -0.5, 9.0])})["w"].tolist()
    [3.75, 0.0, 0.0]

    Source: Zou, The adaptive lasso and its oracle properties, JASA 101 (2006); Zou and Zhang, On the adaptive
    elastic-net with a diverging number of parameters, Ann. Statist. 37 (2009).
    """
    check_penalty(penalty, "the penalty of `adaptive`")
    power = checked(power, "power", Range(above=0))
    leaves = Opened(params).leaves
    adapted: list[Penalty] = []
    kinks = False
    for atom, selections in penalty.atoms():
        for part in atom.parts():
            if not isinstance(part, Constraint) and part.kink:
                part, kinks = _adapted(part, leaves, selections, power), True
            adapted.append(functools.reduce(_on, selections, part))
    if not kinks:
        raise TypeError(
            f"adaptive got {penalty!r}, which has no kink at zero, and gives no zeros to keep: expected an "
            "L1 or another penalty with one; for strengths of your own pass a tree of arrays as the strength"
        )
    return functools.reduce(operator.add, adapted)


def _adapted(
    penalty: Penalty, leaves: Sequence[Leaf], selections: Sequence[Selected], power: Strength
) -> Penalty:
    if not isinstance(penalty, PenaltyOfSizes):
        raise TypeError(
            f"adaptive got {penalty!r}, which is not of single weights: expected L1, MCP or another one of "
            "sizes. For groups give `GroupLasso` an array with one strength per group, such as λ over the "
            "norms of the groups"
        )
    chosen = [leaves[i] for i in positions(leaves, selections)]
    factors = {leaf.path: _factor(leaf.value, power) for leaf in chosen}
    strengths = {}
    for name in names(penalty, Kind.STRENGTH):
        value = guarded(getattr(penalty, name))
        per_leaf = PerLeaf(value, f"{penalty.name_in_config}.{name}", leaves)
        strengths[name] = {leaf.path: per_leaf.at(leaf) * factors[leaf.path] for leaf in chosen}
    return dataclasses.replace(penalty, **strengths)


def _factor(w: Array, power: Any) -> Array:
    """1/|w|^power, cut where |w| is 0 or close to it."""
    size = jnp.abs(widen(w))
    most = float(jnp.finfo(accumulator(w.dtype)).max) ** 0.5
    # NaN is not less, and stays; the power is of a number ≥ 1/most, or it would overflow.
    least = jnp.asarray(most, size.dtype) ** (-1 / jnp.asarray(power, size.dtype))
    return jnp.maximum(size, least) ** -jnp.asarray(power, size.dtype)


def _on(penalty: Penalty, selection: Selected) -> Penalty:
    return Selected(penalty, selection.where, selection.exclude)
