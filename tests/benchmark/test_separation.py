import numpy as np
import pytest
import torch

from nmf_nets.benchmark.instruments import INSTRUMENTS, RATE, melody, mixture
from nmf_nets.benchmark.separation import SETTINGS, methods, separated

METHODS = ("NMF, KL", "NMFD, 2 lags, KL", "scikit-learn mu, IS")
MIXED = mixture("pluck", "drum", 1.5, 0)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_melodies_are_as_loud_as_each_other_and_drawn_by_their_seed(name):
    found = melody(name, 1.5, 0).signal
    assert len(found) == 1.5 * RATE
    assert float(found.square().mean().sqrt()) == pytest.approx(0.1)
    assert torch.equal(found, melody(name, 1.5, 0).signal)
    assert not torch.equal(found, melody(name, 1.5, 1).signal)


@pytest.mark.parametrize(("name", "frequency"), [("pluck", RATE / 40.5), ("organ", 200.0)])
def test_an_instrument_plays_the_note_that_is_asked_for(name, frequency):
    heard = INSTRUMENTS[name][0](200.0, RATE, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(heard)) ** 2
    power[:10] = 0  # a burst has a mean, which is not heard
    near = np.concatenate([power[round(frequency * k) - 6 : round(frequency * k) + 7] for k in range(1, 19)])
    assert near.sum() > 0.5 * power.sum()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("setting", SETTINGS)
def test_sources_are_found_better_than_in_the_mixture_and_add_up_to_it(setting):
    few = {name: methods(lags=2)[name] for name in METHODS}
    lines = list(separated(MIXED, setting, 6, 0, few))
    by = {(line["method"], line["source"]): line for line in lines}
    names = [*METHODS, "the mixture itself", "ideal mask"]
    assert set(by) == {(name, source) for name in names for source in MIXED.names}
    for source in MIXED.names:
        ideal, nothing = by["ideal mask", source]["SDR"], by["the mixture itself", source]["SDR"]
        assert ideal > 10 > 1 > nothing
        assert all(by[name, source]["SDR"] < ideal for name in METHODS)
        assert by["NMF, KL", source]["SDR"] > nothing + 3
        assert all(by[name, source]["sum, dB"] > 100 for name in METHODS)
