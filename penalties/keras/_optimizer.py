"""Penalized: a Keras optimizer made to train with a penalty, zeros exact."""

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import jax.numpy as jnp
import keras
from jax import Array

import penalties
from penalties._numerics import accumulator, widen
from penalties._penalty.base import Penalty
from penalties._penalty.settling import check_settling
from penalties._training import settling
from penalties.keras import _internals, _weights
from penalties.keras._backend import require_jax
from penalties.keras._model_state import state_dtype
from penalties.keras._wrapper import Wrapper, all_within


@final
@keras.saving.register_keras_serializable("penalties")
class Penalized(Wrapper):
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
        if penalized_in(inner):
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
        settling.check_average(decay, accumulator_dtype)
        super().__init__(inner, loss_scale_factor=loss_scale_factor, name=name)
        self.penalty = penalty
        self.decay = float(decay)
        self.accumulator_dtype = None if accumulator_dtype is None else str(jnp.dtype(accumulator_dtype))
        # The paths of the saved model, if this is read from its config.
        self._saved_paths: list[str] | None = None

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the variables of both optimizers, and checks the selection.

        Raises:
            ValueError: the selection matches no weight, or a strength does not fit its weight. For an
                optimizer that is read from a config, in the first step: a frozen model, for one, is
                loaded and used without ever training.
        """
        if self.built:
            return
        self._paths = [variable.path for variable in variables]
        if self._saved_paths is not None and _same_but_for_the_beginning(self._saved_paths, self._paths):
            self._paths = self._saved_paths
        self._wrong: Exception | None = None
        try:
            self._bound = tuple(_weights.bind(self.penalty, variables, self._paths))
        except (TypeError, ValueError) as error:
            if self._saved_paths is None:
                raise
            self._bound, self._wrong = (None,) * len(variables), error
        super().build(variables)
        self.strength_factor = self.add_variable((), "ones", state_dtype(), name="strength_factor")
        self._average_of = {
            position: self._zero_average(variable)
            for position, (variable, bound) in enumerate(zip(variables, self._bound, strict=True))
            if _weights.needs_average(bound)
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
        variables = self.known(trainable_variables)
        if not grads:
            return
        if len(grads) != len(variables):
            raise ValueError(
                f"got {len(grads)} gradients for {len(variables)} variables: give one for each, or None"
            )
        weight = settling.average_weight(_internals.steps_of(self).value, self.decay)
        multiplied, divides = self.scales()
        fed: list[Any] = []
        steps: list[_Step] = []
        for variable, gradient in zip(variables, grads, strict=True):
            # The "gradients" of variables that float8 overwrites are their next values.
            if gradient is None or variable.overwrite_with_gradient:
                fed.append(gradient)
                continue
            penalty = self.penalty_of(variable)
            if penalty is None:
                feed = _times(gradient, divides / multiplied)
            else:
                unscaled = _times(gradient, 1 / multiplied)
                average = self._averaged(variable, unscaled, weight)
                direction = settling.direction(penalty, variable.value, unscaled, average)
                steps.append(_Step(variable, variable.value, penalty, direction, average, weight))
                feed = _times(direction, divides)
            fed.append(feed.astype(gradient.dtype))

        self.step_inside(fed, variables)

        for step in steps:
            step.variable.assign(step.settled(step.variable.value))
            if step.variable.constraint is not None:
                step.variable.assign(step.variable.constraint(step.variable))
        self._keep_zeros_in_moving_averages()
        _internals.steps_of(self).assign_add(1)

    def penalty_of(self, variable: Any) -> Penalty | None:
        """The part of the penalty that is for this variable, with its strengths of now, or None.

        Raises:
            ValueError: the selection matches no weight, or a strength does not fit its weight.
        """
        if self._wrong is not None:
            raise self._wrong
        bound = self._bound[self.position(variable)]
        return None if bound is None else bound * self.strength_factor.value

    def _zero_average(self, variable: Any) -> Any:
        dtype = jnp.dtype(keras.backend.standardize_dtype(variable.dtype))
        return self.add_variable(
            variable.shape,
            "zeros",
            self.accumulator_dtype or str(accumulator(dtype)),
            layout=_internals.layout_of(variable),
            name=f"{variable.path.replace('/', '_')}_average_gradient",
        )

    def _averaged(self, variable: Any, gradient: Array, weight: Array) -> Array:
        average = self._average_of.get(self.position(variable))
        if average is None:
            return gradient
        steps = _internals.steps_of(self)
        average.assign(settling.averaged(average.value, gradient, weight, steps.value))
        return average.value

    def _keep_zeros_in_moving_averages(self) -> None:
        for optimizer in all_within(self):
            if not optimizer.use_ema:
                continue
            averages = _internals.moving_averages_of(optimizer)
            for variable, average in zip(_internals.trained_by(optimizer), averages, strict=True):
                if _weights.needs_average(self._bound[self.position(variable)]):
                    zero = variable.value == 0
                    average.assign(jnp.where(zero, jnp.zeros_like(average.value), average.value))

    def load_own_variables(self, store: Any) -> None:
        """Loads `variables`; the strengths are those of the penalty, wherever a schedule had got to."""
        super().load_own_variables(store)
        if self.built:
            self.strength_factor.assign(1.0)

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
            "paths": self._paths if self.built else self._saved_paths,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Penalized":
        """The optimizer that `get_config` described."""
        inner = keras.optimizers.deserialize(config["optimizer"], custom_objects)
        rest = {key: value for key, value in config.items() if key not in ("optimizer", "penalty", "paths")}
        made = cls(inner, penalties.from_config(config["penalty"]), **rest)
        made._saved_paths = config.get("paths") or []
        return made


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
        return settling.settled_weights(
            self.penalty, self.before, moved, self.direction, self.average, self.weight
        )


def _times(x: Array, factor: Array) -> Array:
    wide = widen(x)
    return wide * factor.astype(wide.real.dtype)


def _same_but_for_the_beginning(saved: list[str], here: list[str]) -> bool:
    """Whether these are the paths of one model: Keras leaves the name of some out when it loads them."""
    return len(saved) == len(here) and all(
        f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")
        for one, other in zip(saved, here, strict=True)
    )


def penalized_in(optimizer: Any) -> list[Penalized]:
    """Every Penalized that `optimizer` is or wraps."""
    return [each for each in all_within(optimizer) if isinstance(each, Penalized)]
