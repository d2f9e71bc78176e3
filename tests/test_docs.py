"""What tutorials and how-tos show is run, a page at a time and small: Python, commands, files that they name."""

import importlib
import inspect
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

import nmf_nets
from nmf_nets import verdict
from nmf_nets.benchmark.__main__ import main as benchmark_main
from nmf_nets.benchmark.report.__main__ import main as report_main
from nmf_nets.dashboard.__main__ import main as dashboard_main
from nmf_nets.factorize_file import main as factorize_main
from nmf_nets.train import main as train_main
from nmf_nets.transform import main as transform_main

DOCS = Path(nmf_nets.__file__).parent.parent / "docs"
PAGES = [DOCS / "index.md", *sorted((DOCS / "tutorials").glob("*.md")), *sorted((DOCS / "how-to").glob("*.md"))]
MARKS = {
    "sweeps": pytest.mark.process,
    "topics": pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
}
"""topics: lda leaves its file open."""

FENCE = re.compile(r"^```(\S+)(?: ([^\n]*))?\n(?::caption: (\S+)\n\n)?(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")

PROGRAMS = {
    "python train.py": train_main,
    "nmf-train": train_main,
    "nmf-benchmark": benchmark_main,
    "nmf-benchmark-report": report_main,
    "nmf-transform": transform_main,
    "nmf-dashboard": dashboard_main,
    "nmf-factorize": factorize_main,
}
SMALL = {
    train_main: {"trainer.max_epochs": "3", "logger": "none", "callbacks.component_pictures.growth": "1e9"},
    benchmark_main: {"seconds": "0.05", "seeds": "1", "search": "0", "cache": "null"},
    report_main: {},
    transform_main: {},
    dashboard_main: {},
    factorize_main: {},
}
"""What a command is given that does not choose it itself; epochs and seconds in any case."""


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    file: str | None = None


def blocks(page):
    for directive, argument, file, text in FENCE.findall(page.read_text()):
        if not directive.startswith("{"):
            yield Block(directive, text)
        elif directive == "{code-block}":
            yield Block(argument, text, file)


def commands(text):
    for line in text.replace("\\\n", " ").splitlines():
        said = line.partition(" #")[0].strip()
        if said:
            program = next((name for name in PROGRAMS if f"{said} ".startswith(f"{name} ")), None)
            assert program is not None, f"a block can only show programs of the package, not {said!r}"
            yield PROGRAMS[program], shlex.split(said.removeprefix(program))


def small(program, words):
    """The command at a size for tests. A run that is resumed goes on for two epochs more."""
    forced = ("trainer.max_epochs=", "seconds=")
    resumed = any(word.startswith("resume=") and word != "resume=true" for word in words)
    if program is train_main and resumed:
        added = ["trainer.max_epochs=5"]
    else:
        chosen = {word.partition("=")[0] for word in words if not word.startswith(forced)}
        added = [f"{name}={value}" for name, value in SMALL[program].items() if name not in chosen]
    words = [word for word in words if not word.startswith(forced)]
    place = next((i for i, word in enumerate(words) if "=" in word), len(words))
    return [*words[:place], *added, *words[place:]]


def assert_alike(said, shown):
    """The same words; numbers may differ by a tenth, as other machines round otherwise."""
    assert NUMBER.sub("#", said).split() == NUMBER.sub("#", shown).split()
    found, expected = ([float(n.replace(",", "")) for n in NUMBER.findall(text)] for text in (said, shown))
    assert found == pytest.approx(expected, rel=0.1, abs=0.02)


@pytest.mark.untyped
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=MARKS.get(page.stem, ()), id=str(page.relative_to(DOCS))) for page in PAGES]
)
def test_what_a_page_shows_runs(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(verdict, "LEAST_SECONDS", 0.05)
    names, said = {"__name__": page.stem}, None
    for block in blocks(page):
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind == "python":
            with redirect_stdout(StringIO()) as out:
                exec(compile(block.text, str(page), "exec"), names)
            said = out.getvalue()
        elif block.kind == "text" and said is not None:
            assert_alike(said, block.text)
        elif block.kind == "bash":
            said = None
            for program, words in commands(block.text):
                ran = command(*small(program, words), main=program)
                assert ran.code == 0, ran.err
        else:
            assert block.kind == "text", f"a block of {block.kind} is not run; give it a file name, or leave it out"


def test_there_are_pages():
    assert len(PAGES) >= 10


def test_the_reference_keeps_every_word_of_a_docstring(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(DOCS / "extensions")
    docstrings, reference = importlib.import_module("docstrings"), importlib.import_module("reference")
    texts = 0
    for name in (module for modules in reference.rooms().values() for module in modules):
        for member in vars(importlib.import_module(name)).values():
            doc = inspect.getdoc(member) if getattr(member, "__module__", None) == name else None
            if doc is not None:
                shown = "\n".join(docstrings.as_rst(doc, 4, dir(member)))
                shown = re.sub(r":py:obj:`~[\w.]+?(\w+)`", r"\1", shown).replace("\\", "")
                assert re.findall(r"\w+", shown) == re.findall(r"\w+", doc), member
                texts += 1
    assert texts > 300


def test_a_number_that_is_another_one_is_found():
    assert_alike("error 0.256 of 1,797 rows", "error 0.26 of 1,797 rows")
    with pytest.raises(AssertionError):
        assert_alike("error 0.256", "error 0.56")
    with pytest.raises(AssertionError):
        assert_alike("error 0.256", "gap 0.256")
