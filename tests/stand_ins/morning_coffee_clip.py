"""Three notes, plucked one after another and together, in the format of morning_coffee_clip.wav."""

from pathlib import Path

import numpy as np
import scipy.io.wavfile

RATE = 8000
PITCHES = (262, 330, 392)
SCORE = ((0, 0.0), (1, 0.5), (2, 1.0), (0, 1.5), (1, 1.5), (2, 2.0), (0, 2.5), (2, 2.5))
"""Which note, and when, in seconds."""


def write(folder: Path, seconds: float = 3.5) -> None:
    """Each note is a fundamental with five overtones that die away."""
    t = np.arange(int(seconds * RATE)) / RATE
    sound = np.zeros_like(t)
    for note, onset in SCORE:
        since = np.clip(t - onset, 0, None)
        for overtone in range(1, 7):
            frequency = PITCHES[note] * overtone
            sound += (t >= onset) * np.exp(-4 * since) * np.sin(2 * np.pi * frequency * since) / overtone**1.5
    scipy.io.wavfile.write(folder / "morning_coffee_clip.wav", RATE, np.int16(9000 * sound / np.abs(sound).max()))
