"""Which leaves a penalty counts: the same paths however the tree is boxed, and no silent nothing."""

from typing import Any, NamedTuple

import equinox as eqx
import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.core import FrozenDict

from penalties import L1, L2, GroupLasso, from_config, kernels

PENALTY = L1(1.0)


# One spelling of a path


class Pair(NamedTuple):
    kernel: Any
    bias: Any


@flax.struct.dataclass
class Layer:
    kernel: Any
    bias: Any
    units: int = flax.struct.field(pytree_node=False, default=2)


class EqxLayer(eqx.Module):
    kernel: jax.Array
    bias: jax.Array
    activation: Any = eqx.field(static=True, default=None)


class EqxWithFunction(eqx.Module):
    kernel: jax.Array
    activation: Any


class NNXModel(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(2, 2, rngs=nnx.Rngs(0))


KERNEL, BIAS = jnp.full((2, 2), 3.0), jnp.full(2, 5.0)
LAYER = {"kernel": KERNEL, "bias": BIAS}


def nnx_model() -> NNXModel:
    model = NNXModel()
    model.dense.kernel[...], model.dense.bias[...] = KERNEL, BIAS
    return model


TREES = {
    "dict": lambda: {"dense": LAYER},
    "linen_variables": lambda: {"params": {"dense": LAYER}},
    "linen_variables_with_statistics": lambda: {"params": {"dense": LAYER}, "batch_stats": {"dense": LAYER}},
    "frozen_dict": lambda: FrozenDict({"dense": LAYER}),
    "frozen_variables": lambda: FrozenDict({"params": {"dense": LAYER}}),
    "partitioned": lambda: {"dense": jax.tree.map(lambda w: nn.Partitioned(w, (None,) * w.ndim), LAYER)},
    "logically_partitioned_variables": lambda: {
        "params": {"dense": jax.tree.map(lambda w: nn.LogicallyPartitioned(w, (None,) * w.ndim), LAYER)}
    },
    "nnx_module": nnx_model,
    "nnx_state": lambda: nnx.state(nnx_model()),
    "nnx_param_state": lambda: nnx.state(nnx_model(), nnx.Param),
    "nnx_pure_dict": lambda: nnx.to_pure_dict(nnx.state(nnx_model())),
    "named_tuple": lambda: {"dense": Pair(KERNEL, BIAS)},
    "dataclass": lambda: {"dense": Layer(KERNEL, BIAS)},
    "equinox": lambda: {"dense": EqxLayer(KERNEL, BIAS)},
    "numpy": lambda: {"dense": {"kernel": np.asarray(KERNEL), "bias": np.asarray(BIAS)}},
}

every_tree = pytest.mark.parametrize("make", TREES.values(), ids=TREES)


@every_tree
def test_a_path_is_spelled_the_same_in_every_tree(make):
    params = make()
    assert PENALTY.on("dense/kernel")(params) == 12
    assert PENALTY.on("**/bias")(params) == 10
    assert PENALTY.on("dense/*")(params) == 22
    assert PENALTY.on(kernels)(params) == 12
    assert PENALTY.on(lambda path, leaf: path == "dense/bias" and leaf.shape == (2,))(params) == 10


@every_tree
def test_default_selection_counts_each_trained_weight_once(make):
    assert PENALTY(make()) == 22


@every_tree
def test_prox_returns_the_same_kind_of_tree(make):
    params = make()
    z = PENALTY.on("**/bias").prox(params, 1.0)
    assert type(z) is type(params)
    assert jax.tree.structure(z) == jax.tree.structure(params)
    assert PENALTY.on("dense/kernel")(z) == 12
    assert PENALTY.on("dense/bias")(z) == 8
    assert PENALTY.on("dense/bias")(params) == 10, "the params given are not changed"


@every_tree
def test_a_mask_by_path_fits_every_tree(make):
    assert PENALTY.on({"dense": {"kernel": True, "bias": False}})(make()) == 12
    assert PENALTY.on({"dense": {"kernel": False, "bias": True}})(make()) == 10


@every_tree
def test_strengths_by_path_fit_every_tree(make):
    assert L1({"dense": {"kernel": 1.0, "bias": 10.0}})(make()) == 112


@every_tree
def test_gradients_have_the_structure_of_the_tree(make):
    params = make()
    if isinstance(params, NNXModel):
        gradient = nnx.grad(lambda model: PENALTY.on("**/bias")(model))(params)
        np.testing.assert_array_equal(gradient["dense"]["bias"][...], 1)
        np.testing.assert_array_equal(gradient["dense"]["kernel"][...], 0)
        return
    arrays, rest = eqx.partition(params, eqx.is_inexact_array)
    gradient = jax.grad(lambda w: PENALTY.on("**/bias")(eqx.combine(w, rest)))(arrays)
    assert jax.tree.structure(gradient) == jax.tree.structure(arrays)
    assert sorted(float(jnp.sum(g)) for g in jax.tree.leaves(gradient))[-1] == 2
    assert sum(float(jnp.sum(g)) for g in jax.tree.leaves(gradient)) == 2


def test_params_may_be_written_in_the_pattern_of_linen_variables():
    for params in (TREES["dict"](), TREES["linen_variables"]()):
        assert PENALTY.on("params/dense/kernel")(params) == 12


def test_lists_and_tuples_are_numbered():
    params = [{"w": KERNEL}, (BIAS, 2 * BIAS)]
    assert PENALTY.on("0/w")(params) == 12
    assert PENALTY.on("1/1")(params) == 20
    assert PENALTY.on("1/*")(params) == 30
    z = PENALTY.on("1/0").prox(params)
    assert isinstance(z[1], tuple)
    assert z[1][1] is params[1][1]


def test_a_bare_array_is_selected_by_everything():
    assert PENALTY.on("**")(BIAS) == 10
    assert PENALTY(BIAS) == 10


def test_stars_stay_in_a_segment_and_double_stars_cross():
    params = {"a": {"b": {"w": jnp.ones(1)}, "w": jnp.full(1, 10.0)}, "w": jnp.full(1, 100.0)}
    assert PENALTY.on("*/w")(params) == 10
    assert PENALTY.on("**/w")(params) == 111
    assert PENALTY.on("a/**")(params) == 11
    assert PENALTY.on("a/**/w")(params) == 11
    assert PENALTY.on("a/*/w")(params) == 1
    assert PENALTY.on("w")(params) == 100


def test_brackets_and_question_marks_match_characters():
    params = {f"dense_{i}": jnp.full(1, 10.0**i) for i in range(3)}
    assert PENALTY.on("dense_[01]")(params) == 11
    assert PENALTY.on("dense_?")(params) == 111


def test_function_leaves_of_equinox_modules_are_kept():
    layer = EqxWithFunction(KERNEL, jax.nn.relu)
    assert PENALTY(layer) == 12
    z = PENALTY.prox(layer)
    assert z.activation is jax.nn.relu
    np.testing.assert_array_equal(z.kernel, 2)


def test_a_function_leaf_cannot_be_selected():
    with pytest.raises(TypeError, match="'activation' is of type"):
        PENALTY.on("*")(EqxWithFunction(KERNEL, jax.nn.relu))


# Flax NNX: what is a parameter, and how often


class Tied(nnx.Module):
    def __init__(self):
        self.embed = nnx.Embed(3, 2, rngs=nnx.Rngs(0))
        self.decode = nnx.Linear(2, 2, use_bias=False, rngs=nnx.Rngs(0))
        self.embed.embedding[...] = jnp.ones((3, 2))
        self.decode.kernel = self.embed.embedding


def test_tied_weights_count_once():
    assert PENALTY(Tied()) == 6
    assert PENALTY({"a": Tied(), "b": Tied()}) == 12
    assert PENALTY(nnx.state(Tied())) == 6


def test_prox_keeps_the_tie():
    z = PENALTY.prox(Tied(), 0.25)
    assert z.embed.embedding is z.decode.kernel
    np.testing.assert_array_equal(z.embed.embedding[...], 0.75)


def test_prox_leaves_the_module_it_was_given_alone():
    model = Tied()
    z = PENALTY.prox(model, 0.25)
    assert z is not model
    np.testing.assert_array_equal(model.embed.embedding[...], 1)


def test_tied_weights_count_once_in_nnx_jit_and_grad():
    assert nnx.jit(lambda model: PENALTY(model))(Tied()) == 6
    gradient = nnx.grad(lambda model: PENALTY(model))(Tied())
    assert sum(float(jnp.sum(g)) for g in jax.tree.leaves(gradient)) == 6


class Stateful(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.count = nnx.Variable(jnp.ones(7))


def test_statistics_and_random_states_are_never_penalized():
    model = Stateful()
    assert PENALTY(model) == 2, "the scale of ones, the bias of zeros"
    before = {k: np.asarray(jax.random.key_data(v) if k[-1] == "key" else v) for k, v in flat_state(model)}
    z = PENALTY.prox(model, 0.25)
    after = {k: np.asarray(jax.random.key_data(v) if k[-1] == "key" else v) for k, v in flat_state(z)}
    changed = {k for k in before if not np.array_equal(before[k], after[k])}
    assert changed == {("norm", "scale")}


def flat_state(model):
    return [(path, variable[...]) for path, variable in nnx.to_flat_state(nnx.state(model))]


@pytest.mark.parametrize("where", ["norm/mean", "**/var", "dropout/**", "count"])
def test_statistics_cannot_be_selected_by_path(where):
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(where)(Stateful())


def test_linen_batch_statistics_are_never_penalized():
    variables = nn.BatchNorm(use_running_average=True).init(jax.random.key(0), jnp.ones((2, 3)))
    assert "batch_stats" in variables
    assert PENALTY(variables) == 3
    assert PENALTY.on("**")(variables) == 3
    z = PENALTY.prox(variables, 0.25)
    assert z["batch_stats"]["var"] is variables["batch_stats"]["var"]
    np.testing.assert_array_equal(z["params"]["scale"], 0.75)


def test_nnx_filters_select():
    class Model(nnx.Module):
        def __init__(self):
            self.dense = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
            self.dense.kernel[...], self.dense.bias[...] = KERNEL, BIAS
            self.lora = nnx.LoRAParam(jnp.ones((1, 1)))

    model = Model()
    assert PENALTY.on(nnx.Param)(model) == 23
    assert PENALTY.on(nnx.LoRAParam)(model) == 1
    assert PENALTY.on(nnx.PathContains("bias"))(model) == 10
    assert PENALTY.on(nnx.All(nnx.Param, nnx.Not(nnx.LoRAParam)))(model) == 22
    assert PENALTY.on(nnx.Any(nnx.LoRAParam, nnx.PathContains("bias")))(model) == 11
    assert PENALTY.on(nnx.Param, exclude=nnx.LoRAParam)(model) == 22
    assert PENALTY.on((nnx.Param, nnx.BatchStat), exclude=(nnx.LoRAParam,))(model) == 22
    assert PENALTY.on(nnx.Param)({"plain": BIAS}) == 10


def test_nnx_filter_for_statistics_selects_nothing():
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(nnx.BatchStat)(Stateful())


# Masks, predicates, tuples, exclude, intersections

PARAMS = {"a": {"kernel": jnp.ones(1), "bias": jnp.full(1, 10.0)}, "b": {"kernel": jnp.full(1, 100.0)}}


@pytest.mark.parametrize(
    ("where", "exclude", "expected"),
    [
        ("**/kernel", None, 101),
        (("**/bias", "b/*"), None, 110),
        (["a/*"], None, 11),
        ("**", "a/**", 100),
        ("**", ("a/kernel", "b/**"), 10),
        ("**", kernels, 10),
        ("**", lambda path, leaf: path.startswith("b"), 11),
        (lambda path, leaf: "bias" not in path, None, 101),
        (lambda path, leaf: leaf.shape == (1,) and leaf.dtype == jnp.float32, None, 111),
        ({"a": {"kernel": True, "bias": False}, "b": {"kernel": True}}, None, 101),
        ({"a": True, "b": False}, None, 11),
        (True, None, 111),
        ({"a": {"kernel": np.True_, "bias": np.False_}, "b": False}, None, 1),
        ("**", {"a": False, "b": True}, 11),
        (kernels, "b/**", 1),
    ],
)
def test_ways_to_select(where, exclude, expected):
    assert PENALTY.on(where, exclude=exclude)(PARAMS) == expected


def test_two_selections_intersect():
    assert PENALTY.on("a/*").on("**/kernel")(PARAMS) == 1
    assert PENALTY.on("**/kernel", exclude="b/*").on("a/**")(PARAMS) == 1
    assert (L1(1.0).on("a/*") + L1(1.0)).on("**/bias")(PARAMS) == 20


def test_two_selections_with_nothing_in_common_are_an_error():
    with pytest.raises(ValueError, match=r"on\('a/\*'\).*on\('b/\*'\).*matches none"):
        PENALTY.on("a/*").on("b/*")(PARAMS)


def test_overlapping_sum_adds_on_the_overlap_only():
    penalty = L1(1.0).on("a/*") + L2(1.0).on("**/kernel")
    assert penalty(PARAMS) == 11 + 1 + 100**2
    z = penalty.prox(PARAMS, 0.5)
    np.testing.assert_allclose(z["a"]["kernel"], (1 - 0.5) / 2)
    np.testing.assert_allclose(z["a"]["bias"], 9.5)
    np.testing.assert_allclose(z["b"]["kernel"], 50)


def test_sum_of_two_kinds_of_groups_on_one_leaf_has_no_prox():
    params = {"w": jnp.ones((2, 2)), "v": jnp.ones((2, 2))}
    overlapping = GroupLasso(1.0, axis=0) + GroupLasso(1.0, axis=1)
    with pytest.raises(TypeError, match=r"no prox.*\.on\("):
        overlapping.prox(params)
    apart = GroupLasso(1.0, axis=0).on("w") + GroupLasso(1.0, axis=1).on("v")
    assert apart.prox(params)["w"].shape == (2, 2)


# Errors


def test_a_typo_names_the_paths_and_the_nearest_spelling():
    with pytest.raises(ValueError, match="kernal") as error:
        PENALTY.on("**/kernal")(PARAMS)
    message = str(error.value)
    assert all(repr(path) in message for path in ("a/kernel", "a/bias", "b/kernel"))
    assert "Did you mean" in message
    assert "kernel'?" in message


def test_each_pattern_of_a_tuple_must_match():
    with pytest.raises(ValueError, match="'c/\\*'"):
        PENALTY.on(("a/*", "c/*"))(PARAMS)


def test_a_pattern_to_exclude_must_match():
    with pytest.raises(ValueError, match=r"\*\*/scale"):
        PENALTY.on("**", exclude="**/scale")(PARAMS)


@pytest.mark.parametrize("where", [{"a": False, "b": False}, lambda path, leaf: False])
def test_a_selection_of_nothing_is_an_error(where):
    with pytest.raises(ValueError, match="matches none of the 3 leaves"):
        PENALTY.on(where)(PARAMS)
    with pytest.raises(ValueError, match="matches none of the 3 leaves"):
        PENALTY.on(where).prox(PARAMS)


def test_without_leaves_there_is_nothing_to_match():
    with pytest.raises(
        ValueError, match=r"the pattern '\*\*/kernel' has nothing to match: there are no leaves"
    ):
        PENALTY.on("**/kernel")({})


def test_a_function_that_does_not_answer_yes_or_no_is_named():
    def positive(path, leaf):
        return np.ones(2) > 0

    with pytest.raises(TypeError, match=r"positive returned .* leaf 'a/bias': expected True or False"):
        PENALTY.on(positive)(PARAMS)


def test_leaves_with_the_same_path_cannot_be_joined():
    params = {"a/b": jnp.ones(2), "a": {"b": jnp.ones(2)}}
    with pytest.raises(ValueError, match=r"params has 2 leaves with the path 'a/b'"):
        PENALTY.subgradient(params, params)


def test_an_unknown_selection_in_a_config_is_refused():
    config = PENALTY.on(kernels).to_config()
    for wrong in ({"selector": "biases"}, {"masks": {"a": True}}):
        with pytest.raises(ValueError, match="no selection is described by"):
            from_config(config | {"where": wrong})


def test_a_mask_without_an_entry_for_a_leaf_is_an_error():
    with pytest.raises(ValueError, match="no entry for the leaf 'b/kernel'"):
        PENALTY.on({"a": True})(PARAMS)


@pytest.mark.parametrize("where", [3, 0.5, None, (), {}, ("a", 1)])
def test_what_cannot_select_is_refused(where):
    with pytest.raises(TypeError, match="cannot select by"):
        PENALTY.on(where)


def test_selections_by_function_cannot_be_written_down():
    for where in (lambda path, leaf: True, nnx.Param):
        with pytest.raises(TypeError, match="cannot be written to a config"):
            PENALTY.on(where).to_config()


@pytest.mark.parametrize(
    "where", ["**/kernel", ("a/*", "b/*"), {"a": True, "b": {"kernel": False}}, kernels], ids=str
)
def test_selections_by_name_can_be_written_down(where):
    penalty = PENALTY.on(where, exclude="a/bias")
    again = from_config(penalty.to_config())
    assert again(PARAMS) == penalty(PARAMS)
    assert again.to_config() == penalty.to_config()


# Kernels, by role


def numbered(params: Any) -> Any:
    """The arrays filled with 1, 2, 3, ..., so that a value tells which of them were counted."""
    if isinstance(params, nnx.Module):
        graph, state = nnx.split(params)
        return nnx.merge(graph, numbered(state))
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([jnp.full(x.shape, i, x.dtype) for i, x in enumerate(leaves, start=1)])


def sum_by_name(leaves: dict[tuple[str, ...], Any], *names: str) -> float:
    return sum(float(jnp.sum(x)) for path, x in leaves.items() if path[-1] in names)


def linen(module: nn.Module, *args: Any) -> Any:
    return numbered(jax.eval_shape(module.init, jax.random.key(0), *args))


SEQUENCE = jnp.ones((1, 3, 4))


class Layers(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return nn.Dense(4)(x), None


def stacked() -> nn.Module:
    return nn.scan(Layers, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)()


@pytest.mark.parametrize(
    ("module", "args", "count"),
    [
        (nn.Dense(2), (SEQUENCE,), 1),
        (nn.Conv(2, (2,)), (SEQUENCE,), 1),
        (nn.Embed(5, 2), (jnp.zeros(2, jnp.int32),), 1),
        (nn.RNN(nn.LSTMCell(2)), (SEQUENCE,), 8),
        (nn.MultiHeadDotProductAttention(2), (SEQUENCE, SEQUENCE), 4),
        (stacked(), (SEQUENCE, None), 1),
    ],
    ids=["Dense", "Conv", "Embed", "LSTM", "MultiHeadAttention", "stacked"],
)
def test_kernels_of_linen(module, args, count):
    params = linen(module, *args)["params"]
    leaves = flax.traverse_util.flatten_dict(params)
    assert PENALTY.on(kernels)(params) == sum_by_name(leaves, "kernel", "embedding")
    assert len([path for path in leaves if path[-1] in ("kernel", "embedding")]) == count


@pytest.mark.parametrize("module", [nn.BatchNorm(True), nn.LayerNorm(), nn.GroupNorm(2), nn.RMSNorm()])
def test_norms_of_linen_have_no_kernels(module):
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(kernels)(linen(module, SEQUENCE))


def test_biases_of_two_axes_are_no_kernels():
    attention = linen(nn.MultiHeadDotProductAttention(2), SEQUENCE, SEQUENCE)
    assert attention["params"]["query"]["bias"].ndim == 2
    layers = linen(stacked(), SEQUENCE, None)
    assert {x.ndim for x in jax.tree.leaves(layers)} == {2, 3}
    for variables in (attention, layers):
        z = PENALTY.on(kernels).prox(variables["params"])
        biases = [
            z_leaf is leaf
            for (path, z_leaf), leaf in zip(
                flax.traverse_util.flatten_dict(z).items(), jax.tree.leaves(variables), strict=True
            )
            if path[-1] == "bias"
        ]
        assert biases
        assert all(biases)


def stacked_nnx(rngs: nnx.Rngs) -> nnx.Module:
    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=(0,), out_axes=0)
    def make(rngs):
        return nnx.Linear(2, 2, rngs=rngs)

    return make(rngs)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda rngs: nnx.Linear(2, 2, rngs=rngs), 1),
        (lambda rngs: nnx.Conv(2, 2, (2,), rngs=rngs), 1),
        (lambda rngs: nnx.Embed(3, 2, rngs=rngs), 1),
        (lambda rngs: nnx.LSTMCell(2, 2, rngs=rngs), 8),
        (lambda rngs: nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs), 4),
        (lambda rngs: nnx.LoRA(3, 2, 3, rngs=rngs), 2),
        (stacked_nnx, 1),
    ],
    ids=["Linear", "Conv", "Embed", "LSTM", "MultiHeadAttention", "LoRA", "stacked"],
)
def test_kernels_of_nnx(make, count):
    model = numbered(make(nnx.Rngs(0)))
    leaves = {path: x[...] for path, x in nnx.to_flat_state(nnx.state(model, nnx.Param))}
    names = ("kernel", "embedding", "lora_a", "lora_b")
    assert PENALTY.on(kernels)(model) == sum_by_name(leaves, *names)
    assert len([path for path in leaves if path[-1] in names]) == count


@pytest.mark.parametrize("norm", [nnx.BatchNorm, nnx.LayerNorm, nnx.RMSNorm])
def test_norms_of_nnx_have_no_kernels(norm):
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(kernels)(norm(2, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (lambda key: eqx.nn.Linear(2, 3, key=key), 1),
        (lambda key: eqx.nn.Conv2d(2, 3, 2, key=key), 1),
        (lambda key: eqx.nn.Embedding(3, 2, key=key), 1),
        (lambda key: eqx.nn.MultiheadAttention(2, 4, key=key), 4),
        (lambda key: eqx.nn.LSTMCell(2, 3, key=key), 2),
        (lambda key: eqx.nn.MLP(2, 2, 3, 2, key=key), 3),
    ],
    ids=["Linear", "Conv2d", "Embedding", "MultiheadAttention", "LSTMCell", "MLP"],
)
def test_kernels_of_equinox(layer, count):
    model = layer(jax.random.key(0))
    weights = [
        x
        for path, x in jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_inexact_array))
        if "weight" in jax.tree_util.keystr(path[-1:])
    ]
    assert len(weights) == count
    expected = sum(float(jnp.sum(jnp.abs(w))) for w in weights)
    np.testing.assert_allclose(PENALTY.on(kernels)(model), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "norm",
    [eqx.nn.LayerNorm((2, 3)), eqx.nn.LayerNorm(3), eqx.nn.RMSNorm((2, 3)), eqx.nn.GroupNorm(2, 4)],
    ids=["LayerNorm_2d", "LayerNorm", "RMSNorm", "GroupNorm"],
)
def test_norms_of_equinox_have_no_kernels(norm):
    for params in (norm, {"layers": [norm]}):
        with pytest.raises(ValueError, match="matches none"):
            PENALTY.on(kernels)(params)


def test_kernels_of_haiku():
    ones = jnp.ones((2, 2))
    params = {
        "mlp/~/linear_0": {"w": ones, "b": jnp.ones(2)},
        "lstm/linear": {"w": ones, "b": jnp.ones(2)},
        "embed": {"embeddings": ones},
        "layer_norm": {"scale": jnp.ones(2), "offset": jnp.ones(2)},
    }
    assert PENALTY.on(kernels)(params) == 12


def test_kernels_of_keras():
    ones = jnp.ones((2, 2))
    params = {
        "dense/kernel": ones,
        "dense/bias": jnp.ones(2),
        "lstm/lstm_cell/kernel": ones,
        "lstm/lstm_cell/recurrent_kernel": ones,
        "lstm/lstm_cell/bias": jnp.ones(2),
        "gru/gru_cell/bias": ones,  # two axes: reset_after
        "embedding/embeddings": ones,
        "separable/depthwise_kernel": ones,
        "separable/pointwise_kernel": ones,
        "norm/gamma": jnp.ones(2),
        "norm/beta": jnp.ones(2),
        "norm/moving_mean": jnp.ones(2),
    }
    assert PENALTY.on(kernels)(params) == 6 * 4


def test_python_numbers_are_settings_and_not_weights():
    params = {"w": jnp.ones(2), "rate": 0.5}
    assert float(L1(1.0)(params)) == 2.0
    assert L1(1.0).prox(params)["rate"] == 0.5


def test_the_same_variable_twice_in_a_dict_counts_once_and_stays_tied():
    w = nnx.Param(jnp.ones(2))
    params = {"a": w, "b": w}
    assert float(L1(1.0)(params)) == 2.0
    shrunk = L1(1.0).prox(params, 0.5)
    assert shrunk["a"] is shrunk["b"]


def test_a_module_without_params_is_an_error():
    with pytest.raises(TypeError, match="nothing to penalize"):
        L1(1.0)(nnx.Dropout(0.5, rngs=nnx.Rngs(0)))
