"""Params of every kind of tree, one after the other."""

import pytest

from trees import TREES


@pytest.fixture(params=TREES)
def params(request):
    return TREES[request.param]()
