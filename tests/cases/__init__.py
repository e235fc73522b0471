"""The table of penalties: every law in `family/test_laws_*.py` is tested on every row.

A new penalty is one more row, in the file named like its own in the family. The closed forms are in float64
NumPy and share nothing with the library, so that they can serve as oracles.
"""

from cases import (
    algebra,
    composed,
    constraints,
    elementwise,
    groups,
    matrices,
    nonconvex,
    powers,
    sorted,
    variation,
)
from cases.case import SHAPES, Case, flat, random_params, ravel, tree, unravel

CASES: list[Case] = [
    *elementwise.CASES,
    *nonconvex.CASES,
    *powers.CASES,
    *groups.CASES,
    *constraints.CASES,
    *sorted.CASES,
    *matrices.CASES,
    *variation.CASES,
    *composed.CASES,
    *algebra.CASES,
]

__all__ = ["CASES", "SHAPES", "Case", "flat", "random_params", "ravel", "tree", "unravel"]
