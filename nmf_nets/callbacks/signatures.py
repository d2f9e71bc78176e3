"""What was learned, as those who study mutations look at it."""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.data.base import MatrixDataModule
from nmf_nets.loggers.base import trackers
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.plots.signatures import draw_exposures, draw_signatures, refuse_types
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.signatures import (
    Catalogue,
    bootstrap,
    component_names,
    exposures,
    interval,
    read_catalogue,
    signatures_table,
)
from nmf_nets.whole_file import write


class Signatures(Callback):
    """After training, in the folder `path`: profiles.tsv (the components, types as rows, each of sum 1), exposures.csv
    (mutations of each genome by each of them), signatures.csv (what known signature each is like), intervals.csv (95 %
    of exposures, by resampling the counts), and signatures.png and exposures.png.

    references: a table of known signatures, types as rows; null leaves the columns about them out.
    replicates: how often the counts are drawn anew.
    Raises Refusal for features that are not the 96 types of mutation, and where genomes are held out.
    """

    def __init__(self, path: str, references: str | None = None, replicates: int = 100, seed: int = 0):
        refuse_count("replicates", replicates)
        self.path, self.references = Path(path), references
        self.replicates, self.seed = replicates, seed
        self.catalogue: Catalogue | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = _data(trainer)
        types = data.dataset.feature_names
        assert types is not None
        if self.references is not None:
            self.catalogue = read_catalogue(self.references, types)

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, NonNegativeAutoencoder)
        if not trainer.is_global_zero:
            return
        data = _data(trainer)
        X, types = data.training.to(torch.float64).to("cpu"), data.dataset.feature_names
        assert types is not None
        factors = pl_module.own_factors(data.training.to(pl_module.device)).detach().to(torch.float64).to("cpu")
        names = component_names(factors.n_components)
        genomes = list(data.dataset.sample_names or map(str, range(X.shape[0])))
        W = factors.W / factors.W.sum(1, keepdim=True).clamp(min=torch.finfo(factors.W.dtype).tiny)
        made = exposures(X, factors)
        drawn = bootstrap(X, factors, self.replicates, self.seed, pl_module.divergence)
        self._table("profiles.tsv", pd.DataFrame(W.T.numpy(), pd.Index(types, name="Type"), pd.Index(names)))
        self._table("exposures.csv", pd.DataFrame(made.numpy(), pd.Index(genomes, name="genome"), pd.Index(names)))
        low, high = interval(drawn.exposures)
        rows = [
            (genome, name, *(float(M[i, k]) for M in (made, low, high)))
            for i, genome in enumerate(genomes)
            for k, name in enumerate(names)
        ]
        columns = ["genome", "signature", "mutations", "low", "high"]
        self._table("intervals.csv", pd.DataFrame(rows, columns=pd.Index(columns)).set_index("genome"))
        table = signatures_table(factors.W, made.sum(0), drawn, self.catalogue)
        self._table("signatures.csv", table.set_index("signature"))
        draw_signatures(W, types, _titles(table), interval(drawn.W)).savefig(self.path / "signatures.png", dpi=110)
        draw_exposures(made, genomes, names).savefig(self.path / "exposures.png", dpi=110)
        for tracker in trackers(trainer.loggers):
            for picture in ("signatures", "exposures"):
                tracker.show_picture(picture, self.path / f"{picture}.png", trainer.global_step)
            tracker.show_table("signatures", list(table), table.to_numpy().tolist(), trainer.global_step)

    def _table(self, name: str, frame: pd.DataFrame) -> None:
        separator = "\t" if name.endswith(".tsv") else ","
        write(self.path / name, frame.to_csv(sep=separator, float_format="%.6g").encode())


def _titles(table: pd.DataFrame) -> list[str]:
    if "assigned" not in table:
        return list(table["signature"])
    shown = zip(table["signature"], table["mixture"], table["mixture_cosine"], strict=True)
    return [f"{name}: {mixture}, cosine {cosine:.3f}" for name, mixture, cosine in shown]


def _data(trainer: Trainer) -> MatrixDataModule:
    """Raises Refusal for what are no genomes, or not all."""
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if data.dataset.feature_names is None:
        raise Refusal(
            "callback=signatures needs features with the names of types of mutation; a table with types as rows needs "
            "data.transpose=true data.index_column=0."
        )
    refuse_types(data.dataset.feature_names)
    if data.validation is not None or data.test is not None:
        raise Refusal("callback=signatures is of all genomes; use data.validation=0 data.test=0.")
    return data
