import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
import torch

from nmf_nets.data.digits import Digits
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.data.synthetic import Synthetic
from nmf_nets.metrics.svd_excess import svd_error
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


@pytest.mark.parametrize("data", [Digits, Synthetic], ids=lambda data: data.__name__)
def test_rows_are_split_once_without_loss_and_by_the_seed(data):
    first, same, other = data(seed=1), data(seed=1), data(seed=2)
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
