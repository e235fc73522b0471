"""Written down, copied and read back: every penalty of the table in `cases/`."""

import copy
import json
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import from_config

from cases import Case, random_params
from laws import STRENGTH, every_case, every_case_with_numbers


@every_case
def test_config_round_trip(case: Case):
    penalty = case.make(0.1)
    text = json.dumps(penalty.to_config())
    again = from_config(json.loads(text))
    assert repr(again) == repr(penalty)
    assert again.to_config() == penalty.to_config()
    assert again(random_params()) == penalty(random_params())
    assert jax.tree.structure(again) == jax.tree.structure(penalty)


@every_case_with_numbers
def test_config_keeps_short_decimals(case: Case):
    config = case.make(0.1).to_config()
    assert re.search(r"\d\.\d", json.dumps(config))
    assert not re.search(r"\d\.\d{3}", json.dumps(config)), "0.1, not 0.10000000149"
    assert case.make(np.float32(0.1)).to_config() == config
    assert case.make(jnp.float32(0.1)).to_config() == config
    assert jax.jit(lambda p: p)(case.make(0.1)).to_config() == config


@every_case_with_numbers
@pytest.mark.parametrize("again", [lambda p: pickle.loads(pickle.dumps(p)), copy.deepcopy, copy.copy])
def test_copies_are_the_same_penalty(case: Case, again):
    penalty = case.make(0.1)
    twin = again(penalty)
    assert repr(twin) == repr(penalty)
    assert twin == penalty != case.make(0.2)
    assert jax.tree.map(jnp.asarray, twin) == penalty
    assert len({penalty, twin, jax.tree.map(jnp.asarray, twin), case.make(0.2)}) == 2
    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(lambda p: jnp.asarray(p == penalty))(twin)
    with pytest.raises(TypeError, match="not hashable: its strengths are arrays"):
        hash(jax.tree.map(lambda s: jnp.full(3, s), twin))
    assert jax.tree.map(lambda s: jnp.full(3, s), twin) != penalty
    assert jax.tree.structure(twin) == jax.tree.structure(penalty)
    assert twin(random_params()) == penalty(random_params())


@every_case_with_numbers
def test_a_penalty_is_a_pytree_of_its_strengths(case: Case):
    leaves, structure = jax.tree.flatten(case.make(STRENGTH))
    assert leaves
    assert all(jnp.shape(leaf) == () for leaf in leaves)
    again = structure.unflatten(leaves)
    assert again(random_params()) == case.make(STRENGTH)(random_params())


@every_case
def test_a_penalty_cannot_be_changed(case: Case):
    penalty = case.make(STRENGTH)
    with pytest.raises(AttributeError):
        penalty.strength = 1.0
