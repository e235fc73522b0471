"""`describe`: what it says of every kind of tree, and what it refuses."""

import json
import math
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from penalties import L1, L2, GroupLasso, Penalty, describe, kernels, sparsity

from trees import PARAMS, TREES, NNXNet, linen_variables


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
                "violated": False,
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
                "violated": False,
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
        with pytest.raises(TypeError, match=r"(?s)describe\(penalty, params\) is .* of type dict"):
            describe(PARAMS, L1(1.0))

    def test_a_schedule_is_no_penalty(self):
        with pytest.raises(TypeError, match="describe what it gives at one step"):
            describe(lambda step: step * L1(1.0), PARAMS)

    def test_a_pattern_that_matches_nothing(self):
        with pytest.raises(ValueError, match=r"Did you mean '\*\*/kernel'"):
            describe(L1(1.0).on("**/kernal"), PARAMS)

    def test_nothing_to_penalize(self):
        with pytest.raises(TypeError, match="nothing to penalize"):
            describe(L1(1.0), {"step": jnp.arange(3)})


def test_a_penalty_of_ones_own():
    class Quartic(Penalty):
        strength: float

        def value_at(self, w):
            return jnp.sum(self.strength * w**4)

        def prox_at(self, v, step):
            raise NotImplementedError

    row = describe(Quartic(0.5), {"a": jnp.array([2.0])})["a"]
    assert (row["penalty"], row["value"]) == ("Quartic(0.5)", 8.0)
