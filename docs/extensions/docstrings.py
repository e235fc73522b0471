"""Docstrings and signatures as they are meant, where reStructuredText or autodoc would take them otherwise.

Docstrings are plain English with formulas: |w| is a modulus and no substitution, w* no emphasis. What would
be markup is escaped; code, in single backticks, is left alone, and so are examples, tables and **bold**.
Signatures say `Strength` and not what it stands for, and nothing in place of `Any`.
"""

import re
import sys
from types import ModuleType
from typing import Any

from jax.typing import DTypeLike
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import stringify_annotation

import penalties

CODE_OR_BOLD = re.compile(r"(`[^`]*`|\*\*[^*`]+\*\*)")
MARKUP = re.compile(r"[|*]|(?<=\w)_(?!\w)")
RETURNS = re.compile(r"^( *)Returns:\n((?:\1 +.*\n?|\n)+)", re.MULTILINE)
TABLE = re.compile(r"={3,}( +={3,})+|\+[-=+]+\+|\|.*\|$")


def escape(text: str) -> str:
    """The text, with the characters that mean something to reStructuredText escaped."""
    parts = CODE_OR_BOLD.split(text)
    for position in range(0, len(parts), 2):
        parts[position] = MARKUP.sub(r"\\\g<0>", parts[position])
        if position and parts[position][:1].isalnum():  # the s of several `Penalty`s
            parts[position] = "\\ " + parts[position]
    return "".join(parts)


def docstring_of_data(path: str) -> list[str]:
    """The string below the assignment, which is in the private module that the name is from."""
    name = path.rpartition(".")[2]
    for module in [name for name in sys.modules if name.startswith("penalties.")]:
        if name in vars(sys.modules[module]):
            found = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if found:
                return list(found)
    return []


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escapes the paragraphs of a docstring."""
    if what == "data" or obj is Any:
        lines[:] = docstring_of_data(name) or lines
    # Napoleon would take what is before a colon for the type: of what a property is, of what is returned.
    if what in ("data", "property") and lines:
        lines[:1] = lines[0].replace(": ", ":\n").split("\n")
    text = RETURNS.sub(lambda found: f"{found[1]}:returns:\n{found[2]}", "\n".join(lines))
    paragraphs = text.split("\n\n")
    for position, paragraph in enumerate(paragraphs):
        first = paragraph.strip().partition("\n")[0]
        if not first.startswith(">>>") and not TABLE.match(first):
            paragraphs[position] = escape(paragraph)
    lines[:] = "\n\n".join(paragraphs).split("\n")


def short_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None] | None:
    """The signature with the names of public types for what they stand for, and without `Any`."""
    if signature is None:
        return None
    for alias in penalties.__all__:
        meant = getattr(penalties, alias)
        if not (isinstance(meant, (type, ModuleType)) or callable(meant)):
            signature = signature.replace(stringify_annotation(meant, "smart"), alias)
    signature = signature.replace(stringify_annotation(DTypeLike | None, "smart"), "DTypeLike | None")
    signature = re.sub(r": (~typing\.)?Any(?=[,) ])", "", signature)
    return signature, None if returns in ("Any", "~typing.Any") else returns


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)  # before Napoleon reads the sections
    app.connect("autodoc-process-signature", short_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
