"""Melodies of instruments that are made here, so that what was mixed is known."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from nmf_nets.sound import Sound

RATE = 8000
SCALE = (48, 50, 52, 53, 55, 57, 59, 60, 62, 64)
"""Ten white keys from C3 on, by MIDI's numbers."""

Instrument = Callable[[float, int, np.random.Generator], np.ndarray]
"""One note from a frequency in Hz and a number of samples."""


class Mixture(NamedTuple):
    """Two instruments at once, and each alone, as long."""

    names: tuple[str, str]
    sources: tuple[Sound, Sound]

    @property
    def sound(self) -> Sound:
        first, second = self.sources
        return Sound(first.signal + second.signal, RATE)


def pluck(frequency: float, n: int, chance: np.random.Generator) -> np.ndarray:
    """A string: noise that runs around in a loop and is averaged with its neighbour. Karplus & Strong (1983)."""
    period = round(RATE / frequency)
    line = chance.uniform(-1, 1, size=period)
    line -= line.mean()  # which would stay, unheard
    heard = np.empty(-(-n // period) * period)
    for start in range(0, len(heard), period):
        heard[start : start + period] = line
        line = 0.997 * 0.5 * (line + np.roll(line, 1))
    return heard[:n]


def organ(frequency: float, n: int, chance: np.random.Generator) -> np.ndarray:
    """Six partials with a vibrato of 5.5 Hz and half a percent, which set in and out within 50 ms."""
    t = np.arange(n) / RATE
    phase = 2 * np.pi * frequency * t + 0.005 * frequency / 5.5 * np.sin(2 * np.pi * 5.5 * t + chance.uniform(0, 6))
    heard = sum(np.sin(k * phase) / k for k in (1, 2, 3, 4, 6, 8) if k * frequency < RATE / 2)
    ramp = np.minimum(1, np.minimum(t, t[::-1]) / 0.05)
    return 0.5 * ramp * heard


def drum(frequency: float, n: int, chance: np.random.Generator) -> np.ndarray:
    """Low keys are a skin, whose tone falls as it dies away, high ones a cymbal: noise without its low part."""
    t = np.arange(n) / RATE
    if frequency < 220:
        return np.exp(-9 * t) * np.sin(2 * np.pi * (60 * t + 4 * (1 - np.exp(-25 * t))))
    noise = chance.normal(scale=0.4, size=n)
    return np.exp(-25 * t) * np.diff(noise, prepend=0.0)


INSTRUMENTS: dict[str, tuple[Instrument, float]] = {"pluck": (pluck, 0.3), "organ": (organ, 0.7), "drum": (drum, 0.35)}
"""And seconds between the beginnings of two notes; they ring on over the next."""


def melody(name: str, seconds: float, seed: int) -> Sound:
    """Notes of the scale by chance, each as loud as it happens to be, twice as long as they are apart: they overlap."""
    play, apart = INSTRUMENTS[name]
    chance = np.random.default_rng([seed, *name.encode()])
    signal = np.zeros(int(seconds * RATE))
    for start in range(0, len(signal), int(apart * RATE)):
        key = chance.choice(SCALE)
        heard = play(440 * 2 ** ((key - 69) / 12), int(2 * apart * RATE), chance) * chance.uniform(0.4, 1)
        signal[start : start + len(heard)] += heard[: len(signal) - start]
    return Sound(torch.from_numpy(signal / np.sqrt(np.mean(signal**2)) / 10), RATE)


def mixture(first: str, second: str, seconds: float, seed: int) -> Mixture:
    """Two melodies, equally loud."""
    return Mixture((first, second), (melody(first, seconds, seed), melody(second, seconds, seed)))
