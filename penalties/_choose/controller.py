"""Which strengths lead to a target, and what the cut keeps: functions of a plan and of the leaves of now."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from penalties._choose.quantiles import BITS, between, coarse, count, either, smallest_reaching
from penalties._choose.targets import Plan
from penalties._choose.units import needed, priorities, scale, sizes, slopes, spread
from penalties._numerics import like, widen

# How many times the mean pull of the loss on living units the penalty may pull: beyond, the loss is lost.
CAP = 2.0
# Within reach is what the optimizer can move to zero in a fifth of the steps up to the cut.
HORIZON = 5
# Short of the factor at which a leaf falls below its floor.
SHORT = 0.999


class Moment(NamedTuple):
    """What the controller sees of one leaf: its weights, their average gradient, the optimizer's stride.

    Of several that have units in common, tuples.
    """

    weights: Any
    average: Any
    stride: Any


def factors(
    plan: Plan, moments: Sequence[Moment], now: Array, moves: Array, share: Array
) -> tuple[Array, Array]:
    """For each leaf the factor that leads to this share of zeros; whether a cap keeps it from being larger.

    `now` has the factors that hold, `moves` is how many steps up to the cut move weights, `share` how much of
    the target is wanted.
    """
    both = list(zip(plan.units, moments, strict=True))
    # Of groups the strength of a leaf is in proportion to its units, so that those of all leaves compare.
    scales = jnp.stack([scale(unit.penalty, m.weights) for unit, m in both])
    at_zero = [slopes(unit.penalty, jax.tree.map(jnp.zeros_like, m.weights)) for unit, m in both]
    start = scales * _limit(plan, moments, at_zero, scales)
    # Where the loss pulls at nothing, the penalty as it was given: an infinite factor would make NaN.
    now = jnp.where(now > 0, now, jnp.where(jnp.isfinite(start), start, 1))
    ahead = moves / HORIZON
    found = [
        unit.part.call(needed, m.average, jax.tree.map(lambda stride: ahead * stride, m.stride), now[i])
        for i, (unit, m) in enumerate(both)
    ]
    # To 0.8 %, which is finer than the next look knows.
    keys = [coarse(reach / scales[i]) for i, (reach, _) in enumerate(found)]
    wanted, most = plan.wanted(share), plan.own - plan.least
    at = smallest_reaching(keys, jnp.maximum(wanted, 1), plan.pooled, bits=BITS)
    free = jnp.where(wanted > 0, between(at)[1], 0)
    too_many = (wanted > 0) & (count([k <= at[i].astype(k.dtype) for i, k in enumerate(keys)], False) > most)
    spared = either(
        jnp.any(too_many),
        lambda: SHORT * between(smallest_reaching(keys, most + 1, pooled=False, bits=BITS))[0],
        lambda: jnp.full_like(free, jnp.inf),
    )
    limit = _limit(plan, moments, [slope for _, slope in found], scales)
    new = scales * jnp.minimum(jnp.minimum(free, limit), spared)
    # Where no factor near the one of now has a pull on the living (MCP beyond its edge).
    return jnp.where(jnp.isfinite(new), new, 2 * now), jnp.any(free > limit)


def _limit(plan: Plan, moments: Sequence[Moment], slope: Sequence[Array], scales: Array) -> Array:
    """CAP·Σ‖ḡ‖/Σλ over the living units of each leaf, pooled over those of all; in the leaf's scale."""
    pulls, per_factor = [], []
    for i, (unit, m, each) in enumerate(zip(plan.units, moments, slope, strict=True)):
        living = sizes(unit.penalty, m.weights) > 0
        pulls.append(_total(living, sizes(unit.penalty, m.average)))
        per_factor.append(_total(living, each) * scales[i])
    pull, per = jnp.stack(pulls), jnp.stack(per_factor)
    if plan.pooled:
        pull, per = (jnp.broadcast_to(jnp.sum(x), x.shape) for x in (pull, per))
    return jnp.where((pull > 0) & (per > 0), CAP * pull / jnp.where(per > 0, per, 1), jnp.inf)


def _total(living: Array, x: Array) -> Array:
    return jnp.sum(jnp.where(living, x, jnp.zeros_like(x))).astype(jnp.float32)


def living(plan: Plan, weights: Sequence[Any]) -> Array:
    """For each leaf how many units are not zero."""
    each = zip(plan.units, weights, strict=True)
    return count([sizes(unit.penalty, w) > 0 for unit, w in each], pooled=False)


def bars(plan: Plan, moments: Sequence[Moment]) -> tuple[Array, Array]:
    """For each leaf the priority from which on its units are kept, and how many zeros its floor lets go.

    Pooled, these are of all leaves together.
    """
    both = list(zip(plan.units, moments, strict=True))
    keys = [priorities(unit.penalty, m.weights, m.average) for unit, m in both]
    lives = [sizes(unit.penalty, m.weights) > 0 for unit, m in both]
    # Zeros without a gradient stay what they are: others would die for them.
    may_live = [
        here | (sizes(unit.penalty, m.average) > 0) for here, (unit, m) in zip(lives, both, strict=True)
    ]
    least = jnp.minimum(plan.least, count(may_live, pooled=False))
    freed = jnp.maximum(least - count(lives, pooled=False), 0)
    floors = smallest_reaching(keys, plan.own - least + 1, pooled=False)
    # What a leaf keeps in any case comes first.
    raised = [jnp.where(k >= floors[i], jnp.iinfo(jnp.int32).max, k) for i, k in enumerate(keys)]
    bars = jnp.minimum(smallest_reaching(raised, plan.counts - plan.keep + 1, plan.pooled), floors)
    return bars, plan.together(freed)


def chosen(penalty: Any, w: Any, average: Any, bar: Array) -> tuple[Array, Array]:
    """Whether each unit is kept, and whether it is one at zero that is let go."""
    kept = priorities(penalty, w, average) >= bar
    return kept, kept & (bar > 0) & (sizes(penalty, w) == 0)


@jax.jit
def held_to(
    penalty: Any,
    w: Any,
    update: Any,
    average: Any,
    stride: Any,
    bar: Array,
    groups: tuple[Array, Array] | None,
    held: Array,
    least: Array,
) -> Any:
    """The update after which the units that are kept, and no others, are not zero.

    A zero that is let go makes one step of plain gradient descent, as long as the optimizer's are. Once zeros
    are held, an update that would end at exactly zero by chance is halved, as those of signs do. Up to then,
    if fewer groups than `least` would be left, no weight becomes zero in this step: many groups die between
    two looks, and behind a ReLU what is dead has no gradient by which it could come back.
    """
    kept, free = chosen(penalty, w, average, bar) if groups is None else groups
    if groups is None:
        spares = jnp.zeros((), jnp.bool_)
    else:
        left = sizes(penalty, jax.tree.map(_after, w, update)) > 0
        spares = ~held & (count([left], pooled=False)[0].astype(least.dtype) < least)

    def new(w: Array, update: Array, average: Array, stride: Array, dies: Array, free: Array) -> Array:
        wide = widen(w)
        step = widen(update).astype(wide.dtype)
        lands = (wide != 0) & (_after(w, update) == 0)
        step = jnp.where(held & lands, step / 2, jnp.where(spares & lands, jnp.zeros_like(step), step))
        descent = like(stride.astype(wide.real.dtype), wide) * widen(average)
        return jnp.where(dies, -wide, jnp.where(free, -descent, step)).astype(update.dtype)

    return jax.tree.map(new, w, update, average, stride, spread(penalty, ~kept, w), spread(penalty, free, w))


def _after(w: Array, update: Array) -> Array:
    wide = widen(w)
    return (wide + widen(update).astype(wide.dtype)).astype(w.dtype)
