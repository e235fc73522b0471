"""ToSparsity: a Keras optimizer made to end with a given share of exact zeros."""

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import jax.numpy as jnp
import keras

from penalties._choose.target_report import TargetReport, report_of
from penalties._choose.targets import last_before_refit
from penalties._numerics import widen
from penalties._penalty.base import Penalty, plain
from penalties._penalty.parts import Part
from penalties.keras import _internals
from penalties.keras._backend import require_jax
from penalties.keras._bound import check_rule
from penalties.keras._inside import Inside, as_optax
from penalties.keras._penalizing import Penalizing, without_penalty
from penalties.keras._steering import Aim, Steering
from penalties.keras._step import dense, times
from penalties.keras._wrapper import all_within


@final
@keras.saving.register_keras_serializable("penalties")
class ToSparsity(Penalizing):
    """Wraps a Keras optimizer so that training ends with a given share of exact zeros: a target, no strength.

    It is `penalties.to_sparsity` around this optimizer, by the same code: up to the cut the strength is
    steered so that the share of zeros follows a ramp to the target p; at the cut exactly round((1 − p)·n)
    of n units are kept, the largest; from there on the penalty is off, zeros are held, and the rest trains
    without bias.

    Args:
        optimizer: any Keras optimizer, or its name, as for `Penalized`.
        penalty: which weights, single zeros or groups, and which strengths beside one another; common factors
            mean nothing. Paths are Keras's, as for `Penalized`.
        target: the share of zeros among all units together, in [0, 1), or a tree of shares by path, such as
            {"encoder": 0.9, "head": {"kernel": 0.5}}, each of which its weight gets. The paths are whole: in
            a Sequential model they begin with its name, {"net": {"encoder": 0.9, ...}}.
        steps: how many batches training has: epochs · batches of an epoch. What comes after them goes on with
            the zeros held.
        cut: when the zeros are chosen, as a share of the steps; 1 is at the last step, with no refit.
        floor: how much of its even share, (1 − target)·n of its n units, each weight keeps at least, in
            [0, 1]; at least one unit in any case, so that no layer dies.
        loss_scale_factor: the loss is multiplied and gradients are divided by it; by default what the
            optimizer has, from which it is taken over.
        name: of the optimizer.

    At the end of `fit` a warning says if the cut is still to come, with which the zeros become as many as the
    target says, or if it had to take more than 5 % of all units, and why; `report()` says how far it is.
    `SparsityLogger` logs it. Saved with the model, state included: a loaded model goes on
    as if it had not been stopped. The target and steps given here win over those of a checkpoint that
    `load_weights` reads. Moving averages and constraints are as under `Penalized`; a constraint that makes
    zeros, such as `NonNeg`, may make more of them than the target.

    Raises:
        TypeError: the penalty has no rule for zeros, no kink, or both single zeros and groups on one weight;
            `optimizer` is no optimizer, or has a penalty already; a target or steps is no number.
        ValueError: a target outside [0, 1); fewer steps than the ramp needs; when built, if a selection
            matches no weight, or the target leaves a weight without a unit.
        RuntimeError: in training, if Keras does not run on JAX.

    >>> import keras, numpy as np
    >>> from penalties import L1, kernels
    >>> from penalties.keras import ToSparsity
    >>> x = np.random.default_rng(0).normal(size=(6400, 20)).astype("float32")
    >>> y = x[:, :5].sum(axis=1)
    >>> model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(1)])
    >>> optimizer = ToSparsity(keras.optimizers.SGD(0.05), L1(1.0).on(kernels), target=0.75, steps=200)
    >>> model.compile(optimizer, loss="mse")
    >>> _ = model.fit(x, y, verbose=0)
    >>> np.flatnonzero(model.layers[0].kernel).tolist()
    [0, 1, 2, 3, 4]

    Source: as `penalties.to_sparsity`.
    """

    def __init__(
        self,
        optimizer: Any,
        penalty: Penalty,
        target: Any,
        steps: int,
        *,
        cut: float = 0.5,
        floor: float = 0.5,
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ):
        inner = without_penalty(optimizer, "ToSparsity")
        if isinstance(penalty, Penalty):
            check_rule(penalty, "ToSparsity")
        aim = Aim(penalty, target, steps, cut, floor)
        super().__init__(inner, loss_scale_factor=loss_scale_factor, name=name)
        self._aim, self._penalty = aim, penalty
        self._steering: Steering | None = None
        self._wrong = ValueError("this ToSparsity is not built: call `optimizer.build(variables)`, or train")
        self._has_warned = False

    @property
    def penalty(self) -> Penalty:
        """The penalty, as it was given."""
        return self._aim.penalty

    @property
    def target(self) -> Any:
        """The share of zeros, or a copy of the tree of shares. Settable, with nothing compiled anew.

        A new one holds from the next look on, after the cut as well: a higher one sets the smallest of what
        is left to zero, a lower one lets those zeros go that the loss pulls at most. In a callback reach the
        optimizer by `self.model.optimizer`.
        """
        return _untracked(self._aim.target)

    @target.setter
    def target(self, target: Any) -> None:
        self._aim_at(_untracked(target), self.steps)

    @property
    def steps(self) -> int:
        """How many batches training has. Settable as `target` is."""
        return self._aim.steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self._aim_at(self.target, steps)

    def _aim_at(self, target: Any, steps: int) -> None:
        aim = replace(self._aim, target=target, steps=steps)
        if self._steering is not None:
            self._steering.aim(aim)
        self._aim = aim

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the variables of both optimizers, and checks selection and target.

        Raises:
            ValueError: the selection matches no weight, or the target leaves one without a unit. For an
                optimizer that is read from a config, in the first step: a frozen model, for one, is
                loaded and used without ever training.
        """
        if self.built:
            return
        try:
            steering = Steering(self._aim, variables, self.choose_paths(variables))
        except (TypeError, ValueError) as error:
            if not self.may_never_train(variables):
                raise
            steering, self._wrong = None, error
        super().build(variables)
        if steering is not None:
            self._average_of = {i: self.zero_average(variables[i]) for i in steering.counted}
            steering.make_variables(self.add_variable, self._average_of)
            self._steering = steering

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """One step of the inner optimizer, steered.

        Args:
            grads: the gradients of the loss without the penalty, or None for variables without one that are
                not penalized.
            trainable_variables: the variables they belong to, all of those the optimizer was built with.

        Raises:
            RuntimeError: Keras does not run on JAX.
            ValueError: not built, and no variables given; other variables than it was built with, or not all
                of them; no gradient of a penalized one; what `build` raises.
        """
        require_jax("penalties.keras.ToSparsity")
        given = self.variables_of(grads, trainable_variables)
        if not grads:
            return
        steering, variables = self._steered(), _internals.trained_by(self)
        gradient = {self.position(v): g for v, g in zip(given, grads, strict=True)}
        steering.check_complete(gradient)
        multiplied, divides = self.scales()
        seen: list[Any] = [None] * len(variables)
        others: list[Any] = [None] * len(variables)
        for i, variable in enumerate(variables):
            # The "gradients" of variables that float8 overwrites are their next values.
            if gradient[i] is None or variable.overwrite_with_gradient:
                others[i] = gradient[i]
            elif i in steering.penalized:
                seen[i] = times(dense(gradient[i]), 1 / multiplied)
            else:
                others[i] = times(gradient[i], divides / multiplied).astype(gradient[i].dtype)
        steps = _internals.steps_of(self)
        inside = as_optax(self.inner_optimizer, others, divides, steps.value.astype(jnp.int32))
        weights = steering.tree([variable.value for variable in variables])
        updates, state = self._aim.transform(inside).update(
            steering.tree(seen), steering.state(inside.init(weights), steps.value), weights
        )
        self._move(variables, updates.values, state.penalized.inner_state.inner_opt_state)
        steering.become(state)
        self.keep_zeros_in_moving_averages()
        self.assign_add(steps, 1)

    def _move(self, variables: Sequence[Any], updates: Sequence[Any], inside: Inside) -> None:
        for variable, update, value in zip(variables, updates, inside.weights, strict=True):
            if update is None:
                self.assign(variable, value)
            else:
                wide = widen(variable.value)
                self.assign_constrained(variable, (wide + update.astype(wide.dtype)).astype(value.dtype))
        for variable, value in zip(self.inner_optimizer.variables, inside.variables, strict=True):
            self.assign(variable, value)

    def _steered(self) -> Steering:
        """Its state, or an error that says why there is none."""
        if self._steering is None:
            raise self._wrong
        return self._steering

    def parts_of(self, variables: Sequence[Any]) -> list[Part]:
        """The penalty by these variables, with its strengths of now; those it is not built with have none."""
        places = {self.position(variable): i for i, variable in enumerate(variables)}
        return [
            part._replace(at=tuple(places[i] for i in part.at))
            for part in self._steered().parts()
            if all(i in places for i in part.at)
        ]

    def report(self) -> TargetReport:
        """How far it is, and whether the cut had to take much: `penalties.target_report`, between steps.

        Raises:
            ValueError: not built.
        """
        report = self._report()
        if report.reason:
            _warn(report.reason)
        return report

    def _report(self) -> TargetReport:
        return report_of(self._steered().state((), _internals.steps_of(self).value))

    def progress(self) -> dict[str, float]:
        """What `SparsityLogger` logs of it."""
        steering = self._steered()
        now = steering.progress(_internals.trained_by(self), _internals.steps_of(self).value)
        entries = {"zero_units": now.zero, "target": now.wanted, "strength_factor": steering.factor}
        return {name: plain(value) for name, value in entries.items()}

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Gives the weights their final values, at the end of `fit`, and warns of what the zeros lack."""
        super().finalize_variable_values(var_list)
        # After a first step that failed there are no values, and what failed is raised by `fit`.
        has_values = _internals.has_value(_internals.steps_of(self))
        if self._steering is None or not has_values:
            return
        report = self._report()
        if not report.held:
            # Always the same text, so that of many short calls of `fit` Python shows it once.
            last = int(last_before_refit(jnp.asarray(self.steps), self._aim.cut))
            _warn(
                f"`fit` has ended before the cut at step {last}, with which the share of zeros becomes the "
                "target: train on, or give `ToSparsity` as `steps` what training has, epochs · batches of an "
                "epoch; `model.optimizer.report()` says how far it is"
            )
        elif report.reason and not self._has_warned:
            self._has_warned = True
            _warn(report.reason)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all `variables` but the target and the steps, which are those of this optimizer.

        Raises:
            ValueError: not built; another number of weights, or another shape.
        """
        super().set_weights(weights)
        self._aim_at(self.target, self.steps)

    def load_own_variables(self, store: Any) -> None:
        """Loads `variables`; the target and the steps are those of this optimizer."""
        super().load_own_variables(store)
        self._aim_at(self.target, self.steps)

    def get_config(self) -> dict[str, Any]:
        """A dict that `from_config` reads.

        Raises:
            TypeError: the penalty selects by a function, which no dict can hold.
        """
        return super().get_config() | {
            "target": self.target,
            "steps": self.steps,
            "cut": self._aim.cut,
            "floor": self._aim.floor,
        }


def _warn(text: str) -> None:
    """Warns at the line outside of Keras and of this library that led here."""

    def is_within(frame: Any) -> bool:
        return frame.f_globals.get("__name__", "").partition(".")[0] in ("penalties", "keras")

    frame, level = inspect.currentframe(), 1
    while frame is not None and is_within(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


def _untracked(tree: Any) -> Any:
    """A tree without the containers of its own that Keras makes of one that is set as an attribute."""
    if isinstance(tree, dict):
        return {key: _untracked(value) for key, value in tree.items()}
    return list(map(_untracked, tree)) if isinstance(tree, list) else tree


def to_sparsity_in(optimizer: Any) -> list[ToSparsity]:
    """Every ToSparsity that `optimizer` is or wraps."""
    return [each for each in all_within(optimizer) if isinstance(each, ToSparsity)]
