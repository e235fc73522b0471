"""The dearest laws run on single penalties, and on two of their sums and selections.

The other sums and selections are built of the same formulas.
"""

import pytest

from cases import algebra

DEAR = {
    "test_gradient_by_strength_is_the_finite_difference",
    "test_hessian_vector_product_is_the_finite_difference",
    "test_float16_is_computed_in_float32",
    "test_vmap_over_strengths_is_a_loop",
    "test_works_with_shapes_left_open",
}
WITHOUT = {case.name for case in algebra.CASES} - {"sparse_group_lasso", "each_its_own_leaves"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    items[:] = [
        item
        for item in items
        if getattr(item, "originalname", None) not in DEAR or item.callspec.params["case"].name not in WITHOUT
    ]
