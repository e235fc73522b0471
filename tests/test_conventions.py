"""Each row of the guide's tables of conventions, read from the guide and run against the library itself."""

import importlib
import math
import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import (
    L1,
    L2,
    MCP,
    SCAD,
    Box,
    ElasticNet,
    GroupLasso,
    L1Ball,
    L2Ball,
    LHalf,
    LInfBall,
    LogSum,
    LTwoThirds,
    NonNegative,
    NonNegativeL1,
    Simplex,
    add_penalty,
    optimality,
)

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "conventions.md"
TABLES = {
    part.splitlines()[0]: re.findall(r"^\| `([^`]+)`.*?\| `([^`]+)` \|$", part, re.MULTILINE)
    for part in GUIDE.read_text(encoding="utf-8").split("\n## ")[1:]
}
OURS = {
    "L1": L1,
    "L2": L2,
    "ElasticNet": ElasticNet,
    "GroupLasso": GroupLasso,
    "MCP": MCP,
    "SCAD": SCAD,
    "LogSum": LogSum,
    "LHalf": LHalf,
    "LTwoThirds": LTwoThirds,
    "NonNegative": NonNegative,
    "NonNegativeL1": NonNegativeL1,
    "Box": Box,
    "Simplex": Simplex,
    "L1Ball": L1Ball,
    "L2Ball": L2Ball,
    "LInfBall": LInfBall,
    "add_penalty": add_penalty,
    "sqrt": math.sqrt,
    "log": math.log,
}
W = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
STEP = 0.3


def rows(*titles):
    found = [row for title in titles for row in TABLES[title]]
    return pytest.mark.parametrize(("theirs", "ours"), found, ids=[theirs for theirs, _ in found])


@pytest.fixture(autouse=True)
def promotion():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def imported(text):
    """The library that a row of the guide begins with."""
    module = re.match(r"sklearn\.\w+|[\w]+", text)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, at import
        # Without Keras `keras` is the folder of that name beside this file.
        needed = {"skglm": "skglm.penalties", "keras": "keras.regularizers"}.get(module, module)
        pytest.importorskip(needed, exc_type=ImportError)
        return {module.split(".")[0]: importlib.import_module(module.split(".")[0])}


def both(theirs, ours, **names):
    names = {
        "a": 0.7,
        "b": 0.4,
        "r": 0.6,
        "t": STEP,
        "w": jnp.asarray(W),
        "v": jnp.asarray(W.ravel()),
    } | names
    # One group of all weights, or groups of a row or a column.
    names.setdefault("n", W.size if "axis=()" in ours else len(W))
    groups = {
        "weights": np.full(len(W), math.sqrt(len(W))),
        "grp_ptr": np.arange(0, W.size + 1, len(W), dtype=np.int32),
        "grp_indices": np.arange(W.size, dtype=np.int32),
    }
    written = theirs.replace("weights, ...", "weights, grp_ptr, grp_indices")
    return eval(written, imported(theirs) | groups | names), eval(ours, OURS | names)


@rows("Penalties and proxes", "Projections")
def test_the_two_columns_are_the_same(theirs, ours):
    there, here = both(theirs, ours)
    if isinstance(there, jax.Array):
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)
    elif isinstance(there, optax.GradientTransformation):
        zeros = jnp.zeros_like(W)
        decay, _ = there.update(zeros, there.init(W), W)
        gradient, _ = here.update(zeros, here.init(W), W)
        np.testing.assert_allclose(decay, gradient, rtol=1e-6)
    else:
        np.testing.assert_allclose(value_of(there), here(W), rtol=1e-5)
        if (prox := prox_of(there)) is not None:
            np.testing.assert_allclose(prox, here.prox(W, STEP), rtol=1e-5, atol=1e-6)


def value_of(there):
    if hasattr(there, "value"):
        rows = type(there).__name__ == "L2_1"
        return there.value(W.astype(np.float64) if rows else W.astype(np.float64).ravel())
    return np.asarray(there(W.ravel() if type(there).__module__.startswith("pyproximal") else W))


def prox_of(there):
    wide = W.astype(np.float64)
    if hasattr(there, "prox_1d"):  # skglm, one weight at a time
        return np.array([there.prox_1d(w, STEP, 0) for w in wide.ravel()]).reshape(W.shape)
    if hasattr(there, "prox_1feat"):
        return np.array([there.prox_1feat(row, STEP, i) for i, row in enumerate(wide)])
    if hasattr(there, "prox_1group"):
        return np.array([there.prox_1group(row, STEP, i) for i, row in enumerate(wide)])
    if hasattr(there, "prox"):
        return there.prox(wide.ravel(), STEP).reshape(W.shape)
    return None


def squared_error(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def log_loss(w, x, y):
    return optax.sigmoid_binary_cross_entropy(x @ w, y).mean()


@rows("Linear models", "Classifiers")
def test_their_solution_is_ours(theirs, ours, x64):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 6))
    y = x @ np.array([2.0, -1.0, 0.0, 0.0, 1.0, 0.0]) + rng.normal(size=30)
    w = rng.normal(size=6)
    classifier = "LogisticRegression" in theirs
    there, here = both(theirs, ours, w=w, x=x, y=y, n=30, a=0.3)
    loss = log_loss if classifier else squared_error
    if theirs.startswith("jaxopt"):  # half of our objective
        np.testing.assert_allclose(2 * there, loss(w, x, y) + here(w), rtol=1e-12)
        return
    y = (y > 0).astype(float) if classifier else y
    there.set_params(fit_intercept=False, tol=1e-12)
    solution = np.ravel(there.fit(x, y).coef_)
    grads = jax.grad(loss)(jnp.asarray(solution), x, y)
    assert optimality(here, jnp.asarray(solution), grads).norm < 1e-6
    assert optimality(1.5 * here, jnp.asarray(solution), grads).norm > 1e-3


def test_every_table_was_read():
    lines = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert [len(table) for table in TABLES.values()] == [26, 6, 5, 1, 0]  # the last section has none
    assert len(lines) == 38
