"""The user's own text, as counts of words."""

import codecs
import gzip
import io
import logging
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, FileDataModule
from nmf_nets.folder import classes_in, files_of, names_in
from nmf_nets.refusal import Refusal

log = logging.getLogger(__name__)

SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Documents:
    """Texts, what they are called, and a class for each, where they have one."""

    texts: list[str]
    names: tuple[str, ...]
    labels: np.ndarray | None = None


class Text(FileDataModule):
    """How often each document says each word; sparse.

    path: a folder of .txt files, one a document, whose subfolders are classes; a table (.csv, .tsv, .parquet), whose
    `column` holds the documents and `labels`, another, classes; or any other file, each line of which is a document.
    The words are chosen among those of the training rows alone (the parameters are those of scikit-learn's
    CountVectorizer): rows that are held out are counted as any new ones are, without the words that only they say.
    Documents that say none of the words stay, as rows of zeros, and the log tells how many they are.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        column: str | None = None,
        labels: str | None = None,
        encoding: str = "utf-8",
        lowercase: bool = True,
        token_pattern: str = r"(?u)\b\w\w+\b",
        stop_words: str | Sequence[str] | None = None,
        ngram_range: Sequence[int] = (1, 1),
        min_df: int | float = 1,
        max_df: int | float = 1.0,
        max_features: int | None = None,
        **rows: Any,
    ):
        super().__init__(path, **rows)
        try:
            codecs.lookup(encoding)
            re.compile(token_pattern)
        except LookupError:
            raise Refusal(
                f"data.encoding is {encoding!r}, but must be one that Python knows: utf-8, latin-1, …"
            ) from None
        except re.error as error:
            raise Refusal(f"data.token_pattern is {token_pattern!r}, but is no regular expression: {error}.") from None
        self.column, self.label_column, self.encoding, self.min_df = column, labels, encoding, min_df
        self.counting = {
            "lowercase": lowercase,
            "token_pattern": token_pattern,
            "stop_words": stop_words,
            "ngram_range": tuple(ngram_range),
            "min_df": min_df,
            "max_df": max_df,
            "max_features": max_features,
        }

    def read(self, path: Path, feature_names: Sequence[str] | None = None) -> Dataset:
        documents = self._documents(path, self.label_column if feature_names is None else None)
        texts, names = documents.texts, documents.names
        if not texts:
            raise Refusal(f"{path} holds no documents.")
        counter = self._counter(path, texts, feature_names)
        counts = counter.transform(texts)
        words = tuple(map(str, counter.get_feature_names_out()))
        silent = np.flatnonzero(np.diff(counts.indptr) == 0)
        if len(silent) == len(texts):
            raise Refusal(
                f"none of the {len(texts)} documents of {path} says one of the {len(words)} words that are counted, "
                f"{words[0]!r} first; is it another language, or another lowercase, ngram_range or token_pattern?"
            )
        if len(silent):
            log.warning(
                f"{len(silent)} of {len(texts)} documents of {path}, {names[silent[0]]} first, say none of the "
                f"{len(words)} words that are counted; their rows are zeros."
            )
        return Dataset(as_matrix(counts, self.dtype), None, words, names, labels=documents.labels, texts=tuple(texts))

    def _counter(self, path: Path, texts: list[str], feature_names: Sequence[str] | None) -> CountVectorizer:
        if feature_names is not None:
            return CountVectorizer(**self.counting, vocabulary=list(feature_names)).fit(texts)
        training = [texts[i] for i in self.parts(len(texts))[0].tolist()]
        if isinstance(self.min_df, int) and self.min_df > len(training):
            raise Refusal(
                f"data.min_df is {self.min_df}, but {path} has only {len(training)} documents to train on; lower it, "
                "or give a fraction of them, 0.01 say."
            )
        try:
            return CountVectorizer(**self.counting).fit(training)
        except ValueError as error:
            raise Refusal(
                f"{path} gives no words to count in its {len(training)} documents to train on: {error} The parameters "
                "are data.min_df, max_df, max_features, stop_words, ngram_range and token_pattern."
            ) from error

    def _documents(self, path: Path, label_column: str | None) -> Documents:
        if not path.exists():
            raise Refusal(f"data.path is {str(path)!r}, but there is no such file or folder (seen from {Path.cwd()}).")
        is_table = path.is_file() and path.name.lower().removesuffix(".gz").endswith((*SEPARATORS, ".parquet"))
        for name, value in (("column", self.column), ("labels", label_column)):
            if value is not None and not is_table:
                raise Refusal(f"data.{name} is {value!r}, but {path} is no table (.csv, .tsv, .parquet); leave it out.")
        if path.is_dir():
            files = files_of(path, (".txt",))
            return Documents([self._decoded(file) for file in files], names_in(path, files), classes_in(path, files))
        if is_table:
            return self._rows_of_table(path, label_column)
        lines = self._decoded(path).split("\n")
        lines = lines if lines[-1] else lines[:-1]
        return Documents(lines, tuple(str(i + 1) for i in range(len(lines))))

    def _rows_of_table(self, path: Path, label_column: str | None) -> Documents:
        frame = self._table(path)
        columns = list(map(str, frame.columns))
        shown = ", ".join(name if len(name) <= 40 else name[:39] + "…" for name in columns[:8])
        shown = f"{shown}{', …' if len(columns) > 8 else ''}"
        if self.column is None:
            raise Refusal(f"{path} is a table; data.column= says which of its columns is text: {shown}.")
        for name, value in (("column", self.column), ("labels", label_column)):
            if value is not None and value not in columns:
                raise Refusal(f"data.{name} is {value!r}, but the columns of {path} are: {shown}.")
        texts = frame.iloc[:, columns.index(self.column)]
        texts = texts.where(texts.notna(), "").tolist()
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise Refusal(f"column {self.column!r} of {path} must be text, but row {i + 1} is {text!r}.")
        labels = None
        if label_column is not None:
            classes = frame.iloc[:, columns.index(label_column)]
            for i in np.flatnonzero(classes.isna() | (classes.astype(str) == "")):
                raise Refusal(
                    f"row {i + 1} of {path} has no class in column {label_column!r}; drop it, or name its class."
                )
            labels = classes.astype(str).to_numpy(dtype=str)
        return Documents(texts, tuple(str(i + 1) for i in range(len(texts))), labels)

    def _table(self, path: Path) -> pd.DataFrame:
        suffix = Path(path.name.lower().removesuffix(".gz")).suffix
        try:
            if suffix == ".parquet":
                return pd.read_parquet(path)
            text = io.StringIO(self._decoded(path))
            return pd.read_csv(text, sep=SEPARATORS[suffix], dtype=str, keep_default_na=False)
        except Refusal:
            raise
        except (ValueError, OSError) as error:
            raise Refusal(f"{path} cannot be read as {suffix}: {str(error).splitlines()[0]}.") from error

    def _decoded(self, path: Path) -> str:
        data = path.read_bytes()
        try:
            data = gzip.decompress(data) if path.suffix.lower() == ".gz" else data
            return data.decode(self.encoding).removeprefix("\ufeff").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise Refusal(
                f"{path} is not {self.encoding}: byte {data[error.start]:#04x} at position {error.start}; set "
                "data.encoding to what it is, latin-1 say."
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            raise Refusal(f"{path} cannot be unpacked: {error}.") from error
