"""What `to_sparsity` does around `penalized`: a look at all weights now and then, and what follows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._choose import controller
from penalties._choose.controller import Moment
from penalties._choose.quantiles import either
from penalties._choose.steered import factors_of, with_factors
from penalties._choose.strides import known, moving_share
from penalties._choose.targets import Plan, ramp
from penalties._training.penalized import PenalizedState
from penalties._training.settling import average_weight
from penalties._tree.opening import Opened


class SparsityState(NamedTuple):
    """The state of `to_sparsity`.

    Attributes:
        penalized: the state of `penalized` inside, with the strengths of now.
        target: the share of units that is to be zero; `optax.tree.set(state, target=jnp.float32(0.95))`
            changes it.
        steps: the number of updates that the plan is for, int32; changed likewise.
        strides: by leaf path how far the optimizer moves for each unit of direction.
        held: whether the zeros are chosen, and only held from here on.
        capped: whether the strength was last as large as it may be, and would have had to be larger.
        taken: the share of units that the cut set to zero; 0 before it.
    """

    penalized: PenalizedState
    target: Any
    steps: Array
    strides: dict[str, Array]
    held: Array
    capped: Array
    taken: Array


class Look(NamedTuple):
    """What is decided in a look, for each leaf that is counted.

    Attributes:
        factors: the strengths.
        capped, taken: as in the state.
        weight: that of this step's gradient in the average: 0 in the step of a cut, which goes by it.
        bars: the priorities from which on units are kept; 0 for all.
        groups: of groups, whether each is kept, and whether it is let go from zero; None of single weights,
            where it is found from the bar without storing it.
    """

    factors: Array
    capped: Array
    taken: Array
    weight: Array
    bars: Array
    groups: list[tuple[Array, Array] | None]


def looked(plan: Plan, state: Any, params: Any, step: Array, last: Array, reached: Array) -> Look:
    """What a look at all weights decides: strengths before the cut, which units are kept from there on.

    No strength before a stride is known: all weights would be out of reach, and it as large as it may be.
    """
    moments = _moments(plan, state, params)
    now = strengths_in(plan, state)
    moves = last.astype(jnp.float32) * moving_share(state.penalized.inner_state, step)
    factors, capped = either(
        known(state.strides) & ~reached,
        lambda: controller.factors(plan, moments, now, moves, ramp(step, last)),
        lambda: (jnp.where(reached, 0, now), state.capped),
    )
    each = controller.living(plan, [m.weights for m in moments])
    living = plan.together(each)
    cuts = reached & jnp.any((living != plan.keep) | (each < plan.least))
    bars, freed = either(
        cuts,
        lambda: controller.bars(plan, moments),
        lambda: (jnp.zeros(len(moments), jnp.int32), jnp.zeros_like(living)),
    )
    taken = plan.share(jnp.maximum(living + freed - plan.keep, 0))
    groups = [
        controller.chosen(unit.penalty, m.weights, m.average, bars[i]) if unit.grouped else None
        for i, (unit, m) in enumerate(zip(plan.units, moments, strict=True))
    ]
    weight = jnp.where(cuts, 0, average_weight(step, None))
    return Look(factors, capped, taken, weight, bars, groups)


def not_looked(plan: Plan, state: Any, step: Array, reached: Array) -> Look:
    """What goes on in the steps between: the same strengths, and all units kept."""
    groups = [
        (jnp.ones(unit.shape, jnp.bool_), jnp.zeros(unit.shape, jnp.bool_)) if unit.grouped else None
        for unit in plan.units
    ]
    factors = jnp.where(reached, 0, strengths_in(plan, state))
    bars = jnp.zeros(len(plan.units), jnp.int32)
    return Look(factors, state.capped, state.taken, average_weight(step, None), bars, groups)


def with_units(plan: Plan, look: Look, state: Any, params: Any, updates: Any, held: Array) -> optax.Updates:
    """The updates, once zeros are held those after which what is kept, and nothing else, is not zero."""
    opened = Opened(updates)
    at = {leaf.path: i for i, leaf in enumerate(opened.leaves)}
    new = {}
    for unit, m, bar, group, least in zip(
        plan.units, _moments(plan, state, params), look.bars, look.groups, plan.least, strict=True
    ):
        if unit.paths[0] not in at:
            continue
        update = unit.of({path: opened.values[i] for path, i in at.items()})
        held_to = controller.held_to(
            unit.penalty, m.weights, update, m.average, m.stride, bar, group, held, least
        )
        new |= {at[path]: x for path, x in zip(unit.paths, jax.tree.leaves(held_to), strict=True)}
    return opened.with_leaves(new)


def with_strengths(plan: Plan, state: Any, factors: Array, held: Array) -> Any:
    """The state of `penalized` with these factors."""
    # Leaves that have no kink, and no zeros to be steered by, go along with the strongest.
    of = {path: jnp.max(factors) for path in plan.paths}
    of |= {path: factors[i] for i, unit in enumerate(plan.units) for path in unit.paths}
    new = with_factors(state.penalty, of, held)
    return state._replace(penalty=jax.tree.map(lambda x, y: jnp.asarray(x, y.dtype), new, state.penalty))


def strengths_in(plan: Plan, state: Any) -> Array:
    """The factor of each of the plan's units."""
    of = factors_of(state.penalized.penalty)
    return jnp.stack([of[unit.paths[0]].astype(jnp.float32) for unit in plan.units])


def _moments(plan: Plan, state: Any, params: Any) -> list[Moment]:
    values = {leaf.path: leaf.value for leaf in Opened(params).leaves}
    averages = {leaf.path: leaf.value for leaf in Opened(state.penalized.average).leaves}
    return [Moment(unit.of(values), unit.of(averages), unit.of(state.strides)) for unit in plan.units]
