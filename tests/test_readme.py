import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import nmf_nets
from nmf_nets.program import CONFIGS

ROOT = Path(nmf_nets.__file__).parent.parent
README = (ROOT / "README.md").read_text()
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
COMPARISONS = re.findall(r"^nmf-benchmark( [^#\n]*?)?\s*(?:#.*)?$", README, re.MULTILINE)
DASHBOARDS = re.findall(r"^nmf-dashboard( [^#\n]*?)?\s*(?:#.*)?$", README, re.MULTILINE)
SELECTIONS = re.findall(r"^nmf-select( [^#\n]*?)?\s*(?:#.*)?$", README, re.MULTILINE)
COMMANDS = re.findall(r"^(?:.*&& )?python train\.py ([^#\n]+?)\s*(?:#.*)?$", README, re.MULTILINE)


def test_the_python_of_the_readme_runs_as_it_stands(saved, tmp_path, monkeypatch):
    saved("encoder=mlp", directory="runs/digits")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block.replace("max_epochs=500", "max_epochs=5, enable_progress_bar=False, accelerator='cpu'"), names)
    assert names["factors"].H.shape == (1797, 16)
    assert names["classical"].H.shape == (1797, 16)


def test_there_are_commands():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_composes(command):
    overrides = [word for word in shlex.split(command) if word != "-m" and not word.startswith(("resume", "--"))]
    first = [re.sub(r"(?<==)([^\[\],]+),.*", r"\1", word) for word in overrides]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert compose("train", first).n_components > 0


@pytest.mark.parametrize("command", COMPARISONS)
def test_every_comparison_of_the_readme_composes(command):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("benchmark", shlex.split(command))
    assert config.task
    assert config.method


@pytest.mark.parametrize("command", SELECTIONS)
def test_every_selection_of_the_readme_composes(command):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert compose("select", shlex.split(command)).selection


def test_all_criteria_are_asked_unless_some_are_named():
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert set(compose("select").selection) == {path.stem for path in (CONFIGS / "selection").glob("*.yaml")}


def test_there_are_selections():
    assert len(SELECTIONS) >= 2


def test_there_are_comparisons():
    assert len(COMPARISONS) >= 4


@pytest.mark.parametrize("command", DASHBOARDS)
def test_every_dashboard_of_the_readme_composes(command):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        assert compose("dashboard", shlex.split(command)).path


def test_there_are_dashboards():
    assert len(DASHBOARDS) >= 3


@pytest.mark.parametrize(
    "source", ["README.md", ".ci/run", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
)
def test_every_command_that_is_named_is_installed(source):
    named = set(re.findall(r"^(?:\$ )?(nmf-[a-z-]+)(?= |$)", (ROOT / source).read_text(), re.MULTILINE))
    assert named <= set(SCRIPTS)


@pytest.mark.parametrize("target", SCRIPTS.values(), ids=SCRIPTS)
def test_every_installed_command_can_be_called(target):
    module, _, name = target.partition(":")
    assert callable(getattr(import_module(module), name))
