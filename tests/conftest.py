import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from nmf_nets.program import CONFIGS
from nmf_nets.run_directory import RunDirectory
from nmf_nets.saved_model import save_model
from nmf_nets.train import main as train_main
from nmf_nets.train import make_net, part


def pytest_addoption(parser):
    parser.addoption("--few", type=int, metavar="N", help="of each test N of its members at most, from first to last")


def pytest_collection_modifyitems(config, items):
    few = config.getoption("--few")
    if few is None:
        return
    members = defaultdict(list)
    for item in items:
        members[item.path, item.originalname].append(item)
    kept = {
        found[round(place * (len(found) - 1) / max(1, few - 1))] for found in members.values() for place in range(few)
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


@pytest.fixture
def saved(tmp_path):
    """Makes the net that a configuration describes, moves its weights, and saves it as training would."""

    def make(*overrides, directory="model"):
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = compose("train", ["n_components=4", *overrides])
        data = part(config.data)
        data.setup()
        net, _ = make_net(config, data)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in net.parameters():
                drawn = torch.rand(parameter.shape, generator=generator).to(parameter)
                parameter.copy_(torch.where(parameter == 0, 0.01 * drawn, parameter * (1 + 0.3 * drawn)))
        net.encoder.project_()
        net.decoder.project_()
        save_model(RunDirectory(tmp_path / directory), config, net, data)
        return tmp_path / directory, net.eval(), data

    return make


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str
    directory: Path

    @property
    def sentence(self):
        """The one line of a refusal."""
        return self.err.strip().splitlines()[-1]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a program of the package in this process, in an empty directory, as from the command line."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_SILENT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")

    def run(*overrides, main=train_main):
        monkeypatch.setattr(sys, "argv", ["train.py", *overrides])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err, tmp_path)

    return run


@pytest.fixture
def train(command):
    """`train.py` on a quick run without trackers, into the directory `run`."""

    def run(*overrides):
        quick = ("logger=none", "trainer.max_epochs=20", "hydra.run.dir=run", "callbacks.component_pictures.growth=1e9")
        chosen = {override.partition("=")[0] for override in overrides}
        return command(*(default for default in quick if default.partition("=")[0] not in chosen), *overrides)

    return run


@pytest.fixture(scope="session")
def past_runs(tmp_path_factory):
    """A directory with three quick runs: one of digits, and a sweep of two, in those trackers that are installed."""
    directory = tmp_path_factory.mktemp("past")
    there = [name for name in ("mlflow", "trackio") if find_spec(name)] or ["none"]
    quick = (f"logger=[{','.join(there)}]", "trainer.max_epochs=3", "n_components=4")
    quick += ("callbacks.component_pictures.growth=1e9",)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        for command in (
            (*quick, "seed=3", "hydra.run.dir=outputs/single"),
            ("-m", *quick, "divergence=kullback_leibler", "encoder=unrolled,mlp", "hydra.sweep.dir=multirun/sweep"),
        ):
            patch.setattr(sys, "argv", ["train.py", *command])
            train_main()
    return directory


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("there is no chromium here")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as found:
        browser = found.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def tabs(browser):
    """Opens pages, each in a new window; at the end they had asked for nothing, and nothing complained."""
    contexts, requests, complaints = [], [], []

    def open_page(url, width=1280, scheme="light"):
        offline = url.startswith("file:")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=offline)
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", lambda request: None if request.is_navigation_request() else requests.append(request.url))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
        tab.goto(url)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert requests == []
    assert complaints == []
