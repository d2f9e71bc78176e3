import math

import pytest
import torch

from nmf_nets.metrics.separation import bss_eval, si_sdr, signal_to_error
from nmf_nets.refusal import Refusal

CHANCE = torch.Generator().manual_seed(0)
SOURCES = torch.randn(2, 12000, generator=CHANCE, dtype=torch.float64)
NOISE = torch.randn(2, 12000, generator=CHANCE, dtype=torch.float64)


@pytest.mark.parametrize(("other", "noise"), [(0.1, 0.01), (0.1, 0.1), (0.3, 0.3)])
def test_interference_and_noise_are_told_apart(other, noise):
    found = bss_eval(SOURCES + other * SOURCES.flip(0) + noise * NOISE, SOURCES)
    assert found.SIR.tolist() == pytest.approx([-20 * math.log10(other)] * 2, abs=1)
    # filters of 512 taps catch a little of the noise
    assert found.SAR.tolist() == pytest.approx([10 * math.log10((1 + other**2) / noise**2)] * 2, abs=1)
    assert found.SDR.tolist() == pytest.approx([-10 * math.log10(other**2 + noise**2)] * 2, abs=1)


def test_a_filter_is_forgiven_by_the_one_and_not_by_the_other():
    echo = SOURCES + 0.5 * SOURCES.roll(5, 1)
    assert (bss_eval(echo, SOURCES).SDR > 25).all()
    assert si_sdr(echo, SOURCES).tolist() == pytest.approx([20 * math.log10(2)] * 2, abs=0.2)


@pytest.mark.parametrize("factor", [0.01, 1.0, 30.0])
def test_loudness_is_forgiven_by_both(factor):
    found = SOURCES + 0.1 * NOISE
    torch.testing.assert_close(si_sdr(factor * found, SOURCES), si_sdr(found, SOURCES))
    torch.testing.assert_close(bss_eval(factor * found, SOURCES).SDR, bss_eval(found, SOURCES).SDR)
    assert si_sdr(found, SOURCES).tolist() == pytest.approx([20] * 2, abs=0.3)


def test_what_is_missed_is_counted_as_it_is():
    assert float(signal_to_error(0.9 * SOURCES[0], SOURCES[0])) == pytest.approx(20)
    assert float(signal_to_error(SOURCES[0], SOURCES[0])) == math.inf


@pytest.mark.parametrize("metric", [bss_eval, si_sdr])
def test_what_has_no_ratio_is_refused(metric):
    with pytest.raises(Refusal, match="source 1 is silent"):
        metric(SOURCES, SOURCES * torch.tensor([[1.0], [0.0]]))
    with pytest.raises(Refusal, match="what was found of source 0 is silent"):
        metric(SOURCES * torch.tensor([[0.0], [1.0]]), SOURCES)


@pytest.mark.untyped
@pytest.mark.parametrize("metric", [bss_eval, si_sdr])
def test_other_shapes_are_refused(metric):
    with pytest.raises(Refusal, match=r"has shape \(1, 12000\), but the sources \(2, 12000\)"):
        metric(SOURCES[:1], SOURCES)
