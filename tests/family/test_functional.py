"""The functions are their classes, compiled or not, with strengths that are data."""

import chex
from absl.testing import parameterized

from penalties import (
    L0,
    L1,
    L2,
    MCP,
    SCAD,
    ElasticNet,
    GroupLasso,
    LHalf,
    elastic_net,
    functional,
    group_lasso,
    l1,
    l2,
)

from cases import random_params

VALUES = {
    "mcp": (lambda w, s: functional.mcp(w, s, gamma=2.0), lambda s: MCP(s, gamma=2.0)),
    "l0": (functional.l0, L0),
    "l1": (l1, L1),
    "l2": (l2, L2),
    "elastic_net": (lambda w, s: elastic_net(w, l1=s, l2=2 * s), lambda s: ElasticNet(s, 2 * s)),
    "group_lasso": (lambda w, s: group_lasso(w, s, axis=0), lambda s: GroupLasso(s, axis=0)),
}
PROXES = {
    "prox_scad": (lambda w, s: functional.prox_scad(w, s, a=4.0, step=0.5), lambda s: SCAD(s, a=4.0)),
    "prox_l_half": (lambda w, s: functional.prox_l_half(w, s, step=0.5), LHalf),
    "prox_l1": (lambda w, s: functional.prox_l1(w, s, step=0.5), L1),
    "prox_l2": (lambda w, s: functional.prox_l2(w, s, step=0.5), L2),
    "prox_elastic_net": (
        lambda w, s: functional.prox_elastic_net(w, l1=s, l2=2 * s, step=0.5),
        lambda s: ElasticNet(s, 2 * s),
    ),
    "prox_group_lasso": (
        lambda w, s: functional.prox_group_lasso(w, s, axis=0, step=0.5),
        lambda s: GroupLasso(s, axis=0),
    ),
}


class Functions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters((name, *pair) for name, pair in VALUES.items())
    def test_functions_are_the_classes(self, ours, penalty):
        value = self.variant(ours)(random_params(), 0.1)
        chex.assert_trees_all_equal(value, self.variant(lambda w, s: penalty(s)(w))(random_params(), 0.1))

    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters((name, *pair) for name, pair in PROXES.items())
    def test_proxes_are_those_of_the_classes(self, ours, penalty):
        z = self.variant(ours)(random_params(), 0.1)
        expected = self.variant(lambda w, s: penalty(s).prox(w, 0.5))(random_params(), 0.1)
        chex.assert_trees_all_equal(z, expected)
