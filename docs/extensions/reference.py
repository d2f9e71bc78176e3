"""Pages of the reference, made when the site is built: rooms from the package, choices from the configurations."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from omegaconf import OmegaConf
from sphinx.application import Sphinx

import nmf_nets
from nmf_nets.program import CONFIGS

PACKAGE = "nmf_nets"
FOLDER = Path(nmf_nets.__file__).parent
NOT_SHOWN = ("kernels",)
"""Compiled loops, each with its twin in the half-steps."""


# Rooms ----------------------------------------------------------------------------------------------------------------


def rooms() -> dict[str, list[str]]:
    """The modules of every room, and of the package itself under its own name."""
    found: dict[str, list[str]] = {"nmf_nets": []}
    for path in sorted(FOLDER.rglob("*.py")):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        if path.name in ("__init__.py", "__main__.py") or parts[0] in NOT_SHOWN or path.name.startswith("_"):
            continue
        found.setdefault(parts[0] if len(parts) > 1 else "nmf_nets", []).append(".".join(("nmf_nets", *parts)))
    return found


def room_page(room: str, modules: list[str]) -> str:
    package = "nmf_nets" if room == "nmf_nets" else f"nmf_nets.{room}"
    said = importlib.import_module(package).__doc__ or ""
    title = "The package itself" if room == "nmf_nets" else room
    lines = [title, "=" * len(title), "", said.strip(), ""]
    for module in modules:
        short = module.removeprefix(f"{package}.")
        importlib.import_module(module)
        lines += [short.replace("_", r"\_"), "-" * (len(short) + 8), "", f".. automodule:: {module}", ""]
        for name, value, doc in aliases(module):
            lines += [f".. py:type:: {name}", f"   :module: {module}", f"   :canonical: {value}", "", f"   {doc}", ""]
    return "\n".join(lines)


def rooms_page() -> str:
    """Every room with its sentence."""
    lines = ["# The package by rooms", "", "| room | holds |", "|---|---|"]
    for room in rooms():
        module = importlib.import_module("nmf_nets" if room == "nmf_nets" else f"nmf_nets.{room}")
        said = " ".join((module.__doc__ or "").split())
        lines.append(f"| [{room}](rooms/{room}.rst) | {said} |")
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *(f"rooms/{room}" for room in rooms()), "```", ""])


def aliases(module: str) -> Iterator[tuple[str, str, str]]:
    """The types that a module gives a name: name, value, what is said of it."""
    path = FOLDER.joinpath(*module.split(".")[1:]).with_suffix(".py")
    body = ast.parse(path.read_text()).body
    for place, node in enumerate(body):
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        name = node.targets[0].id
        if re.fullmatch(r"[A-Z][a-z]\w*", name) and isinstance(node.value, ast.Subscript | ast.BinOp | ast.Name):
            after = body[place + 1] if place + 1 < len(body) else None
            doc = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            yield name, ast.unparse(node.value), " ".join(str(doc).split())


# Configurations -------------------------------------------------------------------------------------------------------


def groups() -> dict[str, list[Path]]:
    """By their names, with - for /."""
    folders = {path.parent for path in CONFIGS.rglob("*.yaml")} - {CONFIGS}
    return {"-".join(folder.relative_to(CONFIGS).parts): sorted(folder.glob("*.yaml")) for folder in sorted(folders)}


def group_page(group: str, options: list[Path]) -> str:
    lines = [f"# {group.replace('-', '/')}", ""]
    for path in options:
        text = path.read_text()
        lines += [f"(config-{group}-{path.stem})=", f"## {path.stem}", ""]
        told = re.match(r"# @package \S+\n((?:# .*\n)+)", text)
        if told:
            lines += [" ".join(line.removeprefix("# ") for line in told[1].splitlines()), ""]
        target = OmegaConf.load(path).get("_target_")
        if target and target.startswith("nmf_nets."):
            lines += [f"Makes {{py:obj}}`~{target}`.", ""]
        lines += ["```yaml", text.rstrip(), "```", ""]
    return "\n".join(lines)


def groups_page() -> str:
    """Every group with its choices."""
    lines = ["# Configurations", "", "`python train.py GROUP=CHOICE GROUP.NAME=VALUE …`; each link shows the file.", ""]
    lines += ["| group | choices |", "|---|---|"]
    for group, options in groups().items():
        chosen = ", ".join(f"[`{path.stem}`](#config-{group}-{path.stem})" for path in options)
        lines.append(f"| [{group.replace('-', '/')}]({group}.md) | {chosen} |")
    lines += [
        "",
        "What is in no group stands in the files of the programs: [train, benchmark and dashboard](programs.md).",
        "",
    ]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", "programs", *groups(), "```", ""])


def programs_page() -> str:
    lines = ["# The programs", ""]
    programs = {"train": "python train.py", "select": "nmf-select", "benchmark": "nmf-benchmark"}
    for name, program in {**programs, "factorize_file": "nmf-factorize", "dashboard": "nmf-dashboard"}.items():
        lines += [f"(config-{name})=", f"## {name}.yaml", "", f"Of `{program}`: every name below can be set.", ""]
        lines += ["```yaml", (CONFIGS / f"{name}.yaml").read_text().rstrip(), "```", ""]
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------------------------------------


def write_pages(app: Sphinx) -> None:
    pages = {f"reference/rooms/{room}.rst": room_page(room, modules) for room, modules in rooms().items()}
    pages |= {f"reference/configs/{group}.md": group_page(group, options) for group, options in groups().items()}
    pages |= {"reference/configs/programs.md": programs_page(), "reference/configs/index.md": groups_page()}
    pages["reference/api.md"] = rooms_page()
    for folder in ("rooms", "configs"):
        for path in (Path(app.srcdir) / "reference" / folder).glob("*.*"):
            if str(path.relative_to(app.srcdir)) not in pages:
                path.unlink()
    for name, text in pages.items():
        path = Path(app.srcdir) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
