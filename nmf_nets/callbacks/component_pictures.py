"""What was learned, to look at."""

import csv
from io import StringIO
from pathlib import Path

from pytorch_lightning import Trainer

from nmf_nets.callbacks.base import Monitor
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.loggers.base import trackers
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.plots.components import draw_components
from nmf_nets.plots.motifs import draw_motifs
from nmf_nets.plots.topics import draw_topics, topics
from nmf_nets.whole_file import write

TOP = 10
"""Features by which a component is known."""


class ComponentPictures(Monitor):
    """Draws W, as its data are looked at, or motifs, into `path`, and into every tracker that shows pictures.

    Where features have names, a table beside it, topics.csv, holds the strongest of each component.
    """

    def __init__(self, path: str, growth: float = 5.0):
        super().__init__(growth)
        self.path = Path(path)

    def look(self, trainer: Trainer, net: NonNegativeAutoencoder, data: MatrixDataModule) -> dict[str, float]:
        if not trainer.is_global_zero:
            return {}
        decoder, dataset, step = net.decoder, data.dataset, trainer.global_step
        names = dataset.feature_names
        if isinstance(decoder, Convolutive):
            figure = draw_motifs(decoder.motifs.detach())
        elif dataset.shown_as == "words" and names is not None:
            figure = draw_topics(decoder.W.detach(), names, TOP)
            self._tell(trainer, topics(decoder.W, names, TOP))
        else:
            figure = draw_components(decoder.W.detach(), dataset.image_shape, dataset.frequencies)
        figure.savefig(self.path, dpi=110)
        for tracker in trackers(trainer.loggers):
            tracker.show_picture("components", self.path, step)
        return {}

    def _tell(self, trainer: Trainer, found: list[list[tuple[str, float]]]) -> None:
        lines = [(k, name, f"{share:.4g}") for k, topic in enumerate(found) for name, share in topic]
        text = StringIO()
        csv.writer(text).writerows([("component", "feature", "share"), *lines])
        write(self.path.with_name("topics.csv"), text.getvalue().encode())
        rows = [(k, *(f"{name} ({share:.2%})" for name, share in topic)) for k, topic in enumerate(found)]
        rows = [row + ("",) * (TOP + 1 - len(row)) for row in rows]
        for tracker in trackers(trainer.loggers):
            tracker.show_table("topics", ("component", *map(str, range(1, TOP + 1))), rows, trainer.global_step)
