"""Classes of libraries that the user may not have imported."""

import sys
from typing import Any


def class_of(module: str, name: str) -> Any:
    """A class for `isinstance` and `issubclass`; () where the library, or the class in it, is not there."""
    # Not imported here: where there is such an object, its library is imported already.
    return getattr(sys.modules.get(module), name, ())
