import signal
import subprocess
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import save_file

from nmf_nets.benchmark.survival import DAMAGE, PROGRAMS, Program, Run, frozen
from nmf_nets.program import CONFIGS
from nmf_nets.whole_file import fault

PROGRAM = Program(())


@pytest.fixture
def run(tmp_path):
    run = Run(PROGRAM, tmp_path / "run")
    for step in (7, 14):
        with run.saved.replacing() as unfinished:
            torch.save({"global_step": step}, unfinished)
    save_file({"H": torch.rand(5, 2), "W": torch.rand(2, 3)}, run.directory / PROGRAM.factors)
    run.log.write_text("said")
    return run


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_damage(damage, run):
    assert run.step == 14
    DAMAGE[damage](run.saved.path)
    assert fault(run.saved.path)
    assert run.step == 7


def test_one_bit_makes_a_difference(run):
    other = run.copied("other")
    assert run.same_as(other)
    factors = {"H": torch.rand(5, 2), "W": torch.rand(2, 3)}
    save_file(factors, run.directory / PROGRAM.factors)
    factors["W"].view(torch.int32)[1, 1] ^= 1
    save_file(factors, other.directory / PROGRAM.factors)
    assert not run.same_as(other)


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="whether a process has stopped is told by Linux")
def test_a_process_is_stopped_where_something_is_true_and_still_is(run):
    answers = iter([False, True, False, True, True])
    with subprocess.Popen(["sleep", "60"]) as process:
        assert frozen(process.pid, run, lambda run: next(answers))
        assert Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T"
        assert next(answers, None) is None
        process.kill()
        process.send_signal(signal.SIGCONT)
    with subprocess.Popen(["true"]) as process:
        assert not frozen(process.pid, run, lambda run: False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_programs_compose_and_nets_take_five_steps_an_epoch(name):
    module, *overrides = PROGRAMS[name].command
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(module.removeprefix("nmf_nets."), overrides)
    if PROGRAMS[name].has_callbacks:
        rows = config.data.n_samples * (1 - config.data.validation - config.data.test)
        assert round(rows / config.data.batch_size) == PROGRAMS[name].epoch
