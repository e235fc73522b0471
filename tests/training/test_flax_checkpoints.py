"""Flax's msgpack checkpoints: states and penalties written as bytes and read back, strengths included."""

import subprocess
import sys

import flax
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import serialization
from flax.training import checkpoints
from flax.training.train_state import TrainState

from penalties import (
    L1,
    L2,
    ElasticNet,
    GroupLasso,
    Penalty,
    add_penalty,
    kernels,
    labels,
    penalized,
    proximal,
)

from loops import assert_same
from problems import lenient
from strict import STRICT

PARAMS = {"dense": {"kernel": jnp.array([[1.0, -2.0], [0.5, 0.1]]), "bias": jnp.ones(2)}}
GRADS = jax.tree.map(lambda w: 0.3 * w + 0.1, PARAMS)

PENALTIES = {
    "L1": L1(0.1),
    "L2": L2(0.1),
    "ElasticNet": ElasticNet(0.1, 0.2),
    "GroupLasso": GroupLasso(0.1, axis=(-2,)).on("**/kernel"),
    "labels": GroupLasso(0.1, groups=labels({"dense": {"kernel": [[0], [1]], "bias": [0, 1]}}), weights=2.0),
    "sum": L1(0.1).on("**/kernel") + 0.5 * L2(0.2).on(kernels) + L1(0.3).on(exclude="**/kernel"),
    "by a function": L1(0.1).on(lambda path, leaf: True),
    "by a mask": L1(0.1).on({"dense": {"kernel": True, "bias": False}}),
    "an array": L1(jnp.array([0.1, 0.2])),
    "a tree": L1({"dense": {"kernel": jnp.array([[0.1], [0.2]]), "bias": 0.3}}),
}
TRANSFORMS = {
    "penalized": lambda penalty: penalized(lenient(optax.adam(0.1)), penalty),
    "add_penalty": add_penalty,
    "proximal": lambda penalty: proximal(penalty, 0.1),
}


def weaker(penalty):
    """The penalty as another run would build it, with other strengths."""
    return jax.tree.map(lambda strength: 0.5 * strength, penalty)


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_states_are_written_and_read_strengths_included(make, penalty):
    state = make(penalty).init(PARAMS)
    written = serialization.to_bytes(state)
    read = serialization.from_bytes(make(weaker(penalty)).init(PARAMS), written)
    assert_same(read, state)
    of_shapes = serialization.from_bytes(jax.eval_shape(make(penalty).init, PARAMS), written)
    assert_same(of_shapes, state)


@pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
def test_training_goes_on_bit_for_bit(make):
    transform = make(PENALTIES["sum"])
    _, state = transform.update(GRADS, transform.init(PARAMS), PARAMS)
    read = serialization.from_bytes(transform.init(PARAMS), serialization.to_bytes(state))
    assert_same(transform.update(GRADS, read, PARAMS), transform.update(GRADS, state, PARAMS))


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_a_penalty_is_written_and_read(penalty):
    read = serialization.from_bytes(weaker(penalty), serialization.to_bytes(penalty))
    assert read == penalty
    assert float(read(PARAMS)) == float(penalty(PARAMS))


def test_as_a_dict_it_is_its_config_with_arrays():
    state = serialization.to_state_dict(add_penalty(GroupLasso(0.5, axis=0).on("**/kernel")).init(PARAMS))
    assert state["penalty"] == {
        "name": "Selected",
        "where": "**/kernel",
        "exclude": None,
        "penalty": {"name": "GroupLasso", "axis": 0, "strength": 0.5},
    }
    assert state["penalty"]["penalty"]["strength"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("written", "target"),
    [
        (L1(0.1), L2(0.1)),
        (L1(0.1), L1(0.1) + L2(0.1)),
        (L1(0.1), L1(0.1).on("**/kernel")),
        (L1(0.1).on("**/bias"), L1(0.1).on("**/kernel")),
        (L1(0.1).on("**"), L1(0.1).on("**", exclude="**/bias")),
        (GroupLasso(0.1), GroupLasso(0.1, axis=0)),
        (L1(0.1), L1({"dense": 0.1})),
        (L1({"dense": 0.1}), L1(0.1)),
        (L1(0.1).on(kernels), L1(0.1).on(lambda path, leaf: True)),
    ],
)
def test_another_penalty_is_not_read_as_this_one(written, target):
    with pytest.raises(ValueError, match=r"the checkpoint has .* and the target is"):
        serialization.from_bytes(target, serialization.to_bytes(written))
    state = add_penalty(target).init(PARAMS)
    with pytest.raises(
        ValueError, match=r"at '\./penalty'.* as it was built when the checkpoint was written"
    ):
        serialization.from_bytes(state, serialization.to_bytes(add_penalty(written).init(PARAMS)))


def test_a_penalty_of_ones_own_is_written_even_if_flax_came_later(monkeypatch):
    with monkeypatch.context() as without_flax:
        without_flax.delitem(sys.modules, "flax.serialization")

        class Quartic(Penalty):
            strength: float

            def value_at(self, w):
                return jnp.sum(self.strength * w**4)

            def prox_at(self, v, step):
                raise NotImplementedError

    assert not serialization.is_serializable(Quartic)
    state = add_penalty(Quartic(0.5)).init(PARAMS)
    read = serialization.from_bytes(add_penalty(Quartic(0.1)).init(PARAMS), serialization.to_bytes(state))
    assert_same(read, state)


@pytest.mark.filterwarnings("ignore:Flax Checkpointing will soon be deprecated:DeprecationWarning")
def test_save_checkpoint_without_orbax(tmp_path):
    def start(penalty):
        optimizer = TRANSFORMS["penalized"](penalty)
        return TrainState.create(apply_fn=None, params=PARAMS, tx=optimizer)

    state = start(PENALTIES["sum"]).apply_gradients(grads=GRADS)
    before = flax.config.flax_use_orbax_checkpointing
    flax.config.update("flax_use_orbax_checkpointing", False)
    try:
        checkpoints.save_checkpoint(tmp_path, state, step=1)
        read = checkpoints.restore_checkpoint(tmp_path, start(weaker(PENALTIES["sum"])))
    finally:
        flax.config.update("flax_use_orbax_checkpointing", before)
    assert_same((read.params, read.opt_state), (state.params, state.opt_state))


IN_ANOTHER_PROCESS = """
import sys
import jax.numpy as jnp, optax
from penalties import L1, kernels, penalized

params = {"kernel": jnp.array([1.0, -2.0, 0.01])}
optimizer = penalized(optax.sgd(0.1, momentum=0.9), L1(0.25).on(kernels))
state = optimizer.init(params)
from flax import serialization  # not before: nothing may hang on the order

state = serialization.from_bytes(state, sys.stdin.buffer.read())
updates, state = optimizer.update({"kernel": jnp.array([0.5, 0.5, 0.5])}, state, params)
print(float(state.penalty.penalty.strength), updates["kernel"].tolist())
"""


def test_what_one_process_writes_another_reads():
    params = {"kernel": jnp.array([1.0, -2.0, 0.01])}
    grads = {"kernel": jnp.array([0.5, 0.5, 0.5])}
    optimizer = penalized(optax.sgd(0.1, momentum=0.9), L1(0.25).on(kernels))
    _, state = optimizer.update(grads, optimizer.init(params), params)
    run = subprocess.run(
        [sys.executable, *STRICT, "-c", IN_ANOTHER_PROCESS],
        input=serialization.to_bytes(state),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    updates, state = optimizer.update(grads, state, params)
    expected = f"{float(state.penalty.penalty.strength)} {updates['kernel'].tolist()}"
    assert run.stdout.decode().strip() == expected


FLAX_AFTERWARDS = """
import penalties
from flax import serialization

print(float(serialization.from_bytes(penalties.L1(0.5), serialization.to_bytes(penalties.L1(0.25))).strength))
"""


def test_a_penalty_alone_is_written_though_flax_came_after_penalties():
    run = subprocess.run(
        [sys.executable, *STRICT, "-c", FLAX_AFTERWARDS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stdout.strip() == "0.25", run.stderr
