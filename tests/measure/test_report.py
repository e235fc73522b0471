"""`describe` and `sparsity`: what they say, of every kind of tree, and how it looks."""

import html.parser
import io
import json
import math
import pickle
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich
from flax import nnx
from flax.core import FrozenDict
from rich.console import Console

from penalties import L1, L2, GroupLasso, Penalty, describe, kernels, sparsity
from penalties._measure.sparsity import count_true

PARAMS = {"dense": {"kernel": jnp.array([[3.0, 0.0], [0.0, -1.0]]), "bias": jnp.zeros(2)}}


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Dense(3, kernel_init=nn.with_partitioning(nn.initializers.ones, ("in", "out")))(x)
        return nn.BatchNorm(use_running_average=True)(x)


class NNXNet(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(2, 3, rngs=rngs)
        self.tied = self.first
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.activation = jnp.tanh


def linen_variables() -> Any:
    return LinenNet().init(jax.random.key(0), jnp.ones((1, 2)))


TREES = {
    "dict": lambda: PARAMS,
    "frozen": lambda: FrozenDict(PARAMS),
    "list": lambda: [jnp.ones(2), [jnp.zeros(3)]],
    "array": lambda: jnp.array([0.0, 1.0]),
    "numpy": lambda: {"a": np.ones(3, np.float32), "b": 2.0},
    "linen variables": linen_variables,
    "linen params": lambda: linen_variables()["params"],
    "nnx module": NNXNet,
    "nnx state": lambda: nnx.state(NNXNet()),
    "nnx params": lambda: nnx.state(NNXNet(), nnx.Param),
    "equinox": lambda: eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0)),
    "complex": lambda: {"a": jnp.array([3 + 4j, 0j])},
    "bfloat16": lambda: {"a": jnp.array([0.5, 0.0], jnp.bfloat16)},
    "several arrays in a box": lambda: {"p": nnx.Param({"a": jnp.ones(3), "b": jnp.zeros(2)})},
    "empty": dict,
    "empty leaf": lambda: {"a": jnp.zeros((0, 3))},
}


@pytest.fixture(params=TREES)
def params(request):
    return TREES[request.param]()


class TestDescribe:
    def test_rows_are_plain_values(self):
        description = describe((L1(0.5) + L2(0.25)).on("**/kernel"), PARAMS)
        assert dict(description) == {
            "dense/bias": {
                "shape": (2,),
                "dtype": "float32",
                "trainable": True,
                "penalty": None,
                "value": 0.0,
                "share": 0.0,
                "zeros": 2,
                "size": 2,
            },
            "dense/kernel": {
                "shape": (2, 2),
                "dtype": "float32",
                "trainable": True,
                "penalty": "L1(0.5) + L2(0.25)",
                "value": 4.5,
                "share": 1.0,
                "zeros": 2,
                "size": 4,
            },
        }
        assert (description.total, description.zeros, description.size, description.penalized) == (
            4.5,
            4,
            6,
            4,
        )
        assert json.loads(json.dumps(dict(description)))["dense/bias"]["shape"] == [2]

    def test_total_is_the_penalty(self, params):
        penalty = L1(0.5) + L2(0.25) + GroupLasso(0.1)
        description = describe(penalty, params)
        assert description.total == float(penalty(params))
        assert math.isclose(
            sum(row["value"] for row in description.values()), description.total, rel_tol=1e-6
        )
        if description.total:
            assert math.isclose(sum(row["share"] for row in description.values()), 1.0, rel_tol=1e-6)

    def test_a_value_is_that_of_its_leaf_alone(self):
        penalty = L1(0.5) + L2(0.25)
        rows = describe(penalty, PARAMS)
        assert rows["dense/kernel"]["value"] == float(penalty(PARAMS["dense"]["kernel"]))
        assert rows["dense/bias"]["value"] == 0.0

    def test_counts_agree_with_sparsity(self, params):
        description, found = describe(L1(1.0), params), sparsity(params)
        assert (description.zeros, description.size) == (int(found.zeros), found.size)
        weights = {path: row["zeros"] for path, row in description.items() if row["trainable"]}
        assert weights == {path: int(leaf.zeros) for path, leaf in found.leaves.items()}

    def test_linen_batch_statistics_are_no_weights(self):
        rows = describe(L1(1.0).on(kernels), linen_variables())
        assert {path: (row["trainable"], row["penalty"]) for path, row in rows.items()} == {
            "batch_stats/BatchNorm_0/mean": (False, None),
            "batch_stats/BatchNorm_0/var": (False, None),
            "BatchNorm_0/bias": (True, None),
            "BatchNorm_0/scale": (True, None),
            "Dense_0/bias": (True, None),
            "Dense_0/kernel": (True, "L1(1.0)"),
        }

    def test_nnx_tied_weights_once_and_keys_not_penalized(self):
        rows = describe(L1(1.0), NNXNet())
        assert [path for path, row in rows.items() if row["penalty"]] == [
            "first/bias",
            "first/kernel",
            "norm/bias",
            "norm/scale",
        ]
        assert not any(path.startswith("tied") for path in rows)
        assert rows["dropout/rngs/key"]["dtype"].startswith("key<")
        assert not rows["dropout/rngs/count"]["trainable"]
        assert not rows["norm/mean"]["trainable"]

    def test_leaves_that_are_no_arrays_are_left_out(self):
        rows = describe(L1(1.0), eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0)))
        assert list(rows) == ["layers/0/weight", "layers/0/bias", "layers/1/weight", "layers/1/bias"]

    def test_integers_and_bools_are_not_penalized(self):
        rows = describe(L1(1.0), {"w": jnp.ones(2), "step": np.int32(0), "mask": np.array([True, False])})
        assert {path: (row["penalty"], row["trainable"]) for path, row in rows.items()} == {
            "mask": (None, False),
            "step": (None, False),
            "w": ("L1(1.0)", True),
        }
        assert rows["mask"]["zeros"] == 1

    @pytest.mark.parametrize(
        ("penalty", "text"),
        [
            (L1(1e-4), "L1(0.0001)"),
            (L1(jnp.float32(1e-4)), "L1(0.0001)"),
            (jax.jit(lambda p: p)(L1(1e-4)), "L1(0.0001)"),
            (2 * L1(0.25), "L1(0.5)"),
            (L1(np.ones((2, 1), np.float32)), "L1(float32[2,1])"),
            (L1({"dense": {"kernel": 0.5, "bias": 2}}), "L1(0.5)"),
            (L1({"dense": 0.5}), "L1(0.5)"),
            (L1({"dense": {"kernel": np.ones(2, np.float32), "bias": 1.0}}), "L1(float32[2])"),
            (GroupLasso(0.5, axis=0), "GroupLasso(strength=0.5, axis=0)"),
            (L1(1.0).on("**/kernel") + L1(2.0) + L2(3.0).on("**/bias"), "L1(1.0) + L1(2.0)"),
            (L1(1.0).on("**").on("**/kernel"), "L1(1.0)"),
        ],
    )
    def test_strengths_as_text(self, penalty, text):
        params = {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((2, 1))}}
        assert describe(penalty, params)["dense/kernel"]["penalty"] == text

    def test_a_strength_out_of_range_is_shown(self):
        rows = describe(jax.tree.map(lambda s: -s, L1(0.5)), {"a": jnp.ones(2)})
        assert rows["a"]["penalty"] == "L1(-0.5)"
        assert math.isnan(rows["a"]["value"])

    def test_nan_is_shown(self):
        description = describe(L1(1.0), {"a": jnp.array([jnp.nan, 0.0]), "b": jnp.ones(2)})
        assert math.isnan(description["a"]["value"])
        assert math.isnan(description.total)
        assert description["b"]["value"] == 2.0
        assert description["a"]["zeros"] == 1
        assert "nan%" not in str(description)
        assert str(description).splitlines()[2].split()[4:6] == ["nan", "nan"]

    def test_no_penalty_at_all_has_no_share(self):
        description = describe(L1(1.0), {"a": jnp.zeros(2)})
        assert (description.total, description["a"]["share"]) == (0.0, 0.0)

    @pytest.mark.usefixtures("x64")
    def test_float64(self):
        rows = describe(L1(0.1), {"a": jnp.array([1 / 3, 0.0], jnp.float64)})
        assert rows["a"]["dtype"] == "float64"
        assert rows["a"]["value"] == 0.1 * (1 / 3)

    def test_several_arrays_in_one_box(self):
        rows = describe(L1(1.0), TREES["several arrays in a box"]())
        assert {path: row["value"] for path, row in rows.items()} == {"p/a": 3.0, "p/b": 0.0}
        params = TREES["several arrays in a box"]()
        assert float(L1(1.0).on("p/a")(params)) == 3.0
        subgradient = L1(1.0).subgradient(params, jax.tree.map(jnp.zeros_like, params))
        assert [leaf.tolist() for leaf in jax.tree.leaves(subgradient)] == [[1.0] * 3, [0.0] * 2]

    def test_one_transfer(self, monkeypatch):
        fetched = []
        monkeypatch.setattr(jax, "device_get", lambda x, get=jax.device_get: fetched.append(x) or get(x))
        describe(L1(1.0), [jnp.ones(2)] * 20)
        assert len(fetched) == 1

    def test_immutable(self):
        description = describe(L1(1.0), PARAMS)
        description["dense/bias"]["zeros"] = 7
        assert description["dense/bias"]["zeros"] == 2
        with pytest.raises(AttributeError):
            description.total = 0.0
        with pytest.raises(TypeError):
            description["dense/bias"] = {}
        with pytest.raises(KeyError):
            description["nothing"]

    def test_pickles(self):
        description = describe(L1(1.0), PARAMS)
        assert pickle.loads(pickle.dumps(description)) == description


class TestDescribeErrors:
    @pytest.mark.parametrize("transform", [jax.jit, jax.vmap, jax.grad])
    def test_traced_params(self, transform):
        with pytest.raises(TypeError, match="call describe outside jit"):
            transform(lambda w: describe(L1(1.0), {"a": w}).total)(
                jnp.ones(()) if transform is jax.grad else jnp.ones(2)
            )

    def test_traced_strengths(self):
        with pytest.raises(TypeError, match="call describe outside jit"):
            jax.jit(lambda s: describe(L1(s), {"a": np.ones(2)}).total)(0.5)

    def test_traced_module(self):
        with pytest.raises(TypeError, match="call describe outside jit"):
            nnx.jit(lambda model: describe(L1(1.0), model).total)(NNXNet())

    def test_constants_under_jit_are_no_tracers(self):
        constant = jnp.ones(2)
        totals = []
        jax.jit(lambda x: totals.append(describe(L1(1.0), {"a": constant, "b": np.ones(2)}).total) or x)(1.0)
        assert totals == [4.0]

    def test_arguments_in_the_wrong_order(self):
        with pytest.raises(TypeError, match=r"describe\(penalty, params\) got a dict"):
            describe(PARAMS, L1(1.0))

    def test_a_schedule_is_no_penalty(self):
        with pytest.raises(TypeError, match="describe what it gives at one step"):
            describe(lambda step: step * L1(1.0), PARAMS)

    def test_a_pattern_that_matches_nothing(self):
        with pytest.raises(ValueError, match="Did you mean 'dense/kernel'"):
            describe(L1(1.0).on("**/kernal"), PARAMS)

    def test_nothing_to_penalize(self):
        with pytest.raises(TypeError, match="nothing to penalize"):
            describe(L1(1.0), {"step": jnp.arange(3)})


class TestPrinted:
    def test_table(self):
        assert str(
            describe((L1(0.5) + L2(0.25)).on("**/kernel"), PARAMS | {"step": np.int32(3)})
        ) == "\n".join(
            [
                "leaf          shape   dtype    penalty             value  share          zeros",
                "------------------------------------------------------------------------------",
                "dense/bias    (2,)    float32  none                               2 of 2, 100%",
                "dense/kernel  (2, 2)  float32  L1(0.5) + L2(0.25)    4.5   100%    2 of 4, 50%",
                "step          ()      int32    not trained",
                "------------------------------------------------------------------------------",
                "total                          4 of 6 weights        4.5   100%  4 of 6, 66.7%",
            ]
        )

    @pytest.mark.parametrize("columns", ["20", "80", "100", "200"])
    def test_long_paths_fold_and_are_never_cut(self, monkeypatch, columns):
        monkeypatch.setenv("COLUMNS", columns)
        path = "".join(chr(ord("a") + i % 26) for i in range(150))
        lines = str(describe(L1(1e-4), {path: jnp.ones((1, 1, 1, 1, 1, 1, 1, 1, 1, 1))})).splitlines()
        assert all(len(line) <= max(80, int(columns)) for line in lines)
        head = max(i for i, line in enumerate(lines) if set(line) == {"-"} and i < len(lines) // 2)
        assert "".join(line.split(" ")[0] for line in lines[head + 1 : -2]).startswith(path)
        assert "…" not in "".join(lines)

    def test_plain_characters_and_no_colour_codes(self):
        text = str(describe(L1(1.0), PARAMS))
        assert text.isascii()
        assert "\x1b" not in text
        assert text == repr(describe(L1(1.0), PARAMS))

    def test_brackets_are_no_markup(self):
        text = str(describe(L1(np.ones(2, np.float32)), {"[red]a[/red]": jnp.ones(2)}))
        assert "[red]a[/red]" in text
        assert "L1(float32[2])" in text

    def test_rich_print(self, capsys):
        rich.print(describe(L1(1.0).on("**/kernel"), PARAMS))
        assert "dense/kernel" in capsys.readouterr().out

    def test_rich_dims_what_is_not_penalized(self):
        console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=120)
        console.print(describe(L1(1.0).on("**/kernel"), PARAMS))
        lines = console.file.getvalue().splitlines()
        assert any("dense/bias" in line and "\x1b[2m" in line for line in lines)
        assert not any("dense/kernel" in line and "\x1b[2m" in line for line in lines)

    def test_a_bare_array_and_an_empty_tree(self):
        assert "(the array)" in str(describe(L1(1.0), jnp.ones(2)))
        assert "0 of 0 weights" in str(describe(L1(1.0), {}))


class TestHTML:
    def cells(self, markup: str) -> list[tuple[str, str, str]]:
        """(tag, style, text) of each cell; fails on tags that are not closed in order."""
        cells, open_tags = [], []

        class Parser(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs):
                open_tags.append(tag)
                if tag in ("td", "th"):
                    cells.append([tag, dict(attrs)["style"], ""])

            def handle_endtag(self, tag):
                assert open_tags.pop() == tag

            def handle_data(self, data):
                cells[-1][2] += data

        parser = Parser()
        parser.feed(markup)
        parser.close()
        assert not open_tags
        return [tuple(cell) for cell in cells]

    def test_the_same_cells_as_the_text(self):
        description = describe(L1(0.5).on("**/kernel"), PARAMS)
        texts = [text for _, _, text in self.cells(description._repr_html_())]
        assert texts[:7] == ["leaf", "shape", "dtype", "penalty", "value", "share", "zeros"]
        assert texts[14:21] == ["dense/kernel", "(2, 2)", "float32", "L1(0.5)", "2", "100%", "2 of 4, 50%"]
        assert texts[21:] == ["total", "", "", "4 of 6 weights", "2", "100%", "4 of 6, 66.7%"]

    def test_text_is_escaped(self):
        path = '<script>&"'
        markup = describe(L1(1.0), {path: jnp.ones(2)})._repr_html_()
        assert "<script>" not in markup
        assert self.cells(markup)[7][2] == path

    def test_numbers_to_the_right_and_no_colours_of_its_own(self):
        markup = describe(L1(1.0), PARAMS)._repr_html_()
        sides = ["right" in style for _, style, _ in self.cells(markup)]
        assert sides == 4 * [False, False, False, False, True, True, True]
        assert "color" not in markup.replace("border-collapse", "")
        assert "background" not in markup


class TestSparsity:
    def test_counts(self):
        found = sparsity(PARAMS)
        assert (int(found.zeros), found.size) == (4, 6)
        assert found.share.dtype == jnp.float32
        np.testing.assert_allclose(found.share, 4 / 6, rtol=1e-6)
        assert {path: (int(zeros), float(share)) for path, (zeros, share) in found.leaves.items()} == {
            "dense/bias": (2, 1.0),
            "dense/kernel": (2, 0.5),
        }

    def test_jit_is_eager(self, params):
        eager = sparsity(params)
        jitted = (
            nnx.jit(sparsity)(params) if isinstance(params, nnx.Module) else eqx.filter_jit(sparsity)(params)
        )
        assert jax.tree.structure(eager) == jax.tree.structure(jitted)
        for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(jitted), strict=True):
            assert (a.dtype, a.shape, a.weak_type) == (b.dtype, b.shape, b.weak_type)
            np.testing.assert_array_equal(a, b)

    def test_one_trace_for_many_steps(self):
        traced = []

        @jax.jit
        def step(params):
            traced.append(1)
            return jax.tree.map(lambda w: w / 2, params), sparsity(params, "**/kernel")

        params = PARAMS
        for _ in range(3):
            params, found = step(params)
            assert int(found.zeros) == 2
        assert len(traced) == 1

    def test_carried_by_scan_and_vmap(self):
        batched = jax.vmap(sparsity)({"a": jnp.array([[0.0, 1.0], [0.0, 0.0]])})
        assert batched.share.tolist() == [0.5, 1.0]
        _, history = jax.lax.scan(lambda w, _: (w * 0, sparsity({"a": w})), jnp.ones(3), length=2)
        assert history.zeros.tolist() == [0, 3]
        assert history.size == 3

    @pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, jnp.float8_e4m3fn])
    def test_only_exact_zeros(self, dtype):
        tiny = jnp.finfo(dtype).smallest_subnormal
        values = np.array([0.0, -0.0, 1.0, np.nan, tiny, -tiny], dtype)
        assert int(sparsity({"a": values}).zeros) == 2

    def test_complex_zeros_have_no_part(self):
        values = np.array(
            [0, complex(-0.0, -0.0), 1j, 1, complex(0, np.nan), complex(1e-40, 0)], np.complex64
        )
        assert int(sparsity({"a": values}).zeros) == 2

    @pytest.mark.usefixtures("x64")
    def test_float64(self):
        found = sparsity({"a": jnp.array([0.0, -0.0, 5e-324]), "b": jnp.zeros(1, jnp.complex128)})
        assert (int(found.zeros), found.zeros.dtype, found.share.dtype) == (3, jnp.int32, jnp.float32)

    def test_weights_only(self):
        tree = {"w": jnp.zeros(2), "step": 0, "mask": np.zeros(3, bool), "key": jax.random.key(0)}
        assert list(sparsity(tree).leaves) == ["w"]
        assert set(sparsity(NNXNet()).leaves) == {"first/kernel", "first/bias", "norm/scale", "norm/bias"}
        assert not any("batch_stats" in path for path in sparsity(linen_variables()).leaves)

    @pytest.mark.parametrize(
        "where",
        [
            "**/kernel",
            ("**/kernel", "*/kernel"),
            kernels,
            lambda path, leaf: leaf.ndim == 2,
            {"dense": {"kernel": True, "bias": False}},
            nnx.PathContains("kernel"),
        ],
    )
    def test_where(self, where):
        assert list(sparsity(PARAMS, where).leaves) == ["dense/kernel"]

    def test_where_matches_nothing(self):
        with pytest.raises(ValueError, match="Did you mean 'dense/kernel'"):
            sparsity(PARAMS, "**/kernal")
        with pytest.raises(ValueError, match="matches none of the 2 leaves"):
            sparsity(PARAMS, lambda path, leaf: False)

    def test_where_of_a_wrong_type(self):
        with pytest.raises(TypeError, match="cannot select by 3"):
            sparsity(PARAMS, 3)

    def test_no_weights(self):
        found = sparsity({"step": 1})
        assert (int(found.zeros), float(found.share), found.size, found.leaves) == (0, 0.0, 0, {})
        assert float(sparsity({"a": jnp.zeros((0, 3))}).share) == 0.0

    def test_more_weights_than_an_int32_can_count(self):
        big = jax.ShapeDtypeStruct((80, 8192, 28672), jnp.bfloat16)
        found = jax.eval_shape(sparsity, {"a": big, "b": jnp.zeros(3)})
        assert found.size == 80 * 8192 * 28672 + 3
        assert (found.zeros.dtype, found.leaves["a"].zeros.dtype) == (jnp.float32, jnp.float32)
        assert found.leaves["b"].zeros.dtype == jnp.int32

    @pytest.mark.parametrize("most", [1, 7, 12, 60, 10**6])
    def test_counting_in_parts(self, most):
        mask = jnp.asarray(np.random.default_rng(0).random((3, 4, 5)) < 0.5)
        counted = count_true(mask, most)
        assert counted.dtype == (jnp.int32 if most >= 60 else jnp.float32)
        assert int(counted) == int(mask.sum())


def test_a_penalty_of_ones_own():
    class Quartic(Penalty):
        strength: float

        def value_at(self, w):
            return jnp.sum(self.strength * w**4)

        def prox_at(self, v, step):
            raise NotImplementedError

    row = describe(Quartic(0.5), {"a": jnp.array([2.0])})["a"]
    assert (row["penalty"], row["value"]) == ("Quartic(0.5)", 8.0)
