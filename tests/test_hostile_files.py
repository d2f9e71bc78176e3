"""Files that a stranger gave: refused in one sentence, and nothing in them runs."""

import json
import pickle

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import nmf_nets
from nmf_nets.program import CONFIGS
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import RunDirectory
from nmf_nets.whole_file import SealedFile


class Payload:
    """Unpickling it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def owned(tmp_path):
    """Where a payload writes; the test fails if one did, and if it could not have."""
    path = tmp_path / "owned"
    pickle.loads(pickle.dumps(Payload(path))).close()
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def refused(ran):
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    return ran.sentence


CHECKPOINTS = {
    "a pickle": lambda path, payload: path.write_bytes(pickle.dumps(payload)),
    "a pickle in torch's format": lambda path, payload: torch.save({"global_step": 1, "state_dict": payload}, path),
    "torch's old format": lambda path, payload: torch.save(payload, path, _use_new_zipfile_serialization=False),
    "nonsense": lambda path, payload: path.write_bytes(b"nonsense"),
    "nothing": lambda path, payload: path.write_bytes(b""),
    "cut off": lambda path, payload: path.write_bytes(path.read_bytes()[:-500]),
    "of something else": lambda path, payload: torch.save({"weights": torch.ones(2)}, path),
}


@pytest.fixture
def stopped(tmp_path):
    """The directory of a run that was stopped after its first checkpoint."""
    run = RunDirectory(tmp_path / "run")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", [f"directory={run.path}", "logger=none", "parameters={}"])
    run.save_config(config)
    with run.checkpoint.replacing() as unfinished:
        torch.save({"global_step": 1, "state_dict": {"weight": torch.ones(500)}}, unfinished)
    return run.path


@pytest.mark.parametrize("case", CHECKPOINTS)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_checkpoint_is_weights_or_refused(case, sealed, stopped, command, owned):
    path = stopped / "checkpoints" / "last.ckpt"
    CHECKPOINTS[case](path, Payload(owned))
    if sealed:  # which proves nothing of who wrote it
        content = path.read_bytes()
        path.unlink()
        with SealedFile(path).replacing() as unfinished:
            unfinished.write_bytes(content)
    words = "last.ckpt is no checkpoint of ours" if sealed else "last.ckpt has"
    assert words in refused(command("resume=run"))


DATA = {
    "x.npy": lambda path, payload: np.save(path, np.array([[payload, 1]], dtype=object), allow_pickle=True),
    "x.npz": lambda path, payload: np.savez(path, X=np.array([[payload, 1]], dtype=object)),
    "y.npz": lambda path, payload: np.savez(path, X=np.ones((9, 3)), labels=np.array([payload] * 9, dtype=object)),
    "y.npy": lambda path, payload: path.write_bytes(pickle.dumps(payload)),
    "z.npz": lambda path, payload: path.write_bytes(pickle.dumps(payload)),
}


@pytest.mark.parametrize("name", DATA)
def test_data_are_numbers_or_refused(name, train, tmp_path, owned):
    DATA[name](tmp_path / name, Payload(owned))
    assert f"{name} cannot be read as .np" in refused(train("data=matrix", f"data.path={name}", "n_components=2"))


def test_the_tensors_of_a_model_are_no_pickle(saved, owned):
    directory, _, _ = saved()
    (directory / "model.safetensors").write_bytes(pickle.dumps(Payload(owned)))
    with pytest.raises(Refusal, match=r"model\.safetensors cannot be read"):
        nmf_nets.load(directory)


def attack(owned):
    return {"_target_": "builtins.open", "file": str(owned), "mode": "w"}


MODELS = {
    "a part": lambda about, evil: about.update(divergence=evil),
    "inside a part": lambda about, evil: about["encoder"].update(update={"x": [evil]}),
    "an argument by place": lambda about, evil: about["divergence"].update(_args_=[evil]),
    "a part of what reads data": lambda about, evil: about["data"].update(preprocessing=evil),
    "what is hidden in a reference": lambda about, evil: about.update(encoder={"a": "${oc.create:" + str(evil) + "}"}),
    "what writes files here": lambda about, evil: about.update(
        divergence={"_target_": "nmf_nets.run_directory.RunDirectory", "path": evil["file"]}
    ),
    "what imports here": lambda about, evil: about.update(
        divergence={"_target_": "nmf_nets.extras.extra", "module": "antigravity", "brought_by": "x"}
    ),
    "what belongs to training": lambda about, evil: about.update(
        divergence={"_target_": "nmf_nets.callbacks.checkpoint.Checkpoint", "path": evil["file"]}
    ),
    "its own witness": lambda about, evil: about.update(divergence=evil, allow=["builtins"]),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_is_made_of_parts_of_models_or_refused(case, saved, owned):
    directory, _, _ = saved()
    about = json.loads((directory / "model.json").read_text())
    MODELS[case](about, attack(owned))
    (directory / "model.json").write_text(json.dumps(about))
    with pytest.raises(Refusal, match=r"which is not allowed|holds no references"):
        nmf_nets.load(directory)


CONFIGURATIONS = {
    "a part": lambda config, evil: config.update(encoder=evil),
    "inside a part": lambda config, evil: config["optimizer"].update(update={"x": [evil]}),
    "its own witness": lambda config, evil: config.update(encoder=evil, allow=["builtins"]),
    "what is hidden in a reference": lambda config, evil: config.update(encoder="${oc.create:${more}}", more=str(evil)),
    "a callback": lambda config, evil: config["callbacks"].update(more=evil),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_configuration_that_came_with_a_directory_names_no_stranger(case, stopped, command, owned):
    path = stopped / "config.yaml"
    config = OmegaConf.to_container(OmegaConf.load(path))
    CONFIGURATIONS[case](config, attack(owned))
    path.write_text(OmegaConf.to_yaml(config))
    assert any(words in refused(command("resume=run")) for words in ("is not allowed", "holds no references"))


NO_CONFIGS = {
    "python in YAML": "directory: x\nencoder: !!python/object/apply:builtins.open [{owned}, w]\n",
    "no YAML": "directory: [\n",
    "a list": "- directory\n",
    "without a directory": "encoder: 3\n",
    "nothing": "",
    "not text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("case", NO_CONFIGS)
def test_what_is_no_configuration_is_refused(case, command, tmp_path, owned):
    (tmp_path / "run").mkdir()
    content = NO_CONFIGS[case]
    content = content if isinstance(content, bytes) else content.format(owned=owned).encode()
    (tmp_path / "run" / "config.yaml").write_bytes(content)
    assert "config.yaml is not the configuration of a run" in refused(command("resume=run"))


def test_a_configuration_of_another_version_is_refused_by_what_it_lacks(stopped, command):
    path = stopped / "config.yaml"
    config = OmegaConf.load(path)
    del config["penalties_HW"]
    path.write_text(OmegaConf.to_yaml(config))
    assert "has no 'penalties_HW': it is that of another version" in refused(command("resume=run"))
