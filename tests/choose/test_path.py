"""fit_path and Path: points, choices among them, files, and what happens when something fails."""

import functools
import json
import os
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import lasso_path

from penalties import L1, Path, adaptive, fit_path, kernels, penalized, solve, strength_grid

from choose.convex import X, Y, squares, zeros

PENALTY = L1(1.0).on("w")
FACTORS = np.geomspace(1.0, 0.01, 5)
DATA = jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)
CALLS = []


def loss(params):
    return squares(params, *DATA)


def errors(params):
    """One score for each example, of data the fit has not seen: the first ten, with the sign turned."""
    x, y = (v[:10] for v in DATA)
    return -((x @ params["w"] + params["b"] - y) ** 2)


def train(penalty, params):
    jax.debug.callback(lambda: CALLS.append(1))
    return solve(squares, penalty, params, *DATA, tol=1e-6).params


@pytest.fixture(scope="module")
def path():
    return fit_path(train, PENALTY, FACTORS, zeros(), loss=loss, score=errors, progress=False)


def test_it_is_the_path_of_scikit_learn(path):
    centred = X - X.mean(0)
    _, expected, _ = lasso_path(centred, Y - Y.mean(), alphas=FACTORS, tol=1e-12)
    np.testing.assert_allclose(path.params["w"], expected.T, atol=1e-4)
    np.testing.assert_array_equal(path.zeros["w"], (expected == 0).sum(0))
    assert path.sizes == {"w": 8}
    np.testing.assert_allclose(path.shares, (expected == 0).mean(0))
    for i, factor in enumerate(FACTORS):
        point = path[i]
        np.testing.assert_allclose(point.loss, loss(point.params), rtol=1e-5)
        scores = np.asarray(errors(point.params))
        np.testing.assert_allclose(point.score, scores.mean(), rtol=1e-4)
        np.testing.assert_allclose(point.standard_error, scores.std(ddof=1) / np.sqrt(10), rtol=1e-4)
        np.testing.assert_allclose(point.factor, factor, rtol=1e-6)
        assert point.optimality < 1e-4
        assert point.finite


def test_parallel_fits_are_those_of_a_warm_path(path):
    parallel = fit_path(train, PENALTY, FACTORS, zeros(), mode="parallel", loss=loss, progress=False)
    np.testing.assert_allclose(parallel.params["w"], path.params["w"], atol=1e-4)
    np.testing.assert_array_equal(parallel.zeros["w"], path.zeros["w"])
    assert parallel.scores is None


def test_a_path_is_indexed_like_a_list(path):
    assert len(path) == 5
    assert [point.factor for point in path] == [float(f) for f in path.factors]
    np.testing.assert_array_equal(path[-1].params["w"], path.params["w"][4])
    middle = path[1:3]
    assert isinstance(middle, Path)
    assert middle.factors.tolist() == path.factors[1:3].tolist()
    assert middle[0].zeros == path[1].zeros
    with pytest.raises(IndexError, match="5 points, and 5 is none"):
        path[5]
    with pytest.raises(TypeError, match="indexed by an int or a slice, not by 'w'"):
        path["w"]
    assert repr(path) == "Path of 5 points, factors 1 to 0.01, zeros 75.0 to 0.0 %"


def made(scores, standard_errors, zeros=(9, 7, 5, 1), factors=(8.0, 4.0, 2.0, 1.0), finite=(True,) * 4):
    return Path(
        factors=np.array(factors),
        params={"w": np.arange(4.0)},
        losses=None,
        scores=np.array(scores),
        standard_errors=np.array(standard_errors),
        zeros={"w": np.array(zeros)},
        sizes={"w": 10},
        optimality=None,
        finite=np.array(finite),
    )


def test_which_point_is_best():
    one = made([0.5, 0.86, 0.8, 0.9], [0.1, 0.1, 0.1, 0.05])
    assert one.best().factor == 1
    assert one.best("one_se").factor == 4
    assert one[::-1].best("one_se").factor == 4  # whatever the order
    failed = made([0.5, 0.86, np.nan, 0.9], [0.1] * 4, finite=(True, True, False, False))
    assert failed.best().factor == 4
    assert one.at(share=0.65).factor == 4
    assert one.at(share=0.0).factor == 1
    with pytest.raises(ValueError, match=r"has a share of 0\.95 zeros: the most is 0\.9"):
        one.at(share=0.95)
    with pytest.raises(ValueError, match="share is 95: expected a number between 0 and 1"):
        one.at(share=95)
    with pytest.raises(ValueError, match="rule is 'best': expected \"min\" or"):
        one.best("best")
    with pytest.raises(ValueError, match="no standard errors: let `score` return"):
        made([0.5] * 4, [np.nan] * 4).best("one_se")
    with pytest.raises(ValueError, match="no point of this path is finite"):
        made([0.5] * 4, [0.1] * 4, finite=[False] * 4).best()


def test_a_file_has_all_of_it_and_no_pickle(path, tmp_path):
    file = tmp_path / "path.npz"
    path.save(file)
    again = Path.load(file, zeros())
    assert jax.tree.structure(again.params) == jax.tree.structure(path.params)
    jax.tree.map(np.testing.assert_array_equal, again.params, path.params)
    for name in ("factors", "losses", "scores", "standard_errors", "optimality", "finite"):
        np.testing.assert_array_equal(getattr(again, name), getattr(path, name))
    assert again.best().factor == path.best().factor
    assert os.listdir(tmp_path) == ["path.npz"]
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            np.lib.format.read_array(archive.open(name), allow_pickle=False)


def test_a_file_of_something_else_is_refused(path, tmp_path):
    file = tmp_path / "path.npz"
    path.save(file)
    with pytest.raises(ValueError, match=r"another model, .*'w' of shape \(8,\).*'w' of shape \(9,\)"):
        Path.load(file, zeros(9))
    with pytest.raises(ValueError, match="which has 2 leaves where params have 3"):
        Path.load(file, zeros() | {"x": jnp.zeros(1)})
    np.savez(tmp_path / "other.npz", about=np.array(json.dumps({"format": "other"})))
    np.savez(tmp_path / "pickle.npz", about=np.array([{}], object))
    (tmp_path / "torn.npz").write_bytes(file.read_bytes()[:-100])
    (tmp_path / "text.npz").write_text("hello")
    with np.load(file) as archive:
        np.savez(tmp_path / "uneven.npz", **(dict(archive) | {"factors": np.ones(4)}))
    for name in ("other", "pickle", "torn", "text", "uneven"):
        with pytest.raises(ValueError, match=f"{name}.npz holds no path that `Path.save` wrote"):
            Path.load(tmp_path / f"{name}.npz", zeros())
    with pytest.raises(FileNotFoundError):
        Path.load(tmp_path / "none.npz", zeros())


def test_bfloat16_is_saved(tmp_path):
    start = {"w": jnp.ones(2, jnp.bfloat16)}
    path = fit_path(lambda p, w: p.prox(w, 0.5), L1(1.0), [1.0, 3.0], start, progress=False)
    path.save(tmp_path / "path.npz")
    again = Path.load(tmp_path / "path.npz", start)
    assert again.params["w"].dtype == jnp.bfloat16
    assert again.params["w"].astype(jnp.float32).tolist() == [[0.5, 0.5], [0, 0]]


def test_after_a_crash_no_finished_point_is_trained_again(path, tmp_path, monkeypatch):
    file, options = tmp_path / "path.npz", {"loss": loss, "score": errors, "progress": False}
    saved = Path.save

    def crash(self, file):
        saved(self, file)
        if len(self) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "save", crash)
    with pytest.raises(KeyboardInterrupt):
        fit_path(train, PENALTY, FACTORS, zeros(), file=file, **options)
    monkeypatch.undo()
    assert len(Path.load(file, zeros())) == 3
    CALLS.clear()
    whole = fit_path(train, PENALTY, FACTORS, zeros(), file=file, **options)
    jax.effects_barrier()
    assert len(CALLS) == 2
    np.testing.assert_allclose(whole.params["w"], path.params["w"], atol=1e-6)
    np.testing.assert_allclose(whole.scores, path.scores, rtol=1e-5)
    fit_path(train, PENALTY, FACTORS, zeros(), file=file, **options)
    jax.effects_barrier()
    assert len(CALLS) == 2
    other = {
        "factors": (PENALTY, FACTORS[:4], zeros()),
        "penalty": (2 * PENALTY, FACTORS, zeros()),
        "initial params": (PENALTY, FACTORS, zeros() | {"b": jnp.ones(())}),
    }
    for message, args in other.items():
        with pytest.raises(ValueError, match=f"the path of another run, with.*{message}.*delete it"):
            fit_path(train, *args, file=file, **options)


PILOTS = jnp.array([1.0, 1.0, 1.0]), jnp.array([0.1, 1.0, 5.0])
OTHERS = {
    "arrays of strengths": [L1({"w": pilot, "b": 1.0}) for pilot in PILOTS],
    "adaptive": [adaptive(L1(1.0), {"w": pilot, "b": jnp.ones(())}) for pilot in PILOTS],
    "centers": [L1(1.0).around({"w": pilot, "b": jnp.ones(())}) for pilot in PILOTS],
    "masks": [L1(1.0).on({"w": w, "b": not w}) for w in (True, False)],
    "functions": [L1(1.0).on(lambda path, leaf, name=name: path == name) for name in ("w", "b")],
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_path_in_a_file_is_not_that_of_other_arrays_or_masks(name, tmp_path):
    one, other = OTHERS[name]
    params = {"w": jnp.ones(3), "b": jnp.ones(())}
    fit = functools.partial(fit_path, lambda penalty, w: w, file=tmp_path / "path.npz", progress=False)
    fit(one, [1.0], params)
    fit(one, [1.0], params)
    with pytest.raises(ValueError, match="holds the path of another run, with"):
        fit(other, [1.0], params)


def test_a_point_that_fails_is_marked_and_the_path_goes_on():
    def unstable(penalty, w):
        new = penalty.prox(w, 1.0)
        return jnp.where(penalty.strength == 2, jnp.nan, new)

    with pytest.warns(UserWarning, match=r"1 of 3 points are not finite, at the factors \[2\.0\]"):
        path = fit_path(unstable, L1(1.0), [1.0, 2.0, 3.0], jnp.full(2, 9.0), progress=False)
    assert path.finite.tolist() == [True, False, True]
    assert path.params[2].tolist() == [5, 5]  # it began at the 8 of the first
    assert path.at(share=0.0).factor == 1


def test_one_compilation_serves_all_points_of_a_network():
    traces = []
    x = jax.random.normal(jax.random.key(0), (32, 3))

    def network(params):
        return jnp.mean((jnp.tanh(x @ params["kernel"] + params["bias"][None]).sum(1) - x[:, 0]) ** 2)

    def adam(penalty, params):
        traces.append(1)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            optimizer = penalized(optax.adam(0.02), penalty)

            def step(carry, _):
                params, state = carry
                updates, state = optimizer.update(jax.grad(network)(params), state, params)
                return (optax.apply_updates(params, updates), state), None

            return jax.lax.scan(step, (params, optimizer.init(params)), length=200)[0][0]

    params = {"kernel": jax.random.normal(jax.random.key(1), (3, 4)), "bias": jnp.zeros(4)}
    factors = strength_grid(1.0, count=4)[::-1]
    path = fit_path(adam, L1(1.0).on(kernels), factors, params, loss=network, progress=False)
    assert len(traces) == 2  # one to see what it returns, one to compile
    assert path.zeros["kernel"][0] < 4 < path.zeros["kernel"][-1]
    assert set(path.sizes) == {"kernel"}


def test_the_bar_is_on_stderr(capsys):
    fit_path(lambda p, w: p.prox(w), L1(1.0), [1.0, 2.0], jnp.ones(2), progress=True)
    shown = capsys.readouterr()
    assert not shown.out


BAD = {
    "order": (ValueError, "must rise or fall throughout", {"factors": [1.0, 3.0, 2.0]}),
    "twice": (ValueError, "must rise or fall throughout", {"factors": [1.0, 1.0]}),
    "infinite": (ValueError, "must be finite and ≥ 0", {"factors": [1.0, np.inf]}),
    "negative": (ValueError, "must be finite and ≥ 0", {"factors": [1.0, -1.0]}),
    "empty": (ValueError, r"shape \(0,\)", {"factors": np.zeros(0)}),
    "text": (TypeError, "expected numbers", {"factors": ["a"]}),
    "mode": (ValueError, 'mode is \'cold\': expected "warm" or "parallel"', {"mode": "cold"}),
    "penalty": (TypeError, "expected a Penalty", {"penalty": 0.1}),
    "shape": (
        ValueError,
        r"at 'w' an array of shape \(1,\).*not an array of shape \(2,\)",
        {"train": lambda p, w: {"w": w["w"][:1]}},
    ),
    "dtype": (ValueError, "dtype float16", {"train": lambda p, w: {"w": w["w"].astype(jnp.float16)}}),
    "leaf": (ValueError, "at 'v' an array", {"train": lambda p, w: w | {"v": w["w"]}}),
    "nothing": (ValueError, "at 'w' nothing", {"train": lambda p, w: None}),
    "solution": (
        ValueError,
        r"train returned the Solution of .solve.: .* its `\.params`",
        {"train": lambda p, w: solve(lambda w: jnp.sum(w["w"] ** 2), p, w)},
    ),
    "number": (
        ValueError,
        "another structure .* at 'n' .*, and not nothing",
        {"train": lambda p, w: w | {"n": 1}},
    ),
    "container": (ValueError, "another structure", {"train": lambda p, w: {"w": [w["w"]]}}),
    "object": (TypeError, "leaf 'w' of type str", {"params": {"w": "a"}}),
    "score": (ValueError, r"shape \(2, 2\)", {"score": lambda w: jnp.ones((2, 2))}),
    "loss": (TypeError, r"shape \(2,\)", {"loss": lambda w: w["w"]}),
    "folder": (FileNotFoundError, "no such folder", {"file": "no/such/folder/path.npz"}),
    "selection": (ValueError, "matches none", {"penalty": L1(1.0).on("v")}),
}


@pytest.mark.parametrize(("error", "message", "changed"), BAD.values(), ids=BAD)
def test_bad_input(error, message, changed):
    arguments = {
        "train": lambda p, w: p.prox(w),
        "penalty": L1(1.0),
        "factors": [1.0, 2.0],
        "params": {"w": jnp.ones(2)},
        "progress": False,
    }
    with pytest.raises(error, match=message):
        fit_path(**(arguments | changed))


def test_a_path_is_not_traced():
    with pytest.raises(TypeError, match="call it outside jit"):
        jax.jit(lambda f: fit_path(lambda p, w: w, L1(1.0), f, jnp.ones(2)))(jnp.ones(2))
