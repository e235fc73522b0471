"""penalties: L1, L2, ElasticNet and their relatives for JAX, with zeros that are exactly zero."""

from importlib.metadata import version as _version

from penalties import functional
from penalties._config import from_config
from penalties._elementwise import L1, L2, ElasticNet
from penalties._fields import static
from penalties._groups import GroupLasso
from penalties._optimality import optimality
from penalties._penalized import keep_zeros, penalized
from penalties._penalty import Average, Penalty, SettlingPenalty
from penalties._report import describe
from penalties._selection import kernels
from penalties._sparsity import sparsity
from penalties._transforms import add_penalty, proximal
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
