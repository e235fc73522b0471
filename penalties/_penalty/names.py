"""The names by which configs and reprs know the classes of penalties."""

import sys
from collections.abc import Iterator

LIBRARY = __name__.partition(".")[0] + "."


def name_of(cls: type, root: type) -> str:
    """The class's own name, with its module where the library has another subclass of root of that name."""
    if cls.__module__.startswith(LIBRARY):
        return cls.__name__
    taken = {known.name_in_config for known in _named(root) if _is_of_the_library(known)}
    return f"{cls.__module__}.{cls.__name__}" if cls.__name__ in taken else cls.__name__


def is_public(cls: type) -> bool:
    """Whether users know it by its name: the library exports it, or it is not of the library."""
    exported = vars(sys.modules[LIBRARY.rstrip(".")]).get(cls.__name__)
    return exported is cls or not cls.__module__.startswith(LIBRARY)


def _is_of_the_library(cls: type) -> bool:
    """Whether its modules define it, and not an example that is run in the name of one."""
    module = sys.modules.get(cls.__module__)
    return cls.__module__.startswith(LIBRARY) and getattr(module, cls.__name__, None) is cls


def _named(cls: type) -> Iterator[type]:
    for subclass in cls.__subclasses__():
        if "name_in_config" in vars(subclass):  # all but the class that is being made
            yield subclass
        yield from _named(subclass)
