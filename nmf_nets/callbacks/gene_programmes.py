"""What was learned, as those who study single cells look at it."""

from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets import __version__
from nmf_nets.data.anndata import AnnDataFile, by_variable, with_factors
from nmf_nets.loggers.base import trackers
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.part import part_name
from nmf_nets.plots.programmes import draw_programmes
from nmf_nets.programmes import associations, gene_lists, gene_scores, gmt, programme_names, rnk, usages
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.whole_file import replacing, write


class GeneProgrammes(Callback):
    """After training, in the folder `path`: programmes.h5ad, the data with usages as obsm["X_nmf"], spectra of sum 1
    and gene scores as varm["nmf"] and varm["nmf_scores"], and the settings as uns["nmf"]; programmes.gmt, the genes of
    greatest score of each programme as a set; ranked/programme_<k>.rnk, all genes with their scores; programmes.png;
    and, where data.labels names the types of cells, types.csv, how each programme goes with each of them.

    count: genes of a set at most.
    Raises Refusal for data that are no AnnData file, and where cells are held out.
    """

    def __init__(self, path: str, count: int = 50):
        refuse_count("count", count)
        self.path, self.count = Path(path), count

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _cells(trainer)

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, NonNegativeAutoencoder)
        if not trainer.is_global_zero:
            return
        data = _cells(trainer)
        genes, labels = data.dataset.feature_names, data.dataset.labels
        assert genes is not None
        X = data.training.to(torch.float64).to("cpu")
        factors = pl_module.own_factors(data.training.to(pl_module.device)).detach().to(torch.float64).to("cpu")
        U, names = usages(factors), programme_names(factors.n_components)
        scores = gene_scores(X, U)
        lists = gene_lists(scores, genes, self.count)
        write(self.path / "programmes.gmt", gmt(lists, f"genes of greatest score, {data.path.name}").encode())
        for name, row in zip(names, scores, strict=True):
            write(self.path / "ranked" / f"{name}.rnk", rnk(row, genes).encode())
        spectra = factors.W / factors.W.sum(1, keepdim=True).clamp(min=torch.finfo(factors.W.dtype).tiny)
        settings = {
            "package": f"nmf_nets {__version__}",
            "divergence": part_name(pl_module.divergence),
            "n_components": factors.n_components,
            "layer": data.layer or "X",
            "scores": "least-squares coefficients of z-scored genes on usages",
        }
        cells = with_factors(data.path, U.numpy(), spectra.numpy(), genes)
        cells.varm["nmf_scores"] = by_variable(scores.numpy(), genes, cells.var_names)
        cells.uns["nmf"] = settings
        with replacing(self.path / "programmes.h5ad") as unfinished:
            cells.write_h5ad(unfinished)
        types, mean = ["all cells"], U.mean(0, keepdim=True).numpy()
        if labels is not None:
            table = associations(U, labels.tolist())
            write(self.path / "types.csv", table.to_csv(index=False, float_format="%.4g").encode())
            wide = table.pivot(index="type", columns="programme", values="usage")[names]
            types, mean = list(map(str, wide.index)), wide.to_numpy()
        draw_programmes(mean, types, names, lists).savefig(self.path / "programmes.png", dpi=110)
        for tracker in trackers(trainer.loggers):
            tracker.show_picture("programmes", self.path / "programmes.png", trainer.global_step)
            rows = [(name, " ".join(gene for gene, _ in found[:10])) for name, found in zip(names, lists, strict=True)]
            tracker.show_table("programmes", ("programme", "genes"), rows, trainer.global_step)


def _cells(trainer: Trainer) -> AnnDataFile:
    """Raises Refusal for what are no cells, or not all."""
    data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if not isinstance(data, AnnDataFile):
        raise Refusal("callback=gene_programmes writes an .h5ad file of the cells that it reads; use data=anndata.")
    if data.validation is not None or data.test is not None:
        raise Refusal("callback=gene_programmes is of all cells; use data.validation=0 data.test=0.")
    return data
