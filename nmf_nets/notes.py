"""What components of a spectrogram are as music: their pitch, and when they are played."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.signal
import torch
from torch import Tensor

from nmf_nets.factorization import Factorization
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.shapes import Components
from nmf_nets.sound import Sound, Spectrogram

NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
TUNING = 440.0
"""Of the A above middle C, in Hz; MIDI's number 69."""

STEPS = 10
"""Candidates of a fundamental within a semitone."""

REACH = 2
"""Frequencies on either side over which a partial spreads: the main lobe of Hann's window."""

HARMONIC = 0.5
"""From here on a component counts as a note with a pitch."""

ACTIVE = 0.1
"""A component is heard where it is at most 20 dB below its loudest moment."""

RISE = 0.25
"""A note begins where loudness rises within one frame by so much of the loudest moment."""


@dataclass(frozen=True)
class Note:
    """One component. `pitch` in Hz is None where it is not harmonic; `onsets` are frames."""

    component: int
    pitch: float | None
    harmonicity: float
    share: float
    sparseness: float
    seconds: float
    onsets: tuple[int, ...]

    @property
    def name(self) -> str:
        return "—" if self.pitch is None else pitch_name(self.pitch)


def semitone(frequency: float) -> float:
    """MIDI's number: 69 for 440 Hz, 12 more for each octave."""
    return 69 + 12 * float(np.log2(frequency / TUNING))


def pitch_name(frequency: float) -> str:
    """The nearest note of equal temperament, middle C being C4."""
    number = round(semitone(frequency))
    return f"{NAMES[number % 12]}{number // 12 - 1}"


def peaks(w: np.ndarray, frequencies: np.ndarray, count: int) -> list[tuple[float, float]]:
    """Frequency in Hz and height of the strongest local maxima, strongest first, at least a tenth of the greatest.

    A frequency between two of the spectrum is that of the parabola through the logarithms of three.
    """
    places, _ = scipy.signal.find_peaks(w, height=0.1 * w.max(initial=0.0) + np.finfo(w.dtype).tiny)
    strongest = sorted(places.tolist(), key=lambda j: -w[j])[:count]
    return [(_between(w, frequencies, j), float(w[j])) for j in strongest]


def pitch(w: np.ndarray, frequencies: np.ndarray) -> tuple[float, float]:
    """The fundamental that explains a spectrum best, in Hz, and its harmonicity, (s − c) / (1 − c), at most 1.

    s is the share of Σ w² within two frequencies of a multiple of the fundamental, c the share of all frequencies that
    are, what any spectrum would have there by chance; the best has the greatest s − c. So half of a fundamental, whose
    multiples lie twice as densely, loses c, and its double loses s. Fundamentals lower than six frequencies are not
    looked for.
    """
    apart = frequencies[1] - frequencies[0]
    low, high = 6 * apart, frequencies[-1] / 2
    candidates = low * 2 ** (np.arange(0, 12 * STEPS * np.log2(high / low)) / (12 * STEPS))
    above = frequencies >= low - REACH * apart
    power = np.where(above, w, 0.0) ** 2
    if not power.any():
        return float(candidates[0]), 0.0
    multiple = np.maximum(np.round(frequencies / candidates[:, None]), 1)
    near = (np.abs(frequencies - multiple * candidates[:, None]) <= REACH * apart) & above
    share, chance = near @ power / power.sum(), near.sum(1) / above.sum()
    best = int((share - chance).argmax())
    harmonicity = float((share[best] - chance[best]) / (1 - chance[best]))
    found = peaks(np.where(near[best], w, 0.0), frequencies, 5)
    if not found:
        return float(candidates[best]), harmonicity
    partials = np.array([(at / multiple[best][int(np.abs(frequencies - at).argmin())], height) for at, height in found])
    return float(np.average(partials[:, 0], weights=partials[:, 1] ** 2)), harmonicity


def spectra(spectrogram: Spectrogram, W: Components, n_components: int) -> np.ndarray:
    """Magnitudes of each component over all frequencies, of motifs the mean over their lags."""
    W = W.detach().double().cpu()
    W = W.reshape(-1, n_components, W.shape[1]).mean(0)
    W = W if spectrogram.mel is None else W @ spectrogram.bands
    return (W ** (1 / spectrogram.power)).numpy()


def loudness(spectrogram: Spectrogram, factors: Factorization) -> Tensor:
    """(n_frames, n_components): what each component gives to a frame, as a magnitude relative to its greatest."""
    H, W = factors.H.detach().double().cpu(), factors.W.detach().double().cpu()
    r = factors.n_components // factors.copies
    sizes = torch.stack([H[:, k::r] @ W[k::r].sum(1) for k in range(r)], 1) ** (1 / spectrogram.power)
    return sizes / sizes.amax(0).clamp(min=torch.finfo(sizes.dtype).tiny)


def onsets(loud: np.ndarray, apart: int) -> tuple[int, ...]:
    """Frames in which loudness, at most 1, rises most, at least `apart` of each other."""
    rises = np.diff(loud, prepend=0.0)
    return tuple(int(i) for i in scipy.signal.find_peaks([0.0, *rises, 0.0], RISE, distance=max(apart, 1))[0] - 1)


def notes_of(spectrogram: Spectrogram, sounds: Sequence[Sound], factors: Factorization) -> list[Note]:
    """Every component as a note or an event, in the order of the components.

    factors: of the frames of the sounds, one sound after another. A note begins anew after a twentieth of a second.
    """
    r = factors.n_components // factors.copies
    power = torch.cat([spectrogram.transform(sound.signal.double().cpu()).abs().square() for sound in sounds])
    shares = [float((mask * power).sum() / power.sum()) for mask in spectrogram.masks(factors)]
    looks, loud = spectra(spectrogram, factors.W, r), loudness(spectrogram, factors).numpy()
    sparse = hoyer_sparseness(torch.from_numpy(looks))
    step = spectrogram.hop / spectrogram.sample_rate
    notes = []
    for k in range(r):
        at, harmonicity = pitch(looks[k], Spectrogram(spectrogram.sample_rate, spectrogram.n_fft).frequencies)
        active = float((loud[:, k] > ACTIVE).sum() * step)
        began = onsets(loud[:, k], round(0.05 / step))
        known = at if harmonicity >= HARMONIC else None
        notes.append(Note(k, known, harmonicity, shares[k], float(sparse[k]), active, began))
    return notes


def table_of(notes: Sequence[Note]) -> pd.DataFrame:
    """A line for each component, by falling share of the energy."""
    return pd.DataFrame(
        [
            {
                "component": note.component,
                "pitch": note.name,
                "Hz": note.pitch,
                "harmonicity": note.harmonicity,
                "share of energy": note.share,
                "sparseness": note.sparseness,
                "seconds active": note.seconds,
                "onsets": len(note.onsets),
            }
            for note in sorted(notes, key=lambda note: -note.share)
        ]
    )


def _between(w: np.ndarray, frequencies: np.ndarray, j: int) -> float:
    left, middle, right = np.log(np.maximum(w[j - 1 : j + 2], np.finfo(w.dtype).tiny))
    bend = left - 2 * middle + right
    move = 0.0 if bend == 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
    return float(frequencies[j] + move * (frequencies[1] - frequencies[0]))
