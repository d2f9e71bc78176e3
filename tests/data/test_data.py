import gzip
import re
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
import torch
from sklearn.feature_extraction.text import TfidfTransformer

from nmf_nets.criterion import PLAIN
from nmf_nets.data.co_clusters import CoClusters
from nmf_nets.data.digits import Digits
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.data.motifs import Motifs
from nmf_nets.data.reuters import Reuters
from nmf_nets.data.separable import Separable
from nmf_nets.data.synthetic import Synthetic
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.extras import Missing
from nmf_nets.half_steps.coupled import CoupledSteps
from nmf_nets.lags import delayed
from nmf_nets.metrics.svd_excess import svd_error
from nmf_nets.preprocessing.divided import Divided
from nmf_nets.preprocessing.tf_idf import TfIdf
from nmf_nets.refusal import Refusal

X = np.random.default_rng(0).poisson(1.0, size=(30, 7)).astype(float)
NAMES = [f"gene {j}" for j in range(7)]


def save(tmp_path, name):
    path = tmp_path / name
    if name == "x.npy":
        np.save(path, X)
    elif name == "x.npz":
        np.savez(path, X=X, labels=np.arange(30))
    elif name == "plane.npz":
        np.savez(path, whatever=X, labels=np.arange(30))
    elif name == "sparse.npz":
        scipy.sparse.save_npz(path, scipy.sparse.csc_matrix(X))
    elif name == "coo.npz":
        scipy.sparse.save_npz(path, scipy.sparse.coo_array(X))
    elif name == "x.mtx":
        scipy.io.mmwrite(path, scipy.sparse.coo_matrix(X))
    elif name == "dense.mtx":
        scipy.io.mmwrite(path, X)
    elif name == "x.parquet":
        pd.DataFrame(X, columns=NAMES).to_parquet(path)
    else:
        header = NAMES if name.startswith("named") else False
        frame = pd.DataFrame(X, columns=NAMES)
        frame.to_csv(path, sep="\t" if ".tsv" in name else ",", index=False, header=header)
    return str(path)


FILES = ["x.npy", "x.npz", "plane.npz", "sparse.npz", "coo.npz", "x.mtx", "dense.mtx", "x.parquet"]
FILES += ["x.csv", "named.csv", "x.tsv", "named.tsv", "named.csv.gz"]


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_matrix(tmp_path, name):
    data = MatrixFile(save(tmp_path, name), dtype="float64", validation=0, test=0)
    data.setup()
    assert data.dataset.X.is_sparse == (name in ("sparse.npz", "coo.npz", "x.mtx"))
    assert np.array_equal(data.training.dense().numpy(), X)
    assert data.validation is None
    assert data.test is None
    named = name.startswith("named") or name == "x.parquet"
    assert data.dataset.feature_names == (tuple(NAMES) if named else None)


def test_an_npz_may_say_more_than_the_matrix(tmp_path):
    path, names, labels = tmp_path / "x.npz", np.array(NAMES), np.arange(30) % 4
    np.savez(path, X=X, labels=labels, vocabulary=names, image_shape=np.array([7, 1]))
    csr = scipy.sparse.csr_array(X)
    sparse = {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr, "shape": csr.shape, "format": b"csr"}
    np.savez(tmp_path / "sparse.npz", **sparse, labels=labels, feature_names=names)
    for name, shape in (("x.npz", (7, 1)), ("sparse.npz", None)):
        data = MatrixFile(str(tmp_path / name), dtype="float64", validation=0, test=0.2)
        data.setup()
        assert data.dataset.feature_names == tuple(NAMES)
        assert data.dataset.image_shape == shape
        assert np.array_equal(data.dataset.labels, labels)
        assert np.array_equal(data.dataset.X.dense().numpy(), X)
    np.savez(path, X=X, labels=np.arange(29), vocabulary=names[:3], image_shape=np.array([3, 3]))
    data = MatrixFile(str(path))
    data.setup()  # what does not fit the matrix is about something else
    assert (data.dataset.labels, data.dataset.feature_names, data.dataset.image_shape) == (None, None, None)


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_images_in_the_format_of_mnist(tmp_path, packed):
    images = np.random.default_rng(0).integers(0, 256, size=(11, 4, 3))
    end = ".gz" if packed else ""
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", np.arange(11))):
        (tmp_path / (name + end)).write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    data = MatrixFile(str(tmp_path / ("train-images-idx3-ubyte" + end)), validation=0, test=0)
    data.setup()
    assert np.array_equal(data.training.dense().numpy(), images.reshape(11, 12))
    assert data.dataset.image_shape == (4, 3)
    assert np.array_equal(data.dataset.labels, np.arange(11))
    with pytest.raises(Refusal, match="name the file of the images"):
        MatrixFile(str(tmp_path / ("train-labels-idx1-ubyte" + end))).setup()


def test_what_is_not_idx_is_refused(tmp_path):
    for content in (b"nonsense", b"\0\0\x08\x03\0\0", idx(np.ones((3, 2, 2)))[:-1]):
        (tmp_path / "x-ubyte").write_bytes(content)
        with pytest.raises(Refusal, match="cannot be read as -ubyte"):
            MatrixFile(str(tmp_path / "x-ubyte")).setup()


def test_preprocessing_learns_from_the_training_rows_alone(tmp_path):
    path = save(tmp_path, "sparse.npz")
    data = MatrixFile(path, dtype="float64", validation=0, test=0.3, preprocessing=TfIdf())
    plain = MatrixFile(path, dtype="float64", validation=0, test=0.3)
    data.setup()
    plain.setup()
    expected = TfidfTransformer().fit(plain.training.numpy())
    assert data.training.is_sparse
    assert data.training.dtype == torch.float64
    for part in ("training", "test"):
        rows = expected.transform(getattr(plain, part).numpy()).toarray()
        assert np.allclose(getattr(data, part).dense().numpy(), rows)
    data = MatrixFile(path, validation=0, test=0, preprocessing=Divided(4.0))
    data.setup()
    assert np.array_equal(data.training.dense().numpy(), X / 4)
    with pytest.raises(Refusal, match="`by` is 0"):
        Divided(0.0)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # lda's
def test_reuters_comes_with_its_package_or_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lda", None)
    monkeypatch.delitem(sys.modules, "lda.datasets", raising=False)
    with pytest.raises(Missing, match=re.escape("lda is not installed; pip install 'nmf-nets[reuters]' brings it")):
        Reuters().setup()
    monkeypatch.undo()
    pytest.importorskip("lda")
    data = Reuters(validation=0, test=0)
    data.setup()
    assert data.training.shape == (395, 4258)
    assert data.training.is_sparse
    assert len(data.dataset.feature_names) == 4258


def test_a_column_may_name_the_samples_and_samples_may_stand_in_columns(tmp_path):
    frame = pd.DataFrame(X.T, columns=[f"sample {i}" for i in range(30)])
    frame.insert(0, "gene", NAMES)
    frame.to_csv(tmp_path / "x.tsv", sep="\t", index=False)
    with pytest.raises(Refusal, match=r"column 'gene' has 'gene 0' in row 1.*data.index_column=gene"):
        MatrixFile(str(tmp_path / "x.tsv")).setup()
    with pytest.raises(Refusal, match=r"index_column is 'name', but the columns .* are gene"):
        MatrixFile(str(tmp_path / "x.tsv"), index_column="name").setup()
    data = MatrixFile(str(tmp_path / "x.tsv"), index_column="gene", transpose=True, validation=0, test=0)
    data.setup()
    assert np.array_equal(data.training.dense().numpy(), X)


def test_row_numbers_are_not_taken_for_a_feature_nor_counted_columns_for_a_row(tmp_path):
    path = tmp_path / "x.csv"
    pd.DataFrame(X).to_csv(path)
    with pytest.raises(Refusal, match=r"first column without a name.*index_column='Unnamed: 0'"):
        MatrixFile(str(path)).setup()
    numbered = MatrixFile(str(path), index_column="Unnamed: 0", validation=0, test=0, dtype="float64")
    pd.DataFrame(X).to_csv(tmp_path / "y.csv", index=False)
    counted = MatrixFile(str(tmp_path / "y.csv"), validation=0, test=0, dtype="float64")
    for data in (numbered, counted):
        data.setup()
        assert np.array_equal(data.training.dense().numpy(), X)


def test_images_must_have_the_size_of_a_row(tmp_path):
    with pytest.raises(Refusal, match=r"image_shape is \(2, 3\), but .* has 7 features"):
        MatrixFile(save(tmp_path, "x.npy"), image_shape=(2, 3)).setup()


@pytest.mark.parametrize("data", [Digits, Synthetic, Separable], ids=lambda data: data.__name__)
def test_rows_are_split_once_without_loss_and_by_the_seed(data):
    first, same, other = (data(validation=0.1, test=0.1, seed=seed) for seed in (1, 1, 2))
    for module in (first, same, other):
        module.setup()
        module.setup("fit")
    n = first.dataset.X.shape[0]
    assert [first.validation.shape[0], first.test.shape[0]] == [n // 10, n // 10]
    assert first.training.shape[0] == n - 2 * (n // 10)
    assert torch.equal(first.training_rows, same.training_rows)
    assert not torch.equal(first.training_rows, other.training_rows)
    parts = torch.cat([part.dense() for part in (first.training, first.validation, first.test)])
    assert torch.equal(parts.sort(0).values, first.dataset.X.dense().sort(0).values)
    assert torch.equal(first.training.dense(), first.dataset.X.dense()[first.training_rows])


def test_digits_are_images():
    data = Digits(dtype="float64")
    data.setup()
    assert data.dataset.X.shape == (1797, 64)
    assert data.dataset.image_shape == (8, 8)
    assert data.training.dtype == torch.float64


def test_synthetic_data_are_made_of_their_truth():
    data = Synthetic(n_samples=200, n_features=40, n_components=5, noise=0.0, dtype="float64")
    data.setup()
    assert svd_error(data.dataset.X, 5) < 1e-7
    assert data.dataset.truth.shape == (5, 40)
    solution = torch.linalg.lstsq(data.dataset.truth.T, data.dataset.X.dense().T).solution
    assert solution.min() > -1e-9
    assert (solution.abs() < 1e-9).double().mean() > 0.5, "codes are sparse"
    assert (data.dataset.truth > 0).any(1).all()


def test_separable_data_are_made_of_rows_that_stand_among_them():
    data = Separable(n_samples=60, n_features=20, n_components=5, dtype="float64")
    data.setup()
    X, W = data.training.dense(), data.dataset.truth
    assert data.validation is data.test is None, "a part for other uses might take the rows away"
    where = [int(torch.nonzero((w == X).all(1))) for w in W]
    assert where != sorted(where), "in any order"
    H = torch.linalg.lstsq(W.T, X.T).solution.T
    assert H.min() > -1e-12
    torch.testing.assert_close(H @ W, X, rtol=1e-10, atol=1e-15)
    torch.testing.assert_close(H.sum(1), torch.ones(60, dtype=torch.float64))
    noisy = Separable(n_samples=60, n_features=20, n_components=5, noise=0.1, dtype="float64")
    noisy.setup()
    spread = (noisy.training.dense() / X - 1).std()
    assert spread == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    "options", [{"n_samples": 4, "n_components": 5}, {"noise": -1}, {"concentration": 0}, {"n_features": 0}]
)
def test_impossible_separable_data_are_refused(options):
    with pytest.raises(Refusal, match=r"data=separable needs n_samples ≥ n_components ≥ 1"):
        Separable(**options)


def test_batches_come_from_the_training_rows():
    data = Digits(batch_size=500)
    data.setup()
    batches = list(data.train_dataloader())
    assert [batch.X.shape[0] for batch in batches] == [500, 500, 439]
    assert torch.equal(batches[0].X.dense(), data.training.dense()[batches[0].rows])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation": 0.6, "test": 0.4}, "less than 1"),
        ({"validation": -0.1}, "0 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"dtype": "int8"}, "float32 or float64"),
    ],
)
def test_impossible_splits_batches_and_dtypes_are_refused(options, said):
    with pytest.raises(Refusal, match=said):
        Digits(**options)


def test_labels_are_places_among_the_classes_and_go_with_their_rows(tmp_path):
    names = np.array(["cat", "ant", "dog"])[np.arange(30) % 3]
    np.savez(tmp_path / "x.npz", X=X, labels=names)
    data = MatrixFile(str(tmp_path / "x.npz"), validation=0.2, test=0.3, dtype="float64", batch_size=4)
    data.setup()
    assert data.n_classes == 3
    place = {name: i for i, name in enumerate(["ant", "cat", "dog"])}
    known = {tuple(row): place[name] for row, name in zip(X, names, strict=True)}
    parts = [
        (data.training, data.training_labels),
        (data.validation, data.validation_labels),
        (data.test, data.test_labels),
        *((batch.X, batch.labels) for batch in data.train_dataloader()),
    ]
    for rows, labels in parts:
        assert labels.tolist() == [known[tuple(row)] for row in rows.numpy()]


def test_data_without_labels_say_so_when_they_are_asked_for():
    data = Synthetic()
    data.setup()
    assert data.training_labels is data.test_labels is None
    assert next(iter(data.train_dataloader())).labels is None
    with pytest.raises(Refusal, match="these data have no labels"):
        _ = data.n_classes


def test_contiguous_parts_are_the_first_rows_and_the_last():
    data = Digits(validation=0.1, test=0.2, contiguous=True)
    data.setup()
    n = 1797
    assert data.training_rows.tolist() == list(range(n - n // 10 - n // 5))
    parts = [part.dense() for part in (data.training, data.validation, data.test)]
    assert torch.equal(torch.cat(parts), data.dataset.X.dense())


def test_sequences_are_made_of_their_motifs_and_none_is_cut_off():
    data = Motifs(n_samples=300, n_features=20, lags=6, noise=0.0, dtype="float64")
    data.setup()
    motifs = data.dataset.motifs
    assert motifs.shape == (3, 6, 20)
    assert (motifs == 0).double().mean() == pytest.approx(0.7, abs=0.05)
    W = motifs.transpose(0, 1).reshape(18, 20)
    for part in (data.training, data.validation, data.test):
        X = part.dense()
        steps = CoupledSteps(Frobenius(), part, W, 6, PLAIN)
        X_hat = delayed(steps.codes(None, 300), 6) @ W
        assert (X - X_hat).norm() < 1e-3 * X.norm()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"lags": 0}, "lags ≥ 1"), ({"density": 0.0}, "0 < density"), ({"noise": -1.0}, "noise is -1.0")],
)
def test_impossible_motifs_are_refused(options, said):
    with pytest.raises(Refusal, match=said):
        Motifs(**options)


def test_co_clusters_are_blocks_of_one_mean_each():
    data = CoClusters(n_samples=31, n_features=22, noise=0.0, validation=0, test=0, dtype="float64")
    data.setup()
    a, c, A = data.training_labels, torch.from_numpy(data.dataset.feature_labels), data.training.dense()
    assert (torch.bincount(a).tolist(), torch.bincount(c).tolist()) == ([7, 6, 6, 6, 6], [6, 6, 5, 5])
    for sample in range(5):
        for feature in range(4):
            assert len(A[a == sample][:, c == feature].unique()) == 1
    assert len(A.unique()) == 20
    assert torch.equal(A, data.dataset.truth[a])
    noisy = CoClusters(n_samples=31, n_features=22, validation=0, test=0)
    noisy.setup()
    assert (noisy.training.dense() >= 0).all()
    assert torch.equal(noisy.training_labels, a)


@pytest.mark.parametrize(
    "options", [{"n_sample_clusters": 0}, {"n_feature_clusters": 201}, {"n_samples": 4}, {"noise": -1.0}]
)
def test_co_clusters_that_cannot_be_are_refused(options):
    with pytest.raises(Refusal, match="data=co_clusters needs"):
        CoClusters(**options)
