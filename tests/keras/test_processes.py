"""What needs a process of its own: files read elsewhere, eight devices, other backends, no Keras."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import penalties
from penalties.keras import (
    L1,
    L1L2,
    L2,
    OrthogonalRegularizer,
    Penalized,
    Regularizer,
    StrengthSchedule,
    attach,
)

from keras_case import ignore_numpy_copies, keras_rules, linear, regression  # noqa: F401

pytestmark = [ignore_numpy_copies, pytest.mark.slow]


def run(script: str, *arguments: object, **environment: str) -> str:
    """What a script prints, in a new Python; it may take five minutes."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": "jax"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def skip_without(module: str) -> None:
    """Skips a test whose subprocess needs it; not imported here, where it would change how JAX runs."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def test_importing_penalties_does_not_import_keras():
    run("import sys, penalties; assert 'keras' not in sys.modules")


def test_without_keras_the_error_says_what_to_install():
    script = """
import sys
sys.modules["keras"] = None
try:
    import penalties.keras
except ModuleNotFoundError as error:
    print(error)
"""
    assert 'pip install "penalties[keras]"' in run(script)


def test_a_backend_that_is_not_installed_is_named_with_the_way_out():
    script = """
import sys
sys.modules["torch"] = None
try:
    import penalties.keras
except ModuleNotFoundError as error:
    print(error)
"""
    assert 'set KERAS_BACKEND="jax"' in run(script, KERAS_BACKEND="torch")


def saved_model(path) -> np.ndarray:
    """Trains and saves a model with all that can be saved; returns its predictions."""
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(
                4,
                kernel_regularizer=L1(0.01),
                bias_regularizer=L2(0.01),
                activity_regularizer=L1L2(0.01, 0.01),
            ),
            keras.layers.Dense(4, kernel_regularizer=OrthogonalRegularizer(0.01)),
            keras.layers.Dense(4, kernel_regularizer=Regularizer(penalties.GroupLasso(0.01)), name="groups"),
            keras.layers.Dense(1, name="last"),
        ]
    )
    attach((penalties.L1(0.01) + penalties.L2(0.02)).on("**/last/kernel"), model)
    model.compile(Penalized("adam", penalties.L1(0.01).on("**/last/bias")), "mse")
    x, y = regression()
    model.fit(x, y, epochs=2, verbose=0, callbacks=[StrengthSchedule(lambda step: 1.0)])
    model.save(path)
    return model.predict(x, verbose=0)


LOAD = """
import sys
import numpy as np
import penalties.keras
import keras
model = keras.models.load_model(sys.argv[1])
x, y = np.load(sys.argv[2]), np.load(sys.argv[3])
print([float(value) for value in model.predict(x, verbose=0)[:, 0]])
"""


def test_a_new_process_needs_penalties_keras_only(tmp_path):
    expected = saved_model(tmp_path / "model.keras")
    x, y = regression()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    inputs = keras.Input((4, 6))
    attention = keras.Model(inputs, keras.layers.MultiHeadAttention(2, 3)(inputs, inputs))
    attach(penalties.L1(0.01).on("**/query/kernel"), attention)  # for which the layer has no argument
    attention.save(tmp_path / "attention.keras")
    script = (
        LOAD
        + """
model.fit(x, y, verbose=0)
print(type(model.optimizer).__name__)
attention = keras.models.load_model(sys.argv[4])
print([w.path.split("/")[-2] for w in attention.weights if w.regularizer is not None])
"""
    )
    names = ("model.keras", "x.npy", "y.npy", "attention.keras")
    shown = run(script, *(tmp_path / name for name in names)).splitlines()
    np.testing.assert_allclose(json.loads(shown[0]), expected[:, 0], rtol=1e-6)
    assert shown[1:] == ["Penalized", "['query']"]


ELSEWHERE = """
from penalties.keras import L1, L1L2, L2, OrthogonalRegularizer, Regularizer, StrengthSchedule, attach
import penalties

# The drop-ins are computed by Keras, and train.
weight = keras.Variable(np.array([[3.0, -1.0], [0.5, 2.0]], "float32"))
for regularizer in (L1(0.1), L2(0.1), L1L2(0.1, 0.2), OrthogonalRegularizer(0.1)):
    theirs = getattr(keras.regularizers, type(regularizer).__name__)(**regularizer.get_config())
    assert float(regularizer(weight)) == float(theirs(weight))
plain = keras.Sequential([keras.Input((12,)), keras.layers.Dense(1, kernel_regularizer=L1(0.1))])
plain.compile("sgd", "mse")
plain.fit(x, y, verbose=0)

attach(penalties.L1(0.1).on("**/bias"), plain)
print(penalties.describe(penalties.L1(0.1), model).size)
assert penalties.describe(penalties.L1(0.1), model.trainable_variables).size == 97
assert float(penalties.L1(0.5)([weight])) == 3.25
for call in (
    lambda: penalties.L1(0.1)(weight),  # as Keras calls a bare penalty on a weight
    lambda: Regularizer(penalties.L1(0.1))(weight),
    lambda: model.fit(x, y, verbose=0),
    lambda: plain.fit(x, y, verbose=0, callbacks=[StrengthSchedule(lambda step: 1.0)]),
):
    try:
        call()
    except RuntimeError as error:
        assert "KERAS_BACKEND=" in str(error), error
        print("says so")
"""


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_other_backends_import_construct_and_infer(backend, tmp_path):
    skip_without(backend)
    expected = saved_model(tmp_path / "model.keras")
    x, y = regression()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    paths = (tmp_path / name for name in ("model.keras", "x.npy", "y.npy"))
    shown = run(LOAD + ELSEWHERE, *paths, KERAS_BACKEND=backend).splitlines()
    np.testing.assert_allclose(json.loads(shown[0]), expected[:, 0], rtol=1e-5, atol=1e-6)
    assert shown[1:] == ["97", "says so", "says so", "says so", "says so"]


EXPORT = """
import sys
import numpy as np
import tensorflow as tf
import penalties.keras
import keras
model = keras.models.load_model(sys.argv[1])
x = np.load(sys.argv[2])
model.export(sys.argv[3], format="tf_saved_model", verbose=False)
exported = tf.saved_model.load(sys.argv[3])
for rows in (64, 5):
    np.testing.assert_allclose(exported.serve(x[:rows]), model.predict(x[:rows], verbose=0), rtol=1e-5)
"""


def test_export_needs_none_of_ours(tmp_path):
    skip_without("tensorflow")
    saved_model(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", regression()[0])
    run(EXPORT, tmp_path / "model.keras", tmp_path / "x.npy", tmp_path / "exported")


DEVICES = """
import sys
import jax
import keras
import numpy as np
import penalties
from penalties.keras import L1, Penalized, SparsityLogger, StrengthSchedule

x, y = np.load(sys.argv[1]), np.load(sys.argv[2])
if sys.argv[3] == "8":
    assert jax.device_count() == 8
    keras.distribution.set_distribution(keras.distribution.DataParallel())
keras.utils.set_random_seed(2)
model = keras.Sequential(
    [
        keras.Input((12,)),
        keras.layers.Dense(16, activation="relu", kernel_regularizer=L1(1e-3)),
        keras.layers.Dense(1),
    ]
)
inner = keras.optimizers.Adam(0.01, use_ema=True)
model.compile(Penalized(inner, penalties.L1(0.05).on("**/kernel")), "mse")
callbacks = [SparsityLogger(), StrengthSchedule(lambda step: 0.5 if step < 8 else 1.0)]
for _ in range(2):
    history = model.fit(
        x, y, batch_size=64, epochs=10, shuffle=False, verbose=0, callbacks=callbacks, validation_data=(x, y)
    ).history
kernel = model.layers[0].kernel.value
print(len(kernel.sharding.device_set), history["zeros"][-1], history["penalty"][-1], history["val_loss"][-1])
"""


def test_eight_devices_train_as_one_does(tmp_path):
    x, y = regression(256)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    results = []
    for devices in (1, 8):
        flags = f"--xla_force_host_platform_device_count={devices}"
        shown = run(DEVICES, tmp_path / "x.npy", tmp_path / "y.npy", devices, XLA_FLAGS=flags)
        results.append([float(number) for number in shown.split()])
    assert [result[0] for result in results] == [1, 8]
    assert results[0][1] > 0.1
    np.testing.assert_allclose(results[1][1:], results[0][1:], rtol=1e-2)
