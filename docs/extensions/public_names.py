"""`{public} module` with a public name on each line: a table of the names, then the docstring of each.

After a colon come the members that are documented with a class: `Penalty: prox, on`. The build warns of
each public name that has no entry, and code that is nothing but a public name links to its entry.
"""

import importlib
from inspect import isfunction, ismodule, unwrap
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)


def names_of(module: ModuleType) -> list[str]:
    """The names a module makes public: those it lists, or the functions it defines."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    return [name for name, x in vars(module).items() if isfunction(x) and x.__module__ == module.__name__]


def public_paths(modules: list[str]) -> list[str]:
    """The dotted path of every public name; those that two modules share have the path of the first."""
    paths: dict[str, str] = {}
    known: dict[int, str] = {}
    for module_name in modules:
        module = importlib.import_module(module_name)
        for name in names_of(module):
            path = f"{module_name}.{name}"
            paths[path] = known.setdefault(id(getattr(module, name)), path)
    return sorted(set(paths.values()))


def kind_of(public: object) -> str:
    """What autodoc calls it."""
    if ismodule(public):
        return "module"
    if isinstance(public, type) and public is not Any:
        return "class"
    return "function" if isfunction(unwrap(public)) else "data"  # jitted ones are wrapped


class Public(SphinxDirective):
    """The entries of the names it holds."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """A table of the names, and their entries."""
        (module_name,) = self.arguments
        module = importlib.import_module(module_name)
        rows, entries = [], []
        for line in filter(None, self.content):
            name, _, members = line.partition(":")
            kind = kind_of(getattr(module, name))
            rows += [f"   {name}"] if kind != "module" else []
            entries.append(f".. auto{kind}:: {module_name}.{name}")
            entries += [f"   :members: {members}"] if members else []
            entries += ["   :no-value:"] if kind == "data" else []
            entries.append("")
        head = [f".. currentmodule:: {module_name}", "", ".. autosummary::", "   :nosignatures:", ""]
        table = [*head, *rows, ""] if rows else []
        text = "\n".join(table + entries)
        return self.parse_text_to_nodes(f"```{{eval-rst}}\n{text}\n```")


class LinkNames(SphinxTransform):
    """Makes a link of code that is a public name."""

    default_priority = 600

    def apply(self, **kwargs: object) -> None:
        """On one page."""
        paths = public_paths(self.config.public_modules)
        # On the page of Keras a bare name is Keras's.
        first = "penalties.keras" if "keras" in self.env.docname else "penalties"
        target = {path.rpartition(".")[2]: path for path in reversed(paths)}
        target |= {path.rpartition(".")[2]: path for path in paths if path.rpartition(".")[0] == first}
        target |= {path: path for path in paths}
        for literal in list(self.document.findall(nodes.literal)):
            path = target.get(literal.astext())
            if path and not isinstance(literal.parent, (nodes.reference, pending_xref)):
                link = pending_xref("", refdomain="py", reftype="obj", reftarget=path, refexplicit=True)
                link["refdoc"] = self.env.docname
                literal.replace_self(link)
                link += literal


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warns of each public name without an entry."""
    entries = env.domains["py"].objects
    for path in public_paths(app.config.public_modules):
        if path not in entries:
            module, _, name = path.rpartition(".")
            logger.warning(
                "%s is public and has no entry in the API reference: add the line %r to a block "
                "{public} %s of docs/api/",
                path,
                name,
                module,
            )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_config_value("public_modules", [], "env")
    app.add_directive("public", Public)
    app.add_transform(LinkNames)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
