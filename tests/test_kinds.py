import pytest
from hydra import compose, initialize_config_dir

from nmf_nets.kinds import refuse_kinds
from nmf_nets.program import CONFIGS
from nmf_nets.refusal import Refusal

UNROLLED = "nmf_nets.encoders.unrolled.Unrolled"
UPDATE = {"_target_": "nmf_nets.updates.hals.HALS"}
GROUPS = sorted(
    (group.name, str(file.relative_to(group).with_suffix("")))
    for group in CONFIGS.iterdir()
    if group.is_dir()
    and group.name in ("data", "encoder", "decoder", "optimizer", "experiment", "divergence", "module")
    for file in group.rglob("*.yaml")
)


@pytest.mark.parametrize(("group", "name"), GROUPS)
def test_what_ships_is_of_the_right_kinds(group, name):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        refuse_kinds(compose("train", [f"{group}={name}", "directory=run"]))


@pytest.mark.parametrize("program", ["select", "benchmark", "factorize_file"])
def test_what_other_programs_begin_with_is_of_the_right_kinds(program):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        refuse_kinds(compose(program, ["directory=run"]))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("steps", "nope", "encoder.steps is 'nope', but must be an integer."),
        ("steps", True, "encoder.steps is True, but must be an integer."),
        ("steps", 2.5, "encoder.steps is 2.5, but must be an integer."),
        ("progress", [], "encoder.progress is [], but must be a number."),
        ("progress", None, "encoder.progress is None, but must be a number."),
        ("warm", {}, "encoder.warm is {}, but must be an integer or null."),
        ("update", "hals", "encoder.update is 'hals', but must be Update, a part with a _target_."),
        ("update", {}, "encoder.update is {}, but must be Update, a part with a _target_."),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_place(name, value, said):
    right = {"_target_": UNROLLED, "update": UPDATE, "steps": 3, "progress": 1, "warm": None}
    refuse_kinds({"encoder": right})
    with pytest.raises(Refusal) as refused:
        refuse_kinds({"encoder": right | {name: value}})
    assert str(refused.value) == said


def test_arguments_of_what_a_class_is_derived_from_are_its_own():
    with pytest.raises(Refusal, match=r"data.test is 'a', but must be a number"):
        refuse_kinds({"data": {"_target_": "nmf_nets.data.synthetic.Synthetic", "n_samples": 3, "test": "a"}})


def test_parts_in_lists_and_of_others_are_reached_or_left():
    with pytest.raises(Refusal, match=r"rows\[1\].steps is None"):
        refuse_kinds({"rows": [1, {"_target_": UNROLLED, "update": UPDATE, "steps": None}]})
    with pytest.raises(Refusal, match=r"encoder.hidden is \[256, 'a'\], but must be a list, each of it an integer"):
        refuse_kinds({"encoder": {"_target_": "nmf_nets.encoders.mlp.MLP", "hidden": [256, "a"]}})
    with pytest.raises(Refusal, match=r"trainer.max_epochs is 'nope', but must be an integer or null"):
        refuse_kinds({"trainer": {"_target_": "pytorch_lightning.Trainer", "max_epochs": "nope"}})
    refuse_kinds({"logger": {"_target_": "pytorch_lightning.loggers.CSVLogger", "version": []}})
    refuse_kinds({"encoder": {"_target_": UNROLLED, "update": "${update}"}})
