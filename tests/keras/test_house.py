"""One path for each public name, Keras's private names in one file, and files of the first version."""

import ast
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

import penalties.keras
from penalties.keras import Penalized

from keras_case import ignore_numpy_copies, keras_rules  # noqa: F401

pytestmark = ignore_numpy_copies

DATA = Path(__file__).parent / "data"
FOLDER = Path(penalties.keras.__file__).parent


def private_names() -> set[str]:
    """What Keras keeps to itself in models, layers, variables and optimizers."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(use_ema=True), "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    objects = (model, model.layers[0], model.layers[0].kernel, model.optimizer)
    names = {name for one in objects for name in (*dir(one), *vars(one))}
    return {name for name in names if name.startswith("_") and not name.endswith("__")}


def test_private_names_of_keras_stand_in_one_file():
    private = private_names()
    assert {"_iterations", "_flatten_layers", "_layout", "_model_variables_moving_average"} <= private
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & private
        imported = {
            node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
        }
        reads_keras = read or any(module.startswith("keras.src") for module in imported)
        assert bool(reads_keras) == (path.name == "_internals.py"), (path.name, read)


def test_public_names_have_one_path_and_files_are_private():
    for name in penalties.keras.__all__:
        assert getattr(penalties.keras, name).__module__ == "penalties.keras"
    assert all(path.stem.startswith("_") for path in FOLDER.glob("*.py"))
    regularizer = pickle.dumps(penalties.keras.L1(0.1))
    assert b"penalties.keras\x94" in regularizer
    assert pickle.loads(regularizer).l1 == 0.1
    assert keras.regularizers.serialize(penalties.keras.L1(0.1)) == {
        "module": "penalties.keras",
        "class_name": "L1",
        "config": {"l1": 0.1},
        "registered_name": "penalties>L1",
    }


@pytest.fixture
def policy(request):
    """Keras's default dtype policy: it decides whether `compile` puts a LossScaleOptimizer around."""
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"], indirect=True)
def test_models_saved_by_the_first_version_load_and_train_on(policy):
    model = keras.models.load_model(DATA / f"{policy}_0.1.0.keras")
    first = model.get_layer("first")
    assert type(first.kernel_regularizer) is penalties.keras.L1
    assert first.bias_regularizer.penalty == penalties.GroupLasso(0.1)
    mixed = policy == "mixed_float16"
    penalized = model.optimizer.inner_optimizer if mixed else model.optimizer
    assert isinstance(penalized, Penalized)
    assert isinstance(penalized.inner_optimizer, keras.optimizers.Adam)
    assert penalized.decay == (0.99 if mixed else 0.9)
    assert any(np.any(v.value != 0) for v in penalized.variables if "average" in v.name)
    assert int(model.optimizer.iterations) == (10 if mixed else 12)  # two overflowed
    model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
