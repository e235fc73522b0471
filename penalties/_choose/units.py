"""The units of a leaf that become zero together, single weights or groups: their sizes, slopes and reach."""

from typing import cast

import jax
import jax.numpy as jnp
from jax import Array

from penalties._choose.quantiles import ordered, untied
from penalties._family.groups import GroupPenalty
from penalties._numerics import like, ratio, widen
from penalties._penalty.base import Penalty
from penalties._penalty.sizes import SizePenalty
from penalties._tree.paths import Leaf

OfSizes = SizePenalty | GroupPenalty


def kinks(penalty: Penalty) -> tuple[OfSizes, ...]:
    """The terms of the penalty of one leaf that make zeros."""
    return tuple(cast(OfSizes, term) for term in penalty.terms_of_sum() if term.kink)


def check_units(penalty: Penalty, leaf: Leaf) -> None:
    """Raises TypeError unless it is known which weights of the leaf become zero together."""
    terms = kinks(penalty)
    for term in terms:
        if not isinstance(term, OfSizes):
            raise TypeError(
                f"{term!r} on the leaf {leaf.path!r} is no penalty of sizes, whose zeros can be counted: "
                "expected one such as L1(1.0), LogSum(1.0, epsilon=0.1), GroupLasso(1.0) or "
                "Grouped(MCP(1.0)), or a sum or a selection of these"
            )
    if len({term.joint for term in terms}) > 1:
        raise TypeError(
            f"{penalty!r} on the leaf {leaf.path!r} makes single zeros and zero groups, or groups of "
            "several shapes: there is no one share to aim at; give each leaf one of them with `.on(...)`"
        )


def are_groups(penalty: Penalty) -> bool:
    """Whether units are groups of weights."""
    return isinstance(kinks(penalty)[0], GroupPenalty)


def sizes(penalty: Penalty, x: Array) -> Array:
    """The size of each unit, in float32 or float64: of groups along axes, those within have length 1."""
    return _once(penalty, kinks(penalty)[0].sizes_at(widen(x)), x)


def slopes(penalty: Penalty, w: Array) -> Array:
    """φ′ of the size of each unit."""
    terms = kinks(penalty)
    first, *rest = (term.slopes_at(widen(w)) for term in terms)
    # A slope that is the same for all sizes is one number.
    shape = terms[0].sizes_at(widen(w)).shape
    return _once(penalty, jnp.broadcast_to(sum(rest, first), shape), w)


def spread(penalty: Penalty, of_units: Array, w: Array) -> Array:
    """What is one entry for each unit, as it broadcasts to the weights."""
    term = kinks(penalty)[0]
    return term.split(w).spread(of_units) if isinstance(term, GroupPenalty) else of_units


def _once(penalty: Penalty, of_units: Array, w: Array) -> Array:
    """What a penalty has of units, that of each once."""
    term = kinks(penalty)[0]
    return term.split(w).once(of_units) if isinstance(term, GroupPenalty) else of_units


@jax.jit
def needed(penalty: Penalty, w: Array, average: Array, reach: Array, factor: Array) -> tuple[Array, Array]:
    """The factor from which on a prox-gradient step sets each unit to zero, and its slope λ.

    τ = ‖w/reach − ḡ‖/λ, for prox_{reach·c·R}(w − reach·ḡ) is zero from c = τ on; λ = φ′(r) for a unit of size
    r, and `reach` is how far the optimizer will come for each unit of direction.
    """
    w, average = widen(w), widen(average)
    reach, factor = (x.astype(w.real.dtype) for x in (reach, factor))
    # Of MCP φ′ is not linear in the strength: taken where it is now.
    slope = slopes(penalty.scaled(factor), w) / factor
    pull = sizes(penalty, w / like(reach, w) - average)
    # Before a stride is known what is not zero is out of reach.
    pull = jnp.where(reach > 0, pull, jnp.where(sizes(penalty, w) > 0, jnp.inf, sizes(penalty, average)))
    return jnp.where(slope > 0, ratio(pull, slope), jnp.inf).astype(jnp.float32), slope.astype(jnp.float32)


def priorities(penalty: Penalty, w: Array, average: Array) -> Array:
    """Which units to keep, as int32 keys: the living by their size, then zeros by their average gradient."""
    size = sizes(penalty, w)
    # What the dtype does not tell apart, and what is within 0.05 % in float32, goes by place.
    low = max(12, 23 - jnp.finfo(w.dtype).nmant)
    keys = jnp.where(size == 0, ordered(sizes(penalty, average)), ordered(size))
    return untied(keys >> 1, low) | jnp.where(size == 0, 0, 1 << 30)
