"""Word counts of documents about four things, in the format of newsgroups20.npz."""

from pathlib import Path

import numpy as np
import scipy.sparse

SUBJECTS = {
    "rec.sport.hockey": "game team hockey season league players goal coach ice playoffs",
    "sci.space": "space nasa orbit launch shuttle moon satellite rocket earth mission",
    "sci.med": "patients disease doctor medical treatment symptoms health drug cancer diet",
    "comp.graphics": "image graphics file format color software pixel program display video",
}
COMMON = "people time know think good way right used make work point question year problem thing said"


def write(folder: Path, n_documents: int = 240, length: int = 60, seed: int = 0) -> None:
    """A document has most of its words from its subject, a few from another, the rest from all."""
    chance = np.random.default_rng(seed)
    own = [words.split() for words in SUBJECTS.values()]
    vocabulary = np.array(sorted({*COMMON.split(), *(word for words in own for word in words)}))
    topics = np.array([np.isin(vocabulary, words) / len(words) for words in own])
    labels = np.sort(chance.integers(len(own), size=n_documents))
    other = chance.integers(len(own), size=n_documents)
    p = 0.6 * topics[labels] + 0.1 * topics[other] + 0.3 * np.isin(vocabulary, COMMON.split()) / len(COMMON.split())
    counts = chance.poisson(length * p).astype(np.uint16)
    X = scipy.sparse.csr_matrix(counts)
    np.savez_compressed(
        folder / "newsgroups20.npz",
        data=X.data,
        indices=X.indices,
        indptr=X.indptr,
        shape=np.array(X.shape),
        format=np.array(b"csr"),
        labels=labels.astype(np.int16),
        label_names=np.array(list(SUBJECTS)),
        split=(chance.random(n_documents) < 0.25).astype(np.int8),
        vocabulary=vocabulary,
    )
