"""`group_sparsity`: zero groups of every shape, counted against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import (
    L1,
    L2,
    MCP,
    Coupled,
    ExclusiveLasso,
    GloballySparse,
    Grouped,
    GroupLasso,
    GroupLInf,
    GroupSLOPE,
    blocks,
    couplings,
    group_sparsity,
    labels,
    leaves,
)

W = np.zeros((4, 4), np.float32)
W[0, 1] = 1e-30  # whose square is zero
W[3, 2] = np.nan
W[2, 3] = -1.0
PARAMS = {"w": jnp.asarray(W), "b": jnp.array([0.0, -0.0, 2.0, 0.0])}


@pytest.mark.parametrize(
    ("penalty", "zeros", "size"),
    [
        (GroupLasso(0.1).on("w"), 1, 4),
        (GroupLasso(0.1, axis=0), 1 + 3, 8),
        (GroupLasso(0.1, axis=0) + Grouped(MCP(1.0), axis=0) + L1(0.1) + L2(1.0), 1 + 3, 8),
        (GroupLInf(0.1, axis=0).on("w") + L1(1.0).on("b"), 1, 4),
        (ExclusiveLasso(0.1).on("w"), 1, 4),
        (GroupSLOPE(1.0).on("w"), 1, 4),
        (GroupLasso(0.1, groups=blocks((2, 2))).on("w"), 2, 4),
        (GroupLasso(0.1, groups=labels(np.array([0, 7, 7, 7]))).on("w"), 1, 2),
        (GroupLasso(0.1, groups=leaves()), 0, 2),
        (GroupLasso(0.1, axis=0).on("w") + GroupLasso(0.2, groups=leaves()).on("b"), 1, 5),
    ],
)
def test_zero_groups_are_counted(penalty, zeros, size):
    found = group_sparsity(penalty, PARAMS)
    assert (int(found.zeros), found.size) == (zeros, size)
    np.testing.assert_allclose(found.share, zeros / size, rtol=1e-6)


def test_it_leaves_a_jitted_step_leaf_by_leaf():
    found = jax.jit(group_sparsity)(GroupLasso(0.1, axis=0), PARAMS)
    assert {path: int(of.zeros) for path, of in found.leaves.items()} == {"b": 3, "w": 1}
    assert (
        jax.vmap(lambda w: group_sparsity(GroupLasso(0.1), w))(jnp.zeros((2, 3, 4))).zeros.tolist() == [4] * 2
    )
    assert group_sparsity(GroupLasso(0.1), {}).size == 0


def test_units_are_zero_with_all_that_makes_them():
    def network(params, x):
        return jax.nn.relu(x @ params["w"] + params["b"][None]) @ params["v"]

    params = {
        "w": jnp.zeros((2, 3)).at[0, 0].set(1),
        "b": jnp.array([0.0, 1e-30, 0.0]),
        "v": jnp.ones((3, 1)),
    }
    penalty = Coupled(L1(1.0), couplings(network, params, jnp.ones((1, 2))))
    for each in (penalty, penalty + L1(0.1)):
        found = group_sparsity(each, params)
        assert (int(found.zeros), found.size, list(found.leaves)) == (1, 3, ["b"])


def test_what_has_no_groups_is_refused():
    for penalty in (L1(0.1), GloballySparse(2), Grouped(MCP(0.1)).around(0.0)):
        with pytest.raises(TypeError, match=r"has no groups: .* `sparsity\(params\)`"):
            group_sparsity(penalty, PARAMS)
    with pytest.raises(TypeError, match="groups of several kinds"):
        group_sparsity(GroupLasso(0.1) + GroupLasso(0.1, axis=0), PARAMS)
    with pytest.raises(TypeError, match=r"the penalty in group_sparsity\(penalty, params\)"):
        group_sparsity(PARAMS, GroupLasso(0.1))
