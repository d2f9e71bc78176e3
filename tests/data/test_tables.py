"""The user's own files: what each holds, by which names its features are found, and what is refused."""

import pickle
import re
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from nmf_nets.contents import READERS
from nmf_nets.data.anndata import AnnDataFile
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.extras import Missing
from nmf_nets.refusal import Refusal

h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")

N, M = 12, 5
X = np.random.default_rng(0).poisson(1.0, size=(N, M)).astype(float) + np.eye(N, M)
GENES, CELLS = tuple(f"gene {j}" for j in range(M)), tuple(f"cell {i}" for i in range(N))
CLASSES = np.array(["B", "T", "NK"])[np.arange(N) % 3]
CSR, CSC = scipy.sparse.csr_array(X), scipy.sparse.csc_array(X)


def loaded(data):
    data.setup()
    return data.dataset


def matrix_file(path, **options):
    return loaded(MatrixFile(str(path), **{"validation": 0, "test": 0, "dtype": "float64", **options}))


def anndata_file(path, **options):
    return loaded(AnnDataFile(str(path), **{"validation": 0, "test": 0, "dtype": "float64", **options}))


def compressed(group, M, **attributes):
    """As AnnData and 10x Genomics write them."""
    for name in ("data", "indices", "indptr"):
        group.create_dataset(name, data=getattr(M, name))
    group.attrs.update(attributes)
    return group


def with_array(file):
    file["X"] = X


def with_siblings(file):
    file["counts/X"] = X
    file["labels"] = CLASSES.astype("S")
    file["feature_names"], file["sample_names"] = list(GENES), list(CELLS)


def with_csr(file):
    compressed(file.create_group("matrix"), CSR)["shape"] = X.shape


def with_csc(file):
    compressed(file.create_group("X"), CSC, shape=X.shape, **{"encoding-type": "csc_matrix"})


def of_10x(file):
    """Features × cells, by cells."""
    group = compressed(file.create_group("matrix"), CSR)
    group["shape"], group["barcodes"] = (M, N), np.array(CELLS, "S")
    group["features/id"], group["features/name"] = np.array(GENES, "S"), np.array(["same"] * M, "S")


HDF5 = {
    "an array": (with_array, None, None, None),
    "its names beside it": (with_siblings, "counts/X", GENES, CELLS),
    "sparse, by rows": (with_csr, None, None, None),
    "sparse, by columns": (with_csc, None, None, None),
    "10x Genomics": (of_10x, None, GENES, CELLS),
}


@pytest.mark.parametrize("end", [".h5", ".hdf5"])
@pytest.mark.parametrize("case", HDF5)
def test_hdf5_gives_the_matrix_and_its_names(tmp_path, case, end):
    write, key, genes, cells = HDF5[case]
    with h5py.File(tmp_path / f"x{end}", "w") as file:
        write(file)
    found = matrix_file(tmp_path / f"x{end}", key=key)
    assert np.array_equal(found.X.dense().numpy(), X)
    assert found.X.is_sparse == (write not in (with_array, with_siblings))
    assert (found.feature_names, found.sample_names) == (genes, cells)
    assert (None if found.labels is None else found.labels.tolist()) == (CLASSES.tolist() if "beside" in case else None)


def array_alone(path):
    zarr.save_array(str(path), X)


def array_among_others(path):
    group = zarr.open_group(str(path), mode="w")
    group.create_array("X", data=X, chunks=(5, 3))
    group.create_array("other", data=X + 1)
    group.create_array("labels", data=np.arange(N) % 3)


def array_in_a_group(path):
    zarr.open_group(str(path), mode="w").create_group("deep").create_array("plane", data=X)


def array_of_the_second_format(path):
    zarr.save_array(str(path), X, zarr_format=2)


def sparse_group(path):
    group = zarr.open_group(str(path), mode="w").create_group("counts")
    for name in ("data", "indices", "indptr"):
        group.create_array(name, data=getattr(CSC, name))
    group.attrs.update({"shape": list(X.shape), "encoding-type": "csc_matrix"})


ZARR = {
    array_alone: None,
    array_among_others: None,
    array_in_a_group: "deep/plane",
    array_of_the_second_format: None,
    sparse_group: None,
}


@pytest.mark.parametrize("write", ZARR, ids=lambda write: write.__name__)
def test_zarr_gives_the_matrix(tmp_path, write):
    write(tmp_path / "x.zarr")
    found = matrix_file(tmp_path / "x.zarr", key=ZARR[write])
    assert np.array_equal(found.X.dense().numpy(), X)
    assert found.X.is_sparse == (write is sparse_group)
    assert (found.labels is not None) == (write is array_among_others)


def test_a_key_chooses_among_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", a=X, b=X + 1)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["b"] = X, X + 1
    array_among_others(tmp_path / "x.zarr")
    for name, key in (("x.npz", "b"), ("x.h5", "b"), ("x.zarr", "other")):
        assert np.array_equal(matrix_file(tmp_path / name, key=key).X.dense().numpy(), X + 1)


# AnnData --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def annotated(tmp_path):
    """X is scaled, raw counts have a variable more, a layer has the logarithm."""
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"type": pd.Categorical(CLASSES), "batch": np.arange(N) % 2}, index=list(CELLS))
    raw = anndata.AnnData(scipy.sparse.csr_matrix(np.column_stack([X, np.ones(N)])), obs)
    raw.var_names = [*GENES, "gene more"]
    data = anndata.AnnData(X - X.mean(0), obs)
    data.var_names = list(GENES)
    data.raw, data.layers["log"] = raw, scipy.sparse.csr_matrix(np.log1p(X))
    data.write_h5ad(tmp_path / "x.h5ad")
    return data, tmp_path / "x.h5ad"


def test_a_layer_and_raw_counts_come_with_their_names_and_classes(annotated):
    _, path = annotated
    layer, raw = anndata_file(path, layer="log", labels="type"), anndata_file(path, layer="raw", labels="batch")
    assert np.array_equal(layer.X.dense().numpy(), np.log1p(X))
    assert np.array_equal(raw.X.dense().numpy(), np.column_stack([X, np.ones(N)]))
    assert layer.X.is_sparse
    assert raw.X.is_sparse
    assert (layer.feature_names, raw.feature_names) == (GENES, (*GENES, "gene more"))
    assert layer.sample_names == raw.sample_names == CELLS
    assert layer.labels.tolist() == CLASSES.tolist()
    assert raw.labels.tolist() == (np.arange(N) % 2).tolist()


def test_scaled_data_are_refused_with_what_is_not_scaled_and_taken_by_semi_nmf(annotated):
    _, path = annotated
    with pytest.raises(
        Refusal, match=r"x.h5ad has negative entries, down to -\d.*; use data.layer=raw, which has none"
    ):
        anndata_file(path)
    found = anndata_file(path, signed=True)
    assert np.array_equal(found.X.dense().numpy(), X - X.mean(0))


def test_scaled_data_with_nothing_else_are_refused_by_place(annotated):
    data, path = annotated
    del data.raw, data.layers["log"]
    data.write_h5ad(path)
    with pytest.raises(Refusal, match=r"x.h5ad: X must be non-negative, but X\[0, \d\] is -"):
        anndata_file(path)


def test_what_an_annotated_file_lacks_is_refused_with_what_it_has(annotated):
    data, path = annotated
    with pytest.raises(
        Refusal, match=r"data.layer is 'counts', but .*x.h5ad has 'raw', 'log' and X \(data.layer=null\)"
    ):
        anndata_file(path, layer="counts")
    with pytest.raises(Refusal, match=r"data.labels is 'kind', but the columns of obs in .* are 'type', 'batch'"):
        anndata_file(path, layer="raw", labels="kind")
    data.obs["type"] = data.obs["type"].where(np.arange(N) != 7)
    data.write_h5ad(path)
    with pytest.raises(Refusal, match=r"obs\['type'\] of .* names no class for 'cell 7'"):
        anndata_file(path, layer="raw", labels="type")


def test_rows_to_code_need_no_classes_and_are_found_by_their_names(annotated, tmp_path, caplog):
    data, path = annotated
    module = AnnDataFile(str(path), layer="raw", labels="type", dtype="float64")
    more = data[:4].copy()
    del more.obs["type"]
    more.write_h5ad(tmp_path / "more.h5ad")
    found = module.read(tmp_path / "more.h5ad", GENES[::-1])
    assert np.array_equal(found.X.dense().numpy(), X[:4, ::-1])
    assert found.feature_names == GENES[::-1]
    assert found.sample_names == CELLS[:4]
    assert found.labels is None
    assert "1 features more than are asked for, 'gene more'" in caplog.text


def test_anndata_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    (tmp_path / "x.h5ad").write_bytes(b"")
    with pytest.raises(Missing, match=re.escape("pip install 'nmf-nets[anndata]' brings it")):
        anndata_file(tmp_path / "x.h5ad")


@pytest.mark.parametrize(("module", "suffix"), [("h5py", "hdf5"), ("zarr", "zarr")])
def test_formats_are_extras(tmp_path, monkeypatch, module, suffix):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"x.{suffix}").write_bytes(b"")
    with pytest.raises(Missing, match=re.escape(f"pip install 'nmf-nets[{suffix}]' brings it")):
        matrix_file(tmp_path / f"x.{suffix}")


# Features by their names ----------------------------------------------------------------------------------------------


def write_named(path, columns, values):
    if path.suffix == ".csv":
        pd.DataFrame(values, columns=list(columns)).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        pd.DataFrame(values, columns=list(columns)).to_parquet(path)
    elif path.suffix == ".npz":
        np.savez(path, X=values, feature_names=np.array(columns))
    else:
        with h5py.File(path, "w") as file:
            file["X"], file["feature_names"] = values, list(columns)
    return path


every_named = pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.npz", "x.h5"])


@every_named
def test_features_are_put_into_the_order_that_is_asked_for(tmp_path, caplog, name):
    path = write_named(tmp_path / name, GENES, X)
    module = MatrixFile(str(path), dtype="float64")
    order = [3, 0, 4, 1, 2]
    found = module.read(path, [GENES[j] for j in order])
    assert np.array_equal(found.X.dense().numpy(), X[:, order])
    assert found.feature_names == tuple(GENES[j] for j in order)
    assert not caplog.records
    fewer = module.read(path, [GENES[4], GENES[2]])
    assert np.array_equal(fewer.X.dense().numpy(), X[:, [4, 2]])
    assert "3 features more than are asked for, 'gene 0', 'gene 1', 'gene 3'" in caplog.text


@every_named
def test_a_feature_that_is_lacking_is_refused_by_its_name(tmp_path, name):
    path = write_named(tmp_path / name, GENES, X)
    with pytest.raises(
        Refusal, match=r"lacks 2 of the 3 features that are asked for: 'a', 'b'; its own 5 are 'gene 0'"
    ):
        MatrixFile(str(path)).read(path, ["a", GENES[1], "b"])


def test_a_feature_that_is_there_twice_is_refused(tmp_path):
    path = write_named(tmp_path / "x.npz", ["a", "b", "a", "c", "d"], X)
    assert matrix_file(path).feature_names == ("a", "b", "a", "c", "d")
    with pytest.raises(Refusal, match=r"has the feature 'a' twice, in columns 0 and 2"):
        MatrixFile(str(path)).read(path, ["b", "a"])


def test_without_names_there_are_as_many_features(tmp_path):
    np.save(tmp_path / "x.npy", X)
    module = MatrixFile(str(tmp_path / "x.npy"), dtype="float64")
    assert np.array_equal(module.read(tmp_path / "x.npy", GENES).X.dense().numpy(), X)
    with pytest.raises(Refusal, match=r"has 5 features, without names, but 4 are asked for"):
        module.read(tmp_path / "x.npy", GENES[:4])


def test_an_index_column_names_the_samples_or_the_features_where_samples_are_columns(tmp_path):
    pd.DataFrame(X, index=list(CELLS), columns=list(GENES)).to_csv(tmp_path / "x.csv", index_label="cell")
    found = matrix_file(tmp_path / "x.csv", index_column="cell")
    assert (found.sample_names, found.feature_names) == (CELLS, GENES)
    turned = matrix_file(tmp_path / "x.csv", index_column="cell", transpose=True)
    assert (turned.sample_names, turned.feature_names) == (GENES, CELLS)
    assert np.array_equal(turned.X.dense().numpy(), X.T)


# What was observed ----------------------------------------------------------------------------------------------------

SEEN = np.random.default_rng(1).random((N, M)) < 0.7
RATINGS = scipy.sparse.csr_array((X[SEEN], np.nonzero(SEEN)), shape=X.shape)  # with stored zeros


def test_nan_and_what_is_not_stored_were_not_observed_where_a_file_is_said_to_mean_it(tmp_path):
    np.save(tmp_path / "x.npy", np.where(SEEN, X, np.nan))
    pd.DataFrame(np.where(SEEN, X, np.nan)).to_csv(tmp_path / "x.csv", index=False)
    scipy.sparse.save_npz(tmp_path / "x.npz", RATINGS)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        compressed(file.create_group("X"), RATINGS, shape=X.shape)
    assert (RATINGS.data == 0).any()
    for name, missing in (("x.npy", "nan"), ("x.csv", "nan"), ("x.npz", "unstored"), ("x.h5", "unstored")):
        found = matrix_file(tmp_path / name, missing=missing).X
        V = found.with_values(found.weights).dense().numpy()
        assert np.array_equal(V, SEEN)
        assert np.array_equal(found.dense().numpy(), np.where(SEEN, X, 0))
        assert found.is_sparse == (missing == "unstored")
        with_all = matrix_file(tmp_path / name) if missing == "unstored" else None
        assert with_all is None or with_all.X.weights is None


V = np.random.default_rng(2).integers(0, 4, size=(N, M)).astype(float)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.csv"])
def test_weights_lie_in_a_file_of_their_own(tmp_path, name, transpose):
    stored = V.T if transpose else V
    np.save(tmp_path / "x.npy", X.T if transpose else X)
    if name == "v.npz":
        scipy.sparse.save_npz(tmp_path / name, scipy.sparse.csr_array(stored))
    elif name == "v.npy":
        np.save(tmp_path / name, stored)
    else:
        pd.DataFrame(stored).to_csv(tmp_path / name, index=False)
    found = matrix_file(tmp_path / "x.npy", weights=str(tmp_path / name), transpose=transpose).X
    assert found.shape == X.shape
    assert np.array_equal(found.with_values(found.weights).dense().numpy(), V)
    assert np.array_equal(found.dense().numpy(), np.where(V > 0, X, 0))


def test_weights_follow_the_names_of_features_and_the_rows_of_a_part(tmp_path):
    path = write_named(tmp_path / "x.csv", GENES, X)
    weights = write_named(tmp_path / "v.csv", GENES[::-1], V[:, ::-1])
    data = MatrixFile(str(path), weights=str(weights), validation=0.25, test=0.25, dtype="float64", batch_size=4)
    data.setup()
    assert np.array_equal(data.dataset.X.weights.numpy(), V)
    assert torch.equal(data.training.weights, data.dataset.X.weights[data.training_rows])
    for batch in data.train_dataloader():
        assert torch.equal(batch.X.weights, data.training.weights[batch.rows])
    other = write_named(tmp_path / "other.csv", GENES, X)
    assert data.read(other).X.weights is None, "its weights are those of data.path"


def test_weights_and_missing_entries_go_together(tmp_path):
    np.save(tmp_path / "x.npy", np.where(SEEN, X, np.nan))
    np.save(tmp_path / "v.npy", V)
    found = matrix_file(tmp_path / "x.npy", missing="nan", weights=str(tmp_path / "v.npy")).X
    assert np.array_equal(found.weights.numpy(), np.where(SEEN, V, 0))


def test_annotated_data_may_have_holes_and_weights_too(annotated, tmp_path):
    data, path = annotated
    data.layers["holes"] = np.where(SEEN, X, np.nan)
    data.write_h5ad(path)
    np.save(tmp_path / "v.npy", V)
    found = anndata_file(path, layer="holes", missing="nan", weights=str(tmp_path / "v.npy")).X
    assert np.array_equal(found.weights.numpy(), np.where(SEEN, V, 0))


# Refusals -------------------------------------------------------------------------------------------------------------


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def hdf5_of(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def write_twins(path):
    hdf5_of(path, a=X, b=X)


def write_cube(path):
    hdf5_of(path, X=np.ones((2, 3, 4)))


def write_text(path):
    path.write_text("a,b\n1,2\n")


def write_half(path):
    hdf5_of(path, X=X)
    cut_off(path)


def write_words(path):
    hdf5_of(path, X=np.array([["a", "b"]], "S1"))


def write_nothing(path):
    hdf5_of(path)


def write_far_index(path):
    far = CSR.copy()
    far.indices[3] = 10**6
    with h5py.File(path, "w") as file:
        compressed(file.create_group("X"), far, shape=X.shape)


def write_references(path):
    with h5py.File(path, "w") as file:
        file["X"] = np.full((2, 2), file.ref, dtype=h5py.ref_dtype)


def write_half_zarr(path):
    zarr.save_array(str(path), X)
    cut_off(path / "c" / "0" / "0")


def write_cube_zarr(path):
    zarr.save_array(str(path), np.ones((2, 3, 4)))


def write_far_npz(path):
    far = CSR.copy()
    far.indices[3] = 10**6
    scipy.sparse.save_npz(path, far)


REFUSED = {
    ("x.h5", write_twins): r"must hold an array named X.*a \(12, 5\), b \(12, 5\); choose by data.key=NAME",
    ("x.h5", write_nothing): "but it holds nothing",
    ("x.h5", write_cube): r"two dimensions .* \(2, 3, 4\)",
    ("x.h5", write_text): r"x.h5 cannot be read as .h5: ",
    ("x.h5", write_half): r"x.h5 cannot be read as .h5: ",
    ("x.h5", write_words): "must hold real numbers, but its dtype is <U1",
    ("x.h5", write_references): "holds objects",
    ("x.h5", write_far_index): r"cannot be read as .h5: .*ind",
    ("x.npz", write_far_npz): r"cannot be read as .npz: .*ind",
    ("x.zarr", write_text): r"x.zarr cannot be read as .zarr: ",
    ("x.zarr", write_half_zarr): r"x.zarr cannot be read as .zarr: ",
    ("x.zarr", write_cube_zarr): r"two dimensions .* \(2, 3, 4\)",
    ("x.h5ad", write_text): r"only \.npy.*; data=anndata reads \.h5ad",
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[1].__name__}")
def test_files_that_cannot_be_used_get_a_sentence(tmp_path, case):
    name, write = case
    write(tmp_path / name)
    with pytest.raises(Refusal, match=REFUSED[case]) as refused:
        matrix_file(tmp_path / name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("write", [write_text, write_half, write_cube], ids=lambda write: write.__name__)
def test_what_is_no_annotated_file_gets_a_sentence(tmp_path, write):
    pytest.importorskip("anndata")
    write(tmp_path / "x.h5ad")
    with pytest.raises(Refusal, match=r"x.h5ad"):
        anndata_file(tmp_path / "x.h5ad")


@pytest.mark.parametrize(
    ("name", "key", "said"),
    [
        ("x.h5", "Z", r"data.key is 'Z', but .* holds 'X'"),
        ("x.h5", "X/deep", r"data.key is 'X/deep', but .* holds 'X'"),
        ("x.zarr", "Z", r"data.key is 'Z', but .* holds one array alone"),
        ("x.npz", "Z", r"data.key is 'Z', but .* holds 'X'"),
        ("x.npy", "Z", r"data.key is 'Z', but .* holds one matrix alone; a key is for .npz, .zarr, .h5, .hdf5"),
    ],
)
def test_a_key_that_is_none_is_refused_with_those_there_are(tmp_path, name, key, said):
    hdf5_of(tmp_path / "x.h5", X=X)
    zarr.save_array(str(tmp_path / "x.zarr"), X)
    np.savez(tmp_path / "x.npz", X=X)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(Refusal, match=said):
        matrix_file(tmp_path / name, key=key)


def nan_that_is_not_allowed(tmp_path):
    np.save(tmp_path / "x.npy", np.where(SEEN, X, np.nan))
    return {}


def negative_where_observed(tmp_path):
    np.save(tmp_path / "x.npy", np.where(SEEN, -X - 1, np.nan))
    return {"missing": "nan"}


def unstored_of_dense(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return {"missing": "unstored"}


def no_missing(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return {"missing": "zero"}


def weights_of_another_shape(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "v.npy", V[:, :3])
    return {"weights": str(tmp_path / "v.npy")}


def negative_weights(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "v.npy", V - 1)
    return {"weights": str(tmp_path / "v.npy")}


def no_weights_there(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return {"weights": str(tmp_path / "v.npy")}


def weights_and_semi_nmf(tmp_path):
    np.save(tmp_path / "x.npy", -X)
    np.save(tmp_path / "v.npy", V)
    return {"weights": str(tmp_path / "v.npy"), "signed": True}


def nothing_of_a_part(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "v.npy", np.where(np.arange(N)[:, None] < 9, V, 0))
    return {"weights": str(tmp_path / "v.npy"), "contiguous": True, "test": 0.25}


UNUSABLE = {
    nan_that_is_not_allowed: r"x.npy: Input X contains NaN at \[\d+, \d+\]; set data.missing=nan",
    negative_where_observed: r"x.npy: X must be non-negative, but X\[0, \d\] is -",
    unstored_of_dense: r"X is dense, which stores every entry; give a sparse X, or data.missing=nan",
    no_missing: "missing is 'zero', but must be",
    weights_of_another_shape: r"weights must have the shape of X, \(12, 5\), but have \(12, 3\)",
    negative_weights: "weights must be non-negative",
    no_weights_there: "v.npy.*no such file",
    weights_and_semi_nmf: "signed data take no weights",
    nothing_of_a_part: "nothing of the test rows was observed",
}


@pytest.mark.parametrize(
    "write",
    [pytest.param(write, marks=pytest.mark.untyped) if write is no_missing else write for write in UNUSABLE],
    ids=lambda write: write.__name__,
)
def test_holes_and_weights_that_cannot_be_used_get_a_sentence(tmp_path, write):
    options = write(tmp_path)
    with pytest.raises(Refusal, match=UNUSABLE[write]):
        matrix_file(tmp_path / "x.npy", **options)


# Malice ---------------------------------------------------------------------------------------------------------------


class Malice:
    """What is made when it is unpickled is a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def malicious_npy(path, malice):
    np.save(path, np.array([[malice, malice]], dtype=object), allow_pickle=True)


def malicious_npz(path, malice):
    np.savez(path, X=X, labels=np.array([malice] * N, dtype=object))


def malicious_zarr(path, malice, filters):
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("X", data=X)
    (path / "labels").mkdir()
    (path / "labels" / ".zarray").write_text(
        '{"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": null, "fill_value": "", '
        f'"order": "C", "filters": {filters}}}'
    )
    (path / "labels" / "0").write_bytes(pickle.dumps(malice))


def malicious_zarr_of_text(path, malice):
    malicious_zarr(path, malice, '[{"id": "vlen-utf8"}, {"id": "pickle"}]')


def malicious_zarr_of_objects(path, malice):
    malicious_zarr(path, malice, '[{"id": "pickle"}]')


def malicious_hdf5(path, malice):
    with h5py.File(path, "w") as file:
        file["X"] = X
        file["labels"] = np.full(N, np.void(pickle.dumps(malice)))


MALICE = {
    malicious_npy: "x.npy",
    malicious_npz: "x.npz",
    malicious_zarr_of_text: "x.zarr",
    malicious_zarr_of_objects: "x.zarr",
}


@pytest.mark.parametrize("write", MALICE, ids=lambda write: write.__name__)
def test_no_pickle_in_a_file_is_run(tmp_path, monkeypatch, write):
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)  # as older ones do
    path, made = tmp_path / MALICE[write], tmp_path / "made"
    write(path, Malice(made))
    assert not made.exists()
    with pytest.raises(Refusal, match=r"pickle|bject"):
        matrix_file(path)
    assert not made.exists()
    pickle.loads(pickle.dumps(Malice(made))).close()
    assert made.exists(), "it would have"


def test_bytes_in_hdf5_stay_bytes(tmp_path):
    """HDF5 has no pickles: opaque bytes are read as bytes, which are no numbers."""
    made = tmp_path / "made"
    malicious_hdf5(tmp_path / "x.h5", Malice(made))
    matrix_file(tmp_path / "x.h5")
    with pytest.raises(Refusal):
        matrix_file(tmp_path / "x.h5", key="labels")
    assert not made.exists()


def test_every_reader_is_tested():
    tested = {".npy", ".npz", ".mtx", ".csv", ".tsv", ".parquet", ".zarr", ".h5", ".hdf5", "-ubyte"}
    assert set(READERS) == tested
