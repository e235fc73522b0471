"""The units that become zero together, single weights or groups: their sizes, slopes and reach.

Of units that span leaves the weights, averages and reaches are tuples of arrays.
"""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array

from penalties._choose.quantiles import ordered, untied
from penalties._family.groups import GroupPenalty
from penalties._numerics import like, ratio
from penalties._penalty.joint import JointPenalty
from penalties._penalty.parts import Part
from penalties._penalty.rule import widened
from penalties._penalty.sizes import SizePenalty
from penalties._penalty.spanning import Beside

OfSizes = SizePenalty | GroupPenalty | JointPenalty


def kinks(penalty: Any) -> tuple[OfSizes, ...]:
    """The terms of the penalty of a part that make zeros."""
    if isinstance(penalty, Beside):
        single = (term for p in penalty.single if p is not None for term in p.terms_of_sum())
        terms = (penalty.joint, *single)
    else:
        terms = penalty.terms_of_sum()
    return tuple(cast(OfSizes, term) for term in terms if term.kink)


def check_units(part: Part) -> None:
    """Raises TypeError unless it is known which weights become zero together."""
    terms = kinks(part.penalty)
    paths = [leaf.path for leaf in part.leaves]
    where = f"leaves {paths[:20]}" if part.is_joint else f"leaf {paths[0]!r}"
    for term in terms:
        if not isinstance(term, OfSizes):
            raise TypeError(
                f"{term!r} on the {where} is no penalty of sizes, whose zeros can be counted: "
                "expected one such as L1(1.0), LogSum(1.0, epsilon=0.1), GroupLasso(1.0) or "
                "Grouped(MCP(1.0)), or a sum or a selection of these"
            )
    if len({term.joint for term in terms}) > 1 or (part.is_joint and terms != (_units(part.penalty),)):
        raise TypeError(
            f"{part.penalty!r} on the {where} makes single zeros and zero groups, or groups of "
            "several shapes: there is no one share to aim at; give each leaf one of them with `.on(...)`"
        )


def _units(penalty: Any) -> OfSizes:
    """The term whose units are counted."""
    return penalty.joint if isinstance(penalty, Beside) else kinks(penalty)[0]


def are_groups(penalty: Any) -> bool:
    """Whether units are groups of weights."""
    return not isinstance(_units(penalty), SizePenalty)


def sizes(penalty: Any, x: Any) -> Array:
    """The size of each unit, in float32 or float64: of groups along axes, those within have length 1."""
    return _once(penalty, _units(penalty).sizes_at(widened(x)), x)


def slopes(penalty: Any, w: Any) -> Array:
    """φ′ of the size of each unit."""
    wide = widened(w)
    first, *rest = (term.slopes_at(wide) for term in kinks(penalty))
    # A slope that is the same for all sizes is one number; on many devices it goes where the sizes are.
    each = jnp.broadcast_arrays(sum(rest, first), _units(penalty).sizes_at(wide))[0]
    return _once(penalty, each, w)


def _once(penalty: Any, of_units: Array, w: Any) -> Array:
    """What a penalty has of units, that of each once."""
    term = _units(penalty)
    return term.split(w).once(of_units) if isinstance(term, GroupPenalty) else of_units


def spread(penalty: Any, of_units: Array, w: Any) -> Any:
    """Bools of units, as they broadcast to the weights; False for a weight in no unit."""
    term = _units(penalty)
    if isinstance(term, JointPenalty):
        return term.mask_at(of_units, w)
    return term.split(w).spread(of_units) if isinstance(term, GroupPenalty) else of_units


@jax.jit
def needed(penalty: Any, w: Any, average: Any, reach: Any, factor: Array) -> tuple[Array, Array]:
    """The factor from which on a prox-gradient step sets each unit to zero, and its slope λ.

    τ = ‖w/reach − ḡ‖/λ, for prox_{reach·c·R}(w − reach·ḡ) is zero from c = τ on; λ = φ′(r) for a unit of size
    r, and `reach` is how far the optimizer will come for each unit of direction.
    """
    w = widened(w)
    pull = sizes(penalty, jax.tree.map(_away, w, widened(average), reach))
    factor = factor.astype(pull.dtype)
    # Of MCP φ′ is not linear in the strength: taken where it is now.
    slope = slopes(penalty.scaled(factor), w) / factor
    return jnp.where(slope > 0, ratio(pull, slope), jnp.inf).astype(jnp.float32), slope.astype(jnp.float32)


def _away(w: Array, average: Array, reach: Array) -> Array:
    """w/reach − ḡ; before a reach is known what is not zero is infinitely far."""
    known, reach = reach > 0, reach.astype(w.real.dtype)
    far = jnp.where(w == 0, jnp.zeros_like(w), jnp.full_like(w, jnp.inf))
    return jnp.where(known, w / like(jnp.where(known, reach, jnp.ones_like(reach)), w), far) - average


def scale(penalty: Any, w: Any) -> Array:
    """What the units of a leaf are measured by: of groups the mean of their sizes; 1 of single weights.

    A network is the same with one layer twice and the next half as large, and at first units of few inputs
    are the largest: as they are, such a layer would keep all of its units, and the next one be left with one.
    Zeros are in the mean, so that what is left of a leaf is the safer the more it has lost.
    """
    if not are_groups(penalty):
        return jnp.ones((), jnp.float32)
    mean = jnp.mean(sizes(penalty, w)).astype(jnp.float32)
    return jnp.where((mean > 0) & (mean < jnp.inf), mean, 1)


def priorities(penalty: Any, w: Any, average: Any) -> Array:
    """Which units to keep, as int32 keys: the living by their size, then zeros by their average gradient.

    Sizes are over the scale, and gradients times it: what a step as long as the scale would bring.
    """
    size, by = sizes(penalty, w), scale(penalty, w)
    pull = sizes(penalty, average)
    # What the dtype does not tell apart, and what is within 0.05 % in float32, goes by place.
    low = max(12, *(23 - jnp.finfo(x.dtype).nmant for x in jax.tree.leaves(w)))
    scaled = jnp.where(size == 0, pull.astype(jnp.float32) * by, size.astype(jnp.float32) / by)
    keys = ordered(scaled)
    return untied(keys >> 1, low) | jnp.where(size == 0, 0, 1 << 30)
