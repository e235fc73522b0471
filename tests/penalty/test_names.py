"""The names of penalties in configs: each is that of one class, or an error says of which."""

import re

import jax.numpy as jnp
import pytest

import penalties
from penalties import L1, Penalty, from_config


def of_module(module):
    """A penalty as somebody else writes one, in a module of theirs."""

    class Cubic(Penalty):
        __module__ = module
        strength: float

        def value_at(self, w):
            return self.strength * jnp.sum(jnp.abs(w) ** 3)

    return Cubic


def test_classes_of_two_modules_with_one_name_are_refused_and_another_name_tells_them_apart():
    ours = of_module("ours")
    assert from_config(ours(0.5).to_config()) == ours(0.5)
    again = of_module("ours")  # a cell of a notebook, run again
    assert type(from_config(ours(0.5).to_config())) is again
    theirs = of_module("theirs")
    both = (
        r"'Cubic' is the name of several penalties, \['ours\..*Cubic', 'theirs\..*Cubic'\]: give all but one"
    )
    for cls in (again, theirs):
        with pytest.raises(ValueError, match=both):
            from_config((cls(0.5) + L1(0.1)).to_config())

    class Renamed(theirs):
        name_in_config = "theirs.Cubic"

    assert type(from_config(Renamed(0.5).to_config())) is Renamed


def test_a_subclass_of_the_same_name_is_another_class():
    class Fourth(Penalty):
        strength: float

        def value_at(self, w):
            return self.strength * jnp.sum(w**4)

    parent = Fourth

    class Fourth(parent):
        __module__ = "theirs"

    with pytest.raises(ValueError, match="'Fourth' is the name of several penalties"):
        from_config(Fourth(0.5).to_config())


def test_a_name_of_the_library_is_known_with_its_module():
    class Huber(Penalty):
        strength: float

        def value_at(self, w):
            return self.strength * jnp.sum(w**2)

    assert Huber(0.5).to_config()["name"] == f"{__name__}.Huber"
    assert type(from_config(Huber(0.5).to_config())) is Huber
    assert type(from_config({"name": "Huber", "strength": 0.5})) is penalties.Huber


@pytest.mark.parametrize("config", [{"name": "Huger", "strength": 0.5}, {"name": None}, {}, "L1", None])
def test_the_error_for_an_unknown_name_lists_what_can_be_imported(config):
    mine = of_module("mine")
    with pytest.raises(ValueError, match="no penalty is described by") as error:
        from_config(config)
    listed = re.search(r"such as one of \[(.*)\]", str(error.value)).group(1).replace("'", "").split(", ")
    assert {"L1", "Coupled", "Huber", mine.name_in_config} <= set(listed)
    assert not {"Penalty", "Steered", "SteeredUnits", "Of", "Sum", "Selected"} & set(listed)
