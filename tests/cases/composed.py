"""The rows of penalties made of others."""

from penalties import L1

from cases.case import Case, nowhere
from cases.elementwise import huber_value, l1_dual, l1_value

CASES = [
    Case(
        "L1.around(0)",
        lambda s: L1(s).around(0.0),
        value=lambda path, w, s: l1_value(w, s),
        dual=lambda path, v, ts: l1_dual(v, ts),
        degree=1,
        slow=True,
    ),
    Case(
        "L1.smoothed",  # Huber's function, by another way
        lambda s: s * L1(1.0).smoothed(0.5),
        value=lambda path, w, s: huber_value(w, 2 * s, 0.5),
        has_kink=nowhere,
        slow=True,
    ),
]
