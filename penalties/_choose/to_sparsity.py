"""to_sparsity: a share of exact zeros as the target of training, in place of a strength."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from penalties._choose.quantiles import either
from penalties._choose.steered import steered
from penalties._choose.steering import (
    SparsityState,
    looked,
    not_looked,
    with_strengths,
    with_units,
)
from penalties._choose.strides import MeasuredState, known, measured
from penalties._choose.targets import Plan, as_share, check_plan, interval, is_due, last_before_refit
from penalties._penalty.base import Penalty
from penalties._training.optimizers import Optimizer, as_transform, refuse_swapped
from penalties._training.penalized import PenalizedState, penalized, states_within, stepped
from penalties._training.scheduled import penalty_at, require_params
from penalties._tree.opening import Opened


def to_sparsity(
    optimizer: Optimizer,
    penalty: Penalty,
    target: Any,
    steps: Any,
    *,
    cut: float = 0.5,
    floor: float = 0.5,
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that training ends with a given share of exact zeros: a target, and no strength.

    For the first `cut` of the steps it is `penalized(optimizer, c·penalty)`, whose factor c is steered so
    that the share of zeros follows p_t = p·(1 − (1 − min(t/0.8T, 1))³), with p the target and T the step of
    the cut. Every 10 steps, or T/50 if that is more, for a unit (a weight; of group penalties a group) of
    size r and slope λ = φ′(r),

    - τ = ‖w/(H·s) − ḡ‖/λ is the factor from which on a prox-gradient step as long as the next H steps of the
      optimizer would set it to zero: ḡ is the average gradient that `penalized` keeps, s how far the
      optimizer moves for each unit of the direction it is fed, as measured, H = T/5;
    - c = min(quantile_{p_t}(τ), 2·Σ‖ḡ‖/Σλ over the living units): where too few are zero the quantile is
      that of a unit which is not, and c rises until it is. The cap keeps the loss whole.

    Of groups c is in each leaf times the mean size of its units, zeros included, and they are kept by their
    sizes over this mean, so that layers of few and of many inputs compare.

    At the cut exactly round((1 − p)·n) of n units are kept, the largest; from there on the penalty is off,
    zeros are held, and the rest trains without bias, as under `hold_zeros`.

    Args:
        optimizer: any optax optimizer or chain, or `optax.MultiSteps`, as for `penalized`, learning rate
            included.
        penalty: which leaves, single zeros or groups, and which strengths beside one another; common factors
            mean nothing. L1(1.0), GroupLasso(1.0), LogSum, MCP, selections of these, and sums
            with penalties without a kink. Groups along axes, `blocks` and `labels`; not `leaves`, of
            which none may die. `Coupled` units count once, however many leaves make them. Leaves without a
            kink do not count.
        target: the share of zeros among all units together, in [0, 1), or a tree of shares like params (or a
            prefix), each of which its leaf gets; of leaves that make units together one for all.
        steps: how many updates training has. What comes after them goes on with the zeros held.
        cut: when the zeros are chosen, as a share of the steps; 1 is at the last step, with no refit.
        floor: how much of its even share, (1 − target)·n of its n units, each leaf keeps at least, in [0, 1];
            at least one unit in any case, so that no layer dies. Groups keep it all the way, weights from the
            cut on; for zeros without a gradient nothing else has to go. Leaves that make units together,
            and classes of units that have a leaf in common, count as one.

    Returns:
        A transform to use in place of the optimizer; its place is that of `penalized`. Its state has the
        `target` and `steps`, which may be changed between steps without a new compile, after the cut as well;
        a target of NaN counts as 0.
        `target_report(state)` says how far it is, and what the cut had to take.

    Ties in size, many in bfloat16, are broken by place. Weights are compared to 12 bits.

    Raises:
        TypeError: the penalty has no rule for zeros, no kink, or both single zeros and groups on one leaf;
            the optimizer is none, or (in `init`) has `penalized` in it; a target or steps is no number.
        ValueError: a target outside [0, 1), or one that leaves no unit in a leaf (in `init`); fewer steps
            than the ramp needs; in `update`, without `params`.

    >>> import jax, jax.numpy as jnp, optax
    >>> from penalties import L1, sparsity, to_sparsity
    >>> optimizer = to_sparsity(optax.adam(0.01), L1(1.0), 0.75, steps=300)
    >>> truth = jnp.arange(40.0) / 10
    >>> def step(carry, _):
    ...     w, state = carry
    ...     updates, state = optimizer.update(w - truth, state, w)
    ...     return (optax.apply_updates(w, updates), state), None
    >>> w = jnp.ones(40)
    >>> w, state = jax.lax.scan(step, (w, optimizer.init(w)), length=300)[0]
    >>> float(sparsity(w).share), bool(jnp.all(w[30:] != 0))
    (0.75, True)

    Source: the ramp is Zhu and Gupta, To prune, or not to prune (2017), arXiv 1710.01878; the refit is the
    relaxed lasso, Meinshausen, Comput. Statist. Data Anal. 52 (2007).
    """
    usage = "to_sparsity(optimizer, penalty, target, steps)"
    refuse_swapped(optimizer, usage)
    check_plan(penalty, target, steps, cut, floor)
    inner = as_transform(optimizer, usage)

    def init(params: optax.Params) -> Any:
        if leaves := Opened(params).leaves:
            plan = Plan(penalty, leaves, target, floor)
            plan.require_some()
            within = plan.steered()
            strides: Any = {path: jnp.zeros((), jnp.float32) for unit in plan.units for path in unit.paths}
        else:
            # The placeholder of `optax.tree.map_params`: one number stands for those of all leaves.
            within, strides = steered(penalty, 0.0), jnp.zeros((), jnp.float32)
        state: Any = penalized(inner, within).init(params)
        _refuse_penalized(state.inner_state)
        wanted = jax.tree.map(lambda share: jnp.array(share, jnp.float32), target)
        # Each an array of its own: a state that is donated may not hold one twice.
        held, capped = jnp.zeros((), jnp.bool_), jnp.zeros((), jnp.bool_)
        taken = jnp.zeros((), jnp.float32)
        return SparsityState(state, wanted, jnp.array(steps, jnp.int32), strides, held, capped, taken)

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, Any]:
        require_params(params, "to_sparsity")
        wanted = jax.tree.map(lambda share: jnp.asarray(share, jnp.float32), state.target)
        state = state._replace(target=wanted, steps=jnp.asarray(state.steps, jnp.int32))
        plan = Plan(penalty, Opened(params).leaves, jax.tree.map(as_share, wanted), floor)
        step = state.penalized.penalty_step
        last = last_before_refit(state.steps, cut)
        reached = step + 1 >= last
        held = state.held & reached

        # A look reads whole leaves and gives numbers: it costs nothing in the steps without one. It is at
        # what a step begins with, so that no update waits for the gradients of all leaves. It is also where
        # more steps are given after a cut: the strength is 0 there, and without one all zeros would leave.
        look = either(
            is_due(step, last) | (reached != state.held),
            lambda: looked(plan, state, params, step, last, reached),
            lambda: not_looked(plan, state._replace(held=held), step, reached),
        )
        within = with_strengths(plan, state.penalized, look.factors, reached)
        strengths, given = penalty_at(plan.steered(), within)
        within = within._replace(inner_state=MeasuredState(within.inner_state, state.strides), given=given)
        # With `optax.MultiSteps` inside few steps move anything: until one has, each is asked.
        unknown = ~known(state.strides) & (step >= interval(last))
        measuring = measured(inner.update, (is_due(step + 1, last) & ~reached) | unknown)
        made, now = stepped(measuring, strengths, look.weight, updates, within, params, extra_args)
        after: Any = now.inner_state
        state = state._replace(
            penalized=now._replace(inner_state=after.inner_state),
            strides=after.strides,
            held=reached,
            capped=look.capped,
            taken=jnp.where(reached & ~held, look.taken, state.taken),
        )
        return with_units(plan, look, state, params, made, reached), state

    return optax.GradientTransformationExtraArgs(init, update)


def _refuse_penalized(inner_state: Any) -> None:
    if states_within(inner_state, PenalizedState):
        raise TypeError(
            "to_sparsity(penalized(optimizer, ...), ...) has two penalties that both decide about zeros: "
            "give it the optimizer alone, and one penalty, `to_sparsity(optimizer, L1(1.0) + L2(0.1), ...)`"
        )
