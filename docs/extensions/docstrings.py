"""The package's docstrings as they are written, for autodoc: plain text with formulas, signatures from the source."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

from docutils import nodes
from reference import PACKAGE, rooms
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

WIDTH = 120
INDENT = {"module": 0, "class": 4, "exception": 4, "function": 4, "data": 0, "attribute": 4}
"""Of the docstring of each kind in the source; 8 for what is in a class and has a body of its own."""


def as_rst(text: str, indent: int, parameters: Sequence[str] = ()) -> list[str]:
    """The docstring in reStructuredText: blocks that stand further in are shown as they are, a line that ends before it
    had to ends a paragraph, and what explains a parameter becomes an item.
    """
    lines: list[str] = []
    for number, block in enumerate(re.split(r"\n\s*\n", textwrap.dedent(text).strip("\n"))):
        if block.startswith(" "):
            lines += ["", "::", "", *textwrap.indent(textwrap.dedent(block), "    ").splitlines(), ""]
            continue
        for paragraph in _paragraphs(block.splitlines(), indent, first=number == 0):
            names, colon, said = paragraph.partition(": ")
            named = names.split(", ")
            if colon and set(named) <= set(parameters):
                lines += ["", f"- {', '.join(f'**{_escaped(name)}**' for name in named)}: {_text(said, parameters)}"]
            else:
                lines += ["", _text(paragraph, parameters)]
    return [*lines, ""]


def _paragraphs(lines: list[str], indent: int, first: bool) -> list[str]:
    found: list[list[str]] = []
    for place, line in enumerate(lines):
        before = lines[place - 1] if place else ""
        length = indent + len(before) + (3 if first and place == 1 else 0)
        early = length + 1 + len(line.split()[0]) <= WIDTH - 2
        explains = re.match(r"[A-Za-z_]\w*(, [A-Za-z_]\w*)*: ", line)
        if place == 0 or (early and not line.startswith(" ")) or explains:
            found.append([line])
        else:
            found[-1].append(line.strip())
    return [" ".join(parts) for parts in found]


def _text(paragraph: str, parameters: Sequence[str]) -> str:
    """Names between backticks refer to what they name, if that is of the package; all else is as it stands."""
    parts = paragraph.split("`")
    parts[::2] = [_escaped(part) for part in parts[::2]]
    parts[1::2] = [f"``{part}``" if part in parameters else _code(part) for part in parts[1::2]]
    return "".join(parts)


def _escaped(text: str) -> str:
    return re.sub(r"([\\*|]|_(?=\W|$))", r"\\\1", text)


def _code(name: str) -> str:
    return f":py:obj:`~{known_names()[name]}`" if name in known_names() else f"``{name}``"


@cache
def known_names() -> dict[str, str]:
    """Short names of the classes and functions that are the only ones of that name, with their full names."""
    homes: dict[str, set[str]] = {}
    for module in [import_module(module) for modules in rooms().values() for module in modules]:
        for name, member in vars(module).items():
            public = not name.startswith("_") and (inspect.isclass(member) or inspect.isfunction(member))
            if public and member.__module__ == module.__name__:
                homes.setdefault(name, set()).add(f"{module.__name__}.{name}")
    return {name: min(full) for name, full in homes.items() if len(full) == 1}


# Signatures -----------------------------------------------------------------------------------------------------------


def arguments_of(member: Any) -> tuple[str, str | None] | None:
    """What stands between the parentheses in the source, and the annotation of what is returned; None without one."""
    if inspect.isclass(member):
        if is_dataclass(member):
            return f"({', '.join(_fields(member))})", None
        member = member.__init__
    member = inspect.unwrap(member)
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(member))).body
    except (OSError, TypeError, ValueError, SyntaxError):
        return None
    if not (isinstance(tree, ast.FunctionDef) and member.__module__.startswith(PACKAGE)):
        return None
    own = [argument for argument in tree.args.args if argument.arg not in ("self", "cls")]
    tree.args.args[:] = own
    for argument in (*own, *tree.args.posonlyargs, *tree.args.kwonlyargs):
        argument.annotation = argument.annotation and _in_full(argument.annotation, member.__module__)
    returned = None if tree.returns is None or tree.name == "__init__" else _in_full(tree.returns, member.__module__)
    return f"({ast.unparse(tree.args)})", returned and ast.unparse(returned)


def _fields(cls: type) -> list[str]:
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(tree, ast.ClassDef)
            for node in tree.body:
                if isinstance(node, ast.AnnAssign):
                    made = isinstance(node.value, ast.Call)
                    default = "" if node.value is None else f" = {'...' if made else ast.unparse(node.value)}"
                    name, kind = ast.unparse(node.target), ast.unparse(_in_full(node.annotation, base.__module__))
                    found[name] = f"{name}: {kind}{default}"
    return list(found.values())


def _in_full(annotation: ast.expr, module: str) -> ast.expr:
    """With the names of this package in full, so that each refers to the one that is meant."""

    class Full(ast.NodeTransformer):
        """Of names, also of those between quotation marks."""

        def visit_Name(self, node: ast.Name) -> ast.AST:
            full = names_in(module).get(node.id)
            return ast.parse(full, mode="eval").body if full else node

        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            quoted = isinstance(node.value, str) and node.value.isidentifier() and node.value in names_in(module)
            return self.visit_Name(ast.Name(node.value)) if quoted else node

    return Full().visit(annotation)


@cache
def names_in(module: str) -> dict[str, str]:
    """What a module calls classes and types of this package, in full."""
    found: dict[str, str] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            found[node.name] = f"{module}.{node.name}"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = f"{module}.{node.targets[0].id}"
    return found


# What autodoc asks ----------------------------------------------------------------------------------------------------


def process_signature(
    app: Sphinx, what: str, name: str, member: Any, options: Any, signature: str, returned: str
) -> tuple[str, str | None] | None:
    return arguments_of(member) if what in ("class", "function", "method", "exception") else None


def process_docstring(app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    found = arguments_of(member) if what in ("class", "function", "method") else None
    parameters = re.findall(r"[(,]\s*\**(\w+)", found[0]) if found else []
    if what == "class":
        parameters += [key for key in dir(member) if not key.startswith("_")]
    lines[:] = as_rst("\n".join(lines), INDENT.get(what, 8), parameters)


def skip_member(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Constants of a module serve its own text, types with a name have entries of their own, and what another package
    puts into a class is described there.
    """
    if what == "module":
        return None if inspect.isroutine(member) or (inspect.isclass(member) and member.__name__ == name) else True
    foreign = not (getattr(member, "__module__", None) or "").startswith(PACKAGE)
    return True if inspect.isroutine(member) and foreign else None


def unlinked(
    app: Sphinx, environment: BuildEnvironment, node: nodes.Element, shown: nodes.TextElement
) -> nodes.Node | None:
    """In a signature, types of other packages, and what the reference leaves out, are shown without a link."""
    return shown if node.get("py:module") else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("missing-reference", unlinked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
