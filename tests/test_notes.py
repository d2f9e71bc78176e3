import math

import numpy as np
import pytest
import torch
from stand_ins import morning_coffee_clip

import nmf_nets
from nmf_nets.factorization import Factorization
from nmf_nets.notes import HARMONIC, notes_of, onsets, peaks, pitch, pitch_name, table_of
from nmf_nets.plots.notes import draw_notes, draw_piano_roll
from nmf_nets.sound import Sound, Spectrogram, read_sound

RATE = 8000
BINS = Spectrogram(RATE).frequencies


def spectrum(partials):
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    signal = sum(size * torch.sin(2 * torch.pi * at * time) for at, size in partials.items())
    return Spectrogram(RATE).of(Sound(signal, RATE))[10].numpy()


@pytest.mark.parametrize(
    ("frequency", "name"), [(440, "A4"), (261.6, "C4"), (27.5, "A0"), (466.2, "A♯4"), (452, "A4"), (454, "A♯4")]
)
def test_pitches_have_their_names(frequency, name):
    assert pitch_name(frequency) == name


SPECTRA = {
    "a tone": [1],
    "equal partials": [1, 1, 1, 1, 1],
    "falling partials": [1, 1 / 2, 1 / 3, 1 / 4],
    "a weak fundamental": [0.2, 1, 0.5, 0.5],
    "no fundamental": [0, 1, 1, 1, 1],
    "odd partials": [1, 0, 0.5, 0, 0.3],
}


@pytest.mark.parametrize("partials", SPECTRA)
@pytest.mark.parametrize("fundamental", [98.0, 110.0, 220.0, 311.1, 523.3])
def test_the_pitch_is_the_fundamental_whatever_the_partials(partials, fundamental):
    sizes = {k * fundamental: size for k, size in enumerate(SPECTRA[partials], 1) if size}
    found, harmonicity = pitch(spectrum(sizes), BINS)
    assert abs(12 * math.log2(found / fundamental)) < 0.25
    assert harmonicity > 0.9


def test_noise_has_no_pitch():
    noise = np.abs(np.random.default_rng(0).normal(size=(50, len(BINS))))
    assert max(pitch(w, BINS)[1] for w in noise) < HARMONIC
    assert pitch(np.zeros(len(BINS)), BINS)[1] == 0


def test_peaks_lie_between_frequencies_and_the_strongest_come_first():
    found = peaks(spectrum({443.0: 0.5, 1001.0: 1.0, 2100.0: 0.01}), BINS, 5)
    assert [at for at, _ in found] == pytest.approx([1001, 443], abs=0.5)


def test_a_note_begins_where_it_grows_louder():
    loud = np.array([0, 0, 0.5, 0.9, 0.7, 0.5, 0.45, 1.0, 0.6, 0, 0.05, 0])
    assert onsets(loud, 2) == (2, 7)
    assert onsets(np.ones(3), 1) == (0,)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("copies", [1, 2])
def test_the_notes_of_a_melody_are_found_by_a_factorization(tmp_path, power, copies):
    morning_coffee_clip.write(tmp_path)
    sound = read_sound(tmp_path / "morning_coffee_clip.wav")
    spectrogram = Spectrogram(RATE, power=power)
    found = nmf_nets.factorize(spectrogram.of(sound), 3, divergence="kullback_leibler", seed=0)
    H, W = (M.repeat(*n) for M, n in ((found.H / copies, (1, copies)), (found.W, (copies, 1))))
    factors = Factorization(H, W, copies)
    notes = notes_of(spectrogram, [sound], factors)
    by_pitch = sorted(notes, key=lambda note: note.pitch or 0)
    assert [note.pitch for note in by_pitch] == pytest.approx(morning_coffee_clip.PITCHES, rel=0.01)
    for number, note in enumerate(by_pitch):
        expected = [at for key, at in morning_coffee_clip.SCORE if key == number]
        apart = np.abs(np.array(note.onsets) * 256 / RATE - np.array(expected)[:, None])
        assert apart.min(1).max() < 0.1, "every note is found"
        if power == 2:  # magnitudes share attacks out among more components
            assert apart.min(0).max() < 0.1, "and nothing else"
    assert sum(note.share for note in notes) == pytest.approx(1)
    table = table_of(notes)
    assert table["share of energy"].is_monotonic_decreasing
    assert len(table) == 3
    for draw in (draw_notes, draw_piano_roll):
        figure = draw(spectrogram, factors, notes)
        assert {text.get_text() for axes in figure.axes for text in axes.texts} or draw is draw_piano_roll
        figure.draw_without_rendering()
