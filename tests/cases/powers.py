"""The rows of powers of single weights."""

import numpy as np

from penalties import L0, LHalf, LTwoThirds

from cases.case import Case

CASES = [
    Case(
        "L0",
        L0,
        value=lambda path, w, s: s * np.count_nonzero(w),
        degree=0,
        convex=False,
        bounded=True,
        slow=True,
    ),
    Case(
        "LHalf",
        LHalf,
        value=lambda path, w, s: s * np.sqrt(np.abs(w)).sum(),
        degree=1 / 2,
        convex=False,
        slow=True,
    ),
    Case(
        "LTwoThirds",
        LTwoThirds,
        value=lambda path, w, s: s * (np.abs(w) ** (2 / 3)).sum(),
        degree=2 / 3,
        convex=False,
        slow=True,
    ),
]
