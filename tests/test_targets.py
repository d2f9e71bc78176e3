import pytest
from omegaconf import OmegaConf

from nmf_nets.refusal import Refusal
from nmf_nets.targets import refuse_foreign_targets

HOSTILE = [
    "{_target_: os.system, command: 'touch owned'}",
    "{_target_: builtins.eval}",
    "{_target_: joblib.load, filename: x}",
    "{_target_: hydra.utils.instantiate, config: {_target_: os.system}}",
    "{_target_: nmf_nets_evil.run}",
    "{_target_: pytorch_lightning.Trainers}",
    "{_target_: 'nmf_nets..os'}",
    "{_target_: 3}",
    "{_target_: '${oc.env:HOME}'}",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("nest", ["a: {node}", "a: {{b: [{{c: {node}}}]}}"])
def test_foreign_targets_are_refused_at_any_depth(text, nest):
    config = OmegaConf.create(nest.format(node=text))
    with pytest.raises(Refusal, match=r"at a\S*_target_"):
        refuse_foreign_targets(config)


def test_allowing_is_explicit_and_by_whole_names():
    config = OmegaConf.create("a: {_target_: mine.Encoder}")
    refuse_foreign_targets(config, ["mine"])
    with pytest.raises(Refusal, match=r"mine\.Encoder"):
        refuse_foreign_targets(config, ["min"])


def test_own_and_named_targets_pass():
    refuse_foreign_targets(
        OmegaConf.create(
            "a: [{_target_: nmf_nets.x.Y}, {_target_: pytorch_lightning.Trainer}, {_target_: torch.optim.SGD}]"
        )
    )
