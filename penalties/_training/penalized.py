"""penalized: a whole optimizer made to train with a penalty, zeros exact."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import DTypeLike

from penalties._numerics import accumulator
from penalties._penalty.base import Penalty
from penalties._penalty.binding import parts_at_init
from penalties._penalty.settling import check_settling
from penalties._training import settling
from penalties._training.optimizers import Optimizer, as_transform, refuse_swapped
from penalties._training.scheduled import (
    ScheduledPenalty,
    as_arrays,
    check_scheduled,
    first_penalty,
    first_step,
    increment,
    penalty_at,
    require_params,
)
from penalties._training.step import Step
from penalties._training.watching import WatchedZeros, watch, watched_after
from penalties._tree.opening import Opened

LINE_SEARCHES = (optax.ScaleByZoomLinesearchState, optax.ScaleByBacktrackingLinesearchState)


class PenalizedState(NamedTuple):
    """The state of `penalized`.

    Attributes:
        inner_state: the state of the optimizer inside.
        penalty: the penalty of the last step; `optax.tree.set(state, penalty=L1(0.2))` changes it.
        given: the penalty that `penalized` itself gave: what it was built with, or its schedule's last.
        average: the running average of the gradient of each weight that has a kink, a tree like
            params; `optax.MaskedNode()` for leaves that need none.
        penalty_step: the number of updates so far, int32.
        watched: with `check=True`, what became of the zeros; else None.
    """

    inner_state: optax.OptState
    penalty: Penalty
    given: Penalty
    average: optax.Params
    penalty_step: Array
    watched: WatchedZeros | None


def penalized(
    optimizer: Optimizer,
    penalty: ScheduledPenalty,
    *,
    decay: float | None = None,
    accumulator_dtype: DTypeLike | None = None,
    check: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that training solves loss + penalty, with zeros that are exactly zero.

    Leave the penalty out of the loss. In each step, for each weight x with gradient g:

    1. the running average ḡ of g is updated: over a window that grows with the steps, so that its noise
       vanishes and zeros come to rest (or with a fixed `decay`);
    2. the optimizer is fed the least-norm subgradient of loss + penalty: g + R'(x) where x ≠ 0,
       and where x = 0 what is left of ḡ beyond the strength, soft(ḡ, λ): a zero weight leaves zero
       only when its average gradient says so;
    3. the optimizer makes its step from that, with its own momentum, scaling and schedule;
    4. a weight that would change sign, or leave zero on the wrong side, becomes exactly 0.

    For groups (`GroupLasso`) the same with ‖·‖ for |·|: the group becomes 0 that would leave the
    half-space it is in, and the one which zero is within reach of (`GroupLasso.settle_at`), since under
    noise a group shrinks without ever turning round.

    No learning rate is asked for and no optimizer's state is read, so that any optimizer serves,
    chains, masks, schedules and accumulation included. To a line search (`optax.lbfgs`: this is OWL-QN
    then) pass `value`, `grad` and `value_fn` of the loss alone; the penalty is added here.

    Why the fixed points are right. Write F = f + R. (1) At a fixed point of an optimizer that moves
    only if it is fed, the fed direction d is 0, and ḡ = ∇f(x). (2) d = 0 says for x ≠ 0 that
    ∇f + R'(x) = 0, and for x = 0 that |∇f| ≤ λ: together 0 ∈ ∂F(x). (3) If 0 ∈ ∂F(x) then d = 0,
    for d is the element of ∂F(x) of least norm; so stationary points and fixed points are the same.
    (4) Between kinks F is smooth, d is its gradient, and the optimizer does what it does on smooth
    losses. (5) A settled weight is one whose step crossed the kink. If zero is right for it then
    |∇f| < λ, ḡ comes to lie within [−λ, λ], d stays 0 and the weight stays 0. If it is not, ḡ leaves
    the interval and the weight leaves on the side of −d, downhill.

    Args:
        optimizer: any optax optimizer or chain, or `optax.MultiSteps`; the learning rate belongs to it.
        penalty: a Penalty with a rule for zeros (L1, L2, ElasticNet, GroupLasso, sums and selections
            of them), or a function of the step count that returns one (warm-up, annealing). With one that
            is not convex (MCP, SCAD, LogSum) it stops at a stationary point, of which there may be several.
            Leaves that are not selected get exactly the update the optimizer gives them.
        decay: of the average, which decides about zeros only. By default there is none: the average is
            over a window of 100 steps, which after 1,000 steps grows by one in three, to a third of all
            steps in the end. A number in [0, 1) fixes the window at 1/(1 − decay) steps, for problems that
            change for ever; 0 is right for full gradients.
        accumulator_dtype: the dtype the average is stored in, by default float32 (float64 for
            float64 leaves); bfloat16 halves its memory, and is rounded so that it is right over the
            steps. Arithmetic is in float32 all the same.
        check: raise an error in the step after one in which somebody else moved weights that had been
            set to zero, or in the first step if it goes uphill. For debugging: it keeps a bool for each
            weight, and calls back from the device in each step.

    Returns:
        A transform to use in place of the optimizer. Updates of penalized leaves have the wider of
        the dtypes of params and gradients, for zeros to be exact.

    **Its place.** It is given the gradient of the loss, and what it returns is added to the params. A
    transform before it may change gradients; one after it moves what was set to zero, and one in place of
    the whole optimizer leaves out what belongs to the problem:

    ================================================================== ==============================
    `penalized(adam(lr), p)`                                           right
    `penalized(chain(scale_by_adam(), scale_by_learning_rate(lr)), p)` right: the whole optimizer
    `chain(clip_by_global_norm(1.0), penalized(adam(lr), p))`          right: clips the loss's gradient
    `MultiSteps(penalized(adam(lr), p), 4)`                            right
    `chain(penalized(scale_by_adam(), p), scale_by_learning_rate(lr))` wrong: no zeros stay
    `chain(scale_by_adam(), penalized(sgd(lr), p))`                    wrong: another problem, in which
                                                                       strengths mean something else
    ================================================================== ==============================

    optax tells no transform its place; `check=True` finds what comes after it, in the first steps.

    **Strengths** belong to `penalized`, and its state carries those of now. Between steps
    `optax.tree.set(state, penalty=L1(0.2))` sets others, which hold from then on, in place of a schedule's
    as well: a penalty built as the first one was, and nothing is compiled anew. A state that was made by
    a `penalized` with other strengths, such as one from a checkpoint, goes on with those of this one.

    **What can be proved.** If the iterates converge, the noise of the gradients has bounded variance, and
    |∇f| < λ strictly on the zeros of the limit, then the average, whose window grows without bound,
    converges to ∇f there, and from some step on these weights are zero and stay zero: the support is
    found after finitely many steps (the argument of Lee and Wright 2012, and of Huang and Lee 2022 for
    networks). Of the inner optimizer it is assumed that it converges on smooth losses, as with a decaying
    learning rate; with a constant one the iterates do not come to rest, nor do weights near the border.

    Raises:
        TypeError: the penalty has no rule for zeros; the error says what to use instead. The
            optimizer is none; decay is no number; the dtype is not a floating one. In `init`, if
            there is `optax.lookahead` inside: it goes around.
        ValueError: decay is outside [0, 1); in `update`, without `params`, or with a state whose penalty
            differs from this one in more than its strengths, or which is of other params.

    >>> import jax, jax.numpy as jnp, optax
    >>> from penalties import L1, penalized
    >>> optimizer = penalized(optax.adam(0.1), L1(1.0))
    >>> w = jnp.array([1.0, 1.0])
    >>> state = optimizer.init(w)
    >>> for _ in range(200):
    ...     grads = jax.grad(lambda w: jnp.sum((w - jnp.array([2.0, 0.3])) ** 2))(w)
    ...     updates, state = optimizer.update(grads, state, w)
    ...     w = optax.apply_updates(w, updates)
    >>> print(w.round(2))
    [1.5 0. ]

    Source: the orthant-wise step is Andrew and Gao, Scalable training of L1-regularized log-linear
    models, ICML 2007; the growing average that of regularized dual averaging, Xiao, JMLR 11 (2010), and Lee
    and Wright, Manifold identification in dual averaging, JMLR 13 (2012). Relatives that bring their own
    optimizers: RMDA and RAMDA (Huang and Lee 2022, 2024), OBProx-SG (Chen et al. 2020), HSPG for groups
    (Chen et al. 2021), ProxGen (Yun, Lozano and Yang 2021).
    """
    refuse_swapped(optimizer, "penalized(optimizer, penalty)")
    check_scheduled(penalty)
    if isinstance(penalty, Penalty):
        check_settling(penalty)
    inner = as_transform(optimizer, "penalized(optimizer, penalty)")
    settling.check_average(decay, accumulator_dtype)

    def init(params: optax.Params) -> Any:
        first = first_penalty(penalty)
        check_settling(first)
        average = _zero_average(first, params, accumulator_dtype)
        watched = watch(average) if check else None
        inner_state = inner.init(params)
        _refuse_lookahead(inner_state)
        return PenalizedState(inner_state, first, as_arrays(first), average, first_step(), watched)

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, Any]:
        require_params(params, "penalized")
        current, given = penalty_at(penalty, state)
        weight = settling.average_weight(state.penalty_step, decay)
        new, after = stepped(inner.update, current, weight, updates, state, params, extra_args)
        return new, after._replace(given=given)

    return optax.GradientTransformationExtraArgs(init, update)


def stepped(
    update: Any, penalty: Penalty, weight: Array, updates: Any, state: Any, params: Any, extra_args: Any
) -> tuple[Any, PenalizedState]:
    """One step with an optimizer's `update`, this penalty, and this weight of the gradient in the average."""
    step = Step(penalty, params, updates, state.average, weight, state.penalty_step)
    extra_args = _objective_args(extra_args, penalty, params, step)
    steps, inner_state = update(step.fed, state.inner_state, params, **extra_args)
    if "value_fn" in extra_args:
        inner_state = _forget_objective(inner_state)
    new = step.settled(steps)
    watched = state.watched
    if watched is not None:
        watched = watched_after(watched, step.weights.leaves, step.moves(new), state.penalty_step)
    count = increment(state.penalty_step)
    return new, PenalizedState(inner_state, penalty, state.given, step.average, count, watched)


def states_within(state: Any, kind: type) -> list[Any]:
    """The states of this kind within, at any depth."""

    def is_one(x: Any) -> bool:
        return isinstance(x, kind)

    return [x for x in jax.tree.leaves(state, is_leaf=is_one) if is_one(x)]


def _refuse_lookahead(inner_state: Any) -> None:
    if states_within(inner_state, optax.LookaheadState):
        raise TypeError(
            "penalized(lookahead(...)): lookahead's updates are for two sets of params, fast and slow, and "
            "the penalty is for one. Put it around, `optax.lookahead(penalized(optimizer, penalty), ...)`, "
            "and see `keep_zeros` for the zeros of the slow params"
        )


def _zero_average(penalty: Penalty, params: Any, dtype: DTypeLike | None) -> Any:
    opened = Opened(params)
    averages: dict[int, Any] = {i: optax.MaskedNode() for i in range(len(opened.leaves))}
    kinks = (part for part in parts_at_init(penalty, opened.leaves) if part.penalty.kink)
    for part in kinks:
        for i, leaf in zip(part.at, part.leaves, strict=True):
            complex_ = jnp.issubdtype(leaf.value.dtype, jnp.complexfloating)
            # Of a `jax.ShapeDtypeStruct` zeros, too, as the states of optax's own optimizers are.
            averages[i] = jnp.zeros_like(
                leaf.value, None if complex_ else dtype or accumulator(leaf.value.dtype)
            )
    return opened.with_leaves(averages)


def _objective_args(extra_args: dict[str, Any], penalty: Penalty, params: Any, step: Step) -> dict[str, Any]:
    """The extra arguments of line searches and the like, told of loss + penalty, not of the loss."""
    told = dict(extra_args)
    if told.get("value") is not None:
        told["value"] = told["value"] + penalty(params).astype(jnp.asarray(told["value"]).dtype)
    if told.get("grad") is not None:
        told["grad"] = step.fed
    if told.get("value_fn") is not None:
        value_fn = told["value_fn"]

        @functools.wraps(value_fn)  # optax reads the names of its arguments
        def objective(moved, *args, **kwargs):
            # As OWL-QN searches: along the line, projected onto the orthant.
            steps = jax.tree.map(jnp.subtract, moved, params)
            projected = optax.apply_updates(params, step.settled(steps))
            value = value_fn(projected, *args, **kwargs)
            return value + penalty(projected).astype(value.dtype)

        told["value_fn"] = objective
    return told


def _forget_objective(inner_state: Any) -> Any:
    """The state, with infinity as the last value that a line search keeps.

    It keeps it for `optax.value_and_grad_from_state`, which would take this value, the objective's,
    for the loss's. Infinity tells that function to compute the loss anew.
    """

    def forget(state):
        if isinstance(state, LINE_SEARCHES):
            return state._replace(value=jnp.full_like(state.value, jnp.inf))
        return state

    return jax.tree.map(forget, inner_state, is_leaf=lambda state: isinstance(state, LINE_SEARCHES))
