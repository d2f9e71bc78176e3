"""What was learned, to listen to."""

from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.data.audio import Audio
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.refusal import Refusal


class ComponentSounds(Callback):
    """After training, the part of each component in each sound, as <path>/<sound>/<component>.wav; they add up to it.

    Raises Refusal for data that are no sound, and where frames are held out, as a sound is taken apart as a whole.
    """

    def __init__(self, path: str):
        self.path = Path(path)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        whole_sounds(trainer, "component_sounds")

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, NonNegativeAutoencoder)
        if not trainer.is_global_zero:
            return
        data = whole_sounds(trainer, "component_sounds")
        factors = pl_module.own_factors(data.training.to(pl_module.device))
        sounds = data.sounds()
        for k, parts in enumerate(data.spectrogram(sounds).parts(list(sounds.values()), factors)):
            for name, part in zip(sounds, parts, strict=True):
                folder = self.path / Path(name).with_suffix("")
                folder.mkdir(parents=True, exist_ok=True)
                part.write(folder / f"{k}.wav")


def whole_sounds(trainer: Trainer, callback: str) -> Audio:
    """The data, if they are sounds of which nothing is held out."""
    data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(data, Audio):
        raise Refusal(f"callback={callback} is about sound; use it with data=audio.")
    if data.validation is not None or data.test is not None:
        raise Refusal(
            f"callback={callback} takes sounds apart as a whole, but frames of them are held out; use "
            "data.validation=0 data.test=0."
        )
    return data
