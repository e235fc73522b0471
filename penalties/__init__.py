"""penalties: L1, L2, ElasticNet and their relatives for JAX, with zeros that are exactly zero."""

from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from penalties import functional
from penalties._choose.at_zero import grads_at_zero
from penalties._choose.cross_validate import CrossValidation, cross_validate
from penalties._choose.fit_path import fit_path
from penalties._choose.grid import strength_grid
from penalties._choose.hold_zeros import hold_zeros
from penalties._choose.path import Path, PathPoint
from penalties._choose.rank_features import FeatureRanking, rank_features
from penalties._choose.solve import Solution, solve
from penalties._choose.stability import StabilitySelection, stability_selection
from penalties._choose.steering import SparsityState
from penalties._choose.strengths import strength_max
from penalties._choose.target_report import TargetReport, target_report
from penalties._choose.to_sparsity import to_sparsity
from penalties._choose.write_page import write_page
from penalties._family.adaptive import adaptive
from penalties._family.constraints import Box, L1Ball, LInfBall, NonNegative, NonNegativeL1, Simplex
from penalties._family.elementwise import L1, L2, ElasticNet, Huber
from penalties._family.group_shapes import blocks, labels, leaves, units
from penalties._family.groups import Grouped, GroupLasso
from penalties._family.matrices import Nuclear, Rank, Spectral, SpectralNorm
from penalties._family.matrix_sets import PSD, Orthonormal
from penalties._family.mixed_norms import ExclusiveLasso, GroupLInf
from penalties._family.nonconvex import MCP, SCAD, LogSum
from penalties._family.orthogonal import Orthogonal, SoftOrthogonal
from penalties._family.patterns import GloballySparse, NOfM, Sparse
from penalties._family.powers import L0, LHalf, LTwoThirds
from penalties._family.sorted import OSCAR, SLOPE, GroupSLOPE
from penalties._family.unit_norms import L2Ball, MaxNorm, MinMaxNorm, UnitNorm
from penalties._family.variation import SquaredDifferences, TotalVariation
from penalties._measure.describe import Description, describe
from penalties._measure.group_sparsity import group_sparsity
from penalties._measure.optimality import Optimality, optimality
from penalties._measure.sparsity import Sparsity, sparsity
from penalties._penalty.base import Order, Penalty
from penalties._penalty.config import from_config
from penalties._penalty.constraint import Constraint
from penalties._penalty.fields import parameter, static
from penalties._penalty.partitions import Partition
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty, SmoothPenalty
from penalties._penalty.sizes import PenaltyOfSizes, SizePenalty
from penalties._penalty.strengths import Strength
from penalties._shrink.coupled import Coupled
from penalties._shrink.couplings import CoupledAxis, CoupledUnits, Couplings, PinnedAxis, couplings
from penalties._shrink.factorize import Factorization, Factors, factorize
from penalties._shrink.report import ShrinkReport
from penalties._shrink.shrink import Shrunk, shrink
from penalties._shrink.sparse import to_bcoo
from penalties._training.add_penalty import add_penalty
from penalties._training.keep_zeros import keep_zeros
from penalties._training.penalized import PenalizedState, penalized
from penalties._training.proximal import proximal
from penalties._training.scheduled import PenaltyState
from penalties._tree.selection import Where, kernels
from penalties.functional import elastic_net, group_lasso, l1, l2

try:
    __version__ = _version("penalties")
except _PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "L0",
    "L1",
    "L2",
    "MCP",
    "OSCAR",
    "PSD",
    "SCAD",
    "SLOPE",
    "Average",
    "Box",
    "Constraint",
    "Coupled",
    "CoupledAxis",
    "CoupledUnits",
    "Couplings",
    "CrossValidation",
    "Description",
    "ElasticNet",
    "ExclusiveLasso",
    "Factorization",
    "Factors",
    "FeatureRanking",
    "GloballySparse",
    "GroupLInf",
    "GroupLasso",
    "GroupSLOPE",
    "Grouped",
    "Huber",
    "L1Ball",
    "L2Ball",
    "LHalf",
    "LInfBall",
    "LTwoThirds",
    "LogSum",
    "MaxNorm",
    "MinMaxNorm",
    "NOfM",
    "NonNegative",
    "NonNegativeL1",
    "Nuclear",
    "Optimality",
    "Order",
    "Orthogonal",
    "Orthonormal",
    "Partition",
    "Path",
    "PathPoint",
    "PenalizedState",
    "Penalty",
    "PenaltyOfSizes",
    "PenaltyState",
    "PinnedAxis",
    "Rank",
    "SettlingPenalty",
    "ShrinkReport",
    "Shrunk",
    "Simplex",
    "SizePenalty",
    "SmoothPenalty",
    "SoftOrthogonal",
    "Solution",
    "Sparse",
    "Sparsity",
    "SparsityState",
    "Spectral",
    "SpectralNorm",
    "SquaredDifferences",
    "StabilitySelection",
    "Strength",
    "TargetReport",
    "TotalVariation",
    "UnitNorm",
    "Where",
    "adaptive",
    "add_penalty",
    "blocks",
    "couplings",
    "cross_validate",
    "describe",
    "elastic_net",
    "factorize",
    "fit_path",
    "from_config",
    "functional",
    "grads_at_zero",
    "group_lasso",
    "group_sparsity",
    "hold_zeros",
    "keep_zeros",
    "kernels",
    "l1",
    "l2",
    "labels",
    "leaves",
    "optimality",
    "parameter",
    "penalized",
    "proximal",
    "rank_features",
    "shrink",
    "solve",
    "sparsity",
    "stability_selection",
    "static",
    "strength_grid",
    "strength_max",
    "target_report",
    "to_bcoo",
    "to_sparsity",
    "units",
    "write_page",
]
