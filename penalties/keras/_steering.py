"""What `ToSparsity` aims at, and the state of `to_sparsity` in the variables of a Keras optimizer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from penalties._choose.progress import Progress, progress
from penalties._choose.steered import factors_of
from penalties._choose.steering import SparsityState, strengths_in, with_strengths
from penalties._choose.targets import Plan, check_plan
from penalties._choose.to_sparsity import to_sparsity
from penalties._penalty.base import Penalty, plain
from penalties._penalty.parts import Part
from penalties._training.penalized import PenalizedState
from penalties._training.scheduled import as_arrays
from penalties._tree.keras_variables import KerasWeights, keras_keys
from penalties._tree.paths import Leaf
from penalties.keras import _weights


@dataclass(frozen=True)
class Aim:
    """The arguments of `to_sparsity`, in plain Python numbers."""

    penalty: Penalty
    target: Any
    steps: int
    cut: float
    floor: float

    def __post_init__(self):
        check_plan(self.penalty, self.target, self.steps, self.cut, self.floor)
        object.__setattr__(self, "target", jax.tree.map(plain, self.target))
        object.__setattr__(self, "steps", int(self.steps))
        object.__setattr__(self, "cut", float(self.cut))
        object.__setattr__(self, "floor", float(self.floor))

    def plan(self, leaves: Sequence[Leaf]) -> Plan:
        """The plan for these leaves, of numbers that are known, also while something is traced.

        Raises:
            ValueError: it leaves a leaf without a unit.
        """
        with jax.ensure_compile_time_eval():
            plan = Plan(self.penalty, leaves, self.target, self.floor)
            plan.require_some()
        return plan

    def transform(self, inside: optax.GradientTransformationExtraArgs) -> Any:
        """`to_sparsity` around an optimizer."""
        return to_sparsity(inside, self.penalty, self.target, self.steps, cut=self.cut, floor=self.floor)


class Steering:
    """A `SparsityState` in variables; what is one number for each leaf is one variable for all.

    Attributes:
        penalized: the positions of what is penalized.
        counted: the positions of what can become zero.
    """

    def __init__(self, aim: Aim, variables: Sequence[Any], paths: Sequence[str]):
        """Of an optimizer that is built with these variables.

        Raises:
            TypeError, ValueError: what is wrong with selection or target; there are no variables.
        """
        if not variables:
            raise ValueError("there is nothing to train: the model has no weight that is not frozen")
        self._keys = keras_keys(variables, paths)
        self._leaves = _weights.leaves(variables, paths)
        self._parts = _weights.bind_parts_constant(aim.penalty, self._leaves)
        self._aim, self._plan = aim, aim.plan(self._leaves)
        self.penalized = [i for part in self._parts for i in part.at]
        self.counted = [i for part in self._parts if part.penalty.kink for i in part.at]

    def make_variables(self, add_variable: Callable[..., Any], averages: dict[int, Any]) -> None:
        """Creates them by this method of an optimizer, which has made those of averages, by position."""
        self._target = add_variable(
            (len(jax.tree.leaves(self._aim.target)),), "zeros", "float32", name="target"
        )
        self._steps = add_variable((), "zeros", "int32", name="steps")
        self._factors = add_variable((len(self._plan.units),), "zeros", "float32", name="factors")
        self._strides = add_variable((len(self._unit_paths),), "zeros", "float32", name="strides")
        self._held = add_variable((), "zeros", "bool", name="held")
        self._capped = add_variable((), "zeros", "bool", name="capped")
        self._taken = add_variable((), "zeros", "float32", name="taken")
        self._averages = averages
        self.aim(self._aim)

    def aim(self, aim: Aim) -> None:
        """Sets target and steps.

        Raises:
            ValueError: the target is another tree than the first one was, or leaves a leaf without a unit.
        """
        if jax.tree.structure(aim.target) != jax.tree.structure(self._aim.target):
            raise ValueError(
                "a ToSparsity that is built can be given other numbers for a target, but "
                f"{aim.target!r} is another tree than {self._aim.target!r}: compile the model anew, with "
                "model.compile(ToSparsity(optimizer, penalty, target, steps), ...)"
            )
        self._plan, self._aim = aim.plan(self._leaves), aim
        self._target.assign(jax.tree.leaves(aim.target))
        self._steps.assign(aim.steps)

    def tree(self, values: Sequence[Any]) -> Any:
        """The values of all variables, or some of them, by path."""
        return KerasWeights(self._keys, values)

    def check_complete(self, gradients: Mapping[int, Any]) -> None:
        """Raises ValueError unless there is a gradient for all that is penalized, and None or one for all."""
        lacking = [
            leaf.path
            for i, leaf in enumerate(self._leaves)
            if i not in gradients or (i in self.penalized and gradients[i] is None)
        ]
        if lacking:
            raise ValueError(
                f"there are no gradients for {lacking[:20]}: the share of zeros is one of all weights, so "
                "give those of all variables that the ToSparsity was built with, or leave weights out with "
                "`.on(exclude=...)`"
            )

    def state(self, inner_state: Any, step: Array) -> Any:
        """The state of now, after so many steps, with this one of the optimizer inside."""
        given, held = as_arrays(self._plan.steered()), self._held.value
        averages = [
            self._averages[i].value if i in self._averages else optax.MaskedNode()
            for i in range(len(self._keys))
        ]
        before = PenalizedState(inner_state, given, given, self.tree(averages), step.astype(jnp.int32), None)
        return SparsityState(
            penalized=with_strengths(self._plan, before, self._factors.value, held),
            target=jax.tree.structure(self._aim.target).unflatten(self._target.value),
            steps=self._steps.value,
            strides=dict(zip(self._unit_paths, self._strides.value, strict=True)),
            held=held,
            capped=self._capped.value,
            taken=self._taken.value,
        )

    def become(self, state: Any) -> None:
        """Takes over a state, but for what is of the optimizer inside, and what it aims at."""
        self._factors.assign(strengths_in(self._plan, state))
        self._strides.assign(jnp.stack([state.strides[path] for path in self._unit_paths]))
        self._held.assign(state.held)
        self._capped.assign(state.capped)
        self._taken.assign(state.taken)
        for i, average in self._averages.items():
            average.assign(state.penalized.average.values[i])

    def parts(self) -> list[Part]:
        """The penalty by variables of the optimizer, with the strengths of now."""
        factor = factors_of(self.state((), jnp.zeros((), jnp.int32)).penalized.penalty)
        return [
            part._replace(penalty=part.penalty.scaled(factor[part.leaves[0].path])) for part in self._parts
        ]

    def progress(self, variables: Sequence[Any], step: Array) -> Progress:
        """How far the zeros of all variables are after so many steps."""
        at = {key.name: variable.value for key, variable in zip(self._keys, variables, strict=True)}
        weights = [unit.of(at) for unit in self._plan.units]
        return progress(self._plan, weights, step, self._steps.value, self._aim.cut)

    @property
    def factor(self) -> Array:
        """What the penalty is multiplied by; the largest, if it is not the same on all leaves."""
        return jnp.max(self._factors.value)

    @property
    def _unit_paths(self) -> list[str]:
        return [path for unit in self._plan.units for path in unit.paths]
