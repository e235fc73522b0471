"""What `to_sparsity` counts by, what it reports, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import (
    L1,
    L2,
    MCP,
    Coupled,
    Grouped,
    GroupLasso,
    Huber,
    LogSum,
    NonNegative,
    TargetReport,
    blocks,
    couplings,
    kernels,
    labels,
    penalized,
    target_report,
    to_sparsity,
    units,
)
from penalties._choose.controller import held_to
from penalties._choose.quantiles import BITS, between, coarse, ordered, smallest_reaching, untied
from penalties._choose.strides import MeasuredState, measured
from penalties._choose.units import needed, priorities, sizes, slopes, spread

PARAMS = {"a": {"kernel": jnp.ones((6, 5)), "bias": jnp.ones(5)}, "b": {"kernel": jnp.ones((5, 2))}}


@pytest.mark.parametrize("pooled", [True, False])
def test_order_statistics_are_those_of_a_sort(pooled):
    rng = np.random.default_rng(0)
    leaves = [np.abs(rng.normal(size=n)).astype(np.float32) ** 9 for n in (7, 100)]
    leaves[1][:3] = np.inf, 0, np.nan  # NaN counts as the largest
    wanted = np.array([5, 5])
    keys = [ordered(jnp.asarray(x)) for x in leaves]
    found = smallest_reaching(keys, jnp.asarray(wanted), pooled)
    pools = [np.concatenate(leaves)] * 2 if pooled else leaves
    assert np.asarray(found).view(np.float32).tolist() == [np.sort(pool)[4] for pool in pools]


def test_coarse_keys_are_enough():
    x = jnp.linspace(0.1, 5.0, 100)
    low, high = between(smallest_reaching([coarse(x)], jnp.array([30]), pooled=True, bits=BITS))
    assert 0.99 * x[29] <= low[0] <= x[29] <= high[0] <= 1.01 * x[29]
    assert coarse(jnp.array([0.0, jnp.inf])).tolist() == [0, 0xFF00]


def test_equal_keys_come_apart_and_order_stays():
    keys = untied(ordered(jnp.repeat(jnp.array([1.0, 1.01]), 500)), 12)
    assert len(np.unique(keys)) > 900
    assert keys[:500].max() < keys[500:].min()


@pytest.mark.parametrize(
    "penalty", [L1(1.0), L1(2.0), GroupLasso(1.0), MCP(30.0), Grouped(LogSum(1.0, epsilon=9.0))]
)
def test_the_factor_that_is_needed(penalty):
    """Beyond it a prox-gradient step ends at zero, short of it it does not."""
    rng = np.random.default_rng(0)
    w, g = (np.float32(rng.normal(size=(3, 4))) for _ in "wg")
    w[:, 0] = 0
    bound, reach = jax.tree.map(jnp.asarray, penalty), 0.3
    # Of nonconvex penalties λ is that of the size of now: linearized, they are lassos.
    at, slope = needed(bound, jnp.asarray(w), jnp.asarray(g), jnp.asarray(reach), jnp.asarray(1.0))
    for short, lands in ((0.999, False), (1.001, True)):
        lasso = (GroupLasso if at.shape[0] == 1 else L1)(short * at * slope)
        zero = lasso.prox(jnp.asarray(w - np.float32(reach) * g), step=reach) == 0
        assert (zero == lands).all()


def test_the_living_come_before_zeros():
    keys = priorities(L1(jnp.asarray(1.0)), jnp.array([0.0, 1e-9, -2.0, 0.0]), jnp.array([5.0, 0, 0, 9.0]))
    assert np.argsort(keys).tolist() == [0, 3, 1, 2]


def test_groups_are_measured_by_the_mean_of_their_leaf_and_weights_are_not():
    w = jnp.array([[0.0, 1.0, 2.0]])
    groups, average = GroupLasso(jnp.asarray(1.0)), jnp.ones((1, 3))
    found = [priorities(groups, factor * w, average / factor) for factor in (1, 64)]
    np.testing.assert_array_equal(*found)
    single = L1(jnp.asarray(1.0))
    assert (priorities(single, 64 * w, average) > priorities(single, w, average))[0, 1:].all()


@pytest.mark.parametrize(("least", "left"), [(2, 3), (1, 1)])
def test_a_step_that_would_leave_too_few_groups_kills_none(least, left):
    w = jnp.array([[1.0, 2.0, 3.0]])
    updates = jnp.array([[-1.0, -2.0, -1.0]])
    penalty, all_kept = GroupLasso(jnp.asarray(1.0)), (jnp.ones((1, 3), bool), jnp.zeros((1, 3), bool))
    bar, held, stride = jnp.int32(0), jnp.asarray(False), jnp.asarray(0.1)
    found = held_to(penalty, w, updates, w, stride, bar, all_kept, held, jnp.int32(least))
    after = w + found
    assert int(jnp.sum(after != 0)) == left
    assert after[0, 2] == 2  # others go on


@pytest.mark.parametrize(
    ("groups", "labels_of_weights"),
    [
        (blocks((2, 3)), np.array([[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2)),
        (labels([[5], [9], [9], [7]]), np.array([[0], [2], [2], [1]]) + np.zeros(6, int)),
        (units(0), np.arange(4)[:, None] + np.zeros(6, int)),
    ],
    ids=repr,
)
def test_each_unit_counts_once_and_spreads_to_its_weights(groups, labels_of_weights):
    w = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    penalty = GroupLasso(jnp.asarray(2.0), groups=groups)
    size = sizes(penalty, w)
    found = [np.sqrt(np.mean(w[labels_of_weights == g] ** 2)) for g in np.unique(labels_of_weights)]
    np.testing.assert_allclose(size.ravel(), found, rtol=1e-5)
    assert slopes(penalty, w).shape == size.shape
    spread_out = np.broadcast_to(spread(penalty, size, w), w.shape)
    np.testing.assert_array_equal(spread_out, size.ravel()[labels_of_weights])


def run(optimizer, params, grads, steps):
    state = optimizer.init(params)
    step = jax.jit(lambda state, params: optimizer.update(grads, state, params))
    for _ in range(steps):
        updates, state = step(state, params)
        params = optax.apply_updates(params, updates)
    return state


def test_a_cut_that_takes_much_is_reported():
    w, grads = jnp.linspace(0.5, 1.5, 20), jnp.zeros(20)
    state = run(optax.chain(to_sparsity(optax.sgd(1e-6), L1(1.0), 0.75, 140)), w, grads + 0.1, 71)
    with pytest.warns(UserWarning, match=r"take 75 points .* learning rate is too small for this target"):
        report = target_report(state)
    assert report == TargetReport(71, 140, 0.75, True, 0.75, report.reason)
    assert "took 75 points" in str(report)
    assert report.reason in str(report)


def test_a_report_in_between_says_how_far_it_is():
    state = to_sparsity(optax.sgd(0.1), L1(1.0).on(kernels), {"a": 0.5, "b": 0.6}, 200).init(PARAMS)
    assert str(target_report(state)) == "step 0 of 200, target {'a': 0.5, 'b': 0.6}: zeros are rising"


def test_reports_of_other_states():
    state = to_sparsity(optax.sgd(0.1), L1(1.0), 0.5, 200).init(jnp.ones(4))
    with pytest.raises(TypeError, match="found 0 in a tuple"):
        target_report(optax.adam(0.1).init(jnp.ones(3)))
    with pytest.raises(TypeError, match="found 2"):
        target_report((state, state))
    with pytest.raises(TypeError, match="of several under vmap take one"):
        target_report(jax.tree.map(lambda x: jnp.stack([x, x]), state))


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"target": 90}, ValueError, r"target is 90: .* in \[0, 1\); 90 % is 0.9"),
        ({"target": 1.0}, ValueError, r"target is 1.0: expected a share of zeros in \[0, 1\)"),
        ({"target": -0.1}, ValueError, "target is -0.1"),
        ({"target": float("nan")}, ValueError, "target is nan"),
        ({"target": {"a": 0.5, "b": 2.0}}, ValueError, r"target\['b'\] is 2.0"),
        ({"target": "90%"}, TypeError, "target is '90%' of type str"),
        ({"target": {}}, TypeError, "the empty tree"),
        (
            {"steps": 100},
            ValueError,
            "rises in 40 with cut=0.5, .* needs 50: train for 125 steps or more",
        ),
        ({"steps": 1e3}, TypeError, "steps is 1000.0 of type float: expected the number of updates"),
        ({"steps": None}, TypeError, "steps is None"),
        ({"cut": 0.0}, ValueError, r"cut is 0.0: expected a number in \(0, 1\]"),
        ({"cut": "half"}, TypeError, "cut is 'half' of type str"),
        ({"floor": 2}, ValueError, r"floor is 2: expected a number in \[0, 1\]"),
        ({"penalty": L2(1.0)}, TypeError, "no kink at zero, and makes no zeros at any strength"),
        ({"penalty": Huber(1.0)}, TypeError, "no kink"),
        ({"penalty": NonNegative()}, TypeError, "the rule by which exact zeros are reached"),
        ({"penalty": lambda step: L1(1.0)}, TypeError, "a schedule of it has no use"),
        ({"optimizer": 0.1}, TypeError, "the optimizer is 0.1 of type float"),
        (
            {"optimizer": L1(1.0), "penalty": optax.sgd(0.1)},
            TypeError,
            r"^the optimizer is L1\(1\.0\) of .* as in to_sparsity\(optimizer, penalty, target, steps\)",
        ),
    ],
)
def test_bad_arguments(wrong, error, match):
    arguments = {"optimizer": optax.sgd(0.1), "penalty": L1(1.0), "target": 0.9, "steps": 1_000} | wrong
    with pytest.raises(error, match=match):
        to_sparsity(**arguments)


@pytest.mark.parametrize(
    ("penalty", "target", "error", "match"),
    [
        (L1(1.0).on(kernels), 0.99, ValueError, r"0.99 leaves 0 of 40 units for \['a/kernel', 'b/kernel'\]"),
        (L1(1.0).on(kernels), {"a": 0.5, "b": 0.99}, ValueError, "leaves 0 of 10 .* aim at 0.9 or less"),
        (GroupLasso(1.0).on(kernels), {"a": 0.5, "b": 0.8}, ValueError, "leaves 0 of 2 units for 'b/kernel'"),
        (L1(1.0).on(kernels), {"a": 0.5}, ValueError, "target has no entry for the leaf 'b/kernel'"),
        (L1(1.0).on(kernels), {"a": 0.5, "b": 0.5, "c": 0.5}, ValueError, "'c', which is no leaf or branch"),
        ((L1(1.0) + GroupLasso(1.0)).on(kernels), 0.5, TypeError, "single zeros and zero groups"),
        (
            L1(1.0).around({"a": {"kernel": jnp.ones((6, 5))}}).on("a/kernel"),
            0.5,
            TypeError,
            "no penalty of sizes",
        ),
        (L1(1.0).on("kernal"), 0.5, ValueError, "matches none"),
    ],
)
def test_targets_that_do_not_fit_the_params(penalty, target, error, match):
    with pytest.raises(error, match=match):
        to_sparsity(optax.sgd(0.1), penalty, target, 1_000).init(PARAMS)


def test_units_that_span_leaves_count_once_and_have_one_target():
    found = couplings(
        lambda params, x: (
            jnp.tanh(x @ params["a"]["kernel"] + params["a"]["bias"][None]) @ params["b"]["kernel"]
        ),
        PARAMS,
        jnp.ones((1, 6)),
    )
    coupled = Coupled(L1(1.0), found)
    state = to_sparsity(optax.sgd(0.1), coupled, 0.8, 200).init(PARAMS)
    assert set(state.strides) == {"a/kernel", "a/bias"}
    for penalty, target, error, match in (
        (coupled, 0.9, ValueError, r"leaves 0 of 5 units for \['a/bias', 'a/kernel'\]"),
        (coupled, {"a": {"kernel": 0.5, "bias": 0.5}}, ValueError, "several entries for the leaves"),
        (coupled + L1(1.0), 0.5, TypeError, r"1\.0\) on the leaves \['a/bias', .* and zero groups"),
    ):
        with pytest.raises(error, match=match):
            to_sparsity(optax.sgd(0.1), penalty, target, 200).init(PARAMS)


def test_two_that_decide_about_zeros_are_refused():
    inner = optax.chain(optax.clip(1.0), penalized(optax.sgd(0.1), L2(0.1)))
    with pytest.raises(TypeError, match=r"give it the optimizer alone, and one penalty"):
        to_sparsity(inner, L1(1.0), 0.5, 200).init(jnp.ones(4))


def test_a_step_by_momentum_alone_does_not_measure_the_stride():
    optimizer, params = optax.sgd(0.1, momentum=0.9), {"w": jnp.ones(3)}
    measuring = measured(optimizer.update, jnp.array(True))
    state = MeasuredState(optimizer.init(params), {"w": jnp.zeros(())})
    _, state = measuring(params, state, params)
    for _ in range(2):
        _, after = measuring({"w": jnp.zeros(3)}, state, params)
        assert 0 < float(after.strides["w"]) == float(state.strides["w"])
        state = after


def test_leaves_without_weights_have_no_unit_to_keep():
    optimizer = to_sparsity(optax.sgd(0.1), L1(1.0), 0.9, 200)
    state = optimizer.init({"empty": jnp.ones(0), "full": jnp.ones(10)})
    assert set(state.strides) == {"full"}
    with pytest.raises(ValueError, match=r"\['empty'\] have no weights"):
        optimizer.init({"empty": jnp.ones(0)})
    with pytest.raises(ValueError, match="each leaf needs one: leave leaves out"):
        optimizer.init(jnp.ones(()))


def test_without_params():
    optimizer = to_sparsity(optax.sgd(0.1), LogSum(1.0, epsilon=1.0), 0.5, 1_000)
    with pytest.raises(ValueError, match="to_sparsity needs the params"):
        optimizer.update(jnp.ones(4), optimizer.init(jnp.ones(4)))
