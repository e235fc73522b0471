"""For each primitive, which positions of its operands and results go together.

A rule takes the coupling (for new labels, unions and pins), the equation and the labels of its
operands' axes, and returns those of its results' axes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penalties._shrink import rules_indexing, rules_layout, rules_sums
from penalties._shrink.program import names
from penalties._shrink.rules_layout import Axes

if TYPE_CHECKING:
    from penalties._shrink.coupling import Coupling
    from penalties._shrink.program import Equation


Rule = Callable[["Coupling", "Equation", list[Axes]], list[Axes]]

# Element i of the result is made of element i of each operand.
ELEMENTWISE = names(
    """abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp clz complex conj
    convert_element_type copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt
    imag integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or
    population_count pow real reduce_precision rem round rsqrt select_n shift_left
    shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor"""
)

# The same elements in another arrangement.
LAYOUTS = names("transpose reshape squeeze expand_dims broadcast_in_dim slice split rev unstack")

# What leaves something else when a 0 is gone.
REDUCTIONS = names("reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax argmin")
CUMULATIVE = names("cumsum cumprod cummax cummin cumlogsumexp")
WINDOWS = names("reduce_window_max reduce_window_min reduce_window_sum reduce_window")

RULES: dict[str, Any] = {
    **dict.fromkeys(ELEMENTWISE, rules_layout.elementwise),
    "optimization_barrier": rules_layout.unchanged,
    "transpose": rules_layout.transpose,
    "reshape": rules_layout.reshape,
    "squeeze": rules_layout.reshape,
    "expand_dims": rules_layout.reshape,
    "broadcast_in_dim": rules_layout.broadcast_in_dim,
    "tile": rules_layout.tile,
    "iota": rules_layout.iota,
    "slice": rules_layout.slice_,
    "split": rules_layout.split,
    "concatenate": rules_layout.concatenate,
    "stack": rules_layout.stack,
    "unstack": rules_layout.unstack,
    "pad": rules_layout.pad,
    "rev": rules_layout.rev,
    "dot_general": rules_sums.dot_general,
    "conv_general_dilated": rules_sums.convolution,
    "reduce_sum": rules_sums.reduce_sum,
    **dict.fromkeys(REDUCTIONS, rules_sums.reduce_other),
    **dict.fromkeys(CUMULATIVE, rules_sums.along),
    "sort": rules_sums.sort,
    **dict.fromkeys(WINDOWS, rules_sums.window),
    "gather": rules_indexing.gather,
    "dynamic_slice": rules_indexing.dynamic_slice,
    "dynamic_update_slice": rules_indexing.dynamic_update_slice,
    "scan": rules_indexing.scan,
}
