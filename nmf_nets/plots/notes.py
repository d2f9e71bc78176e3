"""Components of sound as notes: what each sounds like, and when it is played."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from nmf_nets.factorization import Factorization
from nmf_nets.notes import ACTIVE, NAMES, Note, loudness, peaks, pitch_name, semitone, spectra
from nmf_nets.sound import Spectrogram

MOST = 24
"""Components that are drawn, those with the greatest shares of the energy."""


def draw_notes(spectrogram: Spectrogram, factors: Factorization, notes: Sequence[Note]) -> Figure:
    """A line a component, high notes on top: its spectrum with its strongest peaks, its loudness, and its onsets."""
    drawn = _by_pitch(notes)
    looks = spectra(spectrogram, factors.W, len(notes))
    bins = Spectrogram(spectrogram.sample_rate, spectrogram.n_fft).frequencies
    loud = loudness(spectrogram, factors).numpy()
    seconds = np.arange(len(loud)) * spectrogram.hop / spectrogram.sample_rate
    figure = Figure(figsize=(11, 0.75 * len(drawn) + 0.6), layout="constrained")
    panels = figure.subplots(len(drawn), 2, squeeze=False, width_ratios=(1, 2.2), sharex="col")
    for (look, played), note in zip(panels, drawn, strict=True):
        w = looks[note.component] / max(looks[note.component].max(), np.finfo(float).tiny)
        color = "C0" if note.pitch else "0.5"
        look.fill_between(bins / 1000, w, linewidth=0, color=color)
        for at, height in peaks(w, bins, 3) if note.pitch else ():
            look.annotate(
                pitch_name(at), (at / 1000, height), (2, -2), textcoords="offset points", fontsize=6, va="top"
            )
        look.set_ylabel(
            f"{note.component}: {note.name}\n{note.share:.1%}", fontsize=7, rotation=0, ha="right", va="center"
        )
        look.set(xlim=(0, bins[-1] / 1000), ylim=(0, 1.1), yticks=[])
        played.fill_between(seconds, loud[:, note.component], linewidth=0, color=color)
        played.vlines(seconds[list(note.onsets)], 0, 1, color="C3", linewidth=0.8)
        played.set(xlim=(0, seconds[-1] or 1), ylim=(0, 1.1), yticks=[])
        for axes in (look, played):
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right", "left"]].set_visible(False)
    panels[-1, 0].set_xlabel("kHz", fontsize=8)
    panels[-1, 1].set_xlabel("seconds; red where a note begins", fontsize=8)
    return figure


def draw_piano_roll(spectrogram: Spectrogram, factors: Factorization, notes: Sequence[Note]) -> Figure:
    """Pitch over time: a bar where a component with a pitch is heard, the darker the louder; events below."""
    loud = loudness(spectrogram, factors).numpy()
    step = spectrogram.hop / spectrogram.sample_rate
    pitched = [note for note in notes if note.pitch]
    events = [note for note in notes if not note.pitch]
    lowest = min((semitone(note.pitch) for note in pitched if note.pitch), default=60.0)
    lanes = {note.component: semitone(note.pitch) for note in pitched if note.pitch}
    lanes |= {note.component: round(lowest) - 2.0 - i for i, note in enumerate(events)}
    most = max(note.share for note in notes)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots()
    for note in notes:
        strength = loud[:, note.component]
        heard = np.flatnonzero(strength > ACTIVE)
        axes.bar(
            heard * step,
            0.9,
            width=step,
            bottom=lanes[note.component] - 0.45,
            align="center",
            color=[(*(0.12, 0.38, 0.65), a) if note.pitch else (0.4, 0.4, 0.4, a) for a in 0.1 + 0.9 * strength[heard]],
            linewidth=0,
        )
        axes.scatter(
            np.array(note.onsets) * step,
            np.full(len(note.onsets), lanes[note.component]),
            s=4 + 26 * note.share / most,
            color="C3",
            zorder=3,
            linewidth=0,
        )
    levels = sorted({round(level) for level in lanes.values()})
    axes.set(xlim=(0, len(loud) * step), ylim=(levels[0] - 1, levels[-1] + 1), xlabel="seconds")
    axes.set_yticks(levels)
    names = {round(lanes[note.component]): f"event {note.component}" for note in events}
    axes.yaxis.set_major_formatter(FuncFormatter(lambda level, _: names.get(level) or _name(float(level))))
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _name(level: float) -> str:
    return f"{NAMES[round(level) % 12]}{round(level) // 12 - 1}"


def _by_pitch(notes: Sequence[Note]) -> list[Note]:
    strongest = sorted(notes, key=lambda note: -note.share)[:MOST]
    return sorted(strongest, key=lambda note: -(note.pitch or 0.0))
