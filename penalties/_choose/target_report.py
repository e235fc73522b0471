"""What became of a target: `target_report`."""

import warnings
from dataclasses import dataclass
from typing import Any, final

import jax
import numpy as np
from jax.core import Tracer

from penalties._choose.steering import SparsityState
from penalties._training.penalized import states_within

# The cut should have little to take: what it sets to zero was still in use.
MUCH = 0.05


@final
@dataclass(frozen=True)
class TargetReport:
    """How far `to_sparsity` is.

    Attributes:
        step: the number of updates so far.
        steps: of how many.
        target: the share of zeros that training ends with; a tree if there is one for each leaf.
        held: whether the zeros are chosen.
        taken: the share of units that the cut set to zero; 0 before it.
        reason: why the cut had to take more than 5 points; "" if it had not.
    """

    step: int
    steps: int
    target: Any
    held: bool
    taken: float
    reason: str

    def __str__(self) -> str:
        target = f"{100 * self.target:.4g} %" if isinstance(self.target, float) else str(self.target)
        stage = f"held since the cut, which took {100 * self.taken:.2g} points" if self.held else "rising"
        text = f"step {self.step} of {self.steps}, target {target}: zeros are {stage}"
        return f"{text}. {self.reason}" if self.reason else text


def target_report(state: Any) -> TargetReport:
    """How far a `to_sparsity` is, and whether its cut had to take much.

    Zeros come by the penalty; what is missing at the cut the cut takes, the smallest first, as magnitude
    pruning does. If that is more than 5 % of all units, a warning says why, and what to do.

    Args:
        state: of `to_sparsity`, or any state that has one within it: of a chain, of `optax.MultiSteps`. Not
            traced: it is called outside jit. Of several runs under `vmap` give that of one.

    Raises:
        TypeError: there is no state of a `to_sparsity` in it, or more than one, or it is traced.

    >>> import jax.numpy as jnp, optax
    >>> from penalties import L1, target_report, to_sparsity
    >>> state = to_sparsity(optax.adam(0.01), L1(1.0), 0.75, steps=300).init(jnp.ones(40))
    >>> print(target_report(state))
    step 0 of 300, target 75 %: zeros are rising
    """
    report = report_of(state)
    if report.reason:
        warnings.warn(report.reason, stacklevel=2)
    return report


def report_of(state: Any) -> TargetReport:
    """`target_report`, without a warning."""
    found = states_within(state, SparsityState)
    if len(found) != 1:
        raise TypeError(
            f"expected the state of one `to_sparsity`, or a state that it is part of, and found {len(found)} "
            f"in a {type(state).__name__}"
        )
    own = found[0]
    if isinstance(own.held, Tracer) or np.ndim(own.held):
        raise TypeError(
            "expected the state of one training, outside jit: of several under vmap take one, by "
            "`jax.tree.map(lambda x: x[0], state)`"
        )
    taken, held = float(own.taken), bool(own.held)
    return TargetReport(
        step=int(own.penalized.penalty_step),
        steps=int(own.steps),
        target=jax.tree.map(lambda share: float(f"{float(share):.7g}"), own.target),
        held=held,
        taken=taken,
        reason=_reason(taken, bool(own.capped)) if held and taken > MUCH else "",
    )


def _reason(taken: float, capped: bool) -> str:
    why = (
        "the weights could not reach zero in the steps there were, at the largest strength that keeps the "
        "loss whole: the learning rate is too small for this target"
        if capped
        else "zeros came more slowly than the target rose"
    )
    return (
        f"the cut had to take {100 * taken:.3g} points of weights that were not yet zero: {why}; give more "
        "steps, a later `cut`, or a larger learning rate up to it"
    )
