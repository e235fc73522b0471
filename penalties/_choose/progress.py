"""How far the zeros of a plan are, and how far they are to be."""

from collections.abc import Sequence
from typing import NamedTuple

from jax import Array

from penalties._choose import controller
from penalties._choose.targets import Plan, last_before_refit, ramp


class Progress(NamedTuple):
    """Shares of the units of all leaves together, float32.

    Attributes:
        zero: those that are zero.
        wanted: those that are to be zero after so many steps.
    """

    zero: Array
    wanted: Array


def progress(plan: Plan, weights: Sequence[Array], step: Array, steps: Array, cut: float) -> Progress:
    """Of the weights of the plan's units, after `step` of `steps`."""
    dead = plan.counts - plan.together(controller.living(plan, weights))
    wanted = plan.wanted(ramp(step, last_before_refit(steps, cut)))
    return Progress(plan.share(dead), plan.share(wanted))
