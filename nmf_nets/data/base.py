"""What every data module does once it has its matrix: split rows, hand out batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from nmf_nets.contents import Contents
from nmf_nets.group import ALONE, Group
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.observed import Missing, observed, refuse_missing
from nmf_nets.part import part_name
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Components, Labels, Rows


@dataclass(frozen=True)
class Sample:
    """What X is some rows of, where all of them are too many for memory, or have no end.

    sizes: how many rows of X are of the training, the validation and the test rows, in this order. n_rows: that are
    trained on, None for a stream. rows: the places of those of X among all, where they have one.
    """

    sizes: tuple[int, ...]
    n_rows: int | None
    rows: Rows | None
    batches: Callable[[Preprocessing | None, torch.device], Iterable[Batch]]
    """What all training rows come from, prepared, on a device."""


@dataclass(frozen=True)
class Dataset:
    """A matrix and what is known of it."""

    X: Matrix
    image_shape: tuple[int, ...] | None = None
    """(height, width), where a row is an image; (height, width, 3) for one of red, green and blue."""
    feature_names: tuple[str, ...] | None = None
    sample_names: tuple[str, ...] | None = None
    truth: Components | None = None
    """The components that the data were made from, where they are known."""
    labels: np.ndarray | None = None
    """A class for every sample, where they have one."""
    motifs: Tensor | None = None
    """(motifs, lags, features): what was played in a sequence, where it is known."""
    feature_labels: np.ndarray | None = None
    """A class for every feature, where they have one."""
    frequencies: np.ndarray | None = None
    """In Hz, one for every feature and ascending, where a row is a spectrum."""
    texts: tuple[str, ...] | None = None
    """What each sample says, where it is a document that was read."""
    sample: Sample | None = None
    """What X is a sample of, if it is one."""

    @property
    def shown_as(self) -> Literal["image", "spectrum", "words", "profile"]:
        """How a component is looked at: as a picture, over its frequencies, by the names of its top features, or, where
        nothing is known of the features, over their numbers."""
        if self.image_shape is not None:
            return "image"
        if self.frequencies is not None:
            return "spectrum"
        return "profile" if self.feature_names is None else "words"


class MatrixDataModule(LightningDataModule, ABC):
    """Rows of one matrix, split, at random unless they are contiguous, into training, validation and test.

    validation, test: parts of the rows, rounded down; a part without rows is None.
    batch_size: None for one batch of all training rows.
    dtype: float32 or float64.
    preprocessing: fitted to the training rows and then done to all.
    contiguous: for sequences; training rows come first, then validation, then test rows, each as they follow.
    Where the matrix is a sample of more rows, that says which are for what, and what the batches are.
    Labels are the places of a sample's class among the sorted classes of all samples.
    """

    training: Matrix
    validation: Matrix | None
    test: Matrix | None
    training_rows: Rows
    training_labels: Labels | None
    validation_labels: Labels | None
    test_labels: Labels | None

    def __init__(
        self,
        validation: float = 0.1,
        test: float = 0.1,
        batch_size: int | None = None,
        dtype: str = "float32",
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
        contiguous: bool = False,
    ):
        super().__init__()
        if not (validation >= 0 and test >= 0 and validation + test < 1):
            raise Refusal(
                f"data.validation is {validation} and data.test is {test}, but each must be 0 or more and both "
                "together less than 1, so that rows remain to train on."
            )
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise Refusal(f"data.batch_size is {batch_size!r}, but must be at least 1, or null for all rows at once.")
        if dtype not in ("float32", "float64"):
            raise Refusal(f"data.dtype is {dtype!r}, but must be float32 or float64.")
        self.fractions = (validation, test)
        self.batch_size, self.seed, self.dtype = batch_size, seed, getattr(torch, dtype)
        self.preprocessing, self.contiguous = preprocessing, contiguous
        self._dataset: Dataset | None = None

    @abstractmethod
    def load(self) -> Dataset:
        """The whole matrix, in self.dtype."""

    def setup(self, stage: str | None = None) -> None:
        if self._dataset is not None:
            return
        self._dataset = self.load()
        X = self._dataset.X
        sample = self._dataset.sample
        n = X.shape[0]
        parts = self.parts(n) if sample is None else list(torch.arange(n).split(list(sample.sizes)))
        self.training_rows = parts[0]
        training = self._taken(X, parts[0])
        if self.preprocessing is not None:
            self.preprocessing.fit(training)
        prepared = (lambda rows: rows) if self.preprocessing is None else self.preprocessing
        self.training, self.validation, self.test = (
            prepared(training),
            *(prepared(self._taken(X, p)) if len(p) else None for p in parts[1:]),
        )
        places = None if self._dataset.labels is None else np.unique(self._dataset.labels, return_inverse=True)[1]
        for name in ("training", "validation", "test"):
            part: Matrix | None = getattr(self, name)
            if part is not None and part.weights is not None and not bool((part.weights > 0).any()):
                raise Refusal(
                    f"nothing of the {name} rows was observed; choose another data.seed or size of the parts."
                )
        self.training_labels, self.validation_labels, self.test_labels = (
            None if places is None else torch.from_numpy(places)[p] for p in parts
        )

    def _taken(self, X: Matrix, part: Rows) -> Matrix:
        """Without a copy where X is a sample, whose parts follow each other."""
        return X.rows(part) if self.dataset.sample is None else X.span(int(part[0]), int(part[-1]) + 1)

    def parts(self, n: int) -> list[Rows]:
        """Which of n rows are for training, validation and test."""
        order = torch.arange(n) if self.contiguous else _shuffled(n, self.seed)
        return [part.sort().values for part in order.split(self.sizes(n))]

    def sizes(self, n: int) -> list[int]:
        """How many of n rows are for training, validation and test."""
        held_out = [int(n * fraction) for fraction in self.fractions]
        return [n - sum(held_out), *held_out]

    @property
    def dataset(self) -> Dataset:
        assert self._dataset is not None, "setup() comes first"
        return self._dataset

    @property
    def rows_of_training(self) -> Rows:
        """Where those of `training` stand among all rows there are, or, in a stream, in what is held of it."""
        sample = self.dataset.sample
        return self.training_rows if sample is None or sample.rows is None else sample.rows[self.training_rows]

    @property
    def classes(self) -> np.ndarray:
        """In their order. Raises Refusal if the samples have none."""
        labels = self.dataset.labels
        if labels is None:
            raise Refusal(
                "a head learns from a class for every sample, but these data have no labels; use head=none, or "
                "data=matrix with a .npz file that holds `labels`, say."
            )
        return np.unique(labels)

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    def train_dataloader(self) -> Iterable[Batch]:
        """Over several processes, each has the whole matrix in its memory, and its part of the rows on its device."""
        trainer = self.trainer
        group = Group() if trainer is not None and trainer.world_size > 1 else ALONE
        device = self.training.device if trainer is None else trainer.strategy.root_device
        sample = self.dataset.sample
        if sample is not None:
            return sample.batches(self.preprocessing, device)
        return ResidentLoader(self.training, self.batch_size, self.seed, self.training_labels, group, device)


class FileDataModule(MatrixDataModule, ABC):
    """The user's own files, and more of their kind: the rows that a trained net is to code.

    path: what to train on, from the configuration; a subclass says what may lie there.
    """

    def __init__(self, path: str | Path | None = None, **rows: Any):
        super().__init__(**rows)
        if path is None:
            raise Refusal(f"data={part_name(self)} needs a file: data.path=FILE, or a folder where it takes one.")
        self.path = Path(path).expanduser()

    def load(self) -> Dataset:
        return self.read(self.path)

    @abstractmethod
    def read(self, path: Path, feature_names: Sequence[str] | None = None) -> Dataset:
        """What lies at the path, in self.dtype.

        feature_names: of the data that a net was trained on. The features are then these, in their order: what text
        does not say is 0, words that are new are left out; a table that lacks one of them is refused. None for any.
        """


class TableDataModule(FileDataModule, ABC):
    """One matrix in a file, of which not all was observed, perhaps, or counts alike.

    Features are found by their names where the file has some: it may have more of them, which are left out with a
    warning, and in another order. Without names there must be as many of them.
    missing: null refuses NaN, and empty cells; `nan` takes them for entries that were not observed; `unstored` takes
    for those what a sparse file does not store, ratings that nobody gave, say. What was not observed counts nowhere.
    weights: a file with v ≥ 0 for every entry of the matrix at `path`, dense or sparse, or with a mask, in any format
    of data=matrix: D = Σ v d(x | x̂). Other files that are read have none.
    signed: admits negative entries, for semi-NMF.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        missing: Missing = None,
        weights: str | Path | None = None,
        signed: bool = False,
        **rows: Any,
    ):
        super().__init__(path, **rows)
        refuse_missing(missing)
        self.missing: Missing = missing
        self.signed = signed
        self.weights = None if weights is None else Path(weights).expanduser()

    def read(self, path: Path, feature_names: Sequence[str] | None = None) -> Dataset:
        found, V = self.contents(path).fitting, None
        if feature_names is not None:
            found = found.with_features(feature_names, path)
        if self.weights is not None and path == self.path:
            weights = self.weights_in(self.weights).fitting
            if weights.feature_names is not None and found.feature_names is not None:
                weights = weights.with_features(found.feature_names, self.weights)
            V = weights.X
        try:
            X = observed(found.X, V, self.missing, self.dtype, self.signed, allow="data.missing=nan")
        except Refusal as refusal:
            raise Refusal(f"{path}: {refusal}") from None
        return Dataset(X, found.image_shape, found.feature_names, found.sample_names, labels=found.labels)

    @abstractmethod
    def contents(self, path: Path) -> Contents:
        """What lies at the path, samples as rows."""

    @abstractmethod
    def weights_in(self, path: Path) -> Contents:
        """The weights that lie at the path, samples as rows."""


def _shuffled(n: int, seed: int) -> Rows:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))
