"""Penalized: a Keras optimizer made to train with a penalty, zeros exact."""

from collections.abc import Sequence
from typing import Any, final

import jax.numpy as jnp
import keras
from jax import Array

from penalties._penalty.base import Penalty
from penalties._penalty.parts import Part
from penalties._penalty.strengths import checked_factor
from penalties._training import settling
from penalties.keras import _internals
from penalties.keras._backend import require_jax
from penalties.keras._bound import BoundPenalty, check_trainable
from penalties.keras._model_state import state_dtype
from penalties.keras._penalizing import Penalizing, without_penalty
from penalties.keras._step import Step, dense, times, with_gradients
from penalties.keras._wrapper import all_within


@final
@keras.saving.register_keras_serializable("penalties")
class Penalized(Penalizing):
    """Wraps a Keras optimizer so that training solves loss + penalty, with zeros that are exactly zero.

    The mathematics is that of `penalties.penalized`: the inner optimizer is fed the least-norm
    subgradient of loss + penalty, judged at zero weights by a running average of the gradient, and a
    weight that would step across zero becomes exactly 0. Leave the penalty out of the layers: the
    `loss` that Keras logs is then the loss of the data alone.

    Args:
        optimizer: any Keras optimizer, or its name. Its learning rate and schedule, clipping, weight
            decay, gradient accumulation and moving average (EMA) stay its own. A `LossScaleOptimizer`
            or a `MultiOptimizer` may be inside or around.
        penalty: a Penalty with a rule for zeros: L1, L2, ElasticNet, GroupLasso, sums and selections
            of them. Paths are Keras's, "dense/kernel"; list yours by
            `[v.path for v in model.trainable_variables]`. What all begin with, such as the name of a
            Sequential model, may be left out.
        decay: of the average, which decides about zeros only. By default there is none: the average is
            over a window of 100 steps, which after 1,000 steps grows by one in three, to a third of all
            steps in the end. A number in [0, 1) fixes the window at 1/(1 − decay) steps, for problems that
            change for ever; 0 is right for full gradients.
        accumulator_dtype: the dtype the average is stored in, by default float32 (float64 for
            float64 weights). "bfloat16" halves its memory, rounded so that it is right over the steps.
        loss_scale_factor: the loss is multiplied and gradients are divided by it; by default what the
            optimizer has, from which it is taken over.
        name: of the optimizer.

    Moving averages keep the zeros: the average of a weight counts from when it last left zero.
    Constraints of the weights hold after the zeros are set. `StrengthSchedule` changes the strengths
    during training. Saved with the model, state included; but not with strengths of its own: those of
    the `penalty` given here win over those of a checkpoint, of weights or of a whole model, that
    `load_weights` or `set_weights` reads. Setting `penalty` changes them.

    Raises:
        TypeError: `optimizer` is no optimizer; the penalty has no rule for zeros; decay is no number;
            the dtype is not a floating one.
        ValueError: decay is outside [0, 1); when built, if a selection matches no weight.
        RuntimeError: in training, if Keras does not run on JAX.

    >>> import keras, numpy as np
    >>> from penalties import L1
    >>> from penalties.keras import Penalized
    >>> x = np.eye(2, dtype="float32")
    >>> y = np.array([[2.0], [0.3]], dtype="float32")
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(Penalized(keras.optimizers.Adam(0.05), L1(0.5).on("**/kernel")), loss="mse")
    >>> _ = model.fit(x, y, epochs=300, verbose=0)
    >>> [round(w, 3) for w in model.layers[0].kernel.value[:, 0].tolist()]
    [1.5, 0.0]

    Memory: one average for each weight that can become zero, which is also most of the time it takes:
    Adam alone needs two such buffers.

    Source: as `penalties.penalized`.
    """

    def __init__(
        self,
        optimizer: Any,
        penalty: Penalty,
        *,
        decay: float | None = None,
        accumulator_dtype: Any = None,
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ):
        inner = without_penalty(optimizer, "Penalized")
        check_trainable(penalty)
        settling.check_average(decay, accumulator_dtype)
        super().__init__(inner, loss_scale_factor=loss_scale_factor, name=name)
        self._penalty = penalty
        self.decay = None if decay is None else float(decay)
        self.accumulator_dtype = None if accumulator_dtype is None else str(jnp.dtype(accumulator_dtype))
        self._variable_strengths = False

    @property
    def penalty(self) -> Penalty:
        """The penalty. Settable: before training, to any; after it, to one with other strengths.

        Nothing is compiled anew for a second change. The change holds from the next step on; in a
        callback reach the optimizer by `self.model.optimizer`.
        """
        return self._penalty

    @penalty.setter
    def penalty(self, penalty: Penalty) -> None:
        check_trainable(penalty)
        if self.built:
            self._bound.change(penalty)
        self._penalty = penalty

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the variables of both optimizers, and checks the selection.

        Raises:
            ValueError: the selection matches no weight, or a strength does not fit its weight. For an
                optimizer that is read from a config, in the first step: a frozen model, for one, is
                loaded and used without ever training.
        """
        if self.built:
            return
        paths = self.choose_paths(variables)
        self._bound = BoundPenalty(self.penalty, variables, paths, defer=self.may_never_train(variables))
        if self._variable_strengths:
            self._bound.make_variable()
        super().build(variables)
        self.strength_factor = self.add_variable((), "ones", state_dtype(), name="strength_factor")
        self._average_of = {
            position: self.zero_average(variable, self.accumulator_dtype)
            for position, (variable, needed) in enumerate(
                zip(variables, self._bound.needs_average(), strict=True)
            )
            if needed
        }

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """One step of the inner optimizer, zeros exact.

        Args:
            grads: the gradients of the loss without the penalty, or None for variables without one.
            trainable_variables: the variables they belong to; those the optimizer was built with,
                if not given.

        Raises:
            RuntimeError: Keras does not run on JAX.
            ValueError: not built, and no variables given; variables it was not built with; what
                `build` raises.
        """
        require_jax("penalties.keras.Penalized")
        variables = self.variables_of(grads, trainable_variables)
        if not grads:
            return
        weight = settling.average_weight(_internals.steps_of(self).value, self.decay)
        multiplied, divides = self.scales()
        parts = self.parts_of(variables)
        penalized = {i for part in parts for i in part.at}
        fed: list[Any] = []
        unscaled: dict[int, Array] = {}
        averages: dict[int, Array] = {}
        for i, (variable, gradient) in enumerate(zip(variables, grads, strict=True)):
            # The "gradients" of variables that float8 overwrites are their next values.
            if gradient is None or variable.overwrite_with_gradient:
                fed.append(gradient)
            elif i not in penalized:
                fed.append(times(gradient, divides / multiplied).astype(gradient.dtype))
            else:
                fed.append(dense(gradient))
                unscaled[i] = times(fed[i], 1 / multiplied)
                averages[i] = self._averaged(variable, unscaled[i], weight)
        parts = with_gradients(parts, unscaled)
        steps = [Step.of(part, variables, unscaled, averages, weight) for part in parts]
        for step in steps:
            for i, direction in step.part.by_position(step.direction).items():
                fed[i] = times(direction, divides).astype(fed[i].dtype)

        self.step_inside(fed, variables)

        for step in steps:
            for i, value in step.settled(variables).items():
                self.assign_constrained(variables[i], value)
        self.keep_zeros_in_moving_averages()
        self.assign_add(_internals.steps_of(self), 1)

    def parts_of(self, variables: Sequence[Any]) -> list[Part]:
        """The penalty by these variables, with its strengths of now.

        Raises:
            ValueError: the selection matches no weight, or a strength does not fit its weight; a variable is
                missing that has groups in common with others.
        """
        factor = checked_factor(self.strength_factor.value)
        places = {self.position(variable): i for i, variable in enumerate(variables)}
        parts = with_gradients(self._bound.parts(), places)
        return [
            part._replace(penalty=part.penalty.scaled(factor), at=tuple(places[i] for i in part.at))
            for part in parts
        ]

    def penalty_of(self, variable: Any) -> Any:
        """What there is on one variable, with the strengths of now, or None."""
        position = self.position(variable)
        return next((part.penalty for part in self._bound.parts() if position in part.at), None)

    def _averaged(self, variable: Any, gradient: Array, weight: Array) -> Array:
        average = self._average_of.get(self.position(variable))
        if average is None:
            return gradient
        steps = _internals.steps_of(self)
        self.assign(average, settling.averaged(average.value, gradient, weight, steps.value))
        return average.value

    @property
    def variables(self) -> list[Any]:
        """Its own variables, those of the inner optimizer, and strengths that were changed."""
        return super().variables + (self._bound.variables if self.built else [])

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all `variables` but the strengths, which are those of the penalty.

        Raises:
            ValueError: not built; another number of weights, or another shape.
        """
        super().set_weights(weights)
        self._restore_strengths()

    def save_own_variables(self, store: Any) -> None:
        """Saves `variables` but for the strengths, which the config has."""
        for position, variable in enumerate(super().variables):
            store[str(position)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Loads `variables`; the strengths are those of the penalty, wherever a schedule had got to."""
        saved = super().variables
        if len(store.keys()) == len(saved):
            for position, variable in enumerate(saved):
                variable.assign(store[str(position)])
        else:
            super().load_own_variables(store)  # warns
        self._restore_strengths()

    def _restore_strengths(self) -> None:
        """Those of the penalty: an optimizer around saves and loads all variables alike."""
        if self.built:
            self.strength_factor.assign(1.0)
            if self._bound.variables:
                self._bound.change(self.penalty)

    def get_config(self) -> dict[str, Any]:
        """A dict that `from_config` reads.

        Raises:
            TypeError: the penalty selects by a function, which no dict can hold.
        """
        return super().get_config() | {
            "decay": self.decay,
            "accumulator_dtype": self.accumulator_dtype,
            # An optimizer around saves them with its own variables, and counts.
            "variable_strengths": bool(self._bound.variables) if self.built else self._variable_strengths,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Penalized":
        """The optimizer that `get_config` described."""
        arguments = dict(config)
        variable_strengths = arguments.pop("variable_strengths", False)
        made = super().from_config(arguments, custom_objects)
        made._variable_strengths = variable_strengths
        return made


def penalized_in(optimizer: Any) -> list[Penalized]:
    """Every Penalized that `optimizer` is or wraps."""
    return [each for each in all_within(optimizer) if isinstance(each, Penalized)]
