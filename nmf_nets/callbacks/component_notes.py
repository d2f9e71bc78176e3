"""What was learned, as notes."""

from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.callbacks.component_sounds import whole_sounds
from nmf_nets.loggers.base import trackers
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.notes import notes_of, table_of
from nmf_nets.plots.notes import draw_notes, draw_piano_roll
from nmf_nets.whole_file import write


class ComponentNotes(Callback):
    """After training, into `path`: notes.csv, a line for each component with its pitch; notes.png, their spectra and
    when they are played; piano_roll.png.

    Refuses what `ComponentSounds` refuses.
    """

    def __init__(self, path: str):
        self.path = Path(path)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        whole_sounds(trainer, "component_notes")

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, NonNegativeAutoencoder)
        if not trainer.is_global_zero:
            return
        data = whole_sounds(trainer, "component_notes")
        factors = pl_module.own_factors(data.training.to(pl_module.device))
        sounds = data.sounds()
        spectrogram = data.spectrogram(sounds)
        notes = notes_of(spectrogram, list(sounds.values()), factors)
        table = table_of(notes)
        self.path.mkdir(parents=True, exist_ok=True)
        write(self.path / "notes.csv", table.to_csv(index=False, float_format="%.4g").encode())
        for name, draw in {"notes": draw_notes, "piano_roll": draw_piano_roll}.items():
            picture = self.path / f"{name}.png"
            draw(spectrogram, factors, notes).savefig(picture, dpi=90)
            for tracker in trackers(trainer.loggers):
                tracker.show_picture(name, picture, trainer.global_step)
        for tracker in trackers(trainer.loggers):
            tracker.show_table("notes", tuple(table.columns), table.to_numpy().tolist(), trainer.global_step)
