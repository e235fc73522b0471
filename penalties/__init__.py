"""penalties: L1, L2, ElasticNet and their relatives for JAX, with zeros that are exactly zero."""

from importlib.metadata import version as _version

from penalties import functional
from penalties._family.elementwise import L1, L2, ElasticNet
from penalties._family.groups import GroupLasso
from penalties._measure.describe import describe
from penalties._measure.optimality import optimality
from penalties._measure.sparsity import sparsity
from penalties._penalty.base import Average, Penalty, SettlingPenalty
from penalties._penalty.config import from_config
from penalties._penalty.fields import static
from penalties._training.add_penalty import add_penalty
from penalties._training.keep_zeros import keep_zeros
from penalties._training.penalized import penalized
from penalties._training.proximal import proximal
from penalties._tree.selection import kernels
from penalties.functional import elastic_net, group_lasso, l1, l2

__version__ = _version("penalties")

__all__ = [
    "L1",
    "L2",
    "Average",
    "ElasticNet",
    "GroupLasso",
    "Penalty",
    "SettlingPenalty",
    "add_penalty",
    "describe",
    "elastic_net",
    "from_config",
    "functional",
    "group_lasso",
    "keep_zeros",
    "kernels",
    "l1",
    "l2",
    "optimality",
    "penalized",
    "proximal",
    "sparsity",
    "static",
]
