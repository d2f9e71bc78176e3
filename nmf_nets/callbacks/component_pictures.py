"""What was learned, to look at."""

from pathlib import Path

from pytorch_lightning import Trainer

from nmf_nets.callbacks.base import Monitor
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.loggers.base import log_picture
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.plots.components import draw_components
from nmf_nets.plots.motifs import draw_motifs


class ComponentPictures(Monitor):
    """Draws W, or motifs, into `path`, and into every tracker that shows pictures."""

    def __init__(self, path: str, growth: float = 5.0):
        super().__init__(growth)
        self.path = Path(path)

    def look(self, trainer: Trainer, net: NonNegativeAutoencoder, data: MatrixDataModule) -> dict[str, float]:
        if trainer.is_global_zero:
            decoder, dataset = net.decoder, data.dataset
            figure = (
                draw_motifs(decoder.motifs.detach())
                if isinstance(decoder, Convolutive)
                else draw_components(decoder.W.detach(), dataset.image_shape, dataset.frequencies)
            )
            figure.savefig(self.path, dpi=110)
            for logger in trainer.loggers:
                log_picture(logger, "components", self.path, trainer.global_step)
        return {}
