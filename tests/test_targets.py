import sys

import pytest
from omegaconf import OmegaConf

from nmf_nets.refusal import Refusal
from nmf_nets.targets import PARTS, refuse_foreign_targets, refuse_references

FOREIGN = [
    "os.system",
    "builtins.eval",
    "joblib.load",
    "hydra.utils.instantiate",
    "hydra.utils.get_method",
    "nmf_nets_evil.run",
    "pytorch_lightning.Trainers",
    "torch.load",
    "torch.hub.load",
    "nmf_nets..os",
    "nmf_nets",
    3,
    "${oc.env:HOME}",
]
# In this package, or in what is allowed of others, but not a part that they have made.
REACHED_THROUGH = [
    "nmf_nets.run_directory.os.system",
    "nmf_nets.run_directory.subprocess.run",
    "nmf_nets.run_directory.write",
    "nmf_nets.run_directory.RunDirectory",
    "nmf_nets.train.instantiate",
    "nmf_nets.train.train",
    "nmf_nets.extras.import_module",
    "nmf_nets.extras.extra",
    "nmf_nets.program.run_program",
    "nmf_nets.saved_model.load",
    "nmf_nets.benchmark.results.ResultFolder",
    "nmf_nets.benchmark.__main__.main",
    "nmf_nets.data.matrix.np.load",
    "nmf_nets.data.matrix.gzip.open",
    "nmf_nets.data.matrix.as_matrix",
    "nmf_nets.data.matrix._read_npz",
    "nmf_nets.data.matrix.READERS",
    "nmf_nets.data.matrix.MatrixFile.read",
    "nmf_nets.data.text.Nothing",
    "nmf_nets.inits.base.cast",
    "nmf_nets.callbacks.checkpoint.os.replace",
    "nmf_nets.callbacks.checkpoint.Checkpoint._save",
    "nmf_nets.encoders.mlp.pairwise",
    "nmf_nets.encoders.mlp.MLP.__init__",
    "pytorch_lightning.Trainer.save_checkpoint",
    "pytorch_lightning.callbacks.timer.time.sleep",
    "pytorch_lightning.loggers.csv_logs.os",
    "torch.optim.optimizer.torch.load",
    "torch.optim.lr_scheduler.partial",
]
NESTS = {
    "plain": "a: {node}",
    "deep": "a: {{b: [{{c: {node}}}]}}",
    "an argument": "a: {{_target_: torch.optim.SGD, _partial_: true, _args_: [{node}]}}",
    "one that is not built by hydra": "a: {{_target_: torch.optim.SGD, _recursive_: false, lr: {node}}}",
}


def refused(target, nest):
    config = OmegaConf.create(nest.format(node=f"{{_target_: {target!r}, command: 'touch owned'}}"))
    with pytest.raises(Refusal, match=r"names '?[^ ]+ at a\S*_target_, which"):
        refuse_foreign_targets(config)


@pytest.mark.parametrize("target", [*FOREIGN, *REACHED_THROUGH])
def test_what_an_allowed_place_has_not_made_is_refused(target):
    refused(target, NESTS["plain"])


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("target", ["os.system", "nmf_nets.run_directory.subprocess.run"])
def test_foreign_targets_are_refused_at_any_depth(target, nest):
    refused(target, NESTS[nest])


HIDDEN = {
    "text that becomes a node": "a: '${oc.create:\"{_target_: os.system}\"}'",
    "text from elsewhere that becomes a node": "{a: {b: '${oc.create:${c}}'}, c: '{_target_: os.system}'}",
    "text that is decoded": "{a: '${oc.decode:${c}}', c: '{_target_: os.system}'}",
    "a name from elsewhere": "{a: {_target_: '${c}'}, c: os.system}",
    "a name from nowhere": "a: {_target_: '${nowhere}'}",
    "a default": "a: {_target_: '${oc.env:NOT_SET,os.system}'}",
    "a node that is itself": "{a: {b: '${c}'}, c: {d: '${a}'}}",
}


@pytest.mark.parametrize("case", HIDDEN)
def test_references_hide_nothing_and_are_in_no_saved_configuration(case):
    config = OmegaConf.create(HIDDEN[case])
    with pytest.raises(Refusal, match=r"os\.system|nowhere|deep at"):
        refuse_foreign_targets(config)
    with pytest.raises(Refusal, match="refers to"):
        refuse_references(OmegaConf.to_container(config, resolve=False))


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("import os\nfrom os import system\n\n\nclass Encoder:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine", None)


@pytest.mark.usefixtures("mine")
def test_allowing_is_explicit_and_by_whole_names_and_for_what_is_made_there():
    config = OmegaConf.create("a: {_target_: mine.Encoder}")
    refuse_foreign_targets(config, ["mine"])
    refuse_foreign_targets(config, ["mine.Encoder"])
    for allow in (["min"], ["mine.Enc"], []):
        with pytest.raises(Refusal, match=r"mine\.Encoder"):
            refuse_foreign_targets(config, allow)
    for other in ("mine.os.system", "mine.system", "mine.Decoder"):
        with pytest.raises(Refusal, match=other):
            refuse_foreign_targets(OmegaConf.create({"a": {"_target_": other}}), ["mine"])


def test_own_and_named_targets_pass_and_models_are_made_of_fewer():
    parts = OmegaConf.create("a: [{_target_: nmf_nets.encoders.mlp.MLP}, {_target_: nmf_nets.divergences.beta.Beta}]")
    refuse_foreign_targets(parts)
    refuse_foreign_targets(parts, allowed=PARTS)
    names = ("nmf_nets.inits.random.random", "pytorch_lightning.Trainer", "torch.optim.SGD")
    of_training = OmegaConf.create({"a": [{"_target_": name} for name in names]})
    refuse_foreign_targets(of_training)
    with pytest.raises(Refusal, match=r"nmf_nets\.inits\.random\.random"):
        refuse_foreign_targets(of_training, allowed=PARTS)
