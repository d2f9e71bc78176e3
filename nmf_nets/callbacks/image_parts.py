"""What images are made of, to look at."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.callbacks.base import parts_of
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.factorization import Factorization
from nmf_nets.loggers.base import trackers
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.clustering import adjusted_rand, cluster_of, clustering_accuracy, normalized_mutual_information
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.metrics.spatial_spread import spatial_spread
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.plots.strips import draw_reconstructions
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Labels
from nmf_nets.whole_file import write

CLUSTERS = ("clustering_accuracy", "normalized_mutual_information", "adjusted_rand")
FIGURES = ("rows", "n_rows", "error", *CLUSTERS)
PARTS = ("component", "sparseness", "spatial_spread", "size", "strongest_in")


class ImageParts(Callback):
    """After training, in the directory `path`:

    strips.png: `count` images, evenly from all that are held out, or from those trained on where none is; each with its
        reconstruction and what its `strongest` components add.
    images.csv: for training, validation and test rows the relative error, and how well the strongest component of each
        row finds its class, where there are labels.
    parts.csv: of each component Hoyer's sparseness, the spatial spread, ‖h_k‖ ‖w_k‖ and in how many training rows it is
        the strongest.
    Raises Refusal for data that are no images, and for components that are motifs over rows.
    """

    def __init__(self, path: str, count: int = 6, strongest: int = 6):
        for name, value in (("count", count), ("strongest", strongest)):
            refuse_count(f"callbacks: image_parts: {name}", value)
        self.path, self.count, self.strongest = Path(path), count, strongest

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        net, data = parts_of(trainer, pl_module)
        if data.dataset.image_shape is None:
            raise Refusal(
                "callback=image_parts shows images, but these data have no shape of one; set "
                "data.image_shape=[height,width]."
            )
        if net.decoder.couples_rows:
            raise Refusal(
                "callback=image_parts shows rows as images, but components here are motifs over several rows; leave it "
                "out."
            )

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        (net, data), step = parts_of(trainer, pl_module), trainer.global_step
        image_shape = data.dataset.image_shape
        assert image_shape is not None
        looked = {name: (X, factors, labels) for name, X, factors, labels in _parts(data, net)}
        shown = next((looked[name] for name in ("validation", "test") if name in looked), looked["training"])
        X, factors, _ = shown
        rows = torch.linspace(0, X.shape[0] - 1, min(self.count, X.shape[0]), device=X.device).round().long()
        strip = Factorization(factors.H[rows], factors.W)
        strips = self.path / "strips.png"
        draw_reconstructions(X.rows(rows).dense(), strip, image_shape, self.strongest).savefig(strips, dpi=110)

        figures = [_figures(name, *each) for name, each in looked.items()]
        parts = _of_components(looked["training"][1], image_shape)
        for name, columns, lines in (("images", FIGURES, figures), ("parts", PARTS, parts)):
            text = StringIO()
            csv.writer(text).writerows([columns, *lines])
            write(self.path / f"{name}.csv", text.getvalue().encode())
            for tracker in trackers(trainer.loggers):
                tracker.show_table(name, columns, lines, step)
        for tracker in trackers(trainer.loggers):
            tracker.show_picture("strips", strips, step)


def _parts(
    data: MatrixDataModule, net: NonNegativeAutoencoder
) -> Iterator[tuple[str, Matrix, Factorization, Labels | None]]:
    X = data.training.to(net.device)
    yield "training", X, net.own_factors(X), data.training_labels
    if net.encoder.codes_unseen_rows:
        held_out = (("validation", data.validation, data.validation_labels), ("test", data.test, data.test_labels))
        for name, X, labels in held_out:
            if X is not None:
                X = X.to(net.device)
                yield name, X, net.factorize(X), labels


def _figures(name: str, X: Matrix, factors: Factorization, labels: Labels | None) -> list[Any]:
    line = [name, X.shape[0], f"{relative_error(X, factors):.4f}"]
    if labels is None:
        return [*line, *("" for _ in CLUSTERS)]
    clusters = cluster_of(factors).cpu()
    measures = (clustering_accuracy, normalized_mutual_information, adjusted_rand)
    return [*line, *(f"{measure(labels, clusters):.4f}" for measure in measures)]


def _of_components(factors: Factorization, image_shape: tuple[int, ...]) -> list[list[Any]]:
    W = factors.W
    sizes = torch.linalg.vector_norm(factors.H, dim=0) * torch.linalg.vector_norm(W, dim=1)
    counts = torch.bincount(cluster_of(factors), minlength=len(W))
    measured = zip(hoyer_sparseness(W), spatial_spread(W, image_shape), sizes, counts, strict=True)
    return [
        [k, f"{float(sparse):.4f}", f"{float(spread):.4f}", f"{float(size):.4g}", int(count)]
        for k, (sparse, spread, size, count) in enumerate(measured)
    ]
