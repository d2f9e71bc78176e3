import struct

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from nmf_nets.factorization import Factorization
from nmf_nets.lags import delayed
from nmf_nets.metrics.separation import signal_to_error
from nmf_nets.refusal import Refusal
from nmf_nets.sound import Sound, Spectrogram, read_sound

RATE = 8000
CHANCE = torch.Generator().manual_seed(0)
NOISE = Sound(torch.rand(5003, generator=CHANCE, dtype=torch.float64) - 0.5, RATE)


def tones(*frequencies, n=8000, rate=RATE):
    time = torch.arange(n, dtype=torch.float64) / rate
    return [0.3 * torch.sin(2 * torch.pi * frequency * time) for frequency in frequencies]


def shape_of(spectrogram, sound):
    return spectrogram.n_frames(len(sound.signal)), len(spectrogram.frequencies)


SPECTROGRAMS = [
    {},
    {"n_fft": 256, "hop": 128},
    {"n_fft": 257, "hop": 100},
    {"n_fft": 512, "hop": 70, "window": "hamming", "power": 2.0},
    {"n_fft": 128, "hop": 1, "window": "boxcar"},
    {"n_fft": 512, "hop": 256, "window": "blackman", "mel": 20},
]


@pytest.mark.parametrize("options", SPECTROGRAMS, ids=str)
@pytest.mark.parametrize("n", [1, 60, 256, 5003])
def test_the_inverse_undoes_the_transform(options, n):
    spectrogram, signal = Spectrogram(RATE, **options), NOISE.signal[:n]
    S = spectrogram.transform(signal)
    assert len(S) == spectrogram.n_frames(n)
    torch.testing.assert_close(spectrogram.inverse(S, n), signal, rtol=0, atol=1e-12)
    single = spectrogram.inverse(spectrogram.transform(signal.float()), n)
    torch.testing.assert_close(single, signal.float(), rtol=0, atol=1e-5)


def test_a_tone_stands_at_its_frequency_in_every_frame():
    (tone,) = tones(1000)
    for mel in (None, 40):
        spectrogram = Spectrogram(RATE, mel=mel)
        X = spectrogram.of(Sound(tone, RATE))[4:-4]
        apart = np.diff(spectrogram.frequencies).max()
        assert X.shape[1] == len(spectrogram.frequencies) == (mel or 513)
        assert np.abs(spectrogram.frequencies[X.argmax(1)] - 1000).max() <= apart / 2
    # |S| is half the amplitude times the sum of the window, which is n_fft / 2 for Hann's
    assert Spectrogram(RATE).of(Sound(tone, RATE))[10].max() == pytest.approx(0.3 / 2 * 512, rel=1e-6)
    powers = Spectrogram(RATE, power=2.0).of(Sound(tone, RATE))
    torch.testing.assert_close(powers, Spectrogram(RATE).of(Sound(tone, RATE)) ** 2)


def test_frames_are_where_the_sound_is():
    click = torch.zeros(8000, dtype=torch.float64)
    click[256 * 10] = 1
    loudness = Spectrogram(RATE).of(Sound(click, RATE)).sum(1)
    assert int(loudness.argmax()) == 10
    assert torch.nonzero(loudness).flatten().tolist() == [9, 10, 11]


def test_neighbouring_bands_add_up_to_one_and_are_evenly_far_apart_on_the_mel_scale():
    spectrogram = Spectrogram(RATE, mel=20)
    bands, bins = spectrogram.bands.numpy(), Spectrogram(RATE).frequencies
    within = (bins >= spectrogram.frequencies[0]) & (bins <= spectrogram.frequencies[-1])
    assert np.allclose(bands.sum(0)[within], 1)
    assert ((bands >= 0) & (bands <= 1)).all()
    mels = 1127.01048 * np.log(1 + np.array([0, *spectrogram.frequencies, RATE / 2]) / 700)
    assert np.allclose(np.diff(mels), mels[-1] / 21)


@pytest.mark.parametrize("options", SPECTROGRAMS[:-2] + SPECTROGRAMS[-1:], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_add_up_to_each_sound(options, dtype):
    spectrogram, sounds = Spectrogram(RATE, **options), [NOISE, Sound(NOISE.signal[:700], RATE)]
    shapes = [shape_of(spectrogram, sound) for sound in sounds]
    chance = torch.Generator().manual_seed(1)
    H = torch.rand(sum(shape[0] for shape in shapes), 3, generator=chance, dtype=dtype)
    W = torch.rand(3, shapes[0][1], generator=chance, dtype=dtype)
    H[:5], W[:, 7] = 0, 0  # what nothing explains is a part of all
    parts = list(spectrogram.parts(sounds, Factorization(H, W)))
    assert len(parts) == 3
    for i, sound in enumerate(sounds):
        assert all(len(part[i].signal) == len(sound.signal) for part in parts)
        total = sum(part[i].signal for part in parts)
        torch.testing.assert_close(total, sound.signal, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"power": 2.0}, {"mel": 30}], ids=str)
@pytest.mark.parametrize("exponent", [1.0, 2.0])
@pytest.mark.parametrize("groups", [None, [[0, 2], [1], [3]], [[3, 1, 0, 2]]], ids=str)
@pytest.mark.parametrize("copies", [1, 3])
def test_masks_add_up_to_one_and_parts_to_the_mixture(options, exponent, groups, copies):
    spectrogram = Spectrogram(RATE, **options)
    n, m = shape_of(spectrogram, NOISE)
    chance = torch.Generator().manual_seed(2)
    H = delayed(torch.rand(n, 4, generator=chance, dtype=torch.float64), copies)
    W = torch.rand(copies * 4, m, generator=chance, dtype=torch.float64)
    H[:3], W[:, 5:40] = 0, 0  # what nothing explains
    factors = Factorization(H, W, copies)
    masks = list(spectrogram.masks(factors, groups, exponent))
    assert len(masks) == len(groups or range(4))
    assert all(((mask >= 0) & (mask <= 1)).all() for mask in masks)
    total = sum(masks)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)
    parts = [part.signal for (part,) in spectrogram.parts([NOISE], factors, groups, exponent)]
    assert signal_to_error(sum(parts), NOISE.signal) > 200


def test_a_group_is_one_component_before_it_is_squared():
    spectrogram = Spectrogram(RATE)
    n, m = shape_of(spectrogram, NOISE)
    H, W = torch.rand(n, 3, generator=CHANCE).double(), torch.rand(3, m, generator=CHANCE).double()
    first, second = H[:, :2] @ W[:2], H[:, 2:] @ W[2:]
    mask, _ = spectrogram.masks(Factorization(H, W), [[0, 1], [2]], exponent=2.0)
    torch.testing.assert_close(mask, first**2 / (first**2 + second**2))


@pytest.mark.parametrize("options", [{}, {"power": 2.0}, {"mel": 30}])
def test_tones_are_told_apart_by_what_each_alone_looks_like(options):
    spectrogram, alone = Spectrogram(RATE, **options), tones(500, 2000)
    alone[1][:4000] = 0
    looks = [spectrogram.of(Sound(signal, RATE)) for signal in alone]
    H = torch.stack([look.norm(dim=1) for look in looks], 1)
    W = torch.stack([look[20] / look[20].norm() for look in looks])
    for (part,), signal in zip(spectrogram.parts([Sound(sum(alone), RATE)], Factorization(H, W)), alone, strict=True):
        assert (part.signal - signal).norm() < 0.1 * signal.norm()


def test_the_copies_of_a_component_are_one_part():
    spectrogram, lags = Spectrogram(RATE), 4
    n, m = shape_of(spectrogram, NOISE)
    H, W = torch.rand(n, 2, generator=CHANCE), torch.rand(lags * 2, m, generator=CHANCE)
    copies = Factorization(delayed(H, lags), W, lags)
    parts = list(spectrogram.parts([NOISE], copies))
    assert len(parts) == 2
    whole = delayed(H, lags) @ W
    first = delayed(torch.stack([H[:, 0], 0 * H[:, 1]], 1), lags) @ W
    expected = spectrogram.inverse(spectrogram.transform(NOISE.signal) * (first / whole).double(), 5003)
    torch.testing.assert_close(parts[0][0].signal, expected, rtol=0, atol=1e-6)


def test_a_spectrogram_is_heard_with_the_phases_of_its_sound():
    for power in (1.0, 2.0):
        spectrogram = Spectrogram(RATE, power=power)
        heard = spectrogram.heard(spectrogram.of(NOISE), NOISE)
        assert heard.sample_rate == RATE
        torch.testing.assert_close(heard.signal, NOISE.signal, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{"n_fft": 256, "hop": 64}, {"n_fft": 512, "hop": 128, "power": 2.0, "mel": 40}])
def test_phases_are_found_that_go_with_each_other(options):
    spectrogram = Spectrogram(RATE, **options)
    X = spectrogram.of(Sound(sum(tones(400, 660, 1500, n=4000)), RATE))

    def miss(n_iter, seed=0):
        return float((spectrogram.of(spectrogram.heard(X, n_iter=n_iter, seed=seed)) - X).norm() / X.norm())

    assert miss(60) < 0.5 * miss(0)
    assert miss(60) < 0.25
    assert miss(5) == miss(5) != miss(5, seed=1)


STORED = {"uint8": 2**-7, "int16": 2**-15, "int32": 2**-31, "float32": 2**-24, "float64": 1e-15}


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_every_kind_are_read_alike(tmp_path, dtype, channels):
    signals = np.stack([NOISE.signal.numpy(), np.roll(NOISE.signal.numpy(), 99)][:channels], 1)
    scaled = signals
    if dtype in ("uint8", "int16", "int32"):
        info = np.iinfo(dtype)
        scaled = np.round(signals * 2.0 ** (info.bits - 1)) + (128 if dtype == "uint8" else 0)
    wavfile.write(tmp_path / "x.wav", RATE, scaled.astype(dtype))
    found = read_sound(tmp_path / "x.wav")
    assert found.sample_rate == RATE
    assert found.signal.dtype == torch.float64
    assert np.abs(found.signal.numpy() - signals.mean(1)).max() <= STORED[dtype]


def pcm(samples, width, rate=RATE, more=b""):
    """A .wav with so many bytes a sample, and chunks that are not sound."""
    data = b"".join(int(sample).to_bytes(width, "little", signed=True) for sample in samples)
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * width, width, 8 * width)
    chunks = b"WAVE" + form + more + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def test_24_bits_are_read_and_notes_in_the_file_left_alone(tmp_path):
    samples = [0, 1, -1, 2**22, -(2**23), 2**23 - 1]
    (tmp_path / "x.wav").write_bytes(pcm(samples, 3, more=b"bext" + struct.pack("<I", 4) + b"note"))
    assert np.array_equal(read_sound(tmp_path / "x.wav").signal.numpy(), np.array(samples) / 2**23)


def test_what_is_written_is_read_again(tmp_path):
    loud = Sound(4 * NOISE.signal, 44100)
    loud.write(tmp_path / "x.wav")
    found = read_sound(tmp_path / "x.wav")
    assert found.sample_rate == 44100
    torch.testing.assert_close(found.signal, loud.signal.float().double(), rtol=0, atol=0)


@pytest.mark.parametrize("rate", [4000, 11025, 16000])
def test_a_tone_is_the_same_tone_at_another_rate(rate):
    (tone,), (expected,) = tones(440), tones(440, n=rate, rate=rate)
    found = Sound(tone, RATE).at(rate)
    assert found.sample_rate == rate
    middle = slice(rate // 10, -rate // 10)
    assert (found.signal[middle] - expected[middle]).norm() < 0.01 * expected[middle].norm()


REFUSED = {
    "no file": (lambda path: None, "cannot be read as .wav: .*No such file"),
    "an empty file": (lambda path: path.touch(), "cannot be read as .wav"),
    "an mp3": (lambda path: path.write_bytes(b"ID3" + bytes(99)), "cannot be read as .wav: File format.*convert it to"),
    "a header alone": (lambda path: path.write_bytes(pcm([1] * 9, 2)[:30]), "cannot be read as .wav"),
    "no sound": (lambda path: path.write_bytes(pcm([], 2)), "holds no samples"),
    "half of a sound": (lambda path: path.write_bytes(pcm([1] * 900, 2)[:-400]), "is cut off"),
    "half of a sample": (lambda path: path.write_bytes(pcm([1] * 900, 3)[:-400]), "is cut off|cannot be read as .wav"),
    "not a number": (
        lambda path: wavfile.write(path, RATE, np.array([0, np.nan, 1], np.float32)),
        r"sample 1 of .*x.wav is nan",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_sound_is_refused_by_name(tmp_path, case):
    save, said = REFUSED[case]
    save(tmp_path / "x.wav")
    with pytest.raises(Refusal, match=said) as refused:
        read_sound(tmp_path / "x.wav")
    assert "x.wav" in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_fft": 0}, "n_fft must be an integer"),
        ({"hop": 0}, "hop must be an integer"),
        ({"hop": 513}, "hop is 513, but must be at most n_fft / 2 = 512"),
        ({"window": "round"}, "window is 'round', but scipy.signal has no such"),
        ({"power": 0.0}, "power is 0.0"),
        ({"mel": 0}, "mel must be an integer"),
        ({"mel": 400}, "mel is 400, but band 0 lies between two of the 513 frequencies"),
    ],
)
def test_spectrograms_that_cannot_be_are_refused(options, said):
    with pytest.raises(Refusal, match=said):
        Spectrogram(RATE, **options)


def test_factors_of_something_else_are_refused():
    spectrogram = Spectrogram(RATE)
    n, m = shape_of(spectrogram, NOISE)
    H, W = torch.rand(n, 2), torch.rand(2, m)
    for factors, said in (
        (Factorization(H[1:], W), f"has {n} frames, but the factors have {n - 1} rows.*data.validation=0"),
        (Factorization(H, W[:, 1:]), f"components have {m - 1} features, but the spectrogram {m}"),
        (Factorization(-H, W), "non-negative parts"),
    ):
        with pytest.raises(Refusal, match=said):
            next(spectrogram.parts([NOISE], factors))
    for options, said in (
        ({"groups": [[0], [0]]}, r"groups are \[\[0\], \[0\]\], but must hold each of the 2 components once"),
        ({"exponent": 0.0}, "exponent is 0.0"),
    ):
        with pytest.raises(Refusal, match=said):
            next(spectrogram.masks(Factorization(H, W), **options))
    with pytest.raises(Refusal, match=r"has 16000 samples a second, but the spectrogram 8000; sound.at\(8000\)"):
        spectrogram.of(Sound(NOISE.signal, 16000))
    with pytest.raises(Refusal, match="16000 samples a second"):
        spectrogram.heard(H @ W, Sound(NOISE.signal, 16000))
    with pytest.raises(Refusal, match="frames"):
        spectrogram.heard(H[1:] @ W, NOISE)
