"""The rows of sums, selections, multiples, and of strengths for each leaf."""

import numpy as np

from penalties import L1, L2, MCP, ElasticNet, GroupLasso, kernels

from cases.case import Case, on_kernels
from cases.elementwise import l1_dual, l1_value, l2_dual, l2_value
from cases.groups import group_value
from cases.nonconvex import mcp_sizes

CASES = [
    Case(
        "L2+MCP",
        lambda s: L2(s) + MCP(s, gamma=5.0),
        value=lambda path, w, s: l2_value(w, s) + float(mcp_sizes(np.abs(w), s, 5.0).sum()),
        linear=False,
        slow=True,
    ),
    Case(
        "L1+L2",
        lambda s: L1(s) + L2(2 * s),
        value=lambda path, w, s: l1_value(w, s) + l2_value(w, 2 * s),
        slow=True,
    ),
    Case(
        "L1+L1",
        lambda s: L1(s) + L1(s),
        value=lambda path, w, s: l1_value(w, 2 * s),
        dual=lambda path, v, ts: l1_dual(v, 2 * ts),
        degree=1,
        slow=True,
    ),
    Case(
        "sparse_group_lasso",
        lambda s: GroupLasso(s) + L1(s),
        value=lambda path, w, s: l1_value(w, s) + group_value(w, s),
        degree=1,
        separable=False,
    ),
    Case(
        "GroupLasso+ElasticNet",
        lambda s: GroupLasso(s) + ElasticNet(s, s),
        value=lambda path, w, s: group_value(w, s) + l1_value(w, s) + l2_value(w, s),
        separable=False,
        slow=True,
    ),
    Case(
        "L1.on(kernels)",
        lambda s: L1(s).on(kernels),
        value=lambda path, w, s: l1_value(w, s) if on_kernels(path) else 0.0,
        dual=lambda path, v, ts: l1_dual(v, ts if on_kernels(path) else 0.0),
        degree=1,
        selects=on_kernels,
        has_kink=on_kernels,
        slow=True,
    ),
    Case(
        "each_its_own_leaves",
        lambda s: L1(s).on("*/kernel") + L2(s).on("*/bias"),
        value=lambda path, w, s: l1_value(w, s) if on_kernels(path) else l2_value(w, s),
        dual=lambda path, v, ts: l1_dual(v, ts) if on_kernels(path) else l2_dual(v, ts),
        has_kink=on_kernels,
    ),
    Case(
        "selected_sum",
        lambda s: (L1(s) + GroupLasso(s)).on("**", exclude="**/bias"),
        value=lambda path, w, s: l1_value(w, s) + group_value(w, s) if on_kernels(path) else 0.0,
        degree=1,
        separable=False,
        selects=on_kernels,
        has_kink=on_kernels,
        slow=True,
    ),
    Case(
        "scaled",
        lambda s: 4 * L1(s),
        value=lambda path, w, s: l1_value(w, 4 * s),
        dual=lambda path, v, ts: l1_dual(v, 4 * ts),
        degree=1,
        slow=True,
    ),
    Case(
        "strength_for_each_leaf",
        lambda s: L1({"dense": {"kernel": s, "bias": 2 * s}, "scan": 4 * s}),
        value=lambda path, w, s: l1_value(w, s * {"dense/kernel": 1, "dense/bias": 2}.get(path, 4)),
        dual=lambda path, v, ts: l1_dual(v, ts * {"dense/kernel": 1, "dense/bias": 2}.get(path, 4)),
        degree=1,
        slow=True,
    ),
]
