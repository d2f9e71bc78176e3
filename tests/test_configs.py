import importlib
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

import nmf_nets
from nmf_nets.program import CONFIGS, parameters
from nmf_nets.targets import refuse_foreign_targets
from nmf_nets.targets import targets as targets_of

PACKAGE = Path(nmf_nets.__file__).parent

# group of configs -> room of the package
ROOMS = {
    "callback": "callbacks",
    "constraint": "constraints",
    "data": "data",
    "decoder": "decoders",
    "divergence": "divergences",
    "encoder": "encoders",
    "head": "heads",
    "init": "inits",
    "logger": "loggers",
    "module": "modules",
    "optimizer": "optimizers",
    "penalty": "penalties",
    "preprocessing": "preprocessing",
    "selection": "selection",
    "update": "updates",
}
GROUPS_WITHOUT_A_ROOM = {"experiment", "hydra", "method", "task", "trainer"}


def targets(path):
    return [target for _, target in targets_of(OmegaConf.load(path))]


def own_yamls(group):
    """The YAMLs that name something of this package; others choose one of them, or something of Lightning's."""
    return {path.stem: path for path in (CONFIGS / group).glob("*.yaml") if any("nmf_nets" in t for t in targets(path))}


def test_every_group_has_a_room():
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} == set(ROOMS) | GROUPS_WITHOUT_A_ROOM


@pytest.mark.parametrize("group", ROOMS)
def test_yamls_and_source_files_of_a_room_match(group):
    sources = {path.stem for path in (PACKAGE / ROOMS[group]).glob("*.py")} - {"__init__", "base"}
    assert set(own_yamls(group)) == sources


@pytest.mark.parametrize(
    ("group", "stem"), [(group, stem) for group in ROOMS for stem in own_yamls(group)], ids=lambda part: part
)
def test_every_target_resolves_into_the_file_that_its_yaml_mirrors(group, stem):
    target = targets(own_yamls(group)[stem])[0]
    module, _, name = target.rpartition(".")
    assert module == f"nmf_nets.{ROOMS[group]}.{stem}"
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_target_is_allowed_and_exists(path):
    config = OmegaConf.load(path)
    refuse_foreign_targets(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))  # Hydra's own
    for target in targets(path):
        module, _, name = target.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), target


def composed(*overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize("divergence", ["frobenius", "kullback_leibler", "itakura_saito", "beta"])
def test_update_and_module_follow_the_divergence(divergence):
    config = composed(f"divergence={divergence}")
    expected = {"frobenius": "HALS", "kullback_leibler": "ScalarNewton"}.get(divergence, "Multiplicative")
    assert config["update"]._target_.endswith(expected)
    assert config.encoder["update"] == config["update"] == config.optimizer["update"]
    own = {"frobenius": "FrobeniusNMF", "kullback_leibler": "KullbackLeiblerNMF"}.get(
        divergence, "NonNegativeAutoencoder"
    )
    assert config.module._target_.endswith(own)


def test_an_update_can_be_chosen_against_the_default():
    assert composed("update=multiplicative")["update"]._target_.endswith("Multiplicative")


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml")))
def test_experiments_compose_and_only_override(experiment):
    config = composed(f"experiment={experiment}")
    refuse_foreign_targets(config)
    text = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
    assert "_target_" not in text
    assert text.splitlines()[1].startswith("# "), "one sentence of why"


def test_several_loggers_at_once_and_none():
    assert set(composed("logger=[wandb,csv,tensorboard]").logger) == {"wandb", "csv", "tensorboard"}
    assert not composed("logger=none").logger


def test_parameters_are_what_the_command_line_chose_by_where_it_stands():
    overrides = ["encoder=mlp", "data.batch_size=256", "+penalty@penalties_H.sparse=l1", "encoder@encoder.inner=lista"]
    overrides += ["~callbacks.reseed", "logger=[csv]", "+logger.csv.name=x", "n_components=3", "data.path=a=b"]
    assert parameters(overrides) == {
        "encoder": "mlp",
        "data.batch_size": "256",
        "penalties_H.sparse": "l1",
        "encoder.inner": "lista",
        "callbacks.reseed": "none",
        "n_components": "3",
        "data.path": "a=b",
    }


def test_a_typing_error_is_refused_by_name():
    with pytest.raises(HydraException, match="n_componets"):
        composed("n_componets=3")


@pytest.mark.parametrize(("threads", "cores"), [("null", 4), ("2", 2)])
def test_a_job_of_slurm_has_the_cores_for_its_threads(threads, cores):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", ["hydra/launcher=slurm", f"threads={threads}"], return_hydra_config=True)
    assert config.hydra.launcher.cpus_per_task == cores
    assert config.hydra.launcher._target_.endswith("SlurmLauncher")


def benchmark_config(*overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("benchmark", list(overrides))


METHODS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
TASKS = sorted(path.stem for path in (CONFIGS / "task").glob("*.yaml"))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_stands_under_its_name_and_its_target_in_the_room_of_methods(method):
    config = benchmark_config(f"method={method}")
    assert list(config.method) == [method]
    target = config.method[method]._target_
    module, _, name = target.rpartition(".")
    assert module.startswith("nmf_nets.benchmark.methods.")
    assert callable(getattr(importlib.import_module(module), name))


def test_every_source_of_methods_has_a_configuration():
    named = {benchmark_config(f"method={method}").method[method]._target_.split(".")[-2] for method in METHODS}
    assert named == {path.stem for path in (PACKAGE / "benchmark" / "methods").glob("*.py")} - {"__init__", "base"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_stands_under_its_name(task):
    config = benchmark_config(f"task={task}", "data.path=somewhere")
    assert list(config.task) == [task]
    assert config.task[task].name == task
    refuse_foreign_targets(config)
    text = (CONFIGS / "task" / f"{task}.yaml").read_text()
    assert text.splitlines()[1].startswith("# "), "one sentence of what it is"
    assert set(OmegaConf.to_container(config.task[task], resolve=True)) >= {
        "data",
        "divergence",
        "update",
        "n_components",
    }
