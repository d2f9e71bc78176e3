"""The user's own sound, as frames of its spectrogram."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, FileDataModule
from nmf_nets.folder import files_of, names_in
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.sound import Sound, Spectrogram, read_sound


class Audio(FileDataModule):
    """Frames of sound, one after another in time, and what frequencies they hold.

    path: a .wav, or a folder of them, whose frames follow each other by the names of the files.
    sample_rate: in Hz, to which sounds are resampled; None where all have the same.
    n_fft, hop, window, power, mel: of `Spectrogram`.
    Parts are contiguous unless told otherwise.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        sample_rate: int | None = None,
        n_fft: int = 1024,
        hop: int = 256,
        window: str = "hann",
        power: float = 1.0,
        mel: int | None = None,
        contiguous: bool = True,
        **rows: Any,
    ):
        super().__init__(path, contiguous=contiguous, **rows)
        if sample_rate is not None:
            refuse_count("data.sample_rate", sample_rate)
        self.sample_rate = sample_rate
        self.transform = {"n_fft": n_fft, "hop": hop, "window": window, "power": power, "mel": mel}

    def read(self, path: Path, feature_names: Sequence[str] | None = None) -> Dataset:
        sounds = self.sounds(path)
        spectrogram = self.spectrogram(sounds)
        names = tuple(f"{frequency:.1f} Hz" for frequency in spectrogram.frequencies)
        if feature_names is not None and names != tuple(feature_names):
            raise Refusal(
                f"{path} has {len(names)} frequencies up to {names[-1]}, but the net was trained on "
                f"{len(feature_names)} up to {feature_names[-1]}; use its n_fft and mel, and its data.sample_rate."
            )
        frames = [spectrogram.of(sound).to(self.dtype) for sound in sounds.values()]
        moments = chain.from_iterable(
            (f"{name} {i * spectrogram.hop / spectrogram.sample_rate:.3f} s" for i in range(len(X)))
            for name, X in zip(sounds, frames, strict=True)
        )
        return Dataset(
            as_matrix(torch.cat(frames)),
            feature_names=names,
            sample_names=tuple(moments),
            frequencies=spectrogram.frequencies,
        )

    def sounds(self, path: Path | None = None) -> dict[str, Sound]:
        """What lies at the path, or at that of the data, by the names of the files, at one sample rate."""
        path = self.path if path is None else path
        files = files_of(path, (".wav",))
        sounds = dict(zip(names_in(path, files), map(read_sound, files), strict=True))
        if self.sample_rate is not None:
            return {name: sound.at(self.sample_rate) for name, sound in sounds.items()}
        (first, rate), *others = ((name, sound.sample_rate) for name, sound in sounds.items())
        for name, other in others:
            if other != rate:
                raise Refusal(
                    f"{name} in {path} has {other} samples a second, but {first} has {rate}; data.sample_rate={rate} "
                    "makes all alike."
                )
        return sounds

    def spectrogram(self, sounds: Mapping[str, Sound]) -> Spectrogram:
        """That of these data, at the one rate of the sounds."""
        return Spectrogram(next(iter(sounds.values())).sample_rate, **self.transform)
