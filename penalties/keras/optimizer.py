"""Penalized: a Keras optimizer made to train with a penalty, zeros exact."""

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import jax.numpy as jnp
import keras
from jax import Array

import penalties
from penalties import _settling
from penalties._numbers import accumulator, widen
from penalties._penalty import Order, Penalty, check_settling
from penalties.keras import _weights
from penalties.keras._backend import require_jax


@final
@keras.saving.register_keras_serializable("penalties")
class Penalized(keras.optimizers.Optimizer):
    """Wraps a Keras optimizer so that training solves loss + penalty, with zeros that are exactly zero.

    The mathematics is that of `penalties.penalized`: the inner optimizer is fed the least-norm
    subgradient of loss + penalty, judged at zero weights by a running average of the gradient, and a
    weight that would step across zero becomes exactly 0. Leave the penalty out of the layers: the
    `loss` that Keras logs is then the loss of the data alone.

    Args:
        optimizer: any Keras optimizer, or its name. Its learning rate and schedule, clipping, weight
            decay, gradient accumulation and moving average (EMA) stay its own. A `LossScaleOptimizer`
            may be inside or around.
        penalty: a Penalty with a rule for zeros: L1, L2, ElasticNet, GroupLasso, sums and selections
            of them. Paths are Keras's, "dense/kernel"; list yours by
            `[v.path for v in model.trainable_variables]`.
        decay: of the average, in [0, 1): 0.99 for mini-batches, 0 is right for full gradients.
        accumulator_dtype: the dtype the average is stored in, by default float32 (float64 for
            float64 weights). "bfloat16" halves its memory, rounded so that it is right over the steps.
        loss_scale_factor: the loss is multiplied and gradients are divided by it; by default what the
            optimizer has, from which it is taken over.
        name: of the optimizer.

    Moving averages keep the zeros: the average of a weight counts from when it last left zero.
    Constraints of the weights hold after the zeros are set. `StrengthSchedule` changes the strengths
    during training. Saved with the model, state included.

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
        decay: float = 0.99,
        accumulator_dtype: Any = None,
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ):
        inner = keras.optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
        if not isinstance(inner, keras.optimizers.Optimizer):
            raise TypeError(
                f"Penalized got the optimizer {optimizer!r} of type {type(optimizer).__name__}: expected "
                "a Keras optimizer such as keras.optimizers.Adam(1e-3); for optax there is "
                "penalties.penalized"
            )
        if penalized_in(inner) is not None:
            raise TypeError(
                "Penalized got an optimizer that is Penalized already: give one Penalized the sum of the "
                "penalties, Penalized(optimizer, p + q)"
            )
        if not isinstance(penalty, Penalty):
            raise TypeError(
                f"Penalized got the penalty {penalty!r} of type {type(penalty).__name__}: expected a "
                'Penalty such as penalties.L1(1e-4).on("**/kernel")'
            )
        check_settling(penalty)
        _settling.check_average(decay, accumulator_dtype)
        # The scale of the loss is undone here, before gradients are averaged and compared with
        # strengths; a LossScaleOptimizer around sets it to None, as it does for any optimizer.
        if inner.loss_scale_factor is not None:
            loss_scale_factor, inner.loss_scale_factor = inner.loss_scale_factor, None
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        # The name by which Keras's callbacks find the optimizer in a wrapper.
        self.inner_optimizer = inner
        self.penalty = penalty
        self.decay = float(decay)
        self.accumulator_dtype = None if accumulator_dtype is None else str(jnp.dtype(accumulator_dtype))

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the variables of both optimizers, and checks the selection.

        Raises:
            ValueError: the selection matches no weight, or a strength does not fit its weight.
        """
        if self.built:
            return
        self._bound = tuple(_weights.bind(self.penalty, variables))
        self.inner_optimizer.build(variables)
        super().build(variables)
        self.strength_factor = self.add_variable((), "ones", "float32", name="strength_factor")
        self._average_of = {
            self._var_key(variable): self._zero_average(variable)
            for variable, bound in zip(variables, self._bound, strict=True)
            if bound is not None and bound.order != Order.QUADRATIC  # no kink, no average
        }

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """One step of the inner optimizer, zeros exact.

        Args:
            grads: the gradients of the loss without the penalty, or None for variables without one.
            trainable_variables: the variables they belong to; those the optimizer was built with,
                if not given.

        Raises:
            RuntimeError: Keras does not run on JAX.
            ValueError: not built, and no variables given; variables it was not built with.
        """
        require_jax("penalties.keras.Penalized")
        variables = self._known(trainable_variables)
        if not grads:
            return
        if len(grads) != len(variables):
            raise ValueError(
                f"got {len(grads)} gradients for {len(variables)} variables: give one for each, or None"
            )
        weight = _settling.average_weight(self._iterations.value, self.decay)
        # What an inner LossScaleOptimizer will divide by.
        scale = self.inner_optimizer.scale_loss(jnp.ones((), jnp.float32))
        fed, steps = [], []
        for variable, gradient in zip(variables, grads, strict=True):
            if gradient is not None and self.loss_scale_factor is not None:
                gradient = _times(gradient, jnp.float32(1 / self.loss_scale_factor)).astype(gradient.dtype)
            penalty = self.penalty_of(variable)
            if gradient is not None and penalty is not None:
                unscaled = _times(gradient, 1 / scale)
                average = self._averaged(variable, unscaled, weight)
                direction = _settling.direction(penalty, variable.value, unscaled, average)
                steps.append(_Step(variable, variable.value, penalty, direction, average, weight))
                gradient = _times(direction, scale).astype(gradient.dtype)
            fed.append(gradient)

        self._step_inside(fed, variables)

        for step in steps:
            step.variable.assign(step.settled(step.variable.value))
            if step.variable.constraint is not None:
                step.variable.assign(step.variable.constraint(step.variable))
        self._keep_zeros_in_moving_averages()
        self._iterations.assign_add(1)

    def penalty_of(self, variable: Any) -> Penalty | None:
        """The part of the penalty that is for this variable, with its strengths of now, or None."""
        bound = self._bound[self._get_variable_index(variable)]
        return None if bound is None else bound * self.strength_factor.value

    def _known(self, variables: Sequence[Any] | None) -> list[Any]:
        if variables is None:
            if not self.built:
                raise ValueError(
                    "Penalized is not built, so it does not know the variables: call "
                    "`optimizer.build(model.trainable_variables)` first, or pass them to `apply`"
                )
            return list(self._trainable_variables)
        variables = list(variables)
        if not self.built:
            with keras.name_scope(self.name, caller=self):
                self.build(variables)
        self._check_variables_are_known(variables)
        return variables

    def _zero_average(self, variable: Any) -> Any:
        dtype = jnp.dtype(keras.backend.standardize_dtype(variable.dtype))
        return self.add_variable(
            variable.shape,
            "zeros",
            self.accumulator_dtype or str(accumulator(dtype)),
            layout=variable._layout,
            name=f"{variable.path.replace('/', '_')}_average_gradient",
        )

    def _averaged(self, variable: Any, gradient: Array, weight: Array) -> Array:
        average = self._average_of.get(self._var_key(variable))
        if average is None:
            return gradient
        average.assign(_settling.averaged(average.value, gradient, weight, self._iterations.value))
        return average.value

    def _step_inside(self, grads: list[Any], variables: list[Any]) -> None:
        """One step of the inner optimizer."""
        inner = self.inner_optimizer
        if len(variables) < len(self._trainable_variables):
            inner.apply(grads, variables)
            return
        # Stateless, for LossScaleOptimizer branches under jit and must not assign in a branch.
        index = self._get_variable_index
        ordered = sorted(zip(variables, grads, strict=True), key=lambda pair: index(pair[0]))
        new, state = inner.stateless_apply(
            [variable.value for variable in inner.variables],
            [gradient for _, gradient in ordered],
            [variable.value for variable, _ in ordered],
        )
        for variable, value in zip([v for v, _ in ordered] + inner.variables, [*new, *state], strict=True):
            variable.assign(value)

    def _keep_zeros_in_moving_averages(self) -> None:
        innermost = innermost_of(self)
        if not innermost.use_ema:
            return
        averages = innermost._model_variables_moving_average
        for bound, variable, average in zip(self._bound, self._trainable_variables, averages, strict=True):
            if bound is not None and bound.order != Order.QUADRATIC:
                zero = variable.value == 0
                average.assign(jnp.where(zero, jnp.zeros_like(average.value), average.value))

    @property
    def variables(self) -> list[Any]:
        """Its own variables, then those of the inner optimizer."""
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        """The number of steps the inner optimizer has made."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's; settable, if it is there."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale that the inner optimizer asks for."""
        return self.inner_optimizer.scale_loss(super().scale_loss(loss))

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Gives the weights their final values: with EMA, their averages, which keep the zeros."""
        self.inner_optimizer.finalize_variable_values(var_list)
        if innermost_of(self).use_ema:
            for variable in var_list:
                # Not the very buffer of the average: a second `fit` would donate it twice, and fail.
                variable.assign(keras.ops.copy(variable))

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Of the inner optimizer's weight decay; the penalty is not touched."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self) -> dict[str, Any]:
        """A dict that `from_config` reads.

        Raises:
            TypeError: the penalty selects by a function, which no dict can hold.
        """
        return {
            "name": self.name,
            "optimizer": keras.optimizers.serialize(self.inner_optimizer),
            "penalty": self.penalty.to_config(),
            "decay": self.decay,
            "accumulator_dtype": self.accumulator_dtype,
            "loss_scale_factor": self.loss_scale_factor,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Penalized":
        """The optimizer that `get_config` described."""
        inner = keras.optimizers.deserialize(config["optimizer"], custom_objects)
        rest = {key: value for key, value in config.items() if key not in ("optimizer", "penalty")}
        return cls(inner, penalties.from_config(config["penalty"]), **rest)


class _Step(NamedTuple):
    """One variable in one step: what the inner optimizer saw of it."""

    variable: Any
    before: Array
    penalty: Penalty
    direction: Array
    average: Array
    weight: Array

    def settled(self, moved: Array) -> Array:
        """`moved`, or exactly 0 where the step crossed a kink."""
        w = widen(self.before)
        update = widen(moved) - w
        settled = _settling.settled(
            self.penalty, self.before, update, self.direction, self.average, self.weight
        )
        # Where nothing crossed, `moved` itself: w + (moved − w) may be an ulp off.
        return jnp.where(settled == update, moved, (w + settled).astype(moved.dtype))


def _times(x: Array, factor: Array) -> Array:
    wide = widen(x)
    return wide * factor.astype(wide.real.dtype)


def innermost_of(optimizer: Any) -> Any:
    """The optimizer within all wrappers."""
    while isinstance(optimizer, (keras.optimizers.LossScaleOptimizer, Penalized)):
        optimizer = optimizer.inner_optimizer
    return optimizer


def penalized_in(optimizer: Any) -> Penalized | None:
    """The Penalized that `optimizer` is or wraps, or None."""
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, Penalized) else None
