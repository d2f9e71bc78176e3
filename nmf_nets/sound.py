"""Sound, its spectrogram, and the way back."""

import math
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.signal
import torch
from scipy.io import wavfile
from torch import Tensor

from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Data

MOMENTUM = 0.99
"""Of Griffin and Lim's iteration; Perraudin et al. (2013) find it to end with the least inconsistency."""


@dataclass(frozen=True)
class Sound:
    """One channel, mostly in [−1, 1]."""

    signal: Tensor
    sample_rate: int

    def at(self, sample_rate: int) -> "Sound":
        """The same sound, by polyphase filtering."""
        if sample_rate == self.sample_rate:
            return self
        shared = math.gcd(sample_rate, self.sample_rate)
        up, down = sample_rate // shared, self.sample_rate // shared
        return Sound(torch.from_numpy(scipy.signal.resample_poly(self.signal.numpy(), up, down)), sample_rate)

    def write(self, path: str | Path) -> None:
        """A .wav of 32-bit floating-point numbers, which cuts nothing off that is louder than 1."""
        wavfile.write(path, self.sample_rate, self.signal.detach().cpu().float().numpy())


def read_sound(path: Path) -> Sound:
    """A .wav of integers of 8 to 64 bits or of floating-point numbers, in float64; the mean of its channels.

    Raises Refusal, with the file, for what is no such file, is cut off, empty, or not finite.
    """
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", wavfile.WavFileWarning)
            rate, samples = wavfile.read(path)
    except (ValueError, OSError, EOFError, struct.error, ZeroDivisionError, UnboundLocalError) as error:  # scipy's
        why = str(error).rstrip(".")
        raise Refusal(f"{path} cannot be read as .wav: {why}; convert it to PCM or floats.") from error
    for warning in said:  # the others are about notes in the file that are not sound
        if "EOF" in str(warning.message):
            raise Refusal(f"{path} is cut off: it ends before its header says; write it anew.")
    if len(samples) == 0:
        raise Refusal(f"{path} holds no samples.")
    if samples.dtype.kind in "iu":
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)  # 24 bits come as the upper ones of 32
        signal = samples / half - (samples.dtype.kind == "u")
    else:
        signal = samples.astype(np.float64)
    signal = signal.mean(1) if signal.ndim == 2 else signal
    if not np.isfinite(signal).all():
        place = int(np.flatnonzero(~np.isfinite(signal))[0])
        raise Refusal(f"sample {place} of {path} is {signal[place]}, but samples must be finite numbers.")
    return Sound(torch.from_numpy(signal), rate)


@dataclass(frozen=True)
class Spectrogram:
    """X = |S|^power of the short-time Fourier transform S, a row for each frame; with `mel`, sums over so many bands.

    Frames are centred on the samples 0, hop, 2 hop, … until all are covered, with silence around the sound.
    window: a name of scipy.signal.get_window. hop: at most n_fft / 2, so that S has an inverse.
    mel: triangles of height 1, whose corners are equally far apart on the scale 2595 log₁₀(1 + f / 700), from 0 to half
    the sample rate; neighbours add up to 1.
    """

    sample_rate: int
    n_fft: int = 1024
    hop: int = 256
    window: str = "hann"
    power: float = 1.0
    mel: int | None = None

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop"):
            refuse_count(name, getattr(self, name))
        if 2 * self.hop > self.n_fft:
            raise Refusal(
                f"hop is {self.hop}, but must be at most n_fft / 2 = {self.n_fft // 2}, or sound has no way back."
            )
        if not (self.power > 0 and math.isfinite(self.power)):
            raise Refusal(f"power is {self.power}, but must be positive: 1 for magnitudes, 2 for powers.")
        try:
            scipy.signal.get_window(self.window, self.n_fft)
        except ValueError as error:
            raise Refusal(f"window is {self.window!r}, but scipy.signal has no such window: {error}") from None
        if self.mel is not None:
            refuse_count("mel", self.mel)
            silent = np.flatnonzero(self.bands.sum(1).numpy() == 0)
            if len(silent):
                raise Refusal(
                    f"mel is {self.mel}, but band {silent[0]} lies between two of the {self.n_fft // 2 + 1} "
                    "frequencies; ask for fewer bands, or a larger n_fft."
                )

    @cached_property
    def frequencies(self) -> np.ndarray:
        """In Hz, of each feature."""
        return self._bins if self.mel is None else self._corners[1:-1]

    @cached_property
    def bands(self) -> Tensor:
        """(mel, n_fft / 2 + 1): how much of each frequency is in each band."""
        low, middle, high = (self._corners[start : len(self._corners) - 2 + start, None] for start in range(3))
        rising, falling = (self._bins - low) / (middle - low), (high - self._bins) / (high - middle)
        return torch.from_numpy(np.clip(np.minimum(rising, falling), 0, None))

    def of(self, sound: Sound) -> Data:
        """X, in the precision of the signal."""
        self._refuse_rate(sound)
        V = self.transform(sound.signal).abs() ** self.power
        return V if self.mel is None else V @ self.bands.T.to(V)

    def n_frames(self, n_samples: int) -> int:
        return 1 + -(-n_samples // self.hop)

    def transform(self, signal: Tensor) -> Tensor:
        """S, of shape (n_frames, n_fft / 2 + 1)."""
        silence = -len(signal) % self.hop + self.n_fft % 2  # the other half of an odd frame
        padded = torch.nn.functional.pad(signal, (0, silence))
        return torch.stft(
            padded, self.n_fft, self.hop, window=self._window(signal), pad_mode="constant", return_complex=True
        ).T

    def inverse(self, S: Tensor, n_samples: int | None = None) -> Tensor:
        """The signal; of an S that no signal has, the one whose transform is nearest."""
        whole = (len(S) - 1) * self.hop
        return torch.istft(S.T, self.n_fft, self.hop, window=self._window(S.real), length=whole)[:n_samples]

    def heard(self, X_hat: Data, mixture: Sound | None = None, seed: int = 0, n_iter: int = 100) -> Sound:
        """X̂ as sound: with the phases of the mixture, or, where there is none, with some that go with each other.

        Those are found by Griffin and Lim's iteration, with momentum, from random ones.
        Source: Griffin & Lim (1984), Perraudin et al. (2013).
        """
        V = X_hat if self.mel is None else X_hat @ torch.linalg.pinv(self.bands.T).to(X_hat)
        size = V.clamp(min=0) ** (1 / self.power)
        if mixture is not None:
            self._refuse_frames(size, [mixture])
            S = torch.polar(size, self.transform(mixture.signal.to(size)).angle())
            return Sound(self.inverse(S, len(mixture.signal)), self.sample_rate)
        chance = torch.Generator().manual_seed(seed)
        angle = 2 * math.pi * torch.rand(size.shape, generator=chance, dtype=torch.float64).to(size)
        before = torch.zeros(())
        for _ in range(n_iter):
            after = self.transform(self.inverse(torch.polar(size, angle)))
            angle, before = (after - MOMENTUM / (1 + MOMENTUM) * before).angle(), after
        return Sound(self.inverse(torch.polar(size, angle)), self.sample_rate)

    def masks(
        self, factors: Factorization, groups: Sequence[Sequence[int]] | None = None, exponent: float = 1.0
    ) -> Iterator[Data]:
        """For each group of components its share of every frame and frequency; all shares of a place add up to one.

        v_g^exponent / Σ v^exponent, v_g = Σ h_k w_k over the group: for power · exponent = 2 Wiener's filter. Bands
        share out the frequencies below them. What no component explains is shared out equally.
        groups: numbers of components, each in one of them; None for every component by itself.
        """
        H, W = factors.H.detach().double().cpu(), factors.W.detach().double().cpu()
        if W.shape[1] != len(self.frequencies):
            raise Refusal(f"components have {W.shape[1]} features, but the spectrogram {len(self.frequencies)}.")
        if bool((H < 0).any() | (W < 0).any()):
            raise Refusal("sound is shared out among non-negative parts, but these factors have negative entries.")
        if not (exponent > 0 and math.isfinite(exponent)):
            raise Refusal(
                f"exponent is {exponent}, but must be positive: 1 for shares of X, 2 for those of its squares."
            )
        r = factors.n_components // factors.copies
        members = [[k] for k in range(r)] if groups is None else [list(group) for group in groups]
        if sorted(k for group in members for k in group) != list(range(r)):
            raise Refusal(f"groups are {members}, but must hold each of the {r} components once.")
        W = W if self.mel is None else W @ self.bands
        copies = [[k + copy * r for copy in range(factors.copies) for k in group] for group in members]
        whole = sum((H[:, own] @ W[own]) ** exponent for own in copies)
        assert isinstance(whole, Tensor)
        for own in copies:
            yield torch.where(whole > 0, (H[:, own] @ W[own]) ** exponent / whole, 1 / len(copies))

    def parts(
        self,
        sounds: Sequence[Sound],
        factors: Factorization,
        groups: Sequence[Sequence[int]] | None = None,
        exponent: float = 1.0,
    ) -> Iterator[list[Sound]]:
        """For each component, or group of them, its part of each sound, by its mask; all parts of a sound add up to it.

        factors: of the frames of the sounds, one sound after another.
        """
        self._refuse_frames(factors.H, sounds)
        spectra = [self.transform(sound.signal.double().cpu()) for sound in sounds]
        for mask in self.masks(factors, groups, exponent):
            rows = mask.split([len(S) for S in spectra])
            yield [
                Sound(self.inverse(S * share, len(sound.signal)), sound.sample_rate)
                for sound, S, share in zip(sounds, spectra, rows, strict=True)
            ]

    def _refuse_rate(self, sound: Sound) -> None:
        if sound.sample_rate != self.sample_rate:
            raise Refusal(
                f"the sound has {sound.sample_rate} samples a second, but the spectrogram {self.sample_rate}; "
                f"sound.at({self.sample_rate}) resamples it."
            )

    def _refuse_frames(self, M: Tensor, sounds: Sequence[Sound]) -> None:
        for sound in sounds:
            self._refuse_rate(sound)
        frames = sum(self.n_frames(len(sound.signal)) for sound in sounds)
        if len(M) != frames:
            raise Refusal(
                f"the sound has {frames} frames, but the factors have {len(M)} rows; code all of them, or train with "
                "data.validation=0 data.test=0."
            )

    @property
    def _bins(self) -> np.ndarray:
        return np.fft.rfftfreq(self.n_fft, 1 / self.sample_rate)

    @property
    def _corners(self) -> np.ndarray:
        assert self.mel is not None
        most = 2595 * np.log10(1 + self.sample_rate / 2 / 700)
        return 700 * (10 ** (np.linspace(0, most, self.mel + 2) / 2595) - 1)

    def _window(self, like: Tensor) -> Tensor:
        return torch.from_numpy(scipy.signal.get_window(self.window, self.n_fft)).to(like)
